"""The entrance of runtimes over WebSocket: `GET /runtime/v1/connect` (PROTOCOL.md §1, §3).

Owns the socket: the handshake's time limit, one frame per text message in each direction. A plain ASGI
application, because a framework's layers would cost each idle connection memory and each frame time. Knows nothing of
what a frame means.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec

from caisey.api import fair_share
from caisey.api.fair_share import FairShare
from caisey.api.problem import MEDIA_TYPE, document_of
from caisey.control.arrivals import Refusal
from caisey.control.connections import Connection
from caisey.control.hub import Hub
from caisey.core.errors import Fault
from caisey.protocol import limits
from caisey.protocol.codec import encode
from caisey.protocol.frames import Reject

CONNECT_PATH: Final = "/runtime/v1/connect"
OUTBOX_BYTES: Final = 16 << 20
"""More than this waiting for a peer that does not read ends the connection."""
NO_CLOSE_FRAME: Final = 1006

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class SocketBridge:
    """A WebSocket as the hub uses it. A task exists only while something waits to be sent."""

    kind = "websocket"
    __slots__ = ("_closing", "_outbox", "_pump", "_send", "_size")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._outbox: deque[tuple[bytes, Callable[[], None] | None]] | None = None  # while there is a pump
        self._size = 0
        self._closing: tuple[int, str] | None = None
        self._pump: asyncio.Task[None] | None = None

    def send(self, data: bytes, handed: Callable[[], None] | None = None) -> None:
        """See `control.connections.Bridge`."""
        if self._closing is not None:
            return
        if self._outbox is None:
            self._outbox = deque()
            self._pump = asyncio.create_task(self._run(self._outbox))
        self._outbox.append((data, handed))
        self._size += len(data)
        if self._size > OUTBOX_BYTES:
            self._outbox.clear()
            self.close(limits.CLOSE_FAULTS, "it does not read")

    def close(self, code: int, reason: str) -> None:
        """See `control.connections.Bridge`."""
        if self._closing is None:
            self._closing = (code, reason)
            if self._outbox is None:
                self._outbox = deque()
                self._pump = asyncio.create_task(self._run(self._outbox))

    async def drained(self) -> None:
        """Once everything was given to the network."""
        while self._pump is not None:
            await self._pump

    async def _run(self, outbox: deque[tuple[bytes, Callable[[], None] | None]]) -> None:
        try:
            while outbox:
                data, handed = outbox.popleft()
                self._size -= len(data)
                await self._send({"type": "websocket.send", "text": data.decode()})
                if handed is not None:
                    handed()
            if self._closing is not None:
                code, reason = self._closing
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except (OSError, RuntimeError):  # the peer is gone, or the server ended it (1007, 1009): the reader hears of it
            self._closing = self._closing or (NO_CLOSE_FRAME, "")
        finally:
            self._pump = self._outbox = None


class RuntimeSocket:
    """The ASGI application behind `CONNECT_PATH`."""

    def __init__(
        self, hub: Hub, random_bytes: Callable[[int], bytes], seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._hub = hub
        self._random = random_bytes
        self._seconds = seconds  # what a frame took; the loop's own clock stands still while one is read

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One connection, from its request to its end."""
        await receive()  # websocket.connect
        connection = await self._let_in(scope, receive, send)
        if connection is not None:
            scope["headers"] = []  # an idle connection should cost little, and nobody reads them any more
            await self._serve(connection, receive)

    async def _let_in(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> Connection | None:
        """The handshake; nothing of it is kept. None where it ended the connection."""
        if limits.WEBSOCKET_SUBPROTOCOL not in scope["subprotocols"]:
            await _refuse(scope, send, "connection.subprotocol_missing")
            return None
        opening = self._hub.knock(scope["client"][0] if scope.get("client") else "")
        if opening is None:
            await _refuse(scope, send, "request.rate_limited")
            return None
        bridge = SocketBridge(send)
        try:
            await send({"type": "websocket.accept", "subprotocol": limits.WEBSOCKET_SUBPROTOCOL})
            bridge.send(opening.challenge)
            hello = await _first(receive)
            if hello is None:
                return None
            secret = base64.urlsafe_b64encode(self._random(limits.CONNECTION_SECRET_BYTES)).decode().rstrip("=")
            outcome = await opening.answer(hello, bridge, secret)
        except TimeoutError:
            outcome = _too_late()
        except OSError:
            return None  # the peer was gone before it was let in
        finally:
            opening.end()
        if isinstance(outcome, Connection):
            return outcome
        bridge.send(outcome.frame)
        bridge.close(outcome.close_code, outcome.code)
        await bridge.drained()
        return None

    async def _serve(self, connection: Connection, receive: Receive) -> None:
        """Frame after frame. While this waits, the socket is not read: the peer feels it, and nobody else."""
        code, reason = NO_CLOSE_FRAME, ""
        share = FairShare(self._seconds)
        try:
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    code, reason = message.get("code", NO_CLOSE_FRAME), message.get("reason") or ""
                    return
                if connection.closed:
                    continue
                data = message.get("text") or message.get("bytes") or b""
                await fair_share.receive(share, self._hub, connection, data)
        finally:
            self._hub.closed(connection, code, reason)


async def _first(receive: Receive) -> str | bytes | None:
    """The hello, as it came; None where the peer went away instead. Raises TimeoutError."""
    async with asyncio.timeout(limits.HANDSHAKE_MS / 1000):
        message = await receive()
    return None if message["type"] == "websocket.disconnect" else message.get("text") or message.get("bytes") or b""


def _too_late() -> Refusal:
    fault = Fault("handshake.timeout")
    return Refusal(encode(Reject(code=fault.code, hint=fault.hint)), limits.CLOSE_IDENTITY, fault.code)


async def _refuse(scope: MutableMapping[str, Any], send: Send, code: str) -> None:
    """No upgrade at all: the answer stays HTTP."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": limits.CLOSE_PROTOCOL})
        return
    problem = document_of(Fault(code))
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    await send({"type": "websocket.http.response.start", "status": problem["status"], "headers": headers})
    await send({"type": "websocket.http.response.body", "body": msgspec.json.encode(problem)})
