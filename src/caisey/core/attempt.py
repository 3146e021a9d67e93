"""One dispatch of one tool call: its states as a table, and how events move it (RECOVERY.md §4).

Owns `Attempt`, `TRANSITIONS` and `evolve`. It concludes nothing: verdicts come from `verdict.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from caisey.core import events as e
from caisey.core.states import AttemptState as S
from caisey.core.states import CancelWhy, HoldReason, Notice

# The whole life of an attempt. A pair that is not here, and not in NEUTRAL, does not exist.
TRANSITIONS: dict[S, dict[type[e.Event], tuple[S, ...]]] = {
    S.QUEUED: {
        e.AttemptHeld: (S.HELD,),
        e.ApprovalAsked: (S.AWAITING_APPROVAL,),
        e.AttemptDispatched: (S.DISPATCHED,),
        e.AttemptEnded: (S.ENDED,),
    },
    S.HELD: {
        e.AttemptHeld: (S.HELD,),
        e.AttemptReleased: (S.QUEUED,),
        e.AttemptEnded: (S.ENDED,),
    },
    S.AWAITING_APPROVAL: {
        e.ApprovalGiven: (S.QUEUED,),
        e.AttemptEnded: (S.ENDED,),
    },
    S.DISPATCHED: {
        e.AttemptAcknowledged: (S.ACKNOWLEDGED,),
        e.AttemptStarted: (S.STARTED,),
        e.AttemptLost: (S.LOST,),
        e.AttemptEnded: (S.ENDED,),
    },
    S.ACKNOWLEDGED: {
        e.AttemptDispatched: (S.DISPATCHED,),
        e.AttemptStarted: (S.STARTED,),
        e.AttemptLost: (S.LOST,),
        e.AttemptEnded: (S.ENDED,),
    },
    S.STARTED: {
        e.AttemptLost: (S.LOST,),
        e.AttemptEnded: (S.ENDED,),
    },
    S.LOST: {
        e.AttemptAcknowledged: (S.ACKNOWLEDGED,),
        e.AttemptStarted: (S.STARTED,),
        e.AttemptFound: (S.ACKNOWLEDGED, S.STARTED),
        e.AttemptEnded: (S.ENDED,),
    },
    S.ENDED: {
        e.AttemptReopened: (S.ACKNOWLEDGED, S.STARTED),
        e.VerdictRefined: (S.ENDED,),
    },
}

# Evidence: allowed in every state, moves nothing by itself.
NEUTRAL: frozenset[type[e.Event]] = frozenset(
    {
        e.AttemptCheckAsked,
        e.ReconcileAsked,
        e.CancelRequested,
        e.AttemptProgressed,
        e.AttemptNoticed,
        e.OutputReceived,
        e.OutputConflicted,
        e.OutputGap,
        e.InputGiven,
        e.InputAccepted,
        e.AttemptFinished,
        e.AttemptRefused,
        e.JournalStated,
        e.EvidenceNoted,
        e.WindowPassed,
    }
)


class ImpossibleTransition(Exception):
    """A defect of ours: `decide` gave an event that the table does not have."""


class Hold(msgspec.Struct, frozen=True, gc=False):
    """Why an attempt is kept back and until when."""

    reason: HoldReason
    until_ms: int
    since_ms: int
    retry_at_ms: int | None = None
    detail: str | None = None


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """A wish that it does not run, or ends."""

    why: CancelWhy
    at_ms: int
    actor: e.Actor


class Stream(msgspec.Struct, frozen=True, gc=False):
    """What is stored of one output stream: sorted, disjoint [start, end) ranges, and marked gaps."""

    covered: tuple[tuple[int, int], ...] = ()
    gaps: tuple[tuple[int, int, str], ...] = ()  # offset, length, why
    conflicts: int = 0

    @property
    def stored(self) -> int:
        """Bytes that are stored."""
        return sum(end - start for start, end in self.covered)

    @property
    def confirmed(self) -> int:
        """The offset below which every byte is stored or marked as a gap."""
        reached = 0
        for start, end in sorted([*self.covered, *((o, o + n) for o, n, _ in self.gaps)]):
            if start > reached:
                break
            reached = max(reached, end)
        return reached

    def with_bytes(self, offset: int, length: int) -> Stream:
        """With [offset, offset+length) stored."""
        if self.covered and self.covered[-1][1] == offset:  # the usual case: it goes on where it ended
            start, _ = self.covered[-1]
            return replace(self, covered=(*self.covered[:-1], (start, offset + length)))
        merged: list[tuple[int, int]] = []
        for start, end in sorted((*self.covered, (offset, offset + length))):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((start, end))
        return replace(self, covered=tuple(merged))


class Attempt(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One attempt. Every state that is not ended has an owner, a deadline and a next state (see `deadlines.py`)."""

    tool_call_id: str
    number: int
    consent: int
    state: S = S.QUEUED
    why: str = "prompt"
    queued_at_ms: int
    due_at_ms: int | None = None
    counted: bool = False
    check: bool = False
    only_runtime_id: str | None = None
    only_bridge: str | None = None
    limits: e.Limits | None = None
    hold: Hold | None = None
    check_due_ms: int | None = None
    check_runtime_id: str | None = None  # who was asked to prove that it answers
    confirmed: bool = False  # a person released it: sent whatever the gate said before

    runtime_id: str | None = None
    incarnation: str | None = None
    boot_id: str | None = None
    journal_id: str | None = None
    bridge: str | None = None
    mark: int = 0
    dispatched_at_ms: int | None = None
    sent_at_ms: int = 0  # the same moment, moved with each step of the clock: to compare, not to show
    window_ends_ms: int | None = None
    asked_at_ms: int | None = None
    asked_sequence: int = 0  # the attempt's highest journal_sequence when its journal was last asked

    journal_sequence: int = 0  # highest heard of this attempt
    acknowledged_at_ms: int | None = None
    started_at_ms: int | None = None
    proved_at_ms: int = 0  # last receipt, statement or progress
    lost_at_ms: int | None = None
    asleep: bool = False
    cancel: Cancel | None = None
    promised: bool = False  # its journal promised that it will not run (trusted)
    refusal: str | None = None
    final_word: bool = False  # the journal has said its last about it
    ran_as: int | None = None

    progress: e.AttemptProgressed | None = None
    progress_at_ms: int = 0
    quiet_since_ms: int | None = None
    quiet_cpu_ms: int = 0
    notice: Notice | None = None
    last_line: str | None = None
    streams: dict[str, Stream] = {}
    inputs: int = 0
    inputs_accepted: int = 0
    pending_inputs: tuple[e.InputGiven, ...] = ()

    finished: e.AttemptFinished | None = None
    facts: tuple[e.Recorded, ...] = ()
    verdict: e.Verdict | None = None
    verdict_at_ms: int | None = None
    former: tuple[e.Verdict, ...] = ()
    late: bool = False
    notes: int = 0

    @property
    def open(self) -> bool:
        """It has not ended."""
        return self.state is not S.ENDED

    @property
    def key(self) -> tuple[str, int]:
        """(tool call id, number)."""
        return self.tool_call_id, self.number


Evolver = Callable[[Attempt, e.Recorded, Any], Attempt]


def queue(record: e.Recorded, event: e.AttemptQueued) -> Attempt:
    """A new attempt."""
    return Attempt(
        tool_call_id=event.tool_call_id,
        number=event.number,
        consent=event.consent,
        why=event.why,
        queued_at_ms=record.at_ms,
        due_at_ms=event.due_at_ms,
        counted=event.counted,
        check=event.check,
        only_runtime_id=event.runtime_id,
        only_bridge=event.bridge,
        limits=event.limits,
        facts=(record,),
    )


def evolve(attempt: Attempt, record: e.Recorded) -> Attempt:
    """The attempt after the event. Raises ImpossibleTransition where the table has no such step."""
    event = record.event
    cls = type(event)
    allowed = TRANSITIONS[attempt.state].get(cls)
    if allowed is None:
        if cls not in NEUTRAL:
            raise ImpossibleTransition(f"{e.type_of(event)} while {attempt.state} ({attempt.key})")
        state = attempt.state
    elif len(allowed) == 1:
        state = allowed[0]
    else:
        state = S(event.state)  # type: ignore[attr-defined]  # Found and Reopened carry where they lead
        if state not in allowed:
            raise ImpossibleTransition(f"{e.type_of(event)} to {state}")
    evolver = EVOLVE.get(cls)
    changed = evolver(attempt, record, event) if evolver else attempt
    facts = changed.facts if cls in UNLISTED else _with_fact(changed.facts, record)
    return replace(changed, state=state, facts=facts)


def _with_fact(facts: tuple[e.Recorded, ...], record: e.Recorded) -> tuple[e.Recorded, ...]:
    """Progress replaces the progress before it; everything else is kept."""
    if facts and type(record.event) is e.AttemptProgressed and type(facts[-1].event) is e.AttemptProgressed:
        return (*facts[:-1], record)
    return (*facts, record)


# Kept in other fields, and too many to be listed one by one.
UNLISTED: frozenset[type[e.Event]] = frozenset({e.OutputReceived})


def _held(a: Attempt, r: e.Recorded, ev: e.AttemptHeld) -> Attempt:
    hold = Hold(ev.reason, ev.until_ms, ev.since_ms if ev.since_ms is not None else r.at_ms, ev.retry_at_ms, ev.detail)
    due = ev.until_ms if ev.retry_at_ms is None else min(ev.until_ms, ev.retry_at_ms)
    return replace(a, hold=hold, due_at_ms=due, check_due_ms=None)


def _released(a: Attempt, r: e.Recorded, ev: e.AttemptReleased) -> Attempt:
    return replace(a, hold=None, due_at_ms=ev.due_at_ms, confirmed=a.confirmed or ev.confirmed)


def _check_asked(a: Attempt, r: e.Recorded, ev: e.AttemptCheckAsked) -> Attempt:
    due = ev.due_at_ms if a.state is S.QUEUED else a.due_at_ms
    return replace(a, check_due_ms=ev.due_at_ms, check_runtime_id=ev.runtime_id, due_at_ms=due)


def _due(a: Attempt, r: e.Recorded, ev: e.ApprovalAsked | e.ApprovalGiven) -> Attempt:
    return replace(a, due_at_ms=ev.due_at_ms)


def _dispatched(a: Attempt, r: e.Recorded, ev: e.AttemptDispatched) -> Attempt:
    return replace(
        a,
        consent=ev.consent,
        runtime_id=ev.runtime_id,
        incarnation=ev.incarnation,
        boot_id=ev.boot_id,
        journal_id=ev.journal_id,
        bridge=ev.bridge,
        mark=a.mark if ev.again else ev.mark,
        dispatched_at_ms=r.at_ms,
        sent_at_ms=r.at_ms,
        window_ends_ms=ev.due_at_ms,
        due_at_ms=ev.ask_at_ms,
        asked_at_ms=None,
        hold=None,
        check_due_ms=None,
        asleep=False,
    )


def _asked(a: Attempt, r: e.Recorded, ev: e.ReconcileAsked) -> Attempt:
    due: int | None = ev.due_at_ms
    if a.state is S.DISPATCHED:
        due = a.window_ends_ms or due  # however early it was asked, the window is the window
    elif a.state in (S.LOST, S.ENDED):
        due = a.due_at_ms
    return replace(a, asked_at_ms=r.at_ms, asked_sequence=a.journal_sequence, due_at_ms=due)


def _cancel(a: Attempt, r: e.Recorded, ev: e.CancelRequested) -> Attempt:
    if a.cancel is not None and a.cancel.why is CancelWhy.CANCEL:  # a person's wish is the stronger one
        return a
    return replace(a, cancel=Cancel(ev.why, r.at_ms, r.actor))


def _acknowledged(a: Attempt, r: e.Recorded, ev: e.AttemptAcknowledged) -> Attempt:
    return replace(
        a,
        acknowledged_at_ms=a.acknowledged_at_ms or r.at_ms,
        journal_sequence=max(a.journal_sequence, ev.journal_sequence),
        proved_at_ms=r.at_ms,
        due_at_ms=ev.due_at_ms,
        asked_at_ms=None,
    )


def _started(a: Attempt, r: e.Recorded, ev: e.AttemptStarted) -> Attempt:
    return replace(
        a,
        acknowledged_at_ms=a.acknowledged_at_ms or r.at_ms,
        started_at_ms=a.started_at_ms or r.at_ms,
        quiet_since_ms=a.quiet_since_ms or r.at_ms,
        journal_sequence=max(a.journal_sequence, ev.journal_sequence),
        proved_at_ms=r.at_ms,
        due_at_ms=ev.due_at_ms,
        asked_at_ms=None,
    )


def _progressed(a: Attempt, r: e.Recorded, ev: e.AttemptProgressed) -> Attempt:
    now, before = sum(ev.bytes.values(), 0), sum(a.progress.bytes.values(), 0) if a.progress else 0
    grew = a.progress is None or now > before
    return replace(
        a,
        progress=ev,
        progress_at_ms=r.at_ms,
        proved_at_ms=r.at_ms,
        quiet_since_ms=r.at_ms if now > before else a.quiet_since_ms,
        quiet_cpu_ms=ev.cpu_ms if grew else a.quiet_cpu_ms,
    )


def _noticed(a: Attempt, r: e.Recorded, ev: e.AttemptNoticed) -> Attempt:
    return replace(a, notice=ev.notice, last_line=ev.last_line)


def _output(a: Attempt, r: e.Recorded, ev: e.OutputReceived) -> Attempt:
    stream = a.streams.get(ev.stream, Stream()).with_bytes(ev.offset, ev.length)
    cpu = a.progress.cpu_ms if a.progress else 0
    return replace(
        a, streams=a.streams | {ev.stream: stream}, proved_at_ms=r.at_ms, quiet_since_ms=r.at_ms, quiet_cpu_ms=cpu
    )


def _conflict(a: Attempt, r: e.Recorded, ev: e.OutputConflicted) -> Attempt:
    stream = a.streams.get(ev.stream, Stream())
    return replace(a, streams=a.streams | {ev.stream: replace(stream, conflicts=stream.conflicts + 1)})


def _gap(a: Attempt, r: e.Recorded, ev: e.OutputGap) -> Attempt:
    stream = a.streams.get(ev.stream, Stream())
    gaps = (*stream.gaps, (ev.offset, ev.length, ev.why))
    return replace(a, streams=a.streams | {ev.stream: replace(stream, gaps=gaps)}, proved_at_ms=r.at_ms)


def _input(a: Attempt, r: e.Recorded, ev: e.InputGiven) -> Attempt:
    return replace(a, inputs=ev.sequence, pending_inputs=(*a.pending_inputs, ev), notice=None)


def _input_accepted(a: Attempt, r: e.Recorded, ev: e.InputAccepted) -> Attempt:
    pending = tuple(p for p in a.pending_inputs if p.sequence > ev.sequence)
    return replace(
        a, inputs_accepted=max(a.inputs_accepted, ev.sequence), pending_inputs=pending, quiet_since_ms=r.at_ms
    )


def _finished(a: Attempt, r: e.Recorded, ev: e.AttemptFinished) -> Attempt:
    better = a.finished is None or a.finished.stated or not ev.stated
    return replace(
        a,
        finished=ev if better else a.finished,
        journal_sequence=max(a.journal_sequence, ev.journal_sequence),
        proved_at_ms=r.at_ms,
        final_word=True,
    )


def _refused(a: Attempt, r: e.Recorded, ev: e.AttemptRefused) -> Attempt:
    return replace(
        a,
        refusal=ev.code,
        promised=a.promised or ev.trusted,
        journal_sequence=max(a.journal_sequence, ev.journal_sequence),
        proved_at_ms=r.at_ms,
        final_word=True,
    )


def _stated(a: Attempt, r: e.Recorded, ev: e.JournalStated) -> Attempt:
    promise = ev.trusted and ev.state in ("never_received", "closed")
    return replace(
        a,
        promised=a.promised or promise,
        ran_as=ev.ran_as if ev.ran_as is not None else a.ran_as,
        journal_sequence=max(a.journal_sequence, ev.journal_sequence),
        proved_at_ms=r.at_ms,
        final_word=True,
    )


def _noted(a: Attempt, r: e.Recorded, ev: e.EvidenceNoted) -> Attempt:
    return replace(a, notes=a.notes + 1)


def _lost(a: Attempt, r: e.Recorded, ev: e.AttemptLost) -> Attempt:
    return replace(a, lost_at_ms=r.at_ms, due_at_ms=ev.due_at_ms, asleep=ev.asleep, asked_at_ms=None)


def _found(a: Attempt, r: e.Recorded, ev: e.AttemptFound) -> Attempt:
    return replace(a, due_at_ms=ev.due_at_ms, proved_at_ms=r.at_ms, asleep=False, asked_at_ms=None)


def _reopened(a: Attempt, r: e.Recorded, ev: e.AttemptReopened) -> Attempt:
    former = a.former if a.verdict is None else (*a.former, a.verdict)
    return replace(
        a, verdict=None, former=former, late=True, due_at_ms=ev.due_at_ms, proved_at_ms=r.at_ms, asked_at_ms=None
    )


def _ended(a: Attempt, r: e.Recorded, ev: e.AttemptEnded) -> Attempt:
    return replace(
        a, verdict=ev.verdict, verdict_at_ms=r.at_ms, due_at_ms=None, hold=None, check_due_ms=None, notice=None
    )


def _refined(a: Attempt, r: e.Recorded, ev: e.VerdictRefined) -> Attempt:
    former = a.former if a.verdict is None else (*a.former, a.verdict)
    return replace(a, verdict=ev.verdict, verdict_at_ms=r.at_ms, former=former, late=a.late or ev.late)


EVOLVE: dict[type[e.Event], Evolver] = {
    e.AttemptHeld: _held,
    e.AttemptReleased: _released,
    e.AttemptCheckAsked: _check_asked,
    e.ApprovalAsked: _due,
    e.ApprovalGiven: _due,
    e.AttemptDispatched: _dispatched,
    e.ReconcileAsked: _asked,
    e.CancelRequested: _cancel,
    e.AttemptAcknowledged: _acknowledged,
    e.AttemptStarted: _started,
    e.AttemptProgressed: _progressed,
    e.AttemptNoticed: _noticed,
    e.OutputReceived: _output,
    e.OutputConflicted: _conflict,
    e.OutputGap: _gap,
    e.InputGiven: _input,
    e.InputAccepted: _input_accepted,
    e.AttemptFinished: _finished,
    e.AttemptRefused: _refused,
    e.JournalStated: _stated,
    e.EvidenceNoted: _noted,
    e.AttemptLost: _lost,
    e.AttemptFound: _found,
    e.AttemptReopened: _reopened,
    e.AttemptEnded: _ended,
    e.VerdictRefined: _refined,
}


def shifted(a: Attempt, by_ms: int) -> Attempt:
    """Every deadline moved, after a step of the wall clock, and every moment that is compared with what comes after it.

    One that stayed behind would be in the future after a step back: answers would seem older than their question.
    """

    def move(value: int | None) -> int | None:
        return None if value is None else value + by_ms

    hold = a.hold
    if hold is not None:
        hold = replace(hold, until_ms=hold.until_ms + by_ms, retry_at_ms=move(hold.retry_at_ms))
    return replace(
        a,
        due_at_ms=move(a.due_at_ms),
        window_ends_ms=move(a.window_ends_ms),
        check_due_ms=move(a.check_due_ms),
        quiet_since_ms=move(a.quiet_since_ms),
        proved_at_ms=a.proved_at_ms + by_ms,
        queued_at_ms=a.queued_at_ms + by_ms,
        sent_at_ms=a.sent_at_ms + by_ms,
        asked_at_ms=move(a.asked_at_ms),
        lost_at_ms=move(a.lost_at_ms),
        hold=hold,
    )
