"""RECOVERY.md §5: what the journal's word proves, and when a call may move to another journal."""

from __future__ import annotations

import pytest

from tests.end_to_end import views
from tests.end_to_end.client import shell
from tests.end_to_end.fleet import Desk
from tests.end_to_end.server import until
from tests.foreign.runtime import Runtime
from tests.foreign.wire import Frame, named
from tests.foreign.work import Gate, Work, acknowledges_only, answers, in_turn, silent, starts_then_dies

MUTATING = shell("systemctl restart cups", "mutating")


class Pair:
    """Two runtimes of one endpoint. Which one is asked first is the control plane's choice."""

    def __init__(self, desk: Desk, *, shared_journal: bool) -> None:
        self.runtimes = [desk.runtime, desk.fleet.sibling(desk.runtime, shared_journal=shared_journal)]

    def asked(self, timeout: float = 10.0) -> tuple[Runtime, Runtime]:
        """(the one that was asked first, the other)"""
        self.until_asked(timeout)
        first, second = self.runtimes
        return (first, second) if first.dispatches() else (second, first)

    def until_asked(self, timeout: float) -> None:
        until(lambda: any(r.dispatches() for r in self.runtimes), within=timeout, what="a dispatch to either runtime")

    def each(self, **manners: object) -> None:
        for runtime in self.runtimes:
            for name, value in manners.items():
                setattr(runtime.manners, name, value)


def statement(runtime: Runtime, call_id: str, number: int, state: str, **more: object) -> Frame:
    return {
        "type": "statement",
        "attempt": named((call_id, number)),
        "state": state,
        "journal_id": runtime.journal.journal_id,
        "journal_sequence": runtime.journal.write(),
        "offsets": {},
        **more,
    }


def test_a_promise_lets_a_mutating_call_move_to_another_journal(desk: Desk) -> None:
    """§5: "A mutating call moves to another journal only after the first journal has promised"."""
    pair = Pair(desk, shared_journal=False)
    for runtime in pair.runtimes:
        runtime.script = silent
    prompt = desk.ask(MUTATING)
    first, second = pair.asked()
    second.script = answers(b"moved\n")

    def promises_and_leaves(frame: Frame) -> list[Frame]:
        first.manners.accepting = False
        return [
            first.journal.promise((a["tool_call_id"], a["number"]), a["consent"], first.owner, "reconcile")
            for a in frame["attempts"]
        ]

    first.manners.reconcile = promises_and_leaves
    first.script = answers(b"not moved\n")
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert views.verdict(prompt, number=1) == ("orphaned", "no")
    assert [a["consent"] for a in views.attempts(prompt)] == [1, 1]


@pytest.mark.parametrize("effect", ["mutating", None])
def test_without_a_promise_it_does_not_move(desk: Desk, effect: str | None) -> None:
    """§6: "requeue only to the same `journal_id`; else hold until the journal answers, then `waiting`". Not declared is
    mutating (§1)."""
    pair = Pair(desk, shared_journal=False)
    pair.each(reconcile=False)
    for runtime in pair.runtimes:
        runtime.script = silent
    prompt = desk.ask(shell("risky", effect))
    first, second = pair.asked()
    first.drop_links(stay_away=True)
    desk.api.wait(prompt, lambda p: views.verdict(p, number=1) == ("orphaned", "unconfirmed"))
    second.heartbeats_pass(6)
    assert second.dispatches() == []
    prompt = desk.api.prompt(prompt["id"])
    assert views.call(prompt)["state"] == "waiting" or views.last(prompt)["state"] in ("held", "queued")


def test_held_until_the_journal_answers(desk: Desk) -> None:
    """§6: the first journal comes back and promises: then the call goes out, once."""
    pair = Pair(desk, shared_journal=False)
    pair.each(reconcile=False)
    for runtime in pair.runtimes:
        runtime.script = silent
    prompt = desk.ask(MUTATING)
    first, second = pair.asked()
    first.drop_links(stay_away=True)
    desk.api.wait(prompt, lambda p: views.verdict(p, number=1) == ("orphaned", "unconfirmed"))
    pair.each(reconcile=True)
    first.script = second.script = answers(b"once\n")
    first.connect()
    prompt = desk.api.wait(
        prompt, lambda p: views.verdict(p) == ("answered", "yes") or views.verdict(p, number=1) == ("orphaned", "no")
    )
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert {a["consent"] for a in views.attempts(prompt)} == {1}


def test_a_sibling_of_the_same_journal_takes_it(desk: Desk) -> None:
    """§6: `orphaned`, ran unconfirmed, mutating: "requeue only to the same `journal_id`"; the same consent."""
    pair = Pair(desk, shared_journal=True)
    pair.each(reconcile=False)
    for runtime in pair.runtimes:
        runtime.script = silent
    prompt = desk.ask(MUTATING)
    first, second = pair.asked()
    second.script = answers(b"by the sibling\n")
    first.drop_links(stay_away=True)
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert [a["consent"] for a in views.attempts(prompt)] == [1, 1]
    assert second.dispatches()[0]["attempt"]["number"] == 2


def test_a_read_moves_with_a_new_consent_by_policy(desk: Desk) -> None:
    """§6: `orphaned`, unconfirmed, read_only: "requeue (to another journal: new consent by policy)"."""
    pair = Pair(desk, shared_journal=False)
    pair.each(reconcile=False)
    for runtime in pair.runtimes:
        runtime.script = silent
    prompt = desk.ask(shell("look"))
    first, second = pair.asked()
    second.script = answers(b"seen\n")
    first.drop_links(stay_away=True)
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert [a["consent"] for a in views.attempts(prompt)] == [1, 2]


def test_a_promise_for_a_higher_number_covers_lower_ones_of_the_same_consent(desk: Desk) -> None:
    """§5: "proves `no` for its number, and for lower numbers of the same consent there"."""
    desk.policy(max_automatic=1)
    desk.runtime.manners.reconcile = False
    prompt = desk.api.wait(
        desk.ask(MUTATING, script=silent),
        lambda p: len(views.attempts(p)) == 2 and views.verdict(p) == ("orphaned", "unconfirmed"),
    )
    about = views.call(prompt)["id"]
    desk.runtime.say(statement(desk.runtime, about, 2, "never_received"))
    prompt = desk.api.wait_verdict(prompt, ("orphaned", "no"))
    assert views.verdict(prompt, number=1) == ("orphaned", "no")
    assert views.call(prompt)["ran"] == "no"


def test_a_promise_for_a_lower_number_does_not_let_it_move(desk: Desk) -> None:
    """§5: "It lets the call **move to another journal** only if its number is the highest dispatched to the first"."""
    desk.policy(max_automatic=1)
    desk.runtime.manners.reconcile = False
    prompt = desk.api.wait(
        desk.ask(MUTATING, script=silent),
        lambda p: len(views.attempts(p)) == 2 and views.verdict(p) == ("orphaned", "unconfirmed"),
    )
    second = desk.fleet.sibling(desk.runtime, shared_journal=False)
    about = views.call(prompt)["id"]
    desk.runtime.say(statement(desk.runtime, about, 1, "never_received"))
    prompt = desk.api.wait(prompt, lambda p: views.verdict(p, number=1) == ("orphaned", "no"))
    assert views.verdict(prompt) == ("orphaned", "unconfirmed")
    assert views.call(prompt)["ran"] == "unconfirmed"
    desk.runtime.drop_links(stay_away=True)
    answer = desk.api.try_to_act(prompt, "requeue", runtime_id=second.runtime_id)
    second.heartbeats_pass(3)
    moved = [frame["consent"] for frame in second.dispatches()]
    assert moved == [] or (answer.status_code == 202 and moved[0] > 1), "moved under the consent that may have run"


def test_another_journals_word_proves_nothing(desk: Desk) -> None:
    """§5: "A promise from the `journal_id` it was dispatched to"; PROTOCOL §4: anything else is `frame.not_yours`."""
    pair = Pair(desk, shared_journal=False)
    pair.each(reconcile=False)
    for runtime in pair.runtimes:
        runtime.script = silent
    desk.policy(max_automatic=0, automatic_for=[])
    prompt = desk.ask(MUTATING)
    first, second = pair.asked()
    first.drop_links(stay_away=True)
    second.say(statement(second, views.call(prompt)["id"], 1, "never_received"))
    second.saw("problem", where=lambda s: s.frame["code"] == "frame.not_yours")
    desk.api.wait_verdict(prompt, ("orphaned", "unconfirmed"))


def test_what_ran_answers_for_the_newer_number(desk: Desk) -> None:
    """§5: the newer attempt ends "as `refused`, code `attempt.superseded`, not counted as an automatic action", and the
    control plane "takes up the attempt that the statement names"."""
    gate = Gate()

    async def starts_unheard(work: Work) -> None:
        await work.start(say=False)
        await gate.passed()
        await work.output(b"ran once\n")
        await work.finish()

    desk.runtime.manners.reconcile = False
    prompt = desk.ask(MUTATING, script=starts_unheard)
    prompt = desk.api.wait(prompt, lambda p: views.verdict(p, number=2) is not None)
    assert views.verdict(prompt, number=2) == ("refused", "no")
    assert "attempt.superseded" in str(views.attempts(prompt)[1])
    prompt = desk.api.wait(prompt, lambda p: views.attempts(p)[0]["state"] == "started")
    gate.open()
    prompt = desk.api.wait(prompt, lambda p: views.verdict(p, number=1) == ("answered", "yes"))
    assert views.call(prompt)["ran"] == "yes"
    assert views.call(prompt)["state"] == "ended"
    assert len(views.attempts(prompt)) == 2
    assert len(desk.runtime.works) == 1


def test_superseded_alone_ends_an_attempt_that_did_not_run(desk: Desk) -> None:
    """§5, first row of the dispatch table: "noted and stated as `superseded`"; it runs nothing."""

    async def says_superseded(work: Work) -> None:
        await work.send(statement(work.runtime, work.attempt[0], work.attempt[1], "superseded"))

    desk.policy(max_automatic=0, automatic_for=[])
    prompt = desk.api.wait_state(desk.ask(MUTATING, script=says_superseded), "ended")
    assert views.verdict(prompt) == ("refused", "no")


def test_every_last_word_is_settled(desk: Desk) -> None:
    """PROTOCOL §6: "settles every attempt whose last word it has kept, also `closed`, `superseded` and
    `process_gone`"."""
    desk.policy(max_automatic=0, automatic_for=[])
    for script in (answers(), silent, starts_then_dies):
        since = desk.runtime.recording.mark()
        prompt = desk.ask(MUTATING, script=script)
        if script is starts_then_dies:
            desk.runtime.is_dead(since=since)
            desk.runtime.restart()
        prompt = desk.api.wait_state(prompt, "ended")
        about = views.call(prompt)["id"]

        def settled(about: str = about) -> bool:
            record = desk.runtime.journal.record((about, 1))
            return record is not None and record.settled

        desk.runtime.drop_links()
        desk.api.wait(prompt, lambda _: settled(), what="the attempt is settled")  # used at once
        if views.last(prompt)["verdict"]["ran"] == "unconfirmed":
            desk.api.act(prompt, "accept_partial")


def test_journal_full_is_no_promise(desk: Desk) -> None:
    """§5: "no promise: `problem` `journal.full`, not sendable, the attempt stays unconfirmed"."""
    desk.policy(max_automatic=0, automatic_for=[])
    desk.runtime.manners.reconcile = False

    async def full(work: Work) -> None:
        work.runtime.manners.accepting = False
        await work.send({"type": "problem", "code": "journal.full", "errors": [], "about": named(work.attempt)})

    prompt = desk.api.wait_verdict(desk.ask(MUTATING, script=full), ("orphaned", "unconfirmed"))
    assert views.call(prompt)["ran"] == "unconfirmed"
    desk.runtime.heartbeats_pass(1)
    assert desk.api.get(f"/endpoints/{desk.endpoint_id}")["sendable"]["value"] is False


def test_process_gone_of_a_mutating_call_is_never_sent_again(desk: Desk) -> None:
    """§5: "A runtime that cannot prove that nothing ran says `process_gone`"; §6: never by itself."""
    prompt = desk.ask(MUTATING, shell("after"), script=starts_then_dies)
    desk.runtime.is_dead()
    desk.runtime.script = answers()
    desk.runtime.restart()
    prompt = desk.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"))
    prompt = desk.nothing_more_happens(prompt)
    assert views.call(prompt)["state"] == "waiting"
    assert len(desk.runtime.dispatches()) == 1


def test_a_person_may_run_it_again_as_a_new_consent(desk: Desk) -> None:
    """§1 consent: "A person's retry … of a call whose `ran` is not `no` adds a consent"; "with `no` it carries the
    present one"."""
    desk.policy(max_automatic=0, automatic_for=[])
    prompt = desk.ask(MUTATING, script=in_turn(silent, starts_then_dies, answers(b"third\n")))
    prompt = desk.api.wait_verdict(prompt, ("orphaned", "no"))
    since = desk.runtime.recording.mark()
    desk.api.act(prompt, "retry")
    desk.runtime.is_dead(since=since)
    desk.runtime.restart()
    prompt = desk.api.wait(prompt, lambda p: views.verdict(p, number=2) == ("runtime_died", "unconfirmed"))
    desk.api.act(prompt, "retry")
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert [a["consent"] for a in views.attempts(prompt)] == [1, 1, 2]


def test_a_received_of_a_dead_owner_renews_no_deadline(desk: Desk) -> None:
    """§4: "A `received` whose owner is not live renews no deadline: the same number again, or withdrawal, at once"."""
    desk.policy(reconcile_window_s=60.0)
    pair = Pair(desk, shared_journal=True)
    for runtime in pair.runtimes:
        runtime.script = acknowledges_only
    prompt = desk.api.wait_state(desk.ask(MUTATING), "acknowledged")
    first, second = pair.asked()
    second.script = answers(b"taken up\n")
    first.die()
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"), within=20)
    assert {a["consent"] for a in views.attempts(prompt)} == {1}


def test_a_received_that_nobody_takes_up_is_not_sent_for_ever(desk: Desk) -> None:
    """§4: "the same number again, or withdrawal, at once": a runtime that never takes it up must not make the control
    plane send it without end (§9, 7)."""
    desk.runtime.manners.judge = False
    nobody = {"runtime_id": desk.runtime.runtime_id, "incarnation": "gone"}

    async def points_at_nobody(work: Work) -> None:
        await work.send(statement(work.runtime, work.attempt[0], work.attempt[1], "received", owner=nobody))

    prompt = desk.ask(MUTATING, script=points_at_nobody)
    desk.runtime.saw("dispatch")
    desk.runtime.heartbeats_pass(4)
    assert len(desk.runtime.dispatches(views.call(prompt)["id"])) <= 20
    assert len(views.last(desk.api.prompt(prompt["id"]))["evidence"]) <= 100
