"""Signs of life of running commands: CPU time, bytes, last output, whether one waits for input (RECOVERY.md §2).

Owns the loop that looks once a second while something runs, and sleeps while nothing does. Ends nothing.
"""

from __future__ import annotations

import asyncio
from typing import Final

from caisey.protocol import limits
from caisey.protocol.fields import StreamName
from caisey.protocol.frames import Progress
from caisey.runtime.attempts import Attempts, Entry
from caisey.runtime.judge import State
from caisey.runtime.processes import Census
from caisey.runtime.spool import STREAMS

LOOK_S: Final = limits.PROGRESS_INTERVAL_MS / 1000
SAY_AGAIN: Final = 10
"""Looks after which an unchanged state is said again, so that silence is news and not a doubt."""


class ProgressWatch:
    """Looks at running commands for one connection."""

    def __init__(self, attempts: Attempts, census: Census) -> None:
        self._attempts = attempts
        self._census = census
        self._last: dict[object, tuple[Progress, int]] = {}

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            running = [entry for entry in self._attempts if entry.record.state is State.STARTED and entry.let_go]
            self._last = {entry.key: last for entry in running if (last := self._last.get(entry.key))}
            for entry in running:
                self._look(entry)

    def _look(self, entry: Entry) -> None:
        usage = self._census.usage(entry.record.shelter)
        written: dict[StreamName, int] = {"stdout": 0, "stderr": 0}
        written |= {name: entry.written[name] for name in STREAMS if name in entry.written}
        progress = Progress(
            attempt=entry.key.reference,
            cpu_ms=usage.cpu_ms,
            bytes=written,
            last_output_ms=entry.last_output_ms,
            waiting_for_input=usage.waiting_for_input,
        )
        former, looks = self._last.get(entry.key, (None, 0))
        if progress != former or looks >= SAY_AGAIN:
            self._attempts.post(progress)
            looks = 0
        self._last[entry.key] = (progress, looks + 1)
