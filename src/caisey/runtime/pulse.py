"""The heartbeat: one beat at the stated interval, whatever else goes on, and what it means to miss two answers.

Owns the loop, the jitter, and the numbers of the beats of one connection (PROTOCOL.md §7).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from caisey.protocol import limits
from caisey.protocol.frames import Heartbeat, Load, Reference
from caisey.runtime.clock import Chance, Clock
from caisey.transport.bridge import BridgeClosedError

MISSED: Final = 2


class Condition(Protocol):
    """What a beat tells of the runtime."""

    def in_flight(self) -> tuple[Reference, ...]:
        """Every attempt received or started, not ended, owned or adopted by this runtime."""

    def accepting(self) -> bool:
        """Whether new work may come: not draining, and the journal can write."""

    def journal_sequence(self) -> int:
        """The highest one on disk."""

    def load(self) -> Load:
        """What the runtime uses itself."""


class Pulse:
    """The heartbeat of one connection."""

    def __init__(
        self, *, clock: Clock, chance: Chance, condition: Condition, interval_ms: int, post: Callable[[Heartbeat], None]
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._condition = condition
        self._interval_ms = _bounded(interval_ms)
        self._post = post
        self._sequence = 0
        self._heard = 0
        self._beat_ms = 0
        self._slept_ms = self._asleep()
        self._hurry = asyncio.Event()

    def acknowledged(self, sequence: int) -> None:
        self._heard = max(self._heard, min(sequence, self._sequence))

    def cadence(self, interval_ms: int) -> None:
        self._interval_ms = _bounded(interval_ms)
        self._hurry.set()

    def beat_soon(self) -> None:
        """Something that a beat tells has changed: do not wait for the interval."""
        self._beat_ms = 0
        self._hurry.set()

    async def run(self) -> None:
        """Beat until two answers are missing; then the bridge is as good as closed."""
        while True:
            if self._sequence - self._heard >= MISSED:
                raise BridgeClosedError(None, f"{MISSED} heartbeats were not answered")
            self._beat()
            await self._wait()

    def _beat(self) -> None:
        self._sequence += 1
        asleep = self._asleep()
        self._beat_ms = self._clock.monotonic_ms()
        beat = Heartbeat(
            sequence=self._sequence,
            time_ms=self._clock.wall_ms(),
            monotonic_ms=self._clock.monotonic_ms(),
            interval_ms=self._interval_ms,
            journal_sequence=self._condition.journal_sequence(),
            accepting=self._condition.accepting(),
            in_flight=self._condition.in_flight()[: limits.REFERENCES],
            load=self._condition.load(),
            slept_ms=max(0, asleep - self._slept_ms),
        )
        self._slept_ms = asleep
        self._post(beat)

    async def _wait(self) -> None:
        """Until the next beat is due; a shorter cadence counts from the last beat."""
        jitter = self._chance.uniform(1 - limits.HEARTBEAT_JITTER, 1 + limits.HEARTBEAT_JITTER)
        while True:
            due_ms = self._beat_ms + self._interval_ms * jitter if self._beat_ms else 0
            left_ms = due_ms - self._clock.monotonic_ms()
            if left_ms <= 0:
                return
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_ms / 1000):
                    await self._hurry.wait()

    def _asleep(self) -> int:
        """How long the computer has slept since it was booted."""
        return self._clock.boottime_ms() - self._clock.monotonic_ms()


def _bounded(interval_ms: int) -> int:
    return min(max(interval_ms, limits.MIN_HEARTBEAT_INTERVAL_MS), limits.MAX_HEARTBEAT_INTERVAL_MS)
