"""Silence, proofs, sleep, rhythm and grace (PROTOCOL.md §7, RECOVERY.md §4, §6)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from caisey.control import liveness
from caisey.core import commands as c
from caisey.core.events import EvidenceNoted
from caisey.core.states import AttemptState, Effect, HoldReason, Kind
from caisey.core.view import RuntimeView
from tests.control.plane import PERSON, Plane
from tests.foreign.recording import Seen
from tests.foreign.runtime import Runtime
from tests.foreign.wire import Frame
from tests.foreign.work import Gate, runs_until


def view(plane: Plane, runtime: Runtime) -> RuntimeView:
    found = plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).runtime(runtime.runtime_id))
    assert found is not None
    return found


def health_events(plane: Plane, runtime: Runtime) -> list[str]:
    events = plane.events("endpoint.health_changed")
    return [event["health"] for event in events if event["endpoint_id"] == runtime.endpoint_id]


def becomes(plane: Plane, runtime: Runtime, health: str) -> None:
    plane.until(lambda: plane.health(runtime.endpoint_id) == health)
    plane.until(lambda: health_events(plane, runtime)[-1:] == [health])


def facts(plane: Plane, call: str) -> list[str]:
    return [f.event.fact for f in plane.attempt(call).facts if isinstance(f.event, EvidenceNoted)]


def test_an_endpoint_is_never_seen_until_it_is(plane: Plane, runtime: Runtime) -> None:
    assert plane.health(runtime.endpoint_id) == "never_seen"
    runtime.connect()
    becomes(plane, runtime, "healthy")


def test_only_changes_of_health_reach_the_log(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    runtime.heartbeats_pass(6)
    assert health_events(plane, runtime) == ["healthy"]
    runtime.manners.heartbeats = False
    becomes(plane, runtime, "unhealthy")
    runtime.manners.heartbeats = True
    becomes(plane, runtime, "healthy")
    runtime.drop_links(stay_away=True)
    becomes(plane, runtime, "offline")
    assert health_events(plane, runtime) == ["healthy", "unhealthy", "healthy", "offline"]
    before = [event["before"] for event in plane.events("endpoint.health_changed")]
    assert before == ["never_seen", "healthy", "unhealthy", "healthy"]


def test_a_closed_socket_is_told_to_sessions(plane: Plane, runtime: Runtime) -> None:
    runtime.script = runs_until(Gate())
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    runtime.drop_links(stay_away=True)
    plane.until(lambda: plane.attempt(call).state is AttemptState.LOST)
    assert "bridge_closed" in facts(plane, call)


def test_it_is_judged_by_the_interval_it_states(plane: Plane, new_runtime: Callable[..., Runtime]) -> None:
    slow, other = new_runtime(), new_runtime()
    slow.manners.heartbeat = lambda frame: {**frame, "interval_ms": 60_000}
    slow.connect()
    slow.heartbeats_pass(1)
    slow.manners.heartbeats = False
    other.connect()
    other.heartbeats_pass(5)
    assert plane.health(slow.endpoint_id) == "healthy"
    slow.manners.heartbeats = True
    slow.manners.heartbeat = lambda frame: {**frame, "interval_ms": 100}
    slow.recording.wait("heartbeat", "out", since=slow.recording.mark(), where=lambda s: s.frame["interval_ms"] == 100)
    slow.manners.heartbeats = False
    becomes(plane, slow, "unhealthy")


def test_a_silent_bridge_is_closed_in_the_end(plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "SILENT_CLOSE_MS", 500)
    runtime.connect()
    runtime.manners.heartbeats = False
    assert runtime.recording.wait("closed", "note", timeout=20).frame["code"] == 1001


def test_sleep_is_not_silence(plane: Plane, runtime: Runtime) -> None:
    runtime.script = runs_until(Gate())
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    runtime.manners.heartbeats = False
    runtime.say({"type": "leaving", "reason": "sleep"})
    becomes(plane, runtime, "asleep")
    plane.until(lambda: plane.attempt(call).state is AttemptState.LOST)
    assert plane.attempt(call).asleep
    runtime.drop_links(stay_away=True)
    plane.until(lambda: not view(plane, runtime).bridges)
    assert plane.health(runtime.endpoint_id) == "asleep"
    plane.restart()
    assert plane.health(runtime.endpoint_id) == "asleep"
    runtime.manners.heartbeats = True
    runtime.manners.slept_ms = 3_600_000
    runtime.connect()
    becomes(plane, runtime, "healthy")
    plane.until(lambda: "slept" in facts(plane, call))
    runtime.heartbeats_pass(3)
    assert facts(plane, call).count("slept") == 1


def test_a_draining_runtime_gets_no_new_work(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    session = plane.session(runtime.endpoint_id)
    runtime.manners.accepting = False
    plane.until(lambda: not view(plane, runtime).accepting)
    (call,) = plane.prompt(session)
    hold = plane.attempt(call).hold
    assert hold is not None
    assert hold.reason is HoldReason.DRAINING
    runtime.manners.accepting = True
    plane.ended(call)


@pytest.mark.parametrize("frame", [{"type": "leaving", "reason": "drain"}, {"type": "problem", "code": "journal.full"}])
def test_one_that_leaves_or_cannot_write_is_not_sent_to(plane: Plane, runtime: Runtime, frame: Frame) -> None:
    runtime.connect()
    runtime.manners.heartbeats = False
    runtime.say(frame)
    plane.until(lambda: not view(plane, runtime).accepting)
    runtime.manners.heartbeats = True
    plane.until(lambda: view(plane, runtime).accepting)


# -- proofs ---


def test_proofs_stay_fresh_while_a_session_is_open(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    first = view(plane, runtime).proved_at_ms
    plane.session(runtime.endpoint_id)
    plane.until(lambda: view(plane, runtime).proved_at_ms > first + 600)


def test_no_new_work_without_a_proof(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    session = plane.session(runtime.endpoint_id)
    runtime.manners.pongs = "none"
    proved = view(plane, runtime).proved_at_ms
    plane.until(lambda: plane.steady.now_ms() > proved + 1_000)
    (call,) = plane.prompt(session)
    plane.until(lambda: plane.attempt(call).hold)
    assert runtime.dispatches() == []
    runtime.manners.pongs = "right"
    plane.ended(call)


def test_a_wrong_signature_proves_nothing(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    runtime.manners.pongs = "wrong"
    checked = view(plane, runtime).checked_at_ms
    live = plane.hub.fleet.runtimes[runtime.runtime_id]
    plane.call(lambda: plane.hub._outbound.ping(live.best, nonce=True, asked=True))  # type: ignore[arg-type]  # it is connected
    runtime.saw("ping", where=lambda seen: "nonce" in seen.frame)
    runtime.heartbeats_pass(2)
    assert view(plane, runtime).checked_at_ms == checked
    runtime.manners.pongs = "right"
    plane.call(lambda: plane.hub._outbound.ping(live.best, nonce=True, asked=True))  # type: ignore[arg-type]
    plane.until(lambda: view(plane, runtime).checked_at_ms > checked)


def test_a_place_in_flight_proves_an_attempt(plane: Plane, runtime: Runtime) -> None:
    runtime.script = runs_until(Gate())
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    proofs = plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).proofs)
    handed = plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).handed)
    assert (call, 1) in handed
    first = plane.until(lambda: proofs.get((call, 1)))
    assert first is not None
    plane.until(lambda: proofs[call, 1] > first + 800)
    assert plane.attempt(call).state is AttemptState.STARTED


def test_a_sibling_with_another_journal_proves_nothing(plane: Plane, new_runtime: Callable[..., Runtime]) -> None:
    mine = new_runtime()
    mine.script = runs_until(Gate())
    mine.connect()
    (call,) = plane.prompt(plane.session(mine.endpoint_id))
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    mine.drop_links(stay_away=True)
    plane.until(lambda: plane.attempt(call).state is AttemptState.LOST)
    proofs = plane.call(lambda: plane.hub.view_of(mine.endpoint_id).proofs)
    last = proofs.get((call, 1), 0)
    for shares, proves in ((False, False), (True, True)):
        sibling = new_runtime(mine.endpoint_id, machine=mine.machine, **({"journal": mine.journal} if shares else {}))
        sibling.manners.statements = lambda _: []
        sibling.manners.repeat = sibling.manners.reconcile = False
        claim = [{"tool_call_id": call, "number": 1}, {"tool_call_id": "tcl_unknown", "number": 1}]
        sibling.manners.heartbeat = lambda frame, claim=claim: {**frame, "in_flight": claim}  # type: ignore[misc]
        sibling.connect().heartbeats_pass(2)
        assert (proofs.get((call, 1), 0) > last) is proves
    assert set(proofs) == {(call, 1)}


# -- rhythm ---


def test_the_rhythm_follows_sessions(plane: Plane, new_runtime: Callable[..., Runtime]) -> None:
    from caisey.control.directory.records import PolicyLevel
    from caisey.core import events as e
    from caisey.core.policy import PolicyFields
    from tests.control.plane import ORGANIZATION

    async def nine_seconds() -> None:
        async with plane.directory.changing(ORGANIZATION, e.CONTROL_PLANE) as draft:
            fields = PolicyFields(heartbeat_interval_s=9.0)
            draft.save(
                PolicyLevel(
                    organization_id=ORGANIZATION, level="organization", subject="", fields=fields, updated_at_ms=1
                )
            )

    plane.run(nine_seconds())
    runtime = new_runtime().connect()
    assert runtime.saw("welcome").frame["heartbeat_interval_ms"] == 9_000
    session = plane.session(runtime.endpoint_id)
    assert runtime.saw("cadence").frame["heartbeat_interval_ms"] == 3_000
    plane.run(plane.sessions.handle(session, c.CloseSession(actor=PERSON, outcome="solved")))
    assert runtime.recording.wait("cadence", count=2).frame["heartbeat_interval_ms"] == 9_000


# -- the control plane's own absence ---


def test_a_restart_is_no_change_of_health(plane: Plane, new_runtime: Callable[..., Runtime]) -> None:
    comes_back, stays_away = new_runtime().connect(), new_runtime().connect()
    for runtime in (comes_back, stays_away):
        becomes(plane, runtime, "healthy")
    stays_away.manners.reconnect = False
    since = comes_back.recording.mark()
    plane.restart()
    comes_back.saw("welcome", since=since, timeout=20)
    assert plane.health(stays_away.endpoint_id) == "healthy", "it has the time to come back"
    assert health_events(plane, stays_away) == ["healthy"]
    becomes(plane, stays_away, "offline")
    assert health_events(plane, comes_back) == ["healthy"]
    assert plane.call(lambda: plane.hub.view_of(comes_back.endpoint_id).grace_until_ms) > 0


def test_health_alone_is_what_the_whole_view_says(plane: Plane, new_runtime: Callable[..., Runtime]) -> None:
    never, gone, stays_away = new_runtime(), new_runtime().connect(), new_runtime().connect()
    for runtime in (gone, stays_away):
        becomes(plane, runtime, "healthy")
    gone.drop_links(stay_away=True)
    becomes(plane, gone, "offline")
    stays_away.manners.reconnect = False
    plane.restart()
    endpoints = [runtime.endpoint_id for runtime in (never, gone, stays_away)]

    def asked() -> tuple[list[str], list[str], list[str]]:
        alone = [plane.hub.health_of(endpoint).value for endpoint in endpoints]
        brought = [endpoint for endpoint in endpoints[:2] if endpoint in plane.hub.fleet.endpoints]
        return alone, brought, [plane.hub.view_of(endpoint).health.value for endpoint in endpoints]

    alone, brought, whole = plane.call(asked)
    assert alone == whole == ["never_seen", "offline", "healthy"]
    assert brought == [], "asking for the health alone brings nothing to life"
    becomes(plane, stays_away, "offline")
    assert plane.call(lambda: plane.hub.health_of(stays_away.endpoint_id).value) == "offline"


def test_nobody_was_silent_while_this_process_did_not_run(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    runtime.manners.heartbeats = False

    def paused() -> str:
        live = plane.hub.fleet.runtimes[runtime.runtime_id]
        live.beat_ms -= 60_000
        plane.hub.paused(60_000)
        plane.hub.traffic.liveness.sweep()
        return plane.hub.view_of(runtime.endpoint_id).health.value

    before = plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).grace_until_ms)
    assert plane.call(paused) == "healthy"
    assert plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).grace_until_ms) > before


def test_the_grace_of_a_start_begins_when_everybody_can_come(plane: Plane, runtime: Runtime) -> None:
    """Reading a large log, or a busy machine, must not use up the time that agents have to come back."""
    runtime.connect()
    became = plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).grace_until_ms)
    plane.until(lambda: plane.clock.now_ms() > became)

    def opened() -> int:
        plane.hub.opens()
        return plane.hub.view_of(runtime.endpoint_id).grace_until_ms

    assert plane.call(opened) > became


@pytest.mark.parametrize("step_ms", [-3_600_000, 3_600_000])
def test_a_step_of_the_wall_clock_proves_and_disproves_nothing(plane: Plane, runtime: Runtime, step_ms: int) -> None:
    runtime.script = runs_until(gate := Gate())
    runtime.connect()
    session = plane.session(runtime.endpoint_id)
    (call,) = plane.prompt(session, Effect.MUTATING)
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    before = view(plane, runtime)
    plane.clock.step_ms = step_ms
    plane.until(lambda: abs(view(plane, runtime).proved_at_ms - before.proved_at_ms - step_ms) < 60_000)
    runtime.heartbeats_pass(6)
    assert plane.attempt(call).state is AttemptState.STARTED
    assert plane.health(runtime.endpoint_id) == "healthy"
    gate.open()
    verdict = plane.ended(call).verdict
    assert verdict is not None
    assert verdict.kind is Kind.ANSWERED


# -- what is said after the welcome ---


def test_a_long_row_of_statements_ends_with_the_next_other_frame(plane: Plane, runtime: Runtime) -> None:
    runtime.script = runs_until(Gate())
    runtime.connect()
    session = plane.session(runtime.endpoint_id)
    calls = [plane.prompt(session)[0] for _ in range(3)]
    for call in calls:
        plane.until(lambda call=call: plane.attempt(call).state is AttemptState.STARTED)  # type: ignore[misc]
    later: list[Frame] = []

    def first_page(statements: list[Frame]) -> list[Frame]:
        later[:] = statements[1:]
        return statements[:1]

    runtime.manners.statements = first_page
    runtime.manners.hello = lambda frame: {**frame, "more": True}
    runtime.manners.heartbeats = False
    runtime.manners.repeat = False
    since = runtime.recording.mark()
    runtime.drop_links(stay_away=True)
    for call in calls:
        plane.until(lambda call=call: plane.attempt(call).state is AttemptState.LOST)  # type: ignore[misc]
    runtime.connect()
    for statement in later:
        runtime.say(statement)
    for call in calls:
        plane.until(lambda call=call: plane.attempt(call).state is AttemptState.STARTED)  # type: ignore[misc]

    def asks(seen: Seen) -> bool:
        return json.dumps(calls[0]) in json.dumps(seen.frame)

    assert not [s for s in runtime.recording.select("reconcile", since=since) if asks(s)]


def test_what_is_settled_is_in_the_welcome(plane: Plane, runtime: Runtime) -> None:
    """The confirmation got lost: the journal still lists the attempt, and is told with the welcome."""
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.ended(call)
    runtime.saw("confirm", where=lambda seen: seen.about(call) and seen.frame["settled"])
    runtime.heartbeats_pass(1)
    record = runtime.journal.record((call, 1))
    assert record is not None
    record.settled = False
    runtime.manners.repeat = False
    since = runtime.recording.mark()
    runtime.drop_links()
    confirm = runtime.saw("welcome", since=since).frame["confirm"]
    assert [(entry["attempt"]["tool_call_id"], entry["settled"]) for entry in confirm] == [(call, True)]


def test_a_repeated_last_word_is_settled_again(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.ended(call)

    def is_settled(seen: Seen) -> bool:
        return seen.about(call) and bool(seen.frame["settled"])

    runtime.saw("confirm", where=is_settled)
    since = runtime.recording.mark()
    record = runtime.journal.record((call, 1))
    assert record is not None
    runtime.say(record.receipts["finished"])
    runtime.saw("confirm", where=is_settled, since=since)
