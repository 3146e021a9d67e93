"""RECOVERY.md §4: windows, `lost` and back, reopening, late words; and what the page says of the time of each."""

from __future__ import annotations

from collections.abc import Callable

from tests.end_to_end import views
from tests.end_to_end.client import shell
from tests.end_to_end.fleet import Desk
from tests.foreign.recording import Seen
from tests.foreign.wire import Frame, named
from tests.foreign.work import (
    Gate,
    Work,
    acknowledges_only,
    acknowledges_then_dies,
    answers,
    runs_until,
    silent,
    starts_then_dies,
)

MANUAL = {"max_automatic": 0, "automatic_for": []}


def asks_about(tool_call_id: str, number: int = 1) -> Callable[[Seen], bool]:
    """Whether a reconcile asks about this attempt."""

    def asked(seen: Seen) -> bool:
        wanted = named((tool_call_id, number))
        return any({k: a[k] for k in wanted} == wanted for a in seen.frame["attempts"])

    return asked


def test_reconcile_is_sent_at_half_of_a_short_window(desk: Desk) -> None:
    """§4: "`reconcile`, sent 2 s before the end of the window, at half of it where it is shorter than 4 s"."""
    desk.policy(ack_window_s=2.0, **MANUAL)
    prompt = desk.ask(script=silent)
    sent = desk.runtime.saw("dispatch")
    asked = desk.runtime.saw("reconcile", where=asks_about(views.call(prompt)["id"]))
    assert 0.6 <= asked.at - sent.at <= 1.7


def test_reconcile_is_sent_two_seconds_before_the_end(desk: Desk) -> None:
    """§4: the same, for a longer window."""
    desk.policy(ack_window_s=5.0, **MANUAL)
    prompt = desk.ask(script=silent)
    sent = desk.runtime.saw("dispatch")
    asked = desk.runtime.saw("reconcile", where=asks_about(views.call(prompt)["id"]))
    assert 2.6 <= asked.at - sent.at <= 3.8


def test_a_promise_ends_the_window_at_once(desk: Desk) -> None:
    """§4: "A promise ends it at once"."""
    desk.policy(ack_window_s=60.0, **MANUAL)

    async def promises(work: Work) -> None:
        await work.runtime.send(
            work.runtime.journal.promise(work.attempt, work.dispatch["consent"], work.runtime.owner, "reconcile")
        )

    prompt = desk.ask(script=promises)
    desk.api.wait_verdict(prompt, ("orphaned", "no"), within=8)


def test_an_acknowledgement_within_the_window_keeps_it_alive(desk: Desk) -> None:
    """§4: `dispatched` → `acknowledged` → `started` → `ended`; the window is only that of the acknowledgement."""
    gate = Gate()
    desk.policy(ack_window_s=1.0)
    prompt = desk.ask(script=runs_until(gate))
    prompt = desk.api.wait_state(prompt, "started")
    prompt = desk.nothing_more_happens(prompt, heartbeats=6)
    assert views.last(prompt)["state"] == "started"
    gate.open()
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_the_word_of_reconcile_takes_the_place_of_a_lost_acknowledgement(desk: Desk) -> None:
    """§4: the journal is asked before the window ends; a `received` with a live owner is no orphan."""
    gate = Gate()

    async def script(work: Work) -> None:
        await work.acknowledge(say=False)
        await gate.passed()
        await work.start()
        await work.finish(streams={})

    prompt = desk.ask(script=script)
    prompt = desk.api.wait_state(prompt, "acknowledged")
    gate.open()
    prompt = desk.api.wait_state(prompt, "ended")
    assert len(views.attempts(prompt)) == 1


def test_silence_about_one_attempt_is_reconciled(desk: Desk) -> None:
    """§4: "two heartbeat intervals without a receipt, progress or a place in `in_flight` → `reconcile`"."""

    def forgets(frame: Frame) -> Frame:
        return {**frame, "in_flight": []}

    desk.runtime.manners.heartbeat = forgets
    gate = Gate()
    prompt = desk.ask(script=runs_until(gate))
    started = desk.runtime.recording.wait("started", "out")
    desk.runtime.saw("reconcile", where=asks_about(views.call(prompt)["id"]), since=started.index)
    prompt = desk.nothing_more_happens(prompt)
    assert views.last(prompt)["state"] in ("started", "lost")
    gate.open()
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_no_answer_makes_it_lost_and_a_statement_brings_it_back(desk: Desk) -> None:
    """§4: "no answer → `lost`" and "`lost` → back to `acknowledged | started` when any incarnation … states it"."""
    desk.policy(reconcile_window_s=30.0)
    gate = Gate()
    prompt = desk.ask(shell("long", "mutating"), script=runs_until(gate))
    desk.api.wait_state(prompt, "started")
    desk.runtime.drop_links(stay_away=True)
    prompt = desk.api.wait_state(prompt, "lost")
    assert views.last(prompt)["verdict"] is None
    desk.runtime.connect()
    prompt = desk.api.wait_state(prompt, "started")
    gate.open()
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert len(views.attempts(prompt)) == 1


def test_a_deaf_runtime_with_an_open_socket_is_lost_too(desk: Desk) -> None:
    """§4: silence counts, not the socket: "two heartbeat intervals without a receipt, progress or a place"."""
    desk.policy(reconcile_window_s=30.0)
    gate = Gate()
    prompt = desk.ask(script=runs_until(gate))
    desk.api.wait_state(prompt, "started")
    desk.runtime.manners.deaf = True
    desk.api.wait_state(prompt, "lost")
    desk.runtime.manners.deaf = False
    gate.open()
    desk.runtime.drop_links()
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_a_command_that_outlives_its_runtime_is_taken_up_by_the_next_incarnation(desk: Desk) -> None:
    """§5: "the returning runtime adopts it"; §4: "any incarnation with the same `journal_id`"."""
    desk.policy(reconcile_window_s=30.0)
    gate = Gate()
    prompt = desk.ask(shell("long", "mutating"), script=runs_until(gate))
    desk.api.wait_state(prompt, "started")
    desk.runtime.restart(outlive=True)
    desk.api.wait_state(prompt, "started")
    gate.open()
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert len(views.attempts(prompt)) == 1
    assert "runtime_died" not in str([a["verdict"] for a in views.attempts(prompt)])


def test_past_the_reconcile_window_it_is_runtime_died(desk: Desk) -> None:
    """§4: "Past `reconcile_window` …: `runtime_died`, ran unconfirmed, whether acknowledged or started"."""
    desk.policy(reconcile_window_s=1.0, **MANUAL)
    prompt = desk.ask(script=acknowledges_then_dies)
    desk.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"))


def test_a_sleeping_runtime_has_until_sleep_expiry(desk: Desk) -> None:
    """§4: "`reconcile_window` (… `sleep_expiry`, 12 h, if it said it goes to sleep)"."""
    desk.policy(reconcile_window_s=0.5, sleep_expiry_s=600.0)
    gate = Gate()
    prompt = desk.ask(script=runs_until(gate))
    desk.api.wait_state(prompt, "started")
    desk.runtime.say({"type": "leaving", "reason": "sleep"})
    desk.runtime.drop_links(stay_away=True)
    desk.api.wait_state(prompt, "lost")
    other = desk.fleet.runtime()
    other.heartbeats_pass(4)
    prompt = desk.api.prompt(prompt["id"])
    assert views.last(prompt)["state"] == "lost", "reconcile_window passed, sleep_expiry did not"
    assert desk.api.get(f"/endpoints/{desk.endpoint_id}")["health"] == "asleep"
    desk.runtime.manners.slept_ms = 5000
    desk.runtime.connect()
    gate.open()
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_runtime_died_is_reopened_by_the_journals_word(desk: Desk) -> None:
    """§4: "An attempt that ended `orphaned` or `runtime_died` is **reopened** by a receipt or statement"."""
    desk.policy(reconcile_window_s=0.5, **MANUAL)
    gate = Gate()
    prompt = desk.ask(shell("long", "mutating"), script=runs_until(gate))
    desk.api.wait_state(prompt, "started")
    desk.runtime.drop_links(stay_away=True)
    desk.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"))
    desk.runtime.connect()
    prompt = desk.api.wait_state(prompt, "started")
    gate.open()
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert len(views.attempts(prompt)) == 1
    assert len(desk.runtime.dispatches()) == 1


def test_orphaned_is_reopened_by_a_late_acknowledgement(desk: Desk) -> None:
    """§4: reopened "with owner, deadline and cancel"."""
    desk.policy(**MANUAL)
    desk.runtime.manners.reconcile = False
    gate = Gate()

    async def late(work: Work) -> None:
        await gate.passed()
        await work.acknowledge()

    prompt = desk.ask(shell("x", "mutating"), script=late)
    desk.api.wait_verdict(prompt, ("orphaned", "unconfirmed"))
    gate.open()
    prompt = desk.api.wait_state(prompt, "acknowledged")
    desk.runtime.manners.reconcile = True
    desk.api.act(prompt, "cancel")
    desk.api.wait_verdict(prompt, ("cancelled", "no"))


def test_a_newer_attempt_is_withdrawn_before_an_older_one_is_reopened(desk: Desk) -> None:
    """§4: "a newer attempt for the same consent that has not started is withdrawn first"."""
    desk.policy(max_automatic=1)
    desk.runtime.manners.reconcile = False
    desk.runtime.manners.judge = False
    first: list[Work] = []

    async def script(work: Work) -> None:
        if first:
            await work.acknowledge()
        else:
            first.append(work)

    prompt = desk.ask(script=script)
    desk.runtime.saw("dispatch", where=lambda s: s.frame["attempt"]["number"] == 2)
    desk.runtime.recording.wait("acknowledged", "out")
    mark = desk.runtime.recording.mark()
    started = {**first[0].frame("started"), "journal_sequence": 9, "pid": 7, "process_key": "boot:7"}
    desk.runtime.say(
        {**started, "process_started_ms": 1, "user": "root", "cwd": "/", "interpreter": "/bin/sh"}
    )  # fmt: skip
    desk.runtime.saw("cancel", since=mark, where=lambda s: s.about(views.call(prompt)["id"], 2))
    prompt = desk.api.wait(prompt, lambda p: views.attempts(p)[0]["state"] == "started")
    newer = views.attempts(prompt)[1]
    assert newer["state"] != "ended" or newer["verdict"]["kind"] in ("refused", "cancelled")


def test_a_withdrawn_attempt_is_refused(desk: Desk) -> None:
    """§2: "A withdrawn attempt is `refused`, `attempt.withdrawn`, ran no"; §4: a `received` without a live owner gets
    "the same number again, or withdrawal, at once"."""
    desk.policy(reconcile_window_s=30.0)
    prompt = desk.ask(shell("x", "mutating"), script=acknowledges_then_dies)
    desk.runtime.is_dead()
    desk.runtime.script = answers()
    desk.runtime.restart()
    again = desk.api.wait(prompt, lambda p: (views.verdict(p) or ("", ""))[0] in ("answered", "refused"))
    numbers = [frame["attempt"]["number"] for frame in desk.runtime.dispatches()]
    if numbers == [1, 1]:
        assert views.verdict(again) == ("answered", "yes")
    else:
        assert views.verdict(again, number=1) == ("refused", "no")
        assert desk.runtime.recording.select("cancel")


def test_a_late_receipt_of_an_older_attempt_never_changes_a_newer_one(desk: Desk) -> None:
    """§4: "A receipt for an older attempt never changes a newer one; it is kept and shown as late"; §9, 10."""
    desk.runtime.manners.judge = False
    works: list[Work] = []

    async def script(work: Work) -> None:
        works.append(work)
        if len(works) == 2:
            await answers(b"second\n")(work)

    desk.runtime.manners.reconcile = False
    prompt = desk.api.wait_verdict(desk.ask(script=script), ("answered", "yes"))
    older = works[0]
    desk.runtime.say({**older.frame("refused"), "journal_sequence": 90, "code": "tool.unknown", "hint": "late"})
    prompt = desk.api.wait(prompt, lambda p: views.attempts(p)[0].get("late"), what="the late word is shown")
    assert views.verdict(prompt) == ("answered", "yes")
    assert views.last(prompt)["output"]["stdout"]["text"] == "second\n"


def test_a_lower_journal_sequence_changes_nothing(desk: Desk) -> None:
    """PROTOCOL §4: "a lower one than the last seen of … is kept as evidence and changes nothing"."""

    async def script(work: Work) -> None:
        await work.start()
        done = await work.finish()
        await work.send({**work.frame("refused"), "journal_sequence": 0, "code": "runtime.full", "hint": "lie"})
        await work.send(done)

    prompt = desk.api.wait_verdict(desk.ask(script=script), ("empty", "yes"))
    prompt = desk.nothing_more_happens(prompt)
    assert views.verdict(prompt) == ("empty", "yes")


def test_doubled_and_reordered_receipts_change_nothing(desk: Desk) -> None:
    """RECOVERY §9, 3: "whatever is lost, doubled, delayed, reordered or restarted"."""

    async def script(work: Work) -> None:
        acknowledged = await work.acknowledge(say=False)
        started = await work.start(say=False)
        output = await work.output(b"once\n", say=False)
        finished = await work.finish(say=False)
        for frame in (started, finished, acknowledged, output, started, finished, output, acknowledged):
            await work.send(frame)

    prompt = desk.api.wait_verdict(desk.ask(script=script), ("answered", "yes"))
    prompt = desk.nothing_more_happens(prompt)
    assert views.verdict(prompt) == ("answered", "yes")
    assert desk.api.output(views.call(prompt)["id"]) == b"once\n"


def test_two_deaths_are_told_apart_by_the_boot_id(desk: Desk) -> None:
    """§3: "new incarnation (same boot id = the process crashed, new boot id = the computer restarted)"."""
    desk.policy(**MANUAL)
    labels = []
    for reboot in (False, True):
        since = desk.runtime.recording.mark()
        prompt = desk.ask(shell("x", "mutating"), script=starts_then_dies)
        desk.runtime.is_dead(since=since)
        desk.runtime.restart(reboot=reboot)
        prompt = desk.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"))
        labels.append(views.last(prompt)["verdict"]["label"])
        desk.api.act(prompt, "accept_partial")
    assert labels[0] != labels[1]
    assert "restarted" in labels[1]


def test_acknowledged_and_never_started_stays_acknowledged_while_its_owner_lives(desk: Desk) -> None:
    """§4: a place in `in_flight` renews the deadline."""
    prompt = desk.api.wait_state(desk.ask(script=acknowledges_only), "acknowledged")
    prompt = desk.nothing_more_happens(prompt, heartbeats=6)
    assert views.last(prompt)["state"] == "acknowledged"
