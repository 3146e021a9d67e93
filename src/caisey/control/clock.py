"""The clocks of the control plane: the only place that reads one.

Owns the names of the two times that matter and the real clocks behind them. Everything else is given a `Clock`.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Whole milliseconds. Wall time may step; the other never does."""

    def now_ms(self) -> int:
        """Since the epoch, UTC: what is recorded and shown."""

    def monotonic_ms(self) -> int:
        """Runs while this machine runs: what silence and pauses are measured with."""


class Times(Protocol):
    """The two times that most parts need."""

    def now_ms(self) -> int:
        """Since the epoch, UTC, as deadlines see it."""

    def monotonic_ms(self) -> int:
        """Never steps."""


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        """See `Clock`."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """See `Clock`."""
        return time.monotonic_ns() // 1_000_000
