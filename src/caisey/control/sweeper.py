"""One loop that wakes sessions when a deadline passes, and the clock that it trusts.

Owns `SteadyClock` and `Sweeper`. Deadlines are rows of the log (`open_work`), read once at start; while the process
lives they stand in a heap. A session that fails cannot stop the others.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Any

import structlog

from caisey.control.clock import Clock
from caisey.control.news import STORAGE_FAULTS
from caisey.control.sessions import Sessions
from caisey.core import commands as c
from caisey.core.errors import Fault

logger = structlog.get_logger(__name__)
STEP_MS = 1000
LOOK_EVERY_MS = 500
AFTER_A_FAULT_MS = 60_000
AFTER_STORAGE_FAILED_MS = 5_000  # a disk comes back sooner than a defect goes away
PAUSED_MS = 2000


class SteadyClock:
    """Wall time that moves with the monotonic clock: a step is seen, and applied, only when all deadlines have moved.

    Small drifts (below one second) are followed at once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now_ms() - clock.monotonic_ms()

    def now_ms(self) -> int:
        """Since the epoch, as deadlines see it."""
        return self._offset + self._clock.monotonic_ms()

    def monotonic_ms(self) -> int:
        """Never steps."""
        return self._clock.monotonic_ms()

    def pending_step_ms(self) -> int:
        """How far the wall clock has stepped against the monotonic one since the last time; 0 if it has not."""
        drift = self._clock.now_ms() - self.now_ms()
        if abs(drift) < STEP_MS:
            self._offset += drift
            return 0
        return drift

    def apply(self, step_ms: int) -> None:
        """All deadlines have moved by `step_ms`: follow the wall clock again."""
        self._offset += step_ms


class Sweeper:
    """See the module's page."""

    def __init__(self, sessions: Sessions, clock: SteadyClock, paused: Callable[[int], None]) -> None:
        self._sessions = sessions
        self._clock = clock
        self._paused = paused
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}
        self._awake = asyncio.Event()
        self._grace_until = 0
        sessions.on_due(self.wake)

    def start(self, grace_until_ms: int) -> None:
        """Read all deadlines. None is judged before the grace ends: a restart is not death of a runtime."""
        self._grace_until = grace_until_ms
        for session_id, due in self._sessions.open_deadlines():
            self.wake(session_id, due)

    def extend_grace(self, until_ms: int) -> None:
        """After a pause of our own, everyone's grace is longer."""
        self._grace_until = max(self._grace_until, until_ms)

    def wake(self, session_id: str, due_ms: int | None) -> None:
        """Look at this session when `due_ms` comes; None: nothing is open there."""
        if due_ms is None:
            self._due.pop(session_id, None)
            return
        if self._due.get(session_id) == due_ms:
            return
        self._due[session_id] = due_ms
        heapq.heappush(self._heap, (due_ms, session_id))
        if self._heap[0][1] == session_id:
            self._awake.set()

    async def run(self) -> None:
        """Until cancelled."""
        last = self._clock.monotonic_ms()
        while True:
            now = self._clock.monotonic_ms()
            if now - last > LOOK_EVERY_MS + PAUSED_MS:
                self._paused(now - last)
            last = now
            self._step()
            self._sweep()
            self._awake.clear()
            wait = LOOK_EVERY_MS
            if self._heap:
                wait = min(wait, max(0, self._when(self._heap[0][0]) - self._clock.now_ms()))
            try:
                await asyncio.wait_for(self._awake.wait(), timeout=wait / 1000)
            except TimeoutError:
                continue

    def _when(self, due_ms: int) -> int:
        return max(due_ms, self._grace_until)

    def _step(self) -> None:
        step = self._clock.pending_step_ms()
        if not step:
            return
        logger.warning("clock.stepped", by_ms=step)
        stepped = list(self._due)
        for session_id in stepped:
            self._submit(session_id, c.StepClock(by_ms=step))
        self._grace_until += step
        self._clock.apply(step)
        for session_id in stepped:  # what was due was reckoned with a view that had not followed the clock yet
            self.wake(session_id, self._clock.now_ms())

    def _sweep(self) -> None:
        now = self._clock.now_ms()
        while self._heap and self._when(self._heap[0][0]) <= now:
            due, session_id = heapq.heappop(self._heap)
            if self._due.get(session_id) != due:
                continue  # it has moved, or nothing is open any more
            del self._due[session_id]
            if self._sessions.news.left_for(session_id):  # judged by what it knows, its deadlines would be wrong
                self.wake(session_id, now + LOOK_EVERY_MS)
                continue
            self._submit(session_id, c.Tick())
            again = self._due.get(session_id)
            if again is not None and self._when(again) <= now:  # nothing came of it: never spin
                self.wake(session_id, now + LOOK_EVERY_MS)

    def _submit(self, session_id: str, command: c.Command) -> None:
        future = self._sessions.submit(session_id, command)
        future.add_done_callback(lambda done: self._judge(session_id, command, done))

    def _judge(self, session_id: str, command: c.Command, done: asyncio.Future[Any]) -> None:
        error = done.exception() if not done.cancelled() else None
        if error is None:
            return
        logger.error("sweep.failed", session_id=session_id, code=error.code if isinstance(error, Fault) else str(error))
        if isinstance(command, c.StepClock) and isinstance(error, Fault) and error.code == "server.overloaded":
            # Surely not taken. A COMMIT that failed may have happened: a second time would move deadlines twice.
            self._sessions.tell(session_id, command)
        storage = isinstance(error, Fault) and error.code in STORAGE_FAULTS
        self.wake(session_id, self._clock.now_ms() + (AFTER_STORAGE_FAILED_MS if storage else AFTER_A_FAULT_MS))
