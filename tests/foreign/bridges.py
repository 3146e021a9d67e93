"""The two bridges of PROTOCOL.md §1: a WebSocket, and long polling over plain HTTP.

Each carries text and bytes as it is told, also broken ones, and knows nothing about what a frame means.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from collections import deque
from typing import Any, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from tests.foreign.wire import SUBPROTOCOL, Frame, dump


class BridgeClosedError(Exception):
    """The bridge is gone; `code` is the WebSocket's close code, or the HTTP status of a poll, or 0."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed {code} {reason}")
        self.code = code
        self.reason = reason


class Bridge(Protocol):
    kind: str

    async def open(self) -> None: ...
    async def send(self, payload: Frame | str | bytes) -> None: ...
    async def receive(self) -> str | Frame: ...
    async def close(self) -> None: ...
    def abort(self) -> None: ...


class WebSocketBridge:
    """One frame per text message, no compression. Bytes are sent as one text message whatever they hold."""

    kind = "websocket"

    def __init__(self, url: str, address: str) -> None:
        self._url = url.replace("http", "ws", 1) + "/runtime/v1/connect"
        self._address = address
        self._socket: ClientConnection | None = None

    @property
    def socket(self) -> ClientConnection:
        if self._socket is None:
            raise BridgeClosedError(0, "not open")
        return self._socket

    async def open(self) -> None:
        try:
            self._socket = await connect(
                self._url,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                compression=None,
                max_size=None,
                ping_interval=None,
                proxy=None,
                local_addr=(self._address, 0),
            )
        except InvalidHandshake as error:
            raise BridgeClosedError(getattr(getattr(error, "response", None), "status_code", 0), str(error)) from error
        if self._socket.subprotocol != SUBPROTOCOL:
            raise BridgeClosedError(0, f"subprotocol {self._socket.subprotocol!r}")

    async def send(self, payload: Frame | str | bytes) -> None:
        try:
            if isinstance(payload, bytes):
                await self.socket.send(payload, text=True)
            else:
                await self.socket.send(payload if isinstance(payload, str) else dump(payload))
        except ConnectionClosed as error:
            raise _closed(error) from error

    async def receive(self) -> str | Frame:
        try:
            message = await self.socket.recv()
        except ConnectionClosed as error:
            raise _closed(error) from error
        if isinstance(message, bytes):
            raise BridgeClosedError(0, "a binary message")
        return message

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    def abort(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()


def _closed(error: ConnectionClosed) -> BridgeClosedError:
    return (
        BridgeClosedError(error.rcvd.code, error.rcvd.reason)
        if error.rcvd
        else BridgeClosedError(1006, "no close frame")
    )


def _looked_at(task: asyncio.Task[None]) -> None:
    """An aborted poll may fail unheard: nobody prints its traceback at the end of the program."""
    if not task.cancelled():
        task.exception()


class LongPollBridge:
    """Polls without end. A frame to send starts a new poll, which ends the waiting one at once.

    `lose_answers` drops that many coming answers, so that the same number is polled again; `repeat_polls` sends that
    many polls twice.
    """

    kind = "longpoll"

    def __init__(self, url: str, address: str) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname or "", place.port or 80
        self._address = address
        self.connection: str | None = None
        self._sequence = 0
        self._received = 0
        self._outbox: deque[Frame | str] = deque()
        self._inbox: asyncio.Queue[Frame | BridgeClosedError] = asyncio.Queue()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.lose_answers = 0
        self.repeat_polls = 0
        self.repeated: list[tuple[Frame, Frame]] = []
        self._lines: set[http.client.HTTPConnection] = set()

    async def open(self) -> None:
        self._task = asyncio.create_task(self._poll_for_ever())

    async def send(self, payload: Frame | str | bytes) -> None:
        if isinstance(payload, bytes):
            payload = payload.decode()
        self._outbox.append(payload)
        self._wake.set()

    async def receive(self) -> str | Frame:
        found = await self._inbox.get()
        if isinstance(found, BridgeClosedError):
            self._inbox.put_nowait(found)
            raise found
        return found

    async def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if self._task:
            self._task.cancel()
        for line in list(self._lines):
            if line.sock is not None:
                with contextlib.suppress(OSError):
                    line.sock.shutdown(socket.SHUT_RDWR)
        self._inbox.put_nowait(BridgeClosedError(1006, "aborted"))

    async def _poll_for_ever(self) -> None:
        waiting: asyncio.Task[None] | None = None
        try:
            while True:
                self._wake.clear()
                poll = asyncio.create_task(self._poll(self._next()))
                poll.add_done_callback(_looked_at)
                if waiting is not None:
                    await waiting
                waiting = poll
                wake = asyncio.create_task(self._wake.wait())
                # Without a connection there is nothing to interrupt: the first answer names it.
                await asyncio.wait({poll} if self.connection is None else {poll, wake}, return_when="FIRST_COMPLETED")
                wake.cancel()
                if poll.done():
                    await poll
                    waiting = None
        except BridgeClosedError as error:
            self._inbox.put_nowait(error)
        except OSError as error:
            self._inbox.put_nowait(BridgeClosedError(1006, type(error).__name__))
        finally:
            if waiting is not None:
                waiting.cancel()

    def _next(self) -> str:
        self._sequence += 1
        frames = ",".join(f if isinstance(f, str) else dump(f) for f in self._outbox)
        self._outbox.clear()
        head = dump({"connection": self.connection, "sequence": self._sequence, "received": self._received})
        return f'{head[:-1]},"frames":[{frames}]}}'

    async def _poll(self, body: str) -> None:
        answer = await self.post(body)
        while self.lose_answers and self.connection is not None:
            self.lose_answers -= 1
            again = await self.post(body)
            self.repeated.append((answer, again))
            answer = again
        if self.repeat_polls and self.connection is not None:
            self.repeat_polls -= 1
            self.repeated.append((answer, await self.post(body)))
        self.connection = answer["connection"]
        self._received = max(self._received, answer["sequence"])
        for frame in answer["frames"]:
            self._inbox.put_nowait(frame)

    async def post(self, body: str) -> Frame:
        """One poll. Public, so that a test may poll by hand with what this bridge would have sent."""
        return await asyncio.to_thread(self._post, body)

    def _post(self, body: str) -> Frame:
        line = http.client.HTTPConnection(self._host, self._port, timeout=40, source_address=(self._address, 0))
        self._lines.add(line)
        with contextlib.closing(line):
            try:
                line.request("POST", "/runtime/v1/poll", body.encode(), {"Content-Type": "application/json"})
                response = line.getresponse()
                raw = response.read()
            except http.client.HTTPException as error:
                raise BridgeClosedError(1006, type(error).__name__) from error
            finally:
                self._lines.discard(line)
            if response.status != 200:
                raise BridgeClosedError(response.status, raw.decode(errors="replace")[:500])
            answer: Any = json.loads(raw)
            return dict(answer)
