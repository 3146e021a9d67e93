"""One caller of the HTTP server: how long the head of a request may take, and how long it may be.

Owns the two bounds that the server itself does not have, so that nobody holds a connection, or fills memory, with a
request that never begins. What is asked is the application's; after the head its own bounds hold.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_WITHIN_S: Final = 15.0
"""From the connection, or from the first byte of a further request, to the end of its head."""
HEAD_BYTES: Final = 64 * 1024
"""What is read at once (256 KiB at most) may be a whole head; what goes on beyond this is none."""

_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_LONG: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Caller(HttpToolsProtocol):
    """uvicorn's own, with bounds for the head. Between requests its keep-alive holds; a deadline begins with a byte."""

    _in_head = True
    _heads = 0
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes that are all of a head that has not ended count; the server reads them."""
        was_in_head, heads = self._in_head, self._heads
        if was_in_head and self._deadline is None:
            self._expect_head()
        super().data_received(data)
        if was_in_head and self._in_head and heads == self._heads:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(_TOO_LONG)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._heads += 1
        self._head_is_there()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_WITHIN_S, self._too_slow)

    def _head_is_there(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self._refuse(_TOO_SLOW if self._head_bytes else b"")

    def _refuse(self, answer: bytes) -> None:
        if self.transport.is_closing():
            return
        under_way: RequestResponseCycle | None = self.cycle
        # The answer to an earlier request that is still under way is not mixed with this one.
        if answer and (under_way is None or under_way.response_complete):
            self.transport.write(answer)
        self.transport.close()
