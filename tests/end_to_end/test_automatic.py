"""RECOVERY.md §6: every verdict with every effect, the bound on automatic actions, busy, and the fresh check."""

from __future__ import annotations

import pytest

from tests.end_to_end import views
from tests.end_to_end.client import shell
from tests.end_to_end.fleet import Desk
from tests.end_to_end.views import Prompt
from tests.foreign.work import (
    Gate,
    Script,
    Work,
    acknowledges_then_dies,
    answers,
    by_command,
    in_turn,
    refuses,
    runs_until,
    silent,
    starts_then_dies,
)

EFFECTS = ["read_only", "idempotent", "mutating"]
REPEATABLE = ["read_only", "idempotent"]


def consents(prompt: Prompt, step: int = 1) -> list[int]:
    return [attempt["consent"] for attempt in views.attempts(prompt, step)]


@pytest.mark.parametrize("effect", EFFECTS)
def test_orphaned_and_proved_not_run_is_requeued(desk: Desk, effect: str) -> None:
    """§6 row 1: `orphaned`, ran no: requeue, whatever the effect; the present consent (§1)."""
    prompt = desk.ask(shell("x", effect), script=in_turn(silent, answers()))
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert views.verdict(prompt, number=1) == ("orphaned", "no")
    assert set(consents(prompt)) == {1}  # no new consent, however many tries a busy machine takes


@pytest.mark.parametrize("effect", EFFECTS)
def test_died_and_proved_not_run_is_requeued(desk: Desk, effect: str) -> None:
    """§6 row 1: `runtime_died`, ran no: requeue. The journal closes what nobody started."""
    desk.policy(reconcile_window_s=30.0)
    prompt = desk.ask(shell("x", effect), script=acknowledges_then_dies)
    desk.runtime.is_dead()
    desk.api.wait_state(prompt, "acknowledged", "lost")
    desk.runtime.journal.close((views.call(prompt)["id"], 1), 1, desk.runtime.owner, "reconcile")
    desk.runtime.script = answers()
    desk.runtime.restart()
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert views.verdict(prompt, number=1) in (("runtime_died", "no"), ("orphaned", "no"))
    assert set(consents(prompt)) == {1}  # no new consent, however many tries a busy machine takes


@pytest.mark.parametrize("effect", EFFECTS)
def test_orphaned_and_unconfirmed_goes_to_the_same_journal_again(desk: Desk, effect: str) -> None:
    """§6 row 2, to the same `journal_id`: requeue for every effect, under the same consent: the fence holds there."""
    desk.runtime.manners.reconcile = False
    prompt = desk.ask(shell("x", effect), script=in_turn(silent, answers()))
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert views.verdict(prompt, number=1) == ("orphaned", "unconfirmed")
    assert set(consents(prompt)) == {1}  # no new consent, however many tries a busy machine takes


@pytest.mark.parametrize("effect", REPEATABLE)
def test_died_in_the_middle_of_something_repeatable_is_run_again(desk: Desk, effect: str) -> None:
    """§6 row 3: `runtime_died`, unconfirmed: "retry, then requeue (new consent by policy)"."""
    prompt = desk.ask(shell("x", effect), script=starts_then_dies)
    desk.runtime.is_dead()
    desk.runtime.script = answers()
    desk.runtime.restart()
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert views.verdict(prompt, number=1) == ("runtime_died", "unconfirmed")
    assert list(dict.fromkeys(consents(prompt))) == [1, 2]  # on a busy machine the new consent may take two tries


@pytest.mark.parametrize("effect", REPEATABLE)
def test_ended_by_a_shutdown_is_run_again_where_it_is_repeatable(desk: Desk, effect: str) -> None:
    """§6 row 3: `runtime_died`, partly."""
    shut = answers(exit_code=None, signal=15, ended_by="shutdown")
    prompt = desk.ask(shell("x", effect), script=in_turn(shut, answers()))
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert views.verdict(prompt, number=1) == ("runtime_died", "partly")
    assert consents(prompt) == [1, 2]


@pytest.mark.parametrize("script", [starts_then_dies, answers(exit_code=None, signal=15, ended_by="shutdown")])
def test_died_in_the_middle_of_something_mutating_waits(desk: Desk, script: Script) -> None:
    """§6 row 3, mutating: "**never by itself**: `waiting`, with resume from step N prepared"."""
    prompt = desk.ask(shell("x", "mutating"), shell("y", "mutating"), script=in_turn(script, answers()))
    if script is starts_then_dies:
        desk.runtime.is_dead()
        desk.runtime.restart()
    prompt = desk.api.wait_waiting(prompt)
    prompt = desk.nothing_more_happens(prompt)
    assert views.call(prompt)["state"] == "waiting"
    assert "resume" in views.offered(prompt) or "resume" in views.offered(prompt, 2)
    assert len(desk.runtime.dispatches()) == 1


NEVER: dict[str, Script] = {
    "empty": answers(b""),
    "command_failed": answers(exit_code=1),
    "timed_out": answers(exit_code=None, signal=9, ended_by="time_limit"),
    "refused": refuses("tool.unknown"),
}


@pytest.mark.parametrize("kind", NEVER)
@pytest.mark.parametrize("effect", EFFECTS)
def test_what_is_never_sent_again_by_itself(desk: Desk, kind: str, effect: str) -> None:
    """§6 row 4: `empty`, `command_failed`, `timed_out`, `refused`: "never by itself"."""
    prompt = desk.api.wait_state(desk.ask(shell("x", effect), script=NEVER[kind]), "ended")
    assert (views.verdict(prompt) or ("", ""))[0] == kind
    desk.nothing_more_happens(prompt)


def test_a_malformed_result_is_never_sent_again_by_itself(desk: Desk) -> None:
    """§6 row 4: `malformed_result`."""

    async def script(work: Work) -> None:
        await work.start()
        await work.finish(say=False)
        assert work.record is not None
        work.record.receipts["finished"] = work.frame(
            "finished", journal_sequence=work.record.sequence, execution="gone"
        )
        await work.send(work.record.receipts["finished"])

    prompt = desk.api.wait_state(desk.ask(script=script), "ended")
    assert (views.verdict(prompt) or ("", ""))[0] == "malformed_result"
    desk.nothing_more_happens(prompt)


@pytest.mark.parametrize("effect", EFFECTS)
def test_at_most_max_automatic_then_a_person(desk: Desk, effect: str) -> None:
    """§6: "At most `max_automatic` (default 2) automatic actions for one tool call; then it **waits for a person** with
    everything kept; it does not fail"."""
    prompt = desk.ask(shell("x", effect), script=silent)
    prompt = desk.api.wait_waiting(prompt, within=20)
    assert len(views.attempts(prompt)) == 3
    prompt = desk.nothing_more_happens(prompt, heartbeats=4)
    assert prompt["state"] == "waiting"
    ids = [item["tool_call_id"] for item in desk.api.get("/attention")["items"]]
    assert views.call(prompt)["id"] in ids


def test_automatic_for_names_the_effects(desk: Desk) -> None:
    """§6 policy: `automatic_for` (effects)."""
    desk.policy(automatic_for=["read_only"])
    prompt = desk.ask(shell("x", "idempotent"), script=silent)
    prompt = desk.api.wait_waiting(prompt)
    assert len(views.attempts(prompt)) == 1
    other = desk.ask(shell("y", "read_only"), script=in_turn(silent, answers()))
    desk.api.wait_verdict(other, ("answered", "yes"))


def test_busy_waits_for_the_end_of_another_attempt_and_is_not_counted(desk: Desk) -> None:
    """§6: "`refused` with `runtime.busy`: held until that runtime ends an attempt or 5 s pass; not counted"."""
    gates = [Gate() for _ in range(4)]
    busy = in_turn(*[refuses("runtime.busy")] * 4, answers(b"at last\n"))
    desk.runtime.script = by_command(
        wait=busy, **{f"run{n}": runs_until(gate) for n, gate in enumerate(gates)}
    )  # fmt: skip
    for number in range(4):
        desk.api.wait_state(desk.ask(shell(f"run{number}")), "started")
    prompt = desk.ask(shell("wait"))
    about = views.call(prompt)["id"]
    for number, gate in enumerate(gates, 1):
        refused = desk.runtime.recording.wait("refused", "out", count=number)
        gate.open()
        again = desk.runtime.saw("dispatch", where=lambda s: s.about(about), since=refused.index)
        assert again.at - refused.at < 4.5, "held for the full 5 s although an attempt ended"
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert set(consents(prompt)) == {1}


def test_busy_is_tried_again_after_five_seconds(desk: Desk) -> None:
    """§6: "or 5 s pass"."""
    prompt = desk.ask(script=in_turn(refuses("runtime.busy"), answers()))
    refused = desk.runtime.recording.wait("refused", "out")
    again = desk.runtime.saw("dispatch", since=refused.index, timeout=12)
    assert 4.0 <= again.at - refused.at <= 8.0
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_requeue_asks_the_runtime_to_sign_a_new_nonce(desk: Desk) -> None:
    """§1 requeue: "after a fresh enrollment check (it signs a new nonce, …)"; PROTOCOL §7 `ping`."""
    prompt = desk.ask(script=in_turn(silent, answers()))
    first = desk.runtime.saw("dispatch")
    second = desk.runtime.saw("dispatch", since=first.index + 1)
    pings = [s for s in desk.runtime.recording.select("ping", since=first.index) if s.frame.get("nonce")]
    assert [s for s in pings if s.at < second.at]
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_a_wrong_signature_under_the_nonce_is_not_eligible(desk: Desk) -> None:
    """§1 requeue: a runtime that cannot sign the nonce gets nothing."""
    desk.runtime.manners.pongs = "wrong"
    prompt = desk.ask(script=in_turn(silent, answers()))
    first = desk.runtime.saw("dispatch")
    desk.runtime.saw("ping", since=first.index, where=lambda s: bool(s.frame.get("nonce")))
    desk.runtime.heartbeats_pass(3)
    assert len(desk.runtime.dispatches()) == 1
    shown = desk.api.prompt(prompt["id"])
    assert views.last(shown)["state"] in ("queued", "held") or views.call(shown)["state"] == "waiting"


def test_recovered_by_itself_is_in_the_report(desk: Desk) -> None:
    """API.md `GET /reports/recovery`: "stalls by verdict, seconds until known, recovered without a person"; §9, 6."""
    prompt = desk.ask(script=in_turn(silent, answers()))
    desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert "orphaned" in str(desk.api.get("/reports/recovery"))
    events = desk.api.events(desk.session_id)
    automatic = [e for e in events if "requeue" in str(e["type"]) or "requeue" in str(e["payload"])]
    assert automatic
    assert all(e["actor"]["kind"] and e["reason"] is not None for e in automatic)
