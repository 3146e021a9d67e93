"""The entrance of runtimes over plain HTTP: `POST /runtime/v1/poll` (PROTOCOL.md §1), where WebSockets break.

Owns the counting that makes a row of requests a reliable bridge: each poll is taken once and answered once, the same
number gets the same answer again, and what was not received is sent again. Knows nothing of what a frame means.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple

import msgspec

from caisey.api import fair_share
from caisey.api.fair_share import FairShare
from caisey.api.problem import MEDIA_TYPE, document_of, shape_fault
from caisey.control.arrivals import Refusal
from caisey.control.connections import Connection
from caisey.control.hub import Hub
from caisey.control.reception import Opening
from caisey.core.errors import Fault
from caisey.protocol import limits
from caisey.protocol.bodies import BodyFault
from caisey.protocol.longpoll import POLL_PATH, PollAnswer, PollRequest, encode_poll, raw_frames, read_poll_request

__all__ = ["POLL_PATH", "RuntimePoll"]

REPLIES_KEPT: Final = 8  # for polls that come again
NUMBERS_KEPT: Final = 256  # of polls that were taken
OUT_OF_ORDER_S: Final = 2.0  # how long a poll waits for one that it overtook
AWAY_MS: Final = 30_000  # without a poll for so long, the bridge is closed
BROKEN_OFF_MS: Final = 5_000  # the same, after a waiting poll was broken off
ANSWER_BYTES: Final = 3 << 20
OUTBOX_BYTES: Final = 16 << 20
NO_CLOSE_FRAME: Final = 1006

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Reply(NamedTuple):
    """What one poll is answered, without the secret: that comes with each poll, and is kept as its hash only."""

    sequence: int
    received: int
    frames: tuple[bytes, ...]

    def spelled(self, secret: str) -> bytes:
        """As it goes out."""
        frames = raw_frames(self.frames)
        return encode_poll(PollAnswer(connection=secret, sequence=self.sequence, received=self.received, frames=frames))


class Waiting(NamedTuple):
    """A poll that is answered when there is something to say, when time is up, or when a newer one comes."""

    sequence: int
    reply: asyncio.Future[Reply]


class PollBridge:
    """One connection of polls, as the hub uses it."""

    kind = "longpoll"

    def __init__(self, key: bytes, opening: Opening, now_ms: int, share: FairShare) -> None:
        self.key = key  # the hash of its secret
        self.share = share
        self.opening: Opening | None = opening
        self.connection: Connection | None = None
        self.away_ms: int | None = now_ms + limits.HANDSHAKE_MS  # None while a poll waits
        self.closing: tuple[int, str] | None = None
        self.taking = asyncio.Lock()
        self.waiting: Waiting | None = None
        self.last = -1  # the highest poll that was taken
        self.taken: OrderedDict[int, None] = OrderedDict()
        self.early: dict[int, asyncio.Future[None]] = {}
        self._replies: OrderedDict[int, Reply] = OrderedDict()
        self._outbox: deque[tuple[bytes, Callable[[], None] | None]] = deque()
        self._size = 0
        self._unheard: deque[tuple[int, list[bytes]]] = deque()  # answers whose receipt is not known

    # -- as a bridge -------------------------------------------------------------------------------------------------

    def send(self, data: bytes, handed: Callable[[], None] | None = None) -> None:
        """See `control.connections.Bridge`."""
        if self.closing is not None:
            return
        self._outbox.append((data, handed))
        self._size += len(data)
        if self._size > OUTBOX_BYTES:
            self._outbox.clear()
            self.close(limits.CLOSE_FAULTS, "it does not read")
        elif self.waiting is not None:
            asyncio.get_running_loop().call_soon(self.answer_waiting)

    def close(self, code: int, reason: str) -> None:
        """See `control.connections.Bridge`. What is queued is still answered."""
        if self.closing is None:
            self.closing = (code, reason)
            if self.waiting is not None:
                asyncio.get_running_loop().call_soon(self.answer_waiting)

    # -- answers -----------------------------------------------------------------------------------------------------

    @property
    def has_frames(self) -> bool:
        """Whether there is something to say, again or for the first time."""
        return bool(self._outbox or self._unheard)

    def known_reply(self, sequence: int) -> Reply | None:
        """What was answered to that poll."""
        return self._replies.get(sequence)

    def heard(self, received: int) -> None:
        """The runtime has all answers up to this one."""
        while self._unheard and self._unheard[0][0] <= received:
            self._unheard.popleft()

    def answer_waiting(self) -> None:
        """The poll that waits is answered with what there is, also if that is nothing."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None and not waiting.reply.done():
            waiting.reply.set_result(self.reply(waiting.sequence))

    def wait(self, sequence: int) -> Waiting:
        """This poll is answered later."""
        self.waiting = Waiting(sequence, asyncio.get_running_loop().create_future())
        self.away_ms = None
        return self.waiting

    def waits_no_more(self, waiting: Waiting, away_ms: int) -> None:
        """The poll has ended. Unless a newer one waits, the next has to come until `away_ms`."""
        if self.waiting is waiting:
            self.waiting = None
        if self.waiting is None:
            self.away_ms = away_ms

    def empty_reply(self, sequence: int) -> Reply:
        """The answer to a poll that a newer one has overtaken: what there is to say goes to that one."""
        return Reply(sequence, self.last, ())

    def reply(self, sequence: int) -> Reply:
        """The answer to this poll: what was not received, and what is new."""
        frames = [frame for _, again in self._unheard for frame in again]
        self._unheard.clear()
        size = sum(map(len, frames))
        while self._outbox and len(frames) < limits.POLL_FRAMES:
            data, handed = self._outbox[0]
            if frames and size + len(data) > ANSWER_BYTES:
                break
            self._outbox.popleft()
            size += len(data)
            self._size -= len(data)
            frames.append(data)
            if handed is not None:
                handed()
        if frames:
            self._unheard.append((sequence, frames))
        reply = self._replies[sequence] = Reply(sequence, self.last, tuple(frames))
        if len(self._replies) > REPLIES_KEPT:
            self._replies.popitem(last=False)
        return reply

    def take_number(self, sequence: int) -> None:
        """This poll's frames are taken now, once."""
        self.taken[sequence] = None
        if len(self.taken) > NUMBERS_KEPT:
            self.taken.popitem(last=False)
        self.last = max(self.last, sequence)
        follower = self.early.pop(sequence + 1, None)
        if follower is not None and not follower.done():
            follower.set_result(None)


class RuntimePoll:
    """The ASGI application behind `POLL_PATH`."""

    def __init__(
        self,
        hub: Hub,
        random_bytes: Callable[[int], bytes],
        monotonic_ms: Callable[[], int],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hub = hub
        self._random = random_bytes
        self._monotonic_ms = monotonic_ms
        self._seconds = seconds  # what a frame took
        self._bridges: dict[bytes, PollBridge] = {}  # by the hash of the secret
        hub.also(self._sweep)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One poll."""
        try:
            if scope["method"] != "POST":
                raise Fault("request.method_not_allowed")
            body = read_poll_request(await _body(receive))
            if isinstance(body, BodyFault):
                code = "request.invalid_shape" if body.readable else "request.invalid_json"
                raise shape_fault(code, body.errors)
            if body.connection is None:
                secret = base64.urlsafe_b64encode(self._random(limits.CONNECTION_SECRET_BYTES)).decode().rstrip("=")
                reply: Reply | None = self._begin(scope, body, secret)
            else:
                secret = body.connection
                reply = await self._go_on(body, secret, receive)
        except Fault as fault:
            await _respond(send, fault.status, msgspec.json.encode(document_of(fault)), MEDIA_TYPE)
            return
        if reply is not None:
            await _respond(send, 200, reply.spelled(secret), "application/json")

    # -- the first poll ----------------------------------------------------------------------------------------------

    def _begin(self, scope: MutableMapping[str, Any], body: PollRequest, secret: str) -> Reply:
        opening = self._hub.knock(scope["client"][0] if scope.get("client") else "")
        if opening is None:
            raise Fault("request.rate_limited")
        bridge = PollBridge(_hash(secret), opening, self._monotonic_ms(), FairShare(self._seconds))
        self._bridges[bridge.key] = bridge
        bridge.send(opening.challenge)
        bridge.take_number(body.sequence)
        return bridge.reply(body.sequence)

    # -- the others --------------------------------------------------------------------------------------------------

    async def _go_on(self, body: PollRequest, secret: str, receive: Receive) -> Reply | None:
        bridge = self._bridges.get(_hash(secret))
        if bridge is None:
            raise Fault("connection.ended")
        known = bridge.known_reply(body.sequence)
        if known is not None:
            return known
        bridge.heard(body.received)
        if bridge.closing is not None and not bridge.has_frames:
            self._end(bridge)
            raise _ended(bridge.closing)
        if body.sequence > bridge.last + 1:
            await _in_order(bridge, body.sequence)
        bridge.answer_waiting()
        if body.sequence not in bridge.taken:
            if body.sequence < bridge.last - NUMBERS_KEPT:
                raise Fault("connection.poll_too_old")
            bridge.take_number(body.sequence)
            await self._take(bridge, body, secret)
        return await self._reply(bridge, body.sequence, receive)

    async def _take(self, bridge: PollBridge, body: PollRequest, secret: str) -> None:
        """Its frames, after those of the polls before it."""
        async with bridge.taking:
            for raw in body.frames:
                data = bytes(raw)
                if bridge.closing is not None:
                    return
                if bridge.connection is not None:
                    await fair_share.receive(bridge.share, self._hub, bridge.connection, data)
                elif bridge.opening is not None:
                    await self._hello(bridge, bridge.opening, data, secret)

    async def _hello(self, bridge: PollBridge, opening: Opening, data: bytes, secret: str) -> None:
        bridge.opening = None
        try:
            outcome = await opening.answer(data, bridge, secret)
        finally:
            opening.end()
        if isinstance(outcome, Refusal):
            bridge.send(outcome.frame)
            bridge.close(outcome.close_code, outcome.code)
        else:
            bridge.connection = outcome

    async def _reply(self, bridge: PollBridge, sequence: int, receive: Receive) -> Reply | None:
        """At once if there is something to say or this is not the newest poll; else when there is, or time is up."""
        known = bridge.known_reply(sequence)  # it came again while it waited
        if known is not None:
            return known
        if sequence < bridge.last:
            return bridge.empty_reply(sequence)
        if bridge.has_frames or bridge.closing is not None:
            bridge.away_ms = self._monotonic_ms() + AWAY_MS
            return bridge.reply(sequence)
        waiting = bridge.wait(sequence)
        broken_off = asyncio.ensure_future(_until_disconnect(receive))
        either: set[asyncio.Future[Any]] = {waiting.reply, broken_off}
        try:
            await asyncio.wait(either, timeout=limits.POLL_WAIT_MS / 1000, return_when=asyncio.FIRST_COMPLETED)
        finally:
            broken_off.cancel()
        gone = broken_off.done() and not broken_off.cancelled() and not waiting.reply.done()
        if not gone and bridge.waiting is waiting:
            bridge.answer_waiting()  # time is up
        bridge.waits_no_more(waiting, self._monotonic_ms() + (BROKEN_OFF_MS if gone else AWAY_MS))
        return None if gone else waiting.reply.result()  # nobody reads an answer; the same number may come again

    # -- ends --------------------------------------------------------------------------------------------------------

    def _sweep(self, now_ms: int) -> None:
        """Bridges that nobody polls any more are closed."""
        for bridge in [b for b in self._bridges.values() if b.away_ms is not None and b.away_ms <= now_ms]:
            self._end(bridge)

    def _end(self, bridge: PollBridge) -> None:
        self._bridges.pop(bridge.key, None)
        if bridge.opening is not None:
            bridge.opening.end()
        if bridge.closing is None:
            bridge.closing = (NO_CLOSE_FRAME, "no poll")
        bridge.answer_waiting()
        if bridge.connection is not None:
            self._hub.closed(bridge.connection, *bridge.closing)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def _ended(closing: tuple[int, str]) -> Fault:
    return Fault("connection.ended", close_code=closing[0], reason=closing[1])


async def _in_order(bridge: PollBridge, sequence: int) -> None:
    """Requests overtake each other on their way: wait a little for the one before. It may also never come."""
    turn = bridge.early.setdefault(sequence, asyncio.get_running_loop().create_future())
    await asyncio.wait({turn}, timeout=OUT_OF_ORDER_S)
    bridge.early.pop(sequence, None)


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Fault("request.invalid_json", "The request was broken off.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limits.MESSAGE_BYTES:
            raise Fault("request.too_large")
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _respond(send: Send, status: int, body: bytes, media_type: str) -> None:
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
