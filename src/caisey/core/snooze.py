"""Putting aside what waits for a person: until when, and what brings it back before.

Owns the rules. A snooze hides a line from the list and changes nothing about the thing itself: deadlines go on. It
never outlasts the end of what ends by itself, and it is over as soon as the line says something else than it said.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from caisey.core.errors import Fault

LONGEST_MS: Final = 7 * 86_400_000
LONGEST_ALARM_MS: Final = 86_400_000
"""Identity and safety come back each day."""
BACK_BEFORE_END_MS: Final = 10 * 60_000
"""What ends by itself comes back so long before, for somebody to act."""
ENDS_BY_ITSELF: Final = frozenset({"held", "awaiting_approval"})
"""The deadline of everything else is a reminder: nothing is lost when it passes."""


class Line(NamedTuple):
    """A line of the attention list, as far as a snooze goes."""

    type: str
    rank: int
    since_ms: int
    due_ms: int | None


class Snooze(NamedTuple):
    """A line as it was put aside, and until when."""

    type: str
    rank: int
    since_ms: int
    until_ms: int


def snoozed(line: Line, until_ms: int, now_ms: int, *, alarm: bool) -> Snooze:
    """The snooze that somebody asks for, ended early enough. Raises `attention.snooze_refused`."""
    longest = LONGEST_ALARM_MS if alarm else LONGEST_MS
    if until_ms <= now_ms:
        raise Fault("attention.snooze_refused", "The end has to be ahead.")
    if until_ms > now_ms + longest:
        raise Fault("attention.snooze_refused", f"At most {longest // 86_400_000 * 24} hours.")
    if line.type in ENDS_BY_ITSELF and line.due_ms is not None:
        until_ms = min(until_ms, line.due_ms - BACK_BEFORE_END_MS)
        if until_ms <= now_ms:
            raise Fault("attention.snooze_refused", "It ends by itself within minutes: decide it now.")
    return Snooze(line.type, line.rank, line.since_ms, until_ms)


def holds(snooze: Snooze, line: Line, now_ms: int) -> bool:
    """Whether the line still stays aside."""
    if snooze.until_ms <= now_ms or snooze[:3] != line[:3]:
        return False
    if line.type in ENDS_BY_ITSELF and line.due_ms is not None:
        return now_ms < line.due_ms - BACK_BEFORE_END_MS
    return True
