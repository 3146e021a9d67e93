"""From evidence to verdict: what happened, and did it run (RECOVERY.md §2). Pure, total, repeatable.

Never says a better `ran` than the evidence proves: every `yes`, `partly` and `no` below stands beside its proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caisey.core import events as e
from caisey.core.states import CancelWhy, Kind, Ran
from caisey.core.tool_call import combine

ATTEMPT_CODES = ("attempt.superseded", "attempt.withdrawn")


class Findings:
    """Where, in an attempt's evidence, each thing that a verdict may cite stands (index, or None)."""

    def __init__(self, facts: Sequence[e.Recorded]) -> None:
        self.facts = facts
        self.dispatched: int | None = None
        self.acknowledged: int | None = None
        self.started: int | None = None
        self.lost: int | None = None
        self.finished: int | None = None  # readable `finished`
        self.unreadable: int | None = None  # unreadable `finished`
        self.stated_end: int | None = None  # the journal's `finished`
        self.refused: int | None = None
        self.promise: int | None = None  # never_received or closed, trusted
        self.superseded: int | None = None
        self.gone: int | None = None
        self.doubtful: int | None = None  # a promise of a journal that went back in time
        self.cancel: int | None = None
        self.withdrawn: int | None = None
        self.windows: dict[str, int] = {}
        for index, fact in enumerate(facts):
            self._note(index, fact.event)

    def _note(self, index: int, event: e.Event) -> None:
        if isinstance(event, e.AttemptDispatched):
            self.dispatched = index
            self.windows.clear()
        elif isinstance(event, e.AttemptReopened):
            self.windows.clear()
        elif isinstance(event, e.AttemptAcknowledged):
            self.acknowledged = index
        elif isinstance(event, e.AttemptStarted):
            self.started = index
        elif isinstance(event, e.AttemptLost):
            self.lost = index
        elif isinstance(event, e.WindowPassed):
            self.windows[event.window] = index
        elif isinstance(event, e.CancelRequested):
            if event.why is CancelWhy.CANCEL:
                self.cancel = index
            else:
                self.withdrawn = index
        else:
            self._note_last_word(index, event)

    def _note_last_word(self, index: int, event: e.Event) -> None:
        if isinstance(event, e.AttemptFinished):
            self._note_finished(index, event)
        elif isinstance(event, e.JournalStated):
            self._note_statement(index, event)
        elif isinstance(event, e.AttemptRefused):
            if event.trusted:
                self.refused = index
            else:
                self.doubtful = index

    def _note_finished(self, index: int, event: e.AttemptFinished) -> None:
        if event.stated:
            self.stated_end = index
        elif event.readable:
            self.finished = index
        else:
            self.unreadable = index

    def _note_statement(self, index: int, event: e.JournalStated) -> None:
        if event.state == "process_gone":
            self.gone = index
        elif not event.trusted:
            self.doubtful = index
        elif event.state == "superseded":
            self.superseded = index
        else:
            self.promise = index

    def cite(self, *indices: int | None) -> tuple[int, ...]:
        """Sorted, without what is missing."""
        return tuple(sorted({i for i in indices if i is not None}))


def derive(facts: Sequence[e.Recorded], structured: bool, earlier: Ran = Ran.NO) -> e.Verdict | None:
    """The verdict, or None while the evidence allows none yet.

    `structured`: the tool's definition has a result schema. `earlier`: what the call's other attempts prove, which
    expired, denied, cancelled and refused may not look better than.
    """
    f = Findings(facts)
    return _from_end(f, structured) or _from_promise(f, earlier) or _from_silence(f) or _from_before_sending(f, earlier)


def _from_end(f: Findings, structured: bool) -> e.Verdict | None:
    if f.finished is None and f.unreadable is not None:
        return _unreadable(f)
    index = f.finished if f.finished is not None else f.stated_end
    if index is None:
        return None
    event = f.facts[index].event
    assert isinstance(event, e.AttemptFinished)
    if event.execution is None:
        if event.stated:
            return None  # the frame with what it knows follows, or the window ends
        return e.Verdict(Kind.MALFORMED_RESULT, Ran.UNCONFIRMED, None, f.cite(index, f.started))
    judged = judge_execution(event.execution)
    if judged is None and event.stated and structured and "reconcile" not in f.windows:
        return None  # the result comes with the frame
    if judged is not None:
        kind, ran = judged
        return e.Verdict(kind, ran, None, f.cite(index, f.cancel if kind is Kind.CANCELLED else None))
    if event.faults:
        return e.Verdict(Kind.MALFORMED_RESULT, Ran.YES, None, f.cite(index))
    blank = is_blank(event.execution)
    if blank and not event.has_result:
        return e.Verdict(Kind.EMPTY, Ran.YES, None, f.cite(index))
    if structured and not event.has_result:
        return e.Verdict(Kind.MALFORMED_RESULT, Ran.YES, None, f.cite(index))
    return e.Verdict(Kind.ANSWERED, Ran.YES, None, f.cite(index))


def judge_execution(execution: dict[str, Any]) -> tuple[Kind, Ran] | None:
    """Who ended it, then the exit code. None: it ended by itself with exit code 0."""
    ended_by = execution.get("ended_by")
    tree_ended = execution.get("tree_ended") is True
    if ended_by == "cancel":
        return Kind.CANCELLED, Ran.PARTLY if tree_ended else Ran.UNCONFIRMED
    if ended_by == "time_limit":
        return Kind.TIMED_OUT, Ran.PARTLY if tree_ended else Ran.UNCONFIRMED
    if ended_by == "shutdown":
        return Kind.RUNTIME_DIED, Ran.PARTLY
    if ended_by != "itself":
        return Kind.RUNTIME_DIED, Ran.UNCONFIRMED
    if execution.get("signal") is not None or execution.get("exit_code") != 0:
        return Kind.COMMAND_FAILED, Ran.YES
    return None


def is_blank(execution: dict[str, Any]) -> bool:
    """No bytes or white space only on stdout, by what was written."""
    stdout = (execution.get("streams") or {}).get("stdout")
    if not isinstance(stdout, dict):
        return True
    return stdout.get("blank") is True or stdout.get("bytes") == 0


def _unreadable(f: Findings) -> e.Verdict:
    """A `finished` whose content does not fit: by what its readable parts and the journal prove."""
    rans = []
    for index in (f.unreadable, f.stated_end):
        if index is None:
            continue
        event = f.facts[index].event
        assert isinstance(event, e.AttemptFinished)
        rans.append(_salvaged_ran(event.execution or {}))
    ran = next((r for r in (Ran.YES, Ran.PARTLY) if r in rans), Ran.UNCONFIRMED)
    return e.Verdict(Kind.MALFORMED_RESULT, ran, None, f.cite(f.unreadable, f.stated_end, f.started))


def _salvaged_ran(execution: dict[str, Any]) -> Ran:
    ended_by = execution.get("ended_by")
    if ended_by == "itself" and (
        type(execution.get("exit_code")) is int or type(execution.get("signal")) in (int, str)
    ):
        return Ran.YES
    if ended_by == "shutdown" or (ended_by in ("cancel", "time_limit") and execution.get("tree_ended") is True):
        return Ran.PARTLY
    return Ran.UNCONFIRMED


def _from_promise(f: Findings, earlier: Ran) -> e.Verdict | None:
    """`no` needs the journal's promise, and nothing that proves a start."""
    proof = f.started is None
    if f.refused is not None and proof:
        event = f.facts[f.refused].event
        assert isinstance(event, e.AttemptRefused)
        return e.Verdict(Kind.REFUSED, combine([Ran.NO, earlier]), event.code, f.cite(f.refused))
    if f.superseded is not None and proof:
        return e.Verdict(Kind.REFUSED, Ran.NO, "attempt.superseded", f.cite(f.superseded))
    if f.promise is None or not proof:
        return None
    event = f.facts[f.promise].event
    assert isinstance(event, e.JournalStated)
    if event.why == "refused" and event.code and event.code not in ATTEMPT_CODES:
        return e.Verdict(Kind.REFUSED, combine([Ran.NO, earlier]), event.code, f.cite(f.promise))
    if f.cancel is not None:
        return e.Verdict(Kind.CANCELLED, combine([Ran.NO, earlier]), None, f.cite(f.cancel, f.promise))
    if f.withdrawn is not None:
        return e.Verdict(Kind.REFUSED, Ran.NO, "attempt.withdrawn", f.cite(f.withdrawn, f.promise))
    if f.acknowledged is not None:
        return e.Verdict(Kind.RUNTIME_DIED, Ran.NO, None, f.cite(f.acknowledged, f.promise))
    return e.Verdict(Kind.ORPHANED, Ran.NO, None, f.cite(f.dispatched, f.promise))


def _from_silence(f: Findings) -> e.Verdict | None:
    """A time-out, a lost process or a doubtful promise never proves `no`."""
    received = f.acknowledged is not None or f.started is not None
    silent = Kind.RUNTIME_DIED if received else Kind.ORPHANED
    if f.gone is not None:
        return e.Verdict(Kind.RUNTIME_DIED, Ran.UNCONFIRMED, None, f.cite(f.acknowledged, f.started, f.gone))
    if "reconcile" in f.windows:
        cites = f.cite(f.dispatched, f.acknowledged, f.started, f.lost, f.windows["reconcile"])
        return e.Verdict(silent, Ran.UNCONFIRMED, None, cites)
    if "ack" in f.windows and not received:
        return e.Verdict(Kind.ORPHANED, Ran.UNCONFIRMED, None, f.cite(f.dispatched, f.windows["ack"]))
    if f.doubtful is not None:
        return e.Verdict(silent, Ran.UNCONFIRMED, None, f.cite(f.dispatched, f.started, f.doubtful))
    return None


def _from_before_sending(f: Findings, earlier: Ran) -> e.Verdict | None:
    """Never dispatched: it did not run by this attempt; what is shown is never better than the call's."""
    if f.dispatched is not None:
        return None
    ran = combine([Ran.NO, earlier])
    if f.cancel is not None:
        return e.Verdict(Kind.CANCELLED, ran, None, f.cite(f.cancel))
    if f.withdrawn is not None:
        return e.Verdict(Kind.REFUSED, Ran.NO, "attempt.withdrawn", f.cite(f.withdrawn))
    for window in ("hold", "approval"):
        if window in f.windows:
            return e.Verdict(Kind.EXPIRED, ran, None, f.cite(0, f.windows[window]))
    return None
