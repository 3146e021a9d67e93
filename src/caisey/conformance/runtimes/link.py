"""One connection of the runtime under test, from its hello on: what it said, and what is said to it.

Owns the frames heard, with the time of each, and the signing of what goes out. Waits with a deadline; a frame that
cannot be read is kept as a fault, never lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.protocol.codec import decode_from_runtime, encode
from caisey.protocol.faults import FrameFault
from caisey.protocol.frames import (
    AnyFrame,
    Cancel,
    Confirm,
    Dispatch,
    DispatchLimits,
    Heartbeat,
    HeartbeatAck,
    Hello,
    Input,
    Question,
    Reconcile,
    Reference,
    Welcome,
)
from caisey.protocol.signatures import sign

F = TypeVar("F")
WITHIN_S: Final = 10.0
"""How long a check waits for a frame, unless it is told otherwise."""


class Failed(Exception):
    """A check that is not fulfilled: what PROTOCOL.md asks for, and what was there instead."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found


class Link:
    """See the module."""

    def __init__(
        self,
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
        within_s: float = WITHIN_S,
    ) -> None:
        self._receive = receive
        self._send = send
        self._news = asyncio.Condition()
        self._hello: Hello | None = None
        self._welcome: Welcome | None = None
        self._key: Ed25519PrivateKey | None = None
        self.within_s = within_s
        self.heard: list[Any] = []
        self.at: list[float] = []
        self.documents: list[dict[str, Any]] = []
        self.faults: list[FrameFault] = []
        self.answer_heartbeats = True
        self.closed = False
        self.close_code: int | None = None

    @property
    def hello(self) -> Hello:
        assert self._hello is not None
        return self._hello

    @property
    def welcomed(self) -> Welcome:
        assert self._welcome is not None
        return self._welcome

    def welcome(self, hello: Hello, welcome: Welcome, key: Ed25519PrivateKey) -> None:
        """From now on the connection belongs to that life of the runtime."""
        self._hello, self._welcome, self._key = hello, welcome, key

    def sign_with(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    # -- the wire -----------------------------------------------------------------------------------------------------

    async def receive(self) -> bytes | None:
        """The next message; None at the end."""
        event = await self._receive()
        if event["type"] != "websocket.receive":
            self.closed, self.close_code = True, event.get("code")
            return None
        data = event.get("text")
        return data.encode("utf-8", "surrogatepass") if data is not None else bytes(event.get("bytes") or b"")

    async def listen(self, *, answer_heartbeats: bool) -> None:
        """Hear until the connection ends."""
        self.answer_heartbeats = answer_heartbeats
        while True:
            data = await self.receive()
            if data is None:
                break
            received = decode_from_runtime(data)
            if isinstance(received, FrameFault):
                self.faults.append(received)
            else:
                if isinstance(received.frame, Heartbeat) and self.answer_heartbeats:
                    sequence = received.frame.sequence
                    await self.send(HeartbeatAck(sequence=sequence, server_time_ms=time.time_ns() // 1_000_000))
                self.heard.append(received.frame)
                self.documents.append(received.document)
                self.at.append(time.monotonic())
            async with self._news:
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()

    async def send_bytes(self, data: bytes) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            await self._send({"type": "websocket.send", "text": data.decode("utf-8", "surrogatepass")})

    async def send(self, frame: AnyFrame) -> None:
        await self.send_bytes(encode(frame))

    async def drop(self, code: int = 1012) -> None:
        """End the connection."""
        if not self.closed:
            self.closed = True
            with contextlib.suppress(OSError, RuntimeError):
                await self._send({"type": "websocket.close", "code": code})

    # -- waiting ------------------------------------------------------------------------------------------------------

    def mark(self) -> int:
        """Where we are: what is heard from now on comes after it."""
        return len(self.heard)

    async def wait(
        self, kind: type[F], test: Callable[[Any], bool] = lambda _: True, *, since: int = 0,
        within_s: float | None = None, what: str = "",
    ) -> F:  # fmt: skip
        """The first such frame after a mark. Raises `Failed`."""
        found: F | None = None
        patience_s = self.within_s if within_s is None else within_s

        def look() -> bool:
            nonlocal found
            found = next((f for f in self.heard[since:] if isinstance(f, kind) and test(f)), None)
            return found is not None or self.closed

        await self._until(look, patience_s)
        if found is None:
            name = what or _name(kind)
            raise Failed(f"{name} within {patience_s:g} s", self._instead(since))
        return found

    async def ends(self) -> bool:
        """Whether the other side ends the connection in time."""
        await self._until(lambda: self.closed, self.within_s)
        return self.closed

    async def _until(self, look: Callable[[], bool], within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s), self._news:
                await self._news.wait_for(look)
        except TimeoutError:
            look()

    def said(self, kind: Any, *, since: int = 0, about: Reference | None = None) -> list[Any]:
        frames = [frame for frame in self.heard[since:] if isinstance(frame, kind)]
        return [f for f in frames if about is None or getattr(f, "attempt", None) == about]

    def _instead(self, since: int) -> str:
        names = [_name(type(frame)) for frame in self.heard[since:] if not isinstance(frame, Heartbeat)]
        ended = ["the connection ended"] if self.closed else []
        return ", ".join([*names[-8:], *ended]) or "nothing"

    # -- what a control plane says ------------------------------------------------------------------------------------

    def dispatch_frame(self, call: str, number: int = 1, consent: int = 1, **changes: Any) -> Dispatch:
        """A dispatch for this life; fields by keyword, `command` for the shell, limits by their names."""
        bounds = {name: changes.pop(name) for name in DispatchLimits.__struct_fields__ if name in changes}
        arguments = changes.pop("arguments", None) or {"command": changes.pop("command", "true")}
        frame = Dispatch(
            runtime_id=self.hello.runtime_id,
            incarnation=self.hello.incarnation,
            journal_id=self.hello.journal_id,
            attempt=Reference(call, number),
            consent=consent,
            session_id="ses_conformance",
            tool="shell",
            tool_version=1,
            arguments=arguments,
            effect="mutating",
            limits=DispatchLimits(**bounds),
            issued_at_ms=time.time_ns() // 1_000_000,
        )
        return msgspec.structs.replace(frame, **changes)

    def signed(self, frame: Any) -> Any:
        assert self._key is not None
        return sign(frame, self._key)

    async def dispatch(self, call: str, number: int = 1, consent: int = 1, **changes: Any) -> None:
        await self.send(self.signed(self.dispatch_frame(call, number, consent, **changes)))

    async def cancel(self, call: str, number: int = 1, consent: int = 1) -> None:
        me: dict[str, Any] = {"runtime_id": self.hello.runtime_id, "incarnation": self.hello.incarnation}
        await self.send(self.signed(Cancel(**me, attempt=Reference(call, number), consent=consent)))

    async def input(self, call: str, sequence: int, data: bytes, *, close: bool = False) -> None:
        me: dict[str, Any] = {"runtime_id": self.hello.runtime_id, "incarnation": self.hello.incarnation}
        frame = Input(**me, attempt=Reference(call, 1), sequence=sequence, data=data, close=close)
        await self.send(self.signed(frame))

    async def reconcile(self, call: str, number: int = 1, consent: int = 1) -> None:
        await self.send(Reconcile(attempts=(Question(tool_call_id=call, number=number, consent=consent),)))

    async def confirm(self, call: str, number: int = 1, *, settled: bool = True, **offsets: int) -> None:
        me: dict[str, Any] = {"runtime_id": self.hello.runtime_id, "incarnation": self.hello.incarnation}
        frame = Confirm(**me, attempt=Reference(call, number), offsets=offsets, settled=settled)  # type: ignore[arg-type]
        await self.send(self.signed(frame))


def _name(kind: type[Any]) -> str:
    config = getattr(kind, "__struct_config__", None)
    return f"`{config.tag}`" if config is not None and config.tag else kind.__name__
