"""Server-sent events from the log: nothing lost, nothing twice (API.md, SSE).

Owns the loop of a stream: watch first, then read the log after the last event that was sent, then wait for a nudge.
What a nudge tells of is a few rows that were written a moment ago: they are read at once, all else beside the loop.
What is sent was committed, in the order of its sequence. A stream ends when the right to it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import msgspec

from caisey.api.call import Call
from caisey.api.sending import begin, first_of, gone, piece
from caisey.core.errors import Fault
from caisey.storage.contract import Stored

PAGE: Final = 200
NEWEST: Final = 32
"""So many events of a nudge are read on the loop's thread; where there are more, the rest is read in another."""
BEAT_S: Final = 15.0
LAST_WORD_S: Final = 1.0
_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"}
_BEAT: Final = b": beat\n\n"

ReadAfter = Callable[[int], Awaitable[Sequence[Stored]]]
ReadNewest = Callable[[int], Sequence[Stored]]
Wanted = Callable[[Stored], bool]
Around = Callable[[], AbstractContextManager[None]]
Aside = Callable[[], bytes]
"""What stands beside the log, as it is now: sent with no id whenever it has changed, and never kept."""


def position(call: Call, otherwise: int) -> int:
    """Where to go on: `Last-Event-ID`, else `otherwise`. Raises `request.invalid_header`."""
    said = call.request.headers.get("last-event-id", "").strip()
    if not said:
        return otherwise
    if not (said.isascii() and said.isdecimal() and len(said) <= len(str(2**63))):
        raise Fault("request.invalid_header", "Last-Event-ID: the sequence of an event.")
    return int(said)


class Beats:
    """A word that the stream lives is due from time to time: it nudges. One timer, since there are many nudges."""

    def __init__(self, nudge: asyncio.Event) -> None:
        self._nudge = nudge
        self.again()

    def again(self) -> None:
        """From now on."""
        self.due = False
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._passed)

    def _passed(self) -> None:
        self.due = True
        self._nudge.set()

    def end(self) -> None:
        """No more."""
        self._timer.cancel()


class EventStream:
    """Events after `after`, from `read` (a page) and `newest` (a few), that `wanted` lets through; `subject` is
    watched.

    `around` is entered for as long as the stream is open; `aside` is told with it (see `Aside`).
    """

    def __init__(
        self,
        call: Call,
        subject: str,
        after: int,
        read: ReadAfter,
        newest: ReadNewest,
        wanted: Wanted,
        *,
        around: Around = nullcontext,
        aside: Aside | None = None,
    ) -> None:
        self._call = call
        self._subject = subject
        self._after = after
        self._read = read
        self._newest = newest
        self._wanted = wanted
        self._around = around
        self._aside = aside
        self._said = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        services, principal = self._call.services, self._call.principal
        with services.access.lease(principal) as lease, services.nudges.watch(self._subject) as nudge, self._around():
            await begin(send, "text/event-stream; charset=utf-8", _HEADERS)
            services.metrics.streams += 1
            try:
                left = services.access.seconds_left(principal)
                await first_of(self._write(send, nudge), gone(receive), lease.ended.wait(), within_s=left)
            finally:
                services.metrics.streams -= 1
        try:
            async with asyncio.timeout(LAST_WORD_S):
                await piece(send, b"", more=False)
        except (TimeoutError, OSError):
            return  # nobody takes it any more

    async def _write(self, send: Any, nudge: asyncio.Event) -> None:
        await piece(send, b": open\n\n")
        beats = Beats(nudge)
        behind = True
        try:
            while True:
                nudge.clear()
                if not behind:
                    text, behind = self._taken(self._newest(self._after), NEWEST)
                    if text:
                        await piece(send, text)
                while behind:
                    text, behind = self._taken(await self._read(self._after), PAGE)
                    if text:
                        await piece(send, text)
                if self._aside is not None and (said := self._aside()) != self._said:
                    self._said = said
                    await piece(send, said)
                if beats.due:
                    await piece(send, _BEAT)
                    beats.again()
                await nudge.wait()
        finally:
            beats.end()

    def _taken(self, events: Sequence[Stored], most: int) -> tuple[bytes, bool]:
        """What to send of these, and whether there may be more: `most` were asked for."""
        if events:
            self._after = events[-1].sequence
        return b"".join(spelled(event) for event in events if self._wanted(event)), len(events) >= most


def spelled(event: Stored) -> bytes:
    """One event as the stream shows it."""
    data = msgspec.json.encode(event.to_public())
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.sequence, event.type.encode(), data)


def aside(name: str, items: Any) -> bytes:
    """Something beside the log. It has no id: where a reader goes on is the log's to say."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode({"type": name, "items": items}))
