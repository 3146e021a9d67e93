"""Long polls in the simulation: both ends are the product's own, over HTTP connections that are simulated wires.

Owns what an HTTP client and an HTTP server do between them: one request after the other on a kept connection, resets,
time-outs, requests that a proxy sends twice. A wild way loses no bytes here, as TCP does not: it loses the connection,
with the request or with its answer, and a poll that is held up is overtaken by the next one on the other connection.
"""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Callable, Coroutine
from typing import Any

from caisey.protocol.longpoll import PollAnswer, read_poll_answer
from caisey.transport.bridge import BridgeClosedError
from caisey.transport.http import Answer
from caisey.transport.longpoll import TIMEOUT_S, LongPollBridge
from tests.simulation.clockwork import SimLoop
from tests.simulation.network import NO_CLOSE_FRAME, Way, Wire, garbled

Open = Callable[["SimPolls"], "HttpWire | None"]
App = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]


class Copy(bytes):
    """A request that came twice; nobody reads its answer."""


class HttpWire(Wire):
    """One kept HTTP connection of a bridge. What goes up is a body, what comes down a status with its body."""

    bridge: SimPolls

    def _send(self, way: Way, data: Any, is_open: bool) -> None:
        weather, dice = self._weather, self._dice
        delay = weather.latency_s * (0.5 + dice.random())
        if weather.wild and isinstance(data, bytes):
            if dice.random() < weather.lose:
                self._count("poll lost")
                self._loop.call_later(delay, self.cut, context=self._world)
                return
            if dice.random() < weather.garble:
                self._count("frame garbled")
                data = garbled(data, dice)
            if way is self._up and dice.random() < weather.double:
                self._count("poll doubled")
                self._loop.call_later(delay * 3, self._arrive, way, Copy(data), context=self._world)
            if dice.random() < weather.reorder:
                self._count("poll late")
                delay += dice.random() * 4.0
        way.last = max(way.last, self._loop.time() + delay)
        self._loop.call_at(way.last, self._arrive, way, data, context=self._world)

    def hang_up(self) -> None:
        """The client closes it."""
        if self.client.closed is None:
            self.client.closed = (NO_CLOSE_FRAME, "hung up")
            self.client.put(self.client.closed)
            self.send_up(self.client.closed)

    def end_bridge(self) -> None:
        """The whole bridge ends, not this connection alone."""
        over = BridgeClosedError(None, "cut")
        self._loop.call_soon(self.bridge._end, over, context=self.client.life.context())


class SimLine:
    """`transport.http.HttpConnection`. Opened when there is something to post, and again after it broke."""

    def __init__(self, loop: SimLoop, opens: Callable[[], HttpWire | None]) -> None:
        self._loop, self._opens = loop, opens
        self._wire: HttpWire | None = None
        self._aborted = False

    def post(self, body: bytes) -> asyncio.Task[Answer]:
        """See `HttpConnection.post`; the loop takes the future for the work of a thread."""
        return self._loop.create_task(self._post(body))

    async def _post(self, body: bytes) -> Answer:
        if self._aborted:
            raise ConnectionAbortedError("hung up")
        if self._wire is None or self._wire.client.closed is not None:
            self._wire = self._opens()
        wire = self._wire
        if wire is None:
            raise ConnectionRefusedError("nobody listens")
        wire.send_up(body)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                got = await wire.client.get()
        except TimeoutError:
            wire.hang_up()
            raise
        if isinstance(got, tuple):
            raise ConnectionResetError(*got)
        status, _, data = got.partition(b" ")
        if not status.isdigit():
            wire.hang_up()
            raise http.client.BadStatusLine(status.decode(errors="replace"))
        return Answer(int(status), data)

    def abort(self) -> None:
        """See `HttpConnection.abort`."""
        self._aborted = True
        if self._wire is not None:
            self._wire.hang_up()


class SimPolls(LongPollBridge):
    """The runtime's end: the product's own, with `SimLine`s for its connections."""

    def __init__(self, loop: SimLoop, opens: Open, seen: Callable[[bytes], None]) -> None:
        self._loop, self._opens, self._seen = loop, opens, seen
        super().__init__("")

    def _line(self, url: str) -> SimLine:  # type: ignore[override]
        return SimLine(self._loop, lambda: self._opens(self))

    def lie(self, data: bytes) -> None:
        """A frame that the runtime's own code did not say."""
        if self._over is None:
            self._outbox.append(data)
            self._outbox_bytes += len(data)
            self._wake.set()

    async def send(self, data: bytes) -> None:
        """Hand one frame over."""
        if self._over is None:
            self._seen(data)
        await super().send(data)


class Exchange:
    """One request as an ASGI server hands it to the application."""

    def __init__(self, wire: HttpWire, body: bytes, seen: Callable[[bytes], None]) -> None:
        self._wire, self._body, self._seen = wire, body, seen
        self._gone = asyncio.Event()
        self._read = False
        self._status = 0
        self.scope = {"type": "http", "method": "POST", "client": ("10.0.0.1", 1)}

    def disconnect(self) -> None:
        """The client hung up."""
        self._gone.set()

    async def receive(self) -> dict[str, Any]:
        """ASGI."""
        if not self._read:
            self._read = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """ASGI. What nobody reads any more is dropped, as a server does."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            return
        answer = read_poll_answer(message["body"])
        if isinstance(answer, PollAnswer):
            for frame in answer.frames:
                self._seen(bytes(frame))
        if self._wire.server.closed is None and not isinstance(self._body, Copy):
            self._wire.send_down(b"%d %s" % (self._status, message["body"]))


async def serve(wire: HttpWire, app: App, seen: Callable[[bytes], None], start: Callable[[Any], None]) -> None:
    """One connection of the control plane's HTTP server, until it is closed. `start` runs one request."""
    exchanges: list[Exchange] = []
    while True:
        got = await wire.server.get()
        if isinstance(got, tuple):
            for exchange in exchanges:
                exchange.disconnect()
            return
        exchange = Exchange(wire, got, seen)
        exchanges = [*exchanges[-3:], exchange]
        start(app(exchange.scope, exchange.receive, exchange.send))
