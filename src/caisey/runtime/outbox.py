"""Everything that goes out on one connection, in order, as fast as the bridge takes it.

Owns what was said on this connection and what is next: answers and heartbeats first, then, attempt by attempt in turn,
`started`, output from the last confirmed byte, and the last word, which is said again until it is settled. Made anew
for each connection, so that a new one starts from what the control plane holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from caisey.protocol import limits
from caisey.protocol.codec import encode
from caisey.protocol.fields import StreamName
from caisey.protocol.frames import AnyFrame, Gap, Output
from caisey.runtime.attempts import Attempts, Entry
from caisey.runtime.clock import Clock
from caisey.runtime.judge import State
from caisey.runtime.records import KNOWN_END, Key, finished, is_refusal, refused, started, statement, was_let_go
from caisey.runtime.spool import STREAMS, Chunk, Hole, Spool, layouts_of

log = logging.getLogger(__name__)

REPEAT_LOOK_S: Final = 1.0


@dataclass(slots=True)
class _Said:
    """What was said of one attempt on this connection."""

    started: bool = False
    offsets: dict[StreamName, int] = field(default_factory=dict)
    last_word_ms: int | None = None


class Outbox:
    """The sending side of one connection."""

    def __init__(
        self, *, send: Callable[[bytes], Awaitable[None]], attempts: Attempts, spool: Spool, clock: Clock,
        journal_id: str, chunk_bytes: int,
    ) -> None:  # fmt: skip
        self._send = send
        self._attempts = attempts
        self._spool = spool
        self._clock = clock
        self._journal_id = journal_id
        self._chunk = min(chunk_bytes, limits.OUTPUT_CHUNK_BYTES)
        self._first: deque[AnyFrame] = deque()
        self._changed: OrderedDict[Key, None] = OrderedDict()
        self._said: dict[Key, _Said] = {}
        self._unreadable: set[Key] = set()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()

    def post(self, frame: AnyFrame) -> None:
        """Say this before anything that is still to be reported."""
        self._first.append(frame)
        self._idle.clear()
        self._wake.set()

    def changed(self, key: Key) -> None:
        """Something about this attempt is to be reported."""
        self._changed[key] = None
        self._wake.set()

    async def run(self) -> None:
        """Send until the bridge closes."""
        for entry in self._attempts:
            self.changed(entry.key)
        while True:
            frame = self._next()
            if frame is not None:
                self._idle.clear()
                await self._send(encode(frame))
                continue
            self._idle.set()
            self._wake.clear()
            await self._wake.wait()

    async def idle(self) -> None:
        """Wait until everything was handed to the bridge."""
        await self._idle.wait()

    async def repeat(self) -> None:
        """Repeat the last word of what is not settled, every 30 s (RECOVERY.md §5); try again what was unreadable."""
        while True:
            await asyncio.sleep(REPEAT_LOOK_S)
            while self._unreadable:
                self.changed(self._unreadable.pop())
            now_ms = self._clock.monotonic_ms()
            for key, said in self._said.items():
                if said.last_word_ms is not None and now_ms - said.last_word_ms >= limits.REPEAT_UNSETTLED_MS:
                    said.last_word_ms = None
                    self.changed(key)

    def _next(self) -> AnyFrame | None:
        if self._first:
            return self._first.popleft()
        while self._changed:
            key, _ = self._changed.popitem(last=False)
            entry = self._attempts.get(key)
            if entry is None:
                self._said.pop(key, None)
                continue
            try:
                frame = self._report(entry, self._said.setdefault(key, _Said()))
            except OSError as error:  # no descriptor left, or a disk that fails: this one waits, the others go on
                log.warning("the output of %s cannot be read now: %s", key.tool_call_id, error.strerror)
                self._unreadable.add(key)
                continue
            if frame is not None:
                self._changed[key] = None  # there may be more, after the others had their turn
                return frame
        return None

    def _report(self, entry: Entry, said: _Said) -> AnyFrame | None:
        """The next frame about this attempt, or nothing for now."""
        record = entry.record
        if is_refusal(record):
            return self._last_word(said, refused(record))
        if record.state is State.STARTED and not entry.let_go:
            return None
        if was_let_go(record) and not said.started:
            said.started = True
            if record.state is State.STARTED or not entry.started_said:
                entry.started_said = True
                return started(record)
        output = self._output(entry, said)
        if output is not None or record.state not in KNOWN_END:
            return output
        ended = record.state is State.FINISHED
        return self._last_word(said, finished(record) if ended else statement(record, self._journal_id))

    def _last_word(self, said: _Said, frame: AnyFrame) -> AnyFrame | None:
        if said.last_word_ms is not None:
            return None
        said.last_word_ms = self._clock.monotonic_ms()
        return frame

    def _output(self, entry: Entry, said: _Said) -> Output | Gap | None:
        record = entry.record
        if record.spool is None:
            return None
        layouts = layouts_of(record.layout)
        for stream in STREAMS:
            offset = max(said.offsets.get(stream, 0), record.confirmed[stream])
            part: Chunk | Hole | None
            if stream in layouts:
                part = self._spool.next_part(record.spool, stream, layouts[stream], offset, self._chunk)
            elif record.state is State.STARTED and stream != "result":
                until = entry.kept.get(stream, 0)
                part = self._spool.running(record.spool, stream, offset, until, self._chunk)
            elif record.state is State.PROCESS_GONE and stream != "result":
                part = self._spool.left_behind(record.spool, stream, offset, self._chunk)
            else:
                part = None
            if isinstance(part, Chunk):
                said.offsets[stream] = part.offset + len(part.data)
                return Output(attempt=record.key.reference, stream=stream, offset=part.offset, data=part.data)
            if part is not None:
                said.offsets[stream] = part.offset + part.length
                return Gap(
                    attempt=record.key.reference, stream=stream, offset=part.offset, length=part.length, why=part.why
                )
        return None
