"""The least HTTP and WebSocket that a load generator needs, because it shares two cores with what it measures.

Owns one keep-alive connection, one event stream and one client's WebSocket. They know what the servers of this project
send, and nothing else: a client library costs more than the server does.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Callable
from typing import Any

import msgspec

_HEAD_END = b"\r\n\r\n"
_decode = msgspec.json.decode


class Answer(msgspec.Struct):
    """One HTTP answer, and how long its first byte took, in seconds."""

    status: int
    body: bytes
    json: bool
    first_byte_s: float

    def document(self) -> Any:
        """The decoded body; the bytes where it is not JSON."""
        return _decode(self.body) if self.json and self.body else self.body


class Connection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection; one request at a time."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._host, self._port = host, port
        self._head = f"Host: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
        self._transport: asyncio.Transport | None = None
        self._turn = asyncio.Lock()
        self._answer: asyncio.Future[Answer] | None = None
        self._received = bytearray()
        self._began = self._first = 0.0

    async def request(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """(status, decoded body)."""
        answer = await self.ask(method, path, body, headers)
        return answer.status, answer.document()

    async def ask(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        """The answer as it came."""
        data = b"" if body is None else msgspec.json.encode(body)
        more = "".join(f"{k}: {v}\r\n" for k, v in (headers or {}).items())
        kind = "Content-Type: application/json\r\n" if body is not None else ""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{kind}{more}Content-Length: {len(data)}\r\n\r\n"
        async with self._turn:
            loop = asyncio.get_running_loop()
            if self._transport is None:
                self._transport, _ = await loop.create_connection(lambda: self, self._host, self._port)
            self._answer = loop.create_future()
            self._received.clear()
            self._began, self._first = time.perf_counter(), 0.0
            self._transport.write(head.encode() + data)
            return await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._first = self._first or time.perf_counter()
        self._received += data
        end = self._received.find(_HEAD_END)
        if end < 0 or self._answer is None or self._answer.done():
            return
        head = bytes(self._received[:end]).lower()
        body = self._whole(head, memoryview(self._received)[end + len(_HEAD_END) :].tobytes())
        if body is not None:
            status = int(head.split(b" ", 2)[1])
            self._answer.set_result(Answer(status, body, b"json" in head, self._first - self._began))

    @staticmethod
    def _whole(head: bytes, body: bytes) -> bytes | None:
        """The body, once all of it is there."""
        at = head.find(b"content-length: ")
        if at >= 0:
            length = int(head[at + 16 :].split(b"\r\n", 1)[0])
            return body if len(body) >= length else None
        if b"transfer-encoding: chunked" not in head:
            return b""
        if not body.endswith(b"0" + _HEAD_END):
            return None
        parts, at = [], 0
        while size := int(body[at : body.index(b"\r\n", at)], 16):
            start = body.index(b"\r\n", at) + 2
            parts.append(body[start : start + size])
            at = start + size + 2
        return b"".join(parts)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server hung up"))


class EventStream(asyncio.Protocol):
    """One stream of server-sent events; each is told at once, as (type, data)."""

    def __init__(self, tell: Callable[[str, bytes], None]) -> None:
        self._tell = tell
        self._rest = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    async def open(self, host: str, port: int, token: str, path: str) -> None:
        """Returns when the stream is open."""
        self._transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, host, port)
        head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
        self._transport.write(head.encode())
        await asyncio.wait_for(self.opened, 30)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            if not self.opened.done() and b": open" in block:
                self.opened.set_result(None)
            kind, said = block.find(b"event: "), block.find(b"data: ")
            if kind >= 0 and said >= 0:
                self._tell(block[kind + 7 : block.index(b"\n", kind)].decode(), block[said + 6 :])


class Socket(asyncio.Protocol):
    """A client's WebSocket: text messages in and out, no fragments, nothing masked.

    The mask is the one of four zero bytes, which leaves a message as it is: masking costs more than all else here.
    """

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        self._received = bytearray()
        self._upgraded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    async def open(self, host: str, port: int, path: str, subprotocol: str) -> None:
        """Returns when the server has agreed."""
        self._transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, host, port)
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
            "".encode()
        )
        await asyncio.wait_for(self._upgraded, 30)

    def send(self, *messages: bytes) -> None:
        """Each as a message of its own, in one write."""
        if self._transport is not None and not self.gone.done():
            self._transport.write(b"".join(_frame(message) for message in messages))

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        buffer = self._received
        buffer += data
        if not self._upgraded.done():
            end = buffer.find(_HEAD_END)
            if end < 0:
                return
            assert buffer.startswith(b"HTTP/1.1 101"), bytes(buffer)
            del buffer[: end + len(_HEAD_END)]
            self._upgraded.set_result(None)
        while len(buffer) >= 2:
            size, start = buffer[1], 2
            if size >= 126:
                start = 4 if size == 126 else 10
                if len(buffer) < start:
                    return
                size = int.from_bytes(buffer[2:start], "big")
            if len(buffer) < start + size:
                return
            kind, message = buffer[0] & 0x0F, bytes(buffer[start : start + size])
            del buffer[: start + size]
            if kind == 1:
                self._hear(message)
            elif kind == 8 and self._transport is not None:
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if not self.gone.done():
            self.gone.set_result(None)
        if not self._upgraded.done():
            self._upgraded.set_exception(exc or ConnectionResetError("the server hung up"))
            self._upgraded.exception()


def _frame(message: bytes) -> bytes:
    size = len(message)
    if size < 126:
        return bytes((0x81, 0x80 | size, 0, 0, 0, 0)) + message
    if size < 1 << 16:
        return b"\x81\xfe" + size.to_bytes(2, "big") + b"\0\0\0\0" + message
    return b"\x81\xff" + size.to_bytes(8, "big") + b"\0\0\0\0" + message
