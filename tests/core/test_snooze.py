"""Putting aside: how long, and what brings a line back before."""

from __future__ import annotations

import pytest

from caisey.core.errors import Fault
from caisey.core.snooze import BACK_BEFORE_END_MS, LONGEST_ALARM_MS, LONGEST_MS, Line, holds, snoozed

NOW = 1_000_000_000_000
HOUR = 3_600_000
WAITING = Line("orphaned", 50, NOW - HOUR, NOW + HOUR)
HELD = Line("held", 40, NOW - HOUR, NOW + HOUR)


def test_a_reminder_does_not_bring_it_back() -> None:
    kept = snoozed(WAITING, NOW + 8 * HOUR, NOW, alarm=False)
    assert kept.until_ms == NOW + 8 * HOUR
    assert holds(kept, WAITING._replace(due_ms=NOW + 2 * HOUR), NOW + 2 * HOUR)
    assert not holds(kept, WAITING, NOW + 8 * HOUR)


def test_what_ends_by_itself_is_back_in_time() -> None:
    kept = snoozed(HELD, NOW + 8 * HOUR, NOW, alarm=False)
    assert kept.until_ms == NOW + HOUR - BACK_BEFORE_END_MS
    nearer = HELD._replace(due_ms=NOW + HOUR // 2)
    assert holds(kept, HELD, NOW + HOUR // 2)
    assert not holds(kept, nearer, NOW + HOUR // 2), "its end was moved"
    with pytest.raises(Fault, match="within minutes"):
        snoozed(HELD._replace(due_ms=NOW + BACK_BEFORE_END_MS), NOW + HOUR, NOW, alarm=False)


@pytest.mark.parametrize("change", [{"type": "runtime_died"}, {"rank": 10}, {"since_ms": NOW}])
def test_it_is_back_when_it_says_something_else(change: dict[str, object]) -> None:
    kept = snoozed(WAITING, NOW + HOUR, NOW, alarm=False)
    assert holds(kept, WAITING, NOW)
    assert not holds(kept, WAITING._replace(**change), NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(("alarm", "longest"), [(False, LONGEST_MS), (True, LONGEST_ALARM_MS)])
def test_it_has_a_longest(alarm: bool, longest: int) -> None:
    assert snoozed(WAITING, NOW + longest, NOW, alarm=alarm).until_ms == NOW + longest
    for until in (NOW + longest + 1, NOW, NOW - 1):
        with pytest.raises(Fault):
            snoozed(WAITING, until, NOW, alarm=alarm)
