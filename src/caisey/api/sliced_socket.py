"""The server's side of a WebSocket, read in slices: however much one peer sends at once, the others wait for a slice.

Owns when the bytes of a connection are parsed: as its application asks for more, never faster. Everything else is
uvicorn's.
"""

from __future__ import annotations

from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

SLICE_BYTES: Final = 16 * 1024
"""Some eighty heartbeats, or a fifth of a chunk of output: about a millisecond."""


class SlicedWebSocket(WebSocketsSansIOProtocol):
    """What arrived and was not parsed yet waits here, with the transport paused."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._rest = memoryview(b"")
        self._feeding = False
        self._shaking = True

    def data_received(self, data: bytes) -> None:
        """A slice at once; the rest as it is asked for."""
        if self._shaking and self.handshake_complete:
            self._forget_handshake()
        if self._rest:
            self._rest = memoryview(bytes(self._rest) + data)
            return
        if len(data) <= SLICE_BYTES:
            super().data_received(data)
            return
        self._rest = memoryview(data)
        self._feed()

    def _forget_handshake(self) -> None:
        """Its headers would stay for as long as the connection does, a fifth of what an idle one costs."""
        self._shaking = False
        self.request.headers.clear()
        self.response.headers.clear()

    async def receive(self) -> Any:
        """As uvicorn's, which reads on once its queue is empty; here the rest comes first."""
        message = await self.queue.get()
        if self.queue.empty():
            self._more()
        return message

    def _more(self) -> None:
        if self._rest:
            if not self._feeding:
                self._feeding = True
                self.loop.call_soon(self._feed)
        elif self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _feed(self) -> None:
        self._feeding = False
        if self.close_sent or self.disconnected:
            self._rest = memoryview(b"")
            return
        part, self._rest = self._rest[:SLICE_BYTES], self._rest[SLICE_BYTES:]
        super().data_received(bytes(part))
        if not self.read_paused and self._rest:
            self.read_paused = True
            self.transport.pause_reading()
        if self.queue.empty():
            self._more()
