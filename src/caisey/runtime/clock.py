"""Time and chance as the runtime's logic sees them, so that a simulation can give its own.

Owns the interface and the real thing. No other module of the runtime's logic reads a clock or draws a number.
"""

from __future__ import annotations

import random
import secrets
import time
from typing import Protocol

from caisey.runtime.platforms import Platform


class Clock(Protocol):
    """Three clocks: one for people, one that stands in sleep, one that does not."""

    def wall_ms(self) -> int:
        """Since the epoch. May jump; nothing is decided by it."""

    def monotonic_ms(self) -> int:
        """Stands while the computer sleeps."""

    def boottime_ms(self) -> int:
        """Runs while the computer sleeps."""


class Chance(Protocol):
    """Randomness: jitter, and secrets."""

    def uniform(self, low: float, high: float) -> float:
        """A number between the two."""

    def token(self, size: int) -> bytes:
        """Unpredictable bytes."""


class SystemClock:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return self._platform.monotonic_ms()

    def boottime_ms(self) -> int:
        return self._platform.boottime_ms()


class SystemChance:
    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def token(self, size: int) -> bytes:
        return secrets.token_bytes(size)
