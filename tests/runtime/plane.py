"""A control plane in miniature for tests: a real WebSocket, the real protocol, and a memory of what was said.

Owns keys, one listening socket, and the frames it heard. Judges nothing; tests do.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from caisey.protocol import limits
from caisey.protocol.codec import Received, decode_from_runtime, encode
from caisey.protocol.frames import (
    Acknowledged,
    AnyFrame,
    Cancel,
    Challenge,
    Confirm,
    Dispatch,
    DispatchLimits,
    Finished,
    Gap,
    Heartbeat,
    HeartbeatAck,
    Hello,
    Input,
    Output,
    Question,
    Reconcile,
    Reference,
    Refused,
    Started,
    Statement,
    Welcome,
)
from caisey.protocol.signatures import sign, verify

F = TypeVar("F")
PATIENCE_S = 40.0


class Link:
    """One connection of a runtime, after its welcome."""

    def __init__(self, plane: Plane, connection: ServerConnection, hello: Hello) -> None:
        self.plane = plane
        self.connection = connection
        self.hello = hello
        self.heard: list[Any] = []
        self.answer_heartbeats = True
        self._news = asyncio.Condition()
        self._read: set[int] = set()
        self.closed = False

    async def _listen(self) -> None:
        try:
            async for message in self.connection:
                received = decode_from_runtime(message)
                assert isinstance(received, Received), received
                frame = received.frame
                if isinstance(frame, Heartbeat) and self.answer_heartbeats:
                    await self.send(HeartbeatAck(sequence=frame.sequence, server_time_ms=0))
                async with self._news:
                    self.heard.append(frame)
                    self._news.notify_all()
        except ConnectionClosed:
            pass
        async with self._news:
            self.closed = True
            self._news.notify_all()

    def forget(self) -> None:
        """Drop what was heard so far."""
        self.heard.clear()
        self._read.clear()

    async def send(self, frame: AnyFrame) -> None:
        await self.connection.send(encode(frame), text=True)

    async def wait_for(self, kind: type[F], test: Callable[[Any], bool] = lambda _: True, *, fresh: bool = True) -> F:
        """The next frame of that kind that passes the test and was not given out before."""

        def find() -> int | None:
            for place, frame in enumerate(self.heard):
                if isinstance(frame, kind) and not (fresh and place in self._read) and test(frame):
                    return place
            return None

        async with asyncio.timeout(PATIENCE_S), self._news:
            try:
                await self._news.wait_for(lambda: find() is not None or self.closed)
            except asyncio.CancelledError:
                raise AssertionError(f"no {kind.__name__}; heard {self.heard[-12:]}") from None
            place = find()
            assert place is not None, f"closed without {kind.__name__}; heard {self.heard}"
            self._read.add(place)
            return self.heard[place]

    async def wait_closed(self) -> None:
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: self.closed)

    def said(self, kind: type[F]) -> list[F]:
        return [frame for frame in self.heard if isinstance(frame, kind)]

    # -- what a control plane says --------------------------------------------------------------------------------

    def dispatch_frame(self, call: str, number: int = 1, consent: int = 1, **changes: Any) -> Dispatch:
        arguments = changes.pop("arguments", None) or {"command": changes.pop("command", "true")}
        bounds = {key: changes.pop(key) for key in ("time_ms", "output_bytes", "start_within_ms") if key in changes}
        frame = Dispatch(
            runtime_id=self.hello.runtime_id,
            incarnation=self.hello.incarnation,
            journal_id=self.hello.journal_id,
            attempt=Reference(call, number),
            consent=consent,
            session_id="ses_1",
            tool=changes.pop("tool", "shell"),
            tool_version=changes.pop("tool_version", 1),
            arguments=arguments,
            effect="mutating",
            limits=DispatchLimits(**bounds),
            issued_at_ms=0,
        )
        return msgspec.structs.replace(frame, **changes)

    async def dispatch(self, call: str, number: int = 1, consent: int = 1, **changes: Any) -> None:
        await self.send(sign(self.dispatch_frame(call, number, consent, **changes), self.plane.key))

    async def cancel(self, call: str, number: int = 1, consent: int = 1) -> None:
        frame = Cancel(
            runtime_id=self.hello.runtime_id, incarnation=self.hello.incarnation, attempt=Reference(call, number),
            consent=consent,
        )  # fmt: skip
        await self.send(sign(frame, self.plane.key))

    async def input(self, call: str, sequence: int, data: bytes, *, close: bool = False, number: int = 1) -> None:
        frame = Input(
            runtime_id=self.hello.runtime_id, incarnation=self.hello.incarnation, attempt=Reference(call, number),
            sequence=sequence, data=data, close=close,
        )  # fmt: skip
        await self.send(sign(frame, self.plane.key))

    async def reconcile(self, *questions: tuple[str, int, int]) -> None:
        asked = tuple(
            Question(tool_call_id=call, number=number, consent=consent) for call, number, consent in questions
        )
        await self.send(Reconcile(attempts=asked))

    async def confirm(self, call: str, number: int = 1, *, settled: bool = True, **offsets: int) -> None:
        frame = Confirm(
            runtime_id=self.hello.runtime_id, incarnation=self.hello.incarnation, attempt=Reference(call, number),
            offsets=offsets, settled=settled,  # type: ignore[arg-type]
        )  # fmt: skip
        await self.send(sign(frame, self.plane.key))

    async def heard_all(self) -> None:
        """Wait until everything that was sent so far is in the journal."""
        call = f"sync_{len(self.heard)}"
        await self.reconcile((call, 1, 1))
        await self.statement(call)
        await self.confirm(call)
        await self.reconcile((call, 1, 1))
        await self.statement(call)

    # -- what is asked often ----------------------------------------------------------------------------------------

    async def acknowledged(self, call: str, number: int = 1) -> Acknowledged:
        return await self.wait_for(Acknowledged, about(call, number))

    async def started(self, call: str, number: int = 1) -> Started:
        return await self.wait_for(Started, about(call, number))

    async def finished(self, call: str, number: int = 1) -> Finished:
        return await self.wait_for(Finished, about(call, number))

    async def refused(self, call: str, number: int = 1) -> Refused:
        return await self.wait_for(Refused, about(call, number))

    async def statement(self, call: str, number: int = 1, **fields: Any) -> Statement:
        def fits(frame: Statement) -> bool:
            return about(call, number)(frame) and all(getattr(frame, name) == value for name, value in fields.items())

        return await self.wait_for(Statement, fits)

    def hello_statement(self, call: str, number: int = 1) -> Statement | None:
        found = [said for said in self.hello.statements if said.attempt == Reference(call, number)]
        return found[0] if found else None

    def output(self, call: str, stream: str = "stdout") -> tuple[dict[int, bytes], list[Gap]]:
        """Every byte by the offset of its chunk, and the gaps."""
        chunks = {f.offset: f.data for f in self.said(Output) if f.attempt.tool_call_id == call and f.stream == stream}
        gaps = [f for f in self.said(Gap) if f.attempt.tool_call_id == call and f.stream == stream]
        return chunks, gaps

    def text(self, call: str, stream: str = "stdout") -> bytes:
        chunks, gaps = self.output(call, stream)
        assert not gaps
        whole = b""
        for offset, data in sorted(chunks.items()):
            assert offset == len(whole)
            whole += data
        return whole


def about(call: str, number: int = 1) -> Callable[[Any], bool]:
    return lambda frame: frame.attempt == Reference(call, number)


class Plane:
    """The control plane: its key, and the runtimes that it knows by their public keys."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.public = self.key.public_key().public_bytes_raw()
        self.runtimes: dict[str, bytes] = {}
        self.links: asyncio.Queue[Link] = asyncio.Queue()
        self.heartbeat_interval_ms = 15_000
        self.answer_heartbeats = True
        self.mode: Any = "work"
        self.confirm: tuple[Confirm, ...] = ()
        self._server: Server | None = None
        self.url = ""

    async def link(self) -> Link:
        """The next connection that gets through its handshake."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.links.get()

    async def _serve(self, connection: ServerConnection) -> None:
        nonce = os.urandom(32)
        await connection.send(
            encode(Challenge(nonce=nonce, server_time_ms=0, protocols=limits.SUPPORTED_PROTOCOLS)), text=True
        )
        try:
            received = decode_from_runtime(await connection.recv())
        except ConnectionClosed:
            return
        assert isinstance(received, Received), received
        hello = received.frame
        assert isinstance(hello, Hello)
        assert hello.challenge == nonce
        assert verify(received.document, "hello", self.runtimes[hello.runtime_id])
        welcome = Welcome(
            connection="con_1", mode=self.mode, heartbeat_interval_ms=self.heartbeat_interval_ms,
            output_chunk_bytes=65536, confirm=self.confirm, nonce=hello.nonce, runtime_id=hello.runtime_id,
            incarnation=hello.incarnation,
        )  # fmt: skip
        link = Link(self, connection, hello)
        link.answer_heartbeats = self.answer_heartbeats
        await connection.send(encode(sign(welcome, self.key)), text=True)
        self.links.put_nowait(link)
        await link._listen()


@asynccontextmanager
async def control_plane() -> AsyncIterator[Plane]:
    """A control plane on a free port of this computer."""
    plane = Plane()
    async with serve(
        plane._serve, "127.0.0.1", 0, subprotocols=[Subprotocol(limits.WEBSOCKET_SUBPROTOCOL)], compression=None,
        max_size=limits.MESSAGE_BYTES, ping_interval=None,
    ) as server:  # fmt: skip
        plane.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield plane
