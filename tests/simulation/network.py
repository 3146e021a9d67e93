"""The network between runtimes and the control plane: connections that keep order, break, stall and half-open.

Owns `Wire` (one connection) and the faults of the way. A tame wire behaves as TCP does: in order, nothing lost while it
lives; a partition holds its bytes back, one way or both. A wild one, past the handshake, also loses, doubles and
reorders single frames, which no socket does and the protocol has to bear all the same.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from caisey.protocol import limits
from caisey.protocol.fields import BridgeKind
from caisey.transport.bridge import BridgeClosedError
from tests.simulation.clockwork import Life, SimLoop

NO_CLOSE_FRAME = 1006


@dataclass(slots=True)
class Weather:
    """The way to one runtime: `up` towards the control plane. Chances are per frame."""

    up: bool = True
    down: bool = True
    latency_s: float = 0.004
    lose: float = 0.0
    double: float = 0.0
    reorder: float = 0.0
    garble: float = 0.0

    @property
    def wild(self) -> bool:
        return bool(self.lose or self.double or self.reorder or self.garble)

    def calm(self) -> None:
        """As good as networks get."""
        self.up = self.down = True
        self.latency_s, self.lose, self.double, self.reorder, self.garble = 0.004, 0.0, 0.0, 0.0, 0.0


class End:
    """One end: what arrived and was not read."""

    def __init__(self, loop: SimLoop, life: Life) -> None:
        self._loop = loop
        self.life = life
        self._inbox: deque[Any] = deque()
        self._reader: asyncio.Future[None] | None = None
        self.closed: tuple[int, str] | None = None

    def put(self, item: Any) -> None:
        """Something arrives."""
        self._inbox.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Any:
        """The next thing that arrived."""
        while not self._inbox:
            self._reader = self._loop.create_future()
            await self._reader
        return self._inbox.popleft()


@dataclass(slots=True)
class Way:
    """One direction of a wire."""

    to: End
    sent: int = 0
    last: float = 0.0
    held: list[Any] = field(default_factory=list)


class Wire:
    """One connection. `up_seen` and `down_seen` look at each frame as it leaves, for the invariants."""

    def __init__(
        self, loop: SimLoop, weather: Weather, dice: random.Random, *,
        client: Life, server: Life, count: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._loop, self._weather, self._dice, self._count = loop, weather, dice, count
        self.client, self.server = End(loop, client), End(loop, server)
        self._up, self._down = Way(self.server), Way(self.client)
        self.was_wild = False
        self._world = Life("wire").context()
        client.when_it_ends(lambda: self.break_off("client"))
        server.when_it_ends(lambda: self.break_off("server"))

    @property
    def over(self) -> bool:
        """Nobody uses it any more."""
        ends = (self.client, self.server)
        return all(end.closed is not None or end.life.dead for end in ends)

    # -- the way -----------------------------------------------------------------------------------------------------

    def send_up(self, data: Any) -> None:
        self._send(self._up, data, self._weather.up)

    def send_down(self, data: Any) -> None:
        self._send(self._down, data, self._weather.down)

    def _send(self, way: Way, data: Any, is_open: bool) -> None:
        way.sent += 1
        weather, dice = self._weather, self._dice
        delay = weather.latency_s * (0.5 + dice.random())
        frame = isinstance(data, bytes)
        if weather.wild and frame and way.sent > 2:
            self.was_wild = True
            if dice.random() < weather.lose:
                self._count("frame lost")
                return
            if dice.random() < weather.garble:
                self._count("frame garbled")
                data = garbled(data, dice)
            if dice.random() < weather.double:
                self._count("frame doubled")
                self._loop.call_later(delay * 3, self._arrive, way, data, context=self._world)
            if dice.random() < weather.reorder:
                self._count("frame late")
                self._loop.call_later(delay + dice.random() * 2.0, self._arrive, way, data, context=self._world)
                return
        way.last = max(way.last, self._loop.time() + delay)
        self._loop.call_at(way.last, self._arrive, way, data, context=self._world)

    def _is_open(self, way: Way) -> bool:
        return self._weather.up if way is self._up else self._weather.down

    def _arrive(self, way: Way, data: Any) -> None:
        if way.held or not self._is_open(way):
            way.held.append(data)
            return
        self._take(way, data)

    def _take(self, way: Way, data: Any) -> None:
        if way.to.closed is not None:
            return
        if way.to.life.dead:  # nobody there any more: the peer is told, if it can be
            if not isinstance(data, tuple):
                self._loop.call_later(self._weather.latency_s, self._reset, way, context=self._world)
            return
        if isinstance(data, tuple):
            way.to.closed = data
        way.to.put(data)

    def _reset(self, way: Way) -> None:
        back = self._down if way is self._up else self._up
        self._arrive(back, (NO_CLOSE_FRAME, "reset"))

    def healed(self) -> None:
        """The weather has changed: what was held back goes on."""
        for way in (self._up, self._down):
            while way.held and self._is_open(way):
                self._take(way, way.held.pop(0))

    def break_off(self, side: str, *, silent: bool = False) -> None:
        """One side's process is gone, and its system says so unless it is gone too."""
        end, way = (self.client, self._up) if side == "client" else (self.server, self._down)
        if end.closed is None:
            end.closed = (NO_CLOSE_FRAME, "")
            if not silent and end.life.thaws_at <= self._loop.time():
                self._send(way, (NO_CLOSE_FRAME, ""), True)

    def end_bridge(self) -> None:
        """The bridge that it carries is over."""
        self.cut()

    def cut(self) -> None:
        """Broken in the middle: both learn of it."""
        for way in (self._up, self._down):
            if way.to.closed is None:
                way.to.closed = (NO_CLOSE_FRAME, "cut")
                way.to.put((NO_CLOSE_FRAME, "cut"))


def garbled(data: bytes, dice: random.Random) -> bytes:
    """A frame with something wrong in it."""
    how = dice.randrange(4)
    if how == 0:
        return data[: dice.randrange(len(data))]
    if how == 1:
        at = dice.randrange(len(data))
        return data[:at] + bytes([dice.randrange(32, 127)]) + data[at + 1 :]
    if how == 2:
        return data.replace(b'"number":', b'"number":"x",  "n":', 1)
    return data.replace(b"{", b"[", 1)


class ClientBridge:
    """`transport.bridge.Bridge` over a wire."""

    kind: BridgeKind = "websocket"

    def __init__(self, wire: Wire, seen: Callable[[bytes], None]) -> None:
        self._wire = wire
        self._seen = seen

    async def send(self, data: bytes) -> None:
        """Hand one frame over."""
        end = self._wire.client
        if end.closed is not None:
            raise BridgeClosedError(*end.closed)
        self._seen(data)
        self._wire.send_up(data)

    def lie(self, data: bytes) -> None:
        """A frame that the runtime's own code did not say."""
        if self._wire.client.closed is None:
            self._wire.send_up(data)

    async def receive(self) -> bytes:
        """The next frame."""
        got = await self._wire.client.get()
        if isinstance(got, tuple):
            raise BridgeClosedError(*got)
        return bytes(got)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End it."""
        if self._wire.client.closed is None:
            self._wire.client.closed = (code, reason)
            self._wire.send_up((code, reason))


class ServerSide:
    """The wire as an ASGI server hands it to the application."""

    def __init__(self, wire: Wire, seen: Callable[[bytes], None]) -> None:
        self._wire = wire
        self._seen = seen
        self._began = False
        self.scope = {
            "type": "websocket",
            "subprotocols": [limits.WEBSOCKET_SUBPROTOCOL],
            "client": ("10.0.0.1", 1),
            "headers": [],
            "extensions": {},
        }

    async def receive(self) -> dict[str, Any]:
        """ASGI."""
        if not self._began:
            self._began = True
            return {"type": "websocket.connect"}
        got = await self._wire.server.get()
        if isinstance(got, tuple):
            return {"type": "websocket.disconnect", "code": got[0], "reason": got[1]}
        try:
            return {"type": "websocket.receive", "text": got.decode()}
        except UnicodeDecodeError:
            self._wire.send_down((limits.CLOSE_INVALID_UTF8, ""))
            return {"type": "websocket.disconnect", "code": limits.CLOSE_INVALID_UTF8, "reason": ""}

    async def send(self, message: Any) -> None:
        """ASGI."""
        end = self._wire.server
        if end.closed is not None:
            raise OSError("the peer is gone")
        if message["type"] == "websocket.send":
            data = message["text"].encode()
            self._seen(data)
            self._wire.send_down(data)
        elif message["type"] == "websocket.close":
            code, reason = message["code"], message.get("reason", "")
            end.closed = (code, reason)
            end.put((code, reason))
            self._wire.send_down((code, reason))


def short(data: bytes) -> str:
    """A frame without what is the same in all of them."""
    text = data.decode(errors="replace")
    for noise in ("heartbeat", '"ping"', '"pong"', "cadence"):
        if noise in text[:30]:
            return noise
    return text[:400]
