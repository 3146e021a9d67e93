"""The table of RECOVERY.md §5, row by row, and what no sequence of judgements may ever do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from caisey.runtime.judge import (
    RAN,
    Asked,
    Close,
    EndTree,
    Judgement,
    Record,
    Repeat,
    Row,
    Say,
    State,
    Take,
    TakeUpAgain,
    Why,
    answer,
    applied,
    cancel,
    claimed,
    judge,
    refused,
    written,
)

SAME, OTHER = "a" * 64, "b" * 64


def row(*states: State | None, highest: int | None = None, consent: int = 1, gone: bool = False) -> Row:
    """Records 1, 2, … in these states, all for one consent."""
    records = {n: Record(s, consent, owner_gone=gone) for n, s in enumerate(states, 1) if s is not None}
    used = frozenset({consent}) if any(s in RAN for s in states) else frozenset()
    return Row(highest or len(states), used, SAME, records)


FINISHED, STARTED, RECEIVED, GONE = State.FINISHED, State.STARTED, State.RECEIVED, State.PROCESS_GONE
CLOSED, SUPERSEDED = State.CLOSED, State.SUPERSEDED


@pytest.mark.parametrize(
    ("known", "dispatch", "alive", "judgement"),
    [
        # A tool call never seen.
        (Row(), Asked(1, 1, SAME), False, Take()),
        (Row(), Asked(7, 2, SAME), False, Take()),
        # Number lower than the highest, or closed.
        (row(RECEIVED, RECEIVED), Asked(1, 1, SAME), False, Say(1)),
        (row(FINISHED, SUPERSEDED), Asked(1, 1, SAME), False, Say(1)),
        (row(STARTED, SUPERSEDED), Asked(1, 1, SAME), True, Say(1)),
        (row(None, RECEIVED), Asked(1, 1, SAME), False, Say(1, note=True)),
        (row(None, RECEIVED), Asked(1, 1, OTHER), False, Say(1, note=True)),
        (row(CLOSED), Asked(1, 1, SAME), False, Say(1)),
        (row(CLOSED), Asked(1, 1, OTHER), False, Say(1)),
        # Same number, same arguments.
        (row(RECEIVED), Asked(1, 1, SAME), False, Repeat()),
        (row(RECEIVED, gone=True), Asked(1, 1, SAME), False, TakeUpAgain()),
        (row(STARTED), Asked(1, 1, SAME), True, Repeat()),
        (row(STARTED, gone=True), Asked(1, 1, SAME), True, Repeat()),
        (row(FINISHED), Asked(1, 1, SAME), False, Repeat()),
        (row(GONE), Asked(1, 1, SAME), False, Repeat()),
        (row(STARTED, SUPERSEDED), Asked(2, 1, SAME), True, Say(1)),
        # Other arguments.
        (row(RECEIVED), Asked(2, 1, OTHER), False, Close(Why.REFUSED, "dispatch.changed")),
        (row(FINISHED), Asked(2, 2, OTHER), False, Close(Why.REFUSED, "dispatch.changed")),
        (row(FINISHED), Asked(2, 1, OTHER), False, Say(1, note=True, changed=True)),
        (row(RECEIVED), Asked(1, 1, OTHER), False, Say(1, changed=True)),
        (row(RECEIVED, gone=True), Asked(1, 1, OTHER), False, Say(1, changed=True)),
        # Higher number, not started, nothing alive.
        (row(RECEIVED), Asked(2, 1, SAME), False, Take()),
        (row(CLOSED), Asked(2, 1, SAME), False, Take()),
        (row(GONE), Asked(2, 2, SAME), False, Take()),
        (row(FINISHED), Asked(2, 2, SAME), False, Take()),
        # Higher number, started or alive.
        (row(FINISHED), Asked(2, 1, SAME), False, Say(1, note=True)),
        (row(GONE), Asked(2, 1, SAME), False, Say(1, note=True)),
        (row(STARTED), Asked(2, 1, SAME), True, Say(1, note=True)),
        (row(STARTED), Asked(2, 2, SAME), True, Say(1, note=True)),
    ],
)
def test_every_row_of_the_table(known: Row, dispatch: Asked, alive: bool, judgement: Judgement) -> None:
    assert judge(known, dispatch, alive) == judgement


def test_only_a_taking_can_be_refused() -> None:
    assert refused(Take(), "runtime.busy") == Close(Why.REFUSED, "runtime.busy")
    for other in (Repeat(), TakeUpAgain(), Say(1), Close(Why.RECONCILE)):
        assert refused(other, "runtime.busy") == other


def test_taking_supersedes_what_waits_below() -> None:
    known = row(RECEIVED, CLOSED, RECEIVED)
    asked = Asked(4, 1, SAME)
    assert written(known, asked, Take()) == {1: SUPERSEDED, 3: SUPERSEDED, 4: RECEIVED}


def test_a_promise_closes_up_to_its_number() -> None:
    known = row(RECEIVED, FINISHED, RECEIVED)
    known = replace(known, consents=frozenset({9}))
    after = applied(known, Asked(5, 1), answer(known, Asked(5, 1)))
    assert {n: r.state for n, r in after.records.items()} == {1: CLOSED, 2: FINISHED, 3: CLOSED, 5: CLOSED}
    assert after.highest == 5


@pytest.mark.parametrize(
    ("known", "asked", "said"),
    [
        (Row(), Asked(1, 1), Close(Why.RECONCILE)),
        (row(RECEIVED), Asked(1, 1), Say(1)),
        (row(RECEIVED), Asked(2, 1), Close(Why.RECONCILE)),
        (row(None, RECEIVED), Asked(1, 1), Say(1, note=True)),
        (row(FINISHED), Asked(2, 1), Say(1, note=True)),
        (row(FINISHED, SUPERSEDED), Asked(2, 1), Say(1)),
        (row(FINISHED), Asked(2, 2), Close(Why.RECONCILE)),
        (row(CLOSED), Asked(1, 1), Say(1)),
    ],
)
def test_what_a_reconcile_is_answered(known: Row, asked: Asked, said: Say | Close) -> None:
    assert answer(known, asked) == said


@pytest.mark.parametrize(
    ("known", "asked", "done"),
    [
        (Row(), Asked(1, 1), Close(Why.CANCEL)),
        (row(RECEIVED), Asked(1, 1), Close(Why.CANCEL, unknown=False)),
        (row(STARTED), Asked(1, 1), EndTree()),
        (row(FINISHED), Asked(1, 1), Say(1)),
        (row(FINISHED), Asked(2, 1), Say(1, note=True)),
        (row(CLOSED), Asked(1, 1), Say(1)),
    ],
)
def test_what_a_cancel_does(known: Row, asked: Asked, done: Say | Close | EndTree) -> None:
    assert cancel(known, asked) == done


class AnyOrder(RuleBasedStateMachine):
    """Dispatches, promises, claims and ends in any order: a consent starts once, and a promise is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.row = Row()
        self.starts: list[int] = []
        self.alive: set[int] = set()
        self.promised: set[int] = set()

    @initialize()
    def empty(self) -> None:
        self.row = Row()

    @rule(number=st.integers(1, 5), consent=st.integers(1, 2), changed=st.booleans(), busy=st.booleans())
    def dispatch(self, number: int, consent: int, changed: bool, busy: bool) -> None:
        asked = Asked(number, consent, OTHER if changed else SAME)
        judgement = judge(self.row, asked, bool(self.alive))
        if busy:
            judgement = refused(judgement, "runtime.busy")
        self._write(asked, judgement)

    @rule(number=st.integers(1, 5), consent=st.integers(1, 2), to_cancel=st.booleans())
    def ask(self, number: int, consent: int, to_cancel: bool) -> None:
        asked = Asked(number, consent)
        self._write(asked, cancel(self.row, asked) if to_cancel else answer(self.row, asked))

    def _write(self, asked: Asked, judgement: Judgement | EndTree) -> None:
        before = self.row
        self.row = applied(before, asked, judgement)
        if isinstance(judgement, Close):
            self.promised |= {n for n in range(1, asked.number + 1) if n not in self.starts}
        for number, record in before.records.items():
            after = self.row.records[number].state
            if record.state in RAN or record.state in (CLOSED, SUPERSEDED):
                assert after is record.state, "what ran, was closed or superseded stays so"

    @precondition(lambda self: any(r.state is RECEIVED for r in self.row.records.values()))
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        waiting = sorted(n for n, r in self.row.records.items() if r.state is RECEIVED)
        number = data.draw(st.sampled_from(waiting))
        after = claimed(self.row, number)
        if after is not None:
            self.row = after
            self.starts.append(number)
            self.alive.add(number)

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), recorded=st.booleans())
    def end(self, data: st.DataObject, recorded: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.alive)))
        self.alive.discard(number)
        record = replace(self.row.records[number], state=FINISHED if recorded else GONE)
        self.row = replace(self.row, records={**self.row.records, number: record})

    @invariant()
    def holds(self) -> None:
        consents = [self.row.records[number].consent for number in self.starts]
        assert len(consents) == len(set(consents)), "a consent started twice"
        assert not self.promised & set(self.starts), "a promise was broken"
        assert len(self.alive) <= 1, "two processes of one tool call"
        assert sum(r.state is RECEIVED for r in self.row.records.values()) <= 1


AnyOrder.TestCase.settings = settings(stateful_step_count=30)
TestAnyOrder = AnyOrder.TestCase
