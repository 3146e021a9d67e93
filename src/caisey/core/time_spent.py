"""How long was worked, and how long was waited for the computer, for the ticket note.

Owns the two sums. Worked: the time between one thing a person did or saw end and the next, where it is at most
`READING_MS`; a longer pause is not counted, nor is waiting. Waited: while something was kept back because of the
computer, sent without a confirmation, or without contact. Nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.session import Session
from caisey.core.states import HoldReason

READING_MS = 10 * 60_000
PEOPLE = frozenset({"user", "token"})
NOT_THE_COMPUTER = frozenset({HoldReason.WORLD_CHANGED, HoldReason.PERSON, HoldReason.EARLIER_REQUEST})

Span = tuple[int, int]


class TimeSpent(NamedTuple):
    """In milliseconds."""

    worked_ms: int
    waited_ms: int
    first_ms: int
    last_ms: int


def time_spent(session: Session, now_ms: int) -> TimeSpent:
    """Both sums over the whole session, with its first and last moment."""
    attempts = [a for call in session.calls.values() for a in call.attempts]
    waits = merged(span for a in attempts for span in waiting(a, now_ms))
    moments = sorted({session.created_at_ms, *_moments(session, attempts)})
    worked = merged((start, end) for start, end in pairwise(moments) if end - start <= READING_MS)
    return TimeSpent(
        worked_ms=length(worked) - overlap(worked, waits),
        waited_ms=length(waits),
        first_ms=moments[0],
        last_ms=max([moments[-1], *(end for _, end in waits)]),
    )


def _moments(session: Session, attempts: Iterable[Attempt]) -> Iterable[int]:
    """When a person did something, or something they waited for came to its end."""
    for prompt in session.prompts.values():
        yield prompt.accepted_at_ms
    for call in session.calls.values():
        if call.ended_at_ms is not None:
            yield call.ended_at_ms
    for a in attempts:
        for record in a.facts:
            if record.actor.kind in PEOPLE or isinstance(record.event, e.AttemptEnded | e.VerdictRefined):
                yield record.at_ms


def waiting(a: Attempt, now_ms: int) -> Iterable[Span]:
    """Spans in which one attempt waited for the computer; an open one lasts until now."""
    since: int | None = None
    for record in a.facts:
        event = record.event
        if isinstance(event, e.AttemptHeld):
            begins = event.reason not in NOT_THE_COMPUTER
        elif isinstance(event, e.AttemptDispatched | e.AttemptLost):
            begins = True
        elif isinstance(event, _MOVES):
            begins = False
        else:
            continue
        if since is not None:
            yield since, record.at_ms
        since = record.at_ms if begins else None
    if since is not None and a.open:
        yield since, max(since, now_ms)


_MOVES = (
    e.AttemptReleased
    | e.ApprovalAsked
    | e.AttemptAcknowledged
    | e.AttemptStarted
    | e.AttemptFound
    | e.AttemptReopened
    | e.AttemptEnded
)


def merged(spans: Iterable[Span]) -> list[Span]:
    """Sorted and disjoint."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        elif end > start:
            result.append((start, end))
    return result


def length(spans: Iterable[Span]) -> int:
    """Their sum; they are disjoint."""
    return sum(end - start for start, end in spans)


def overlap(left: list[Span], right: list[Span]) -> int:
    """What both cover; each is sorted and disjoint."""
    return sum(max(0, min(le, re) - max(ls, rs)) for ls, le in left for rs, re in right)
