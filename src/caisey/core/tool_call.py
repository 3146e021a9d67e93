"""One step of a prompt: its attempts, its consents, and what is true of it as a whole (RECOVERY.md §1, §2, §5).

Owns `ToolCall`, its table and `evolve`. The rule where a call may go next (`journals_owed`) lives here, because it
follows from its attempts alone.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from caisey.core import attempt as attempts
from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.states import NOT_SENT, CallState, Effect, Kind, Ran

# What moves a tool call. Attempts move it to RUNNING (queued, reopened); the rest is decided in `decide/settle.py`.
TRANSITIONS: dict[CallState, dict[type[e.Event], CallState]] = {
    CallState.PENDING: {
        e.AttemptQueued: CallState.RUNNING,
        e.ToolCallEnded: CallState.ENDED,
        e.ToolCallReplaced: CallState.ENDED,
    },
    CallState.RUNNING: {
        e.AttemptQueued: CallState.RUNNING,
        e.AttemptReopened: CallState.RUNNING,
        e.ToolCallWaiting: CallState.WAITING,
        e.ToolCallEnded: CallState.ENDED,
    },
    CallState.WAITING: {
        e.AttemptQueued: CallState.RUNNING,
        e.AttemptReopened: CallState.RUNNING,
        e.ToolCallWaiting: CallState.WAITING,
        e.ToolCallEnded: CallState.ENDED,
        e.ToolCallReplaced: CallState.ENDED,
    },
    CallState.ENDED: {
        e.AttemptReopened: CallState.RUNNING,
        e.AttemptQueued: CallState.RUNNING,
        e.ToolCallWaiting: CallState.WAITING,  # later evidence took a conclusion back
        e.ToolCallEnded: CallState.ENDED,
        e.ToolCallReplaced: CallState.ENDED,
    },
}
NEUTRAL: frozenset[type[e.Event]] = frozenset({e.ToolCallReminded, e.ToolCallEscalated})

DONE_KINDS = frozenset({Kind.ANSWERED, Kind.EMPTY})
PASSED = frozenset({"done", "accepted_partial", "resumed_past", "replaced"})
NOT_A_TRY = frozenset({"attempt.superseded", "attempt.withdrawn"})


class Consent(msgspec.Struct, frozen=True, gc=False):
    """One decision that the call may start. `confirmed_at_ms` moves when a person says so again."""

    number: int
    given_at_ms: int
    confirmed_at_ms: int
    actor: e.Actor


class ToolCall(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A step with everything that was tried for it. Times in milliseconds."""

    spec: e.CallSpec
    prompt_id: str
    state: CallState = CallState.PENDING
    attempts: tuple[Attempt, ...] = ()
    consents: tuple[Consent, ...] = ()
    waiting_why: str | None = None
    waiting_since_ms: int | None = None
    owner: str | None = None
    due_at_ms: int | None = None
    escalated_to: str | None = None
    outcome: str | None = None
    replaced_by: str | None = None
    ended_at_ms: int | None = None
    ended_by: e.Actor | None = None  # who ended it, where a person did
    dropped: bool = False  # a person gave it up; nothing more is sent for it
    sequence: int = 0

    @property
    def id(self) -> str:
        """The tool call's id."""
        return self.spec.id

    @property
    def automatic(self) -> int:
        """Automatic actions taken so far."""
        return sum(1 for a in self.attempts if a.counted)

    @property
    def newest(self) -> Attempt | None:
        """The attempt with the highest number."""
        return self.attempts[-1] if self.attempts else None

    @property
    def open_attempts(self) -> tuple[Attempt, ...]:
        """Attempts that have not ended."""
        return tuple(a for a in self.attempts if a.open)

    @property
    def passed(self) -> bool:
        """The next step may go out."""
        return self.state is CallState.ENDED and self.outcome in PASSED

    def consent(self, number: int) -> Consent:
        """The consent with this number."""
        return next(c for c in self.consents if c.number == number)

    def attempt(self, number: int) -> Attempt | None:
        """The attempt with this number."""
        return self.attempts[number - 1] if 0 < number <= len(self.attempts) else None


def combine(rans: list[Ran]) -> Ran:
    """A tool call's `ran` from its attempts': yes, else partly, else unconfirmed, else no (RECOVERY.md §2)."""
    for ran in (Ran.YES, Ran.PARTLY, Ran.UNCONFIRMED):
        if ran in rans:
            return ran
    return Ran.NO


def proved(attempt: Attempt) -> Ran:
    """What one attempt proves by itself, whatever its verdict shows."""
    if attempt.finished is not None and attempt.verdict is not None and attempt.verdict.kind is not Kind.EXPIRED:
        return attempt.verdict.ran
    if attempt.dispatched_at_ms is None:
        return Ran.NO
    if attempt.verdict is None:
        return Ran.UNCONFIRMED
    if attempt.verdict.kind is Kind.REFUSED:
        return Ran.NO if attempt.promised or attempt.verdict.code in NOT_A_TRY else Ran.UNCONFIRMED
    if attempt.verdict.kind is Kind.CANCELLED:
        return Ran.NO if attempt.promised else attempt.verdict.ran
    return attempt.verdict.ran


def ran(call: ToolCall) -> Ran:
    """Did the tool call run?"""
    return combine([proved(a) for a in call.attempts])


def ran_before(call: ToolCall, attempt: Attempt) -> Ran:
    """What the other attempts prove."""
    return combine([proved(a) for a in call.attempts if a.number != attempt.number])


def deciding(call: ToolCall) -> Attempt | None:
    """The ended attempt whose verdict speaks for the call: a done one, else the newest real try."""
    ended = [a for a in call.attempts if a.verdict is not None]
    done = [a for a in ended if a.verdict is not None and a.verdict.kind in DONE_KINDS]
    if done:
        return done[-1]
    real = [a for a in ended if a.verdict is not None and a.verdict.code not in NOT_A_TRY]
    return real[-1] if real else (ended[-1] if ended else None)


def journals_owed(call: ToolCall, consent: int) -> frozenset[str]:
    """Journals that were given this consent and have not promised that it will not start there (RECOVERY.md §5).

    A promise frees a journal only if its number is the highest dispatched to that journal.
    """
    highest: dict[str, Attempt] = {}
    involved: set[str] = set()
    for a in call.attempts:
        if a.journal_id is not None and a.state not in NOT_SENT:
            highest[a.journal_id] = a
            if a.consent == consent:
                involved.add(a.journal_id)
    return frozenset(j for j in involved if not highest[j].promised)


def unresolved(attempt: Attempt) -> bool:
    """It ended without the journal's word: a later word may still refine it."""
    return (
        attempt.verdict is not None
        and attempt.journal_id is not None
        and not attempt.final_word
        and attempt.verdict.ran is not Ran.YES
    )


def may_change_things(call: ToolCall) -> bool:
    """Its effect is mutating."""
    return call.spec.effect is Effect.MUTATING


class ImpossibleStep(Exception):
    """A defect of ours: `decide` gave an event that the table does not have."""


def evolve(call: ToolCall, record: e.Recorded) -> ToolCall:
    """The tool call after one of its events or of its attempts'."""
    event = record.event
    cls = type(event)
    row = TRANSITIONS[call.state]
    state = row.get(cls, call.state)
    significant = record.sequence and cls not in (e.OutputReceived, e.AttemptProgressed)
    sequence = max(call.sequence, record.sequence) if significant else call.sequence
    if isinstance(event, e.AttemptQueued):
        return replace(_queued(call, record, event), state=state, sequence=sequence)
    if isinstance(event, e.AttemptEvent):
        changed = attempts.evolve(call.attempts[event.number - 1], record)
        items = (*call.attempts[: event.number - 1], changed, *call.attempts[event.number :])
        call = replace(call, attempts=items, state=state, sequence=sequence)
        return _consented(call, record, event)
    if cls not in row and cls not in NEUTRAL:
        raise ImpossibleStep(f"{e.type_of(event)} while {call.state} ({call.id})")
    return replace(_own(call, record, event), state=state, sequence=sequence)


def _queued(call: ToolCall, record: e.Recorded, event: e.AttemptQueued) -> ToolCall:
    consents = call.consents
    known = {c.number for c in consents}
    if event.consent not in known:
        consents = (*consents, Consent(event.consent, record.at_ms, record.at_ms, record.actor))
    elif event.consent_by == "person":
        consents = _confirm(consents, event.consent, record)
    return replace(
        call,
        attempts=(*call.attempts, attempts.queue(record, event)),
        consents=consents,
        waiting_why=None,
        waiting_since_ms=None,
        due_at_ms=None,
        outcome=None,
        dropped=False,
    )


def _consented(call: ToolCall, record: e.Recorded, event: e.AttemptEvent) -> ToolCall:
    if isinstance(event, e.AttemptDispatched) and event.consent not in {c.number for c in call.consents}:
        given = Consent(event.consent, record.at_ms, record.at_ms, e.POLICY)
        return replace(call, consents=(*call.consents, given))
    if isinstance(event, e.AttemptReleased) and event.confirmed:
        consent = call.attempts[event.number - 1].consent
        return replace(call, consents=_confirm(call.consents, consent, record))
    if isinstance(event, e.AttemptReopened):
        return replace(call, waiting_why=None, waiting_since_ms=None, due_at_ms=None, outcome=None)
    return call


def _confirm(consents: tuple[Consent, ...], number: int, record: e.Recorded) -> tuple[Consent, ...]:
    return tuple(
        replace(c, confirmed_at_ms=record.at_ms, actor=record.actor) if c.number == number else c for c in consents
    )


def _own(call: ToolCall, record: e.Recorded, event: e.Event) -> ToolCall:
    if isinstance(event, e.ToolCallWaiting):
        since = call.waiting_since_ms or record.at_ms
        return replace(
            call,
            waiting_why=event.why,
            waiting_since_ms=since,
            owner=event.owner,
            due_at_ms=event.due_at_ms,
            outcome=None,
        )
    if isinstance(event, e.ToolCallReminded):
        return replace(call, due_at_ms=event.due_at_ms)
    if isinstance(event, e.ToolCallEscalated):
        return replace(call, owner=event.to, escalated_to=event.to)
    if isinstance(event, e.ToolCallEnded):
        dropped = call.dropped or event.outcome in ("dropped", "cancelled")
        call = replace(call, ended_at_ms=record.at_ms, ended_by=record.actor)
        return replace(call, outcome=event.outcome, due_at_ms=None, waiting_since_ms=None, dropped=dropped)
    if isinstance(event, e.ToolCallReplaced):
        call = replace(call, ended_at_ms=record.at_ms, ended_by=record.actor)
        return replace(call, outcome="replaced", replaced_by=event.call.id, due_at_ms=None, waiting_since_ms=None)
    return call
