"""A COMMIT fails at a bad moment: memory follows the log, and what nobody says again is not lost."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from caisey.control.sessions import Handled
from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.errors import Fault
from caisey.core.ids import PROMPT, SESSION, TOOL_CALL, new_id
from caisey.core.states import AttemptState, Effect, Health
from tests.control.failing_log import CANNOT_BE_WRITTEN, commits_fail, log_is_full, of_a_session, of_type
from tests.control.plane import ORGANIZATION, PERSON, Plane
from tests.control.test_hub_handshake import both_are_sent_away, rejected, set_back_behind_a_call
from tests.control.test_hub_liveness import facts
from tests.foreign.runtime import Runtime
from tests.foreign.work import Gate, acknowledges_only, runs_until


def asks() -> c.AcceptPrompt:
    spec = e.CallSpec(
        id=new_id(TOOL_CALL, secrets.token_bytes(17)),
        position=1,
        tool="shell",
        tool_version=1,
        arguments={"command": "true"},
        effect=Effect.READ_ONLY,
        structured=False,
    )
    return c.AcceptPrompt(actor=PERSON, prompt_id=new_id(PROMPT, secrets.token_bytes(17)), calls=(spec,))


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_nothing_to_do_is_no_answer_where_what_it_was_decided_from_was_not_committed(
    plane: Plane, runtime: Runtime
) -> None:
    session = plane.session(runtime.endpoint_id)

    async def story() -> list[object]:
        failing = plane.sessions.submit(session, asks(), [CANNOT_BE_WRITTEN])
        nothing = plane.sessions.submit(session, c.Advance())
        plane.sessions.tell(session, c.Advance())
        told = await asyncio.gather(failing, nothing, return_exceptions=True)
        return [*told, plane.sessions.news.left_for(session)]

    first, second, kept = plane.run(story())
    assert isinstance(first, Fault)
    assert isinstance(second, Fault)
    assert (first.code, second.code) == ("server.storage_failed", "server.storage_failed")
    assert kept
    plane.until(lambda: not plane.sessions.news.left_for(session))


def test_a_failed_commit_does_not_forget_what_was_decided_after_it(plane: Plane, runtime: Runtime) -> None:
    """A session that was read again meanwhile is not read a third time, without what is under way."""
    session = plane.session(runtime.endpoint_id)
    later = asks()

    async def story() -> None:
        submitted: list[asyncio.Future[Handled]] = []
        loop = asyncio.get_running_loop()

        def soon() -> None:  # as a frame that was read in the same turn of the loop
            submitted.append(plane.sessions.submit(session, later))

        def failed() -> None:
            loop.call_soon(soon)

        plane.log.on_failure(failed)
        with pytest.raises(Fault, match=r"server\.storage_failed"):
            await plane.sessions.submit(session, asks(), [CANNOT_BE_WRITTEN])
        present = plane.sessions.peek(session)
        assert present is not None
        assert later.prompt_id in present.prompts
        await submitted[0]

    plane.run(story())


def test_a_session_that_could_not_be_made_is_not_there(
    plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = new_id(SESSION, secrets.token_bytes(17))
    made = plane.sessions.create(ORGANIZATION, runtime.endpoint_id, PERSON, "printing", None, session_id=fresh)
    with log_is_full(plane, monkeypatch, of_a_session), pytest.raises(Fault, match=r"server\.overloaded"):
        plane.run(made)
    assert plane.call(lambda: plane.sessions.peek(fresh)) is None


def test_a_deadline_is_looked_at_though_the_commit_that_ended_it_failed(plane: Plane, runtime: Runtime) -> None:
    """Nothing was open any more, for as long as the COMMIT took: the sweeper had been told so."""
    session = plane.session(runtime.endpoint_id)
    (call,) = plane.prompt(session)
    assert plane.attempt(call).hold is not None
    assert plane.call(lambda: session in plane.sweeper._due)
    cancel = c.Act(actor=PERSON, tool_call_id=call, action="cancel", seen=plane.read(call).sequence)
    with pytest.raises(Fault, match=r"server\.storage_failed"):
        plane.run(plane.sessions.handle(session, cancel, [CANNOT_BE_WRITTEN]))
    plane.until(lambda: plane.call(lambda: session in plane.sweeper._due))
    assert plane.attempt(call).hold is not None


def test_a_step_of_the_clock_that_found_the_log_full_moves_deadlines_later(
    plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.script = acknowledges_only
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id), Effect.MUTATING)
    plane.until(lambda: plane.attempt(call).state is AttemptState.ACKNOWLEDGED)
    with log_is_full(plane, monkeypatch, of_type("session.clock_stepped")) as tries:
        plane.clock.step_ms -= 3_600_000
        plane.until(lambda: tries[0])
    plane.until(lambda: plane.events("session.clock_stepped"))
    (step,) = plane.events("session.clock_stepped")
    assert abs(step["by_ms"] + 3_600_000) < 1_000


# -- who comes, and how they are ---------------------------------------------------------------------------------------


def test_that_a_journal_went_back_is_told_to_sessions_though_what_came_after_it_failed(
    plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written down, and then nobody was let in: the next hello is behind nothing any more."""
    call = set_back_behind_a_call(plane, runtime)
    runtime.begin_life()
    runtime.manners.reconnect = False
    monkeypatch.setattr(runtime.manners, "hello", lambda frame: {**frame, "runtime_version": "9.9.9"})
    with commits_fail(plane, monkeypatch, lambda _, writes: any("INTO runtimes" in sql for sql, _ in writes)):
        assert rejected(runtime) == ("server.overloaded", 1013)
    assert len(plane.events("endpoint.journal_regressed")) == 1
    runtime.connect()
    plane.until(lambda: "journal_regressed" in facts(plane, call))
    assert len(plane.events("endpoint.journal_regressed")) == 1


def test_health_that_changed_twice_while_the_log_failed_is_what_the_log_says(
    plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.connect()
    plane.until(lambda: recorded(plane, runtime) == "healthy")
    endpoint = plane.hub.fleet.endpoints[runtime.endpoint_id]
    live = plane.hub.fleet.runtimes[runtime.runtime_id]
    changed = plane.hub.traffic.liveness.changed

    async def story() -> Health:
        for healthy in (False, True):
            live.healthy = healthy
            changed(endpoint)
        failed = asyncio.Event()
        plane.log.on_failure(failed.set)
        await failed.wait()
        for _ in range(5):  # whoever waited for those commits is told
            await asyncio.sleep(0)
        return endpoint.health

    with commits_fail(plane, monkeypatch, of_type("endpoint.health_changed")):
        assert plane.run(story()) is Health.HEALTHY
    assert recorded(plane, runtime) == "healthy"


def recorded(plane: Plane, runtime: Runtime) -> str:
    rows = plane.rows("SELECT health FROM endpoint_health WHERE endpoint_id = ?", runtime.endpoint_id)
    return str(rows[0][0]) if rows else ""


def test_two_that_hold_one_key_are_found_again_where_it_could_not_be_written_down(
    plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent away before that, the one that was there was no witness any more, and the other was let in."""
    runtime.connect()
    runtime.manners.reconnect = False
    twin = runtime.clone()
    twin.manners.reconnect = False
    with commits_fail(plane, monkeypatch, of_type("runtime.clone_suspected")):
        assert rejected(twin) == ("server.overloaded", 1013)
    assert rejected(twin) == ("runtime.clone_suspected", 4409)
    assert plane.rows("SELECT type FROM attention") == [("runtime.clone_suspected",)]
    both_are_sent_away(runtime, twin)


def test_sensitive_input_is_not_forgotten_before_it_is_written_down_that_it_arrived(
    plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would never be sent again, and a runtime answers only what it is sent."""
    gate = Gate()
    runtime.script = runs_until(gate)
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    with commits_fail(plane, monkeypatch, of_type("attempt.input_accepted")):
        plane.act(call, "input", data="yes\n", sensitive=True)
        plane.until(lambda: plane.log.health().failures)
    plane.until(lambda: plane.attempt(call).inputs_accepted == 1)
    gate.open()
    plane.ended(call)
