"""The clocks of the control plane: the only place that reads one.

Owns the names of the three times that matter and the real clocks behind them. Everything else is given a `Clock`.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Whole milliseconds. Wall time may step; the other two never do."""

    def now_ms(self) -> int:
        """Since the epoch, UTC: what is recorded and shown."""

    def monotonic_ms(self) -> int:
        """Runs while this machine runs: what silence and pauses are measured with."""

    def awake_and_asleep_ms(self) -> int:
        """Like `monotonic_ms`, and it also runs while this machine is suspended."""


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

    def awake_and_asleep_ms(self) -> int:
        """See `Clock`. Where the system has no such clock, the monotonic one."""
        boottime = getattr(time, "CLOCK_BOOTTIME", None)
        return self.monotonic_ms() if boottime is None else time.clock_gettime_ns(boottime) // 1_000_000
