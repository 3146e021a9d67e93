"""One peer that sends much at once is parsed a slice at a time."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from caisey.api.sliced_socket import SLICE_BYTES, SlicedWebSocket

FRAME_BYTES = 100
ASKS = (
    b"GET /x HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def masked(text: bytes) -> bytes:
    size = len(text)
    head = bytes([0x81, 0x80 | size]) if size < 126 else bytes([0x81, 0x80 | 126]) + struct.pack(">H", size)
    return head + b"\0\0\0\0" + text


class Transport(asyncio.Transport):
    """Remembers whether it was to be read."""

    def __init__(self) -> None:
        super().__init__()
        self.reading, self.closed = True, False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)}.get(name, default)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: Any) -> None: ...

    def close(self) -> None:
        self.closed = True


class Story:
    """A protocol with its application, which takes a message each time it is let."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.gate = asyncio.Semaphore(0)
        self.transport = Transport()
        config = uvicorn.Config(self._app, ws=SlicedWebSocket, log_config=None, lifespan="off", interface="asgi3")
        config.load()
        self.protocol = SlicedWebSocket(config=config, server_state=ServerState(), app_state={})
        self.protocol.connection_made(self.transport)
        self.protocol.data_received(ASKS)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            await self.gate.acquire()
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.heard.append(message["code"])
                return
            self.heard.append(message.get("text"))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.heard) < count:  # noqa: ASYNC110  (the application tells nobody)
                await asyncio.sleep(0)

    async def turns(self, count: int = 50) -> None:
        for _ in range(count):
            await asyncio.sleep(0)


def test_a_flood_is_parsed_no_faster_than_it_is_heard() -> None:
    async def story() -> None:
        it = Story()
        await it.turns()
        texts = [b"%0100d" % number for number in range(2_600)]
        burst = b"".join(map(masked, texts))
        assert len(burst) > 250_000
        it.protocol.data_received(burst)
        await it.turns()
        assert it.protocol.queue.qsize() <= SLICE_BYTES // FRAME_BYTES
        assert not it.transport.reading
        for _ in texts:
            it.gate.release()
        await it.until(len(texts))
        await it.turns()
        assert [text.encode() for text in it.heard] == texts
        assert it.transport.reading

    asyncio.run(story())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1_000, 70_000), min_size=1, max_size=4), st.lists(st.integers(0, 30_000), max_size=5))
def test_what_was_sent_is_heard_once_and_in_order_however_it_is_cut(cuts: list[int], sizes: list[int]) -> None:
    async def story() -> None:
        it = Story()
        await it.turns()
        texts = [b"x" * size for size in sizes]
        burst, at = b"".join(map(masked, texts)), 0
        for _ in texts:
            it.gate.release()
        while at < len(burst):
            for cut in cuts:
                if it.transport.reading and at < len(burst):
                    it.protocol.data_received(burst[at : at + cut])
                    at += cut
                await it.turns(3)
        await it.until(len(texts))
        assert [text.encode() for text in it.heard] == texts
        it.gate.release()
        it.protocol.connection_lost(None)
        await it.until(len(texts) + 1)

    asyncio.run(story())


def test_nothing_is_parsed_behind_a_close() -> None:
    """Bytes that are no UTF-8 end the connection (1007); whatever stood behind them in the same read is left."""

    async def story() -> None:
        it = Story()
        await it.turns()
        it.gate.release()
        it.protocol.data_received(masked(b"\xff") + masked(b"late") * 5_000)
        await it.until(1)
        it.gate.release()
        await it.turns()
        assert it.heard == [1007]
        assert it.transport.closed

    asyncio.run(story())
