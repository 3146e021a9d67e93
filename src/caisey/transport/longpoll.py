"""The client end of `POST /runtime/v1/poll`, for networks that break WebSockets (PROTOCOL.md §1).

Owns the numbers of the polls and the two HTTP connections: one poll waits, and a frame to send starts the next, which
ends the waiting one at once. Never logs or shows the connection secret. A poll whose answer was lost is sent again with
the same number, so that nothing is lost or doubled.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from caisey.protocol import limits
from caisey.protocol.bodies import BodyFault
from caisey.protocol.fields import BridgeKind
from caisey.protocol.longpoll import POLL_PATH, PollAnswer, PollRequest, encode_poll, raw_frames, read_poll_answer
from caisey.transport.addresses import http_url
from caisey.transport.bridge import BridgeClosedError
from caisey.transport.http import HttpConnection

TIMEOUT_S: Final = limits.POLL_WAIT_MS / 1000 + 10
RETRIES_S: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Waits between tries of the same poll. After the last one the bridge is over."""
BATCH_BYTES: Final = limits.MIB
OK: Final = 200


class LongPollBridge:
    """Polls without end, from `start` to `close`."""

    kind: BridgeKind = "longpoll"

    def __init__(self, url: str) -> None:
        self._idle = [self._line(url), self._line(url)]
        self._lines = list(self._idle)
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="longpoll")
        self._secret: str | None = None
        self._sequence = 0
        self._received = 0
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._room = asyncio.Event()
        self._wake = asyncio.Event()
        self._inbox: asyncio.Queue[bytes | BridgeClosedError] = asyncio.Queue()
        self._over: BridgeClosedError | None = None
        self._task: asyncio.Task[None] | None = None
        self._polls: set[asyncio.Task[PollAnswer]] = set()

    @staticmethod
    def _line(url: str) -> HttpConnection:
        return HttpConnection(url, timeout_s=TIMEOUT_S, body_limit=limits.MESSAGE_BYTES)

    async def start(self) -> None:
        """Poll for the first time, and raise `BridgeClosedError` where nobody answers."""
        self._take(await self._poll(self._next_body(), retries=()))
        self._task = asyncio.create_task(self._run())

    async def send(self, data: bytes) -> None:
        while self._outbox_bytes >= BATCH_BYTES and self._over is None:
            self._room.clear()
            await self._room.wait()
        if self._over is not None:
            raise self._over
        self._outbox.append(data)
        self._outbox_bytes += len(data)
        self._wake.set()

    async def receive(self) -> bytes | str:
        if self._over is not None and self._inbox.empty():
            raise self._over
        found = await self._inbox.get()
        if isinstance(found, BridgeClosedError):
            raise found
        return found

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send what is still in the outbox, if that is quick, and hang up: a long poll has no closing word."""
        if self._over is None and self._outbox:
            with contextlib.suppress(TimeoutError, BridgeClosedError):
                async with asyncio.timeout(1.0):
                    while self._outbox:
                        self._room.clear()
                        await self._room.wait()
        self._end(BridgeClosedError(code, reason))

    def _end(self, over: BridgeClosedError) -> None:
        if self._over is not None:
            return
        self._over = over
        self._inbox.put_nowait(over)
        self._room.set()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        for poll in self._polls:
            poll.cancel()
        for line in self._lines:
            line.abort()
        self._threads.shutdown(wait=False)

    async def _run(self) -> None:
        waiting: asyncio.Task[PollAnswer] | None = None
        try:
            while True:
                self._wake.clear()
                poll = asyncio.create_task(self._poll(self._next_body(), RETRIES_S))
                self._polls.add(poll)
                poll.add_done_callback(self._forget)
                if waiting is not None:
                    self._take(await waiting)
                waiting = poll
                wake = asyncio.create_task(self._wake.wait())
                try:
                    await asyncio.wait({poll, wake}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    wake.cancel()
                if poll.done():
                    self._take(await poll)
                    waiting = None
        except BridgeClosedError as over:
            self._end(over)
        finally:
            for poll in self._polls:
                poll.cancel()

    def _forget(self, poll: asyncio.Task[PollAnswer]) -> None:
        """It is over. Whoever waited for it is told; one that nobody waits for any more may fail unheard."""
        self._polls.discard(poll)
        if not poll.cancelled():
            poll.exception()

    def _next_body(self) -> bytes:
        frames: list[bytes] = []
        size = 0
        while (
            self._outbox
            and len(frames) < limits.POLL_FRAMES
            and (not frames or size + len(self._outbox[0]) <= BATCH_BYTES)
        ):
            frames.append(self._outbox.popleft())
            size += len(frames[-1])
        self._outbox_bytes -= size
        if self._outbox:
            self._wake.set()
        self._room.set()
        self._sequence += 1
        request = PollRequest(
            connection=self._secret, sequence=self._sequence, received=self._received, frames=raw_frames(frames)
        )
        return encode_poll(request)

    async def _poll(self, body: bytes, retries: tuple[float, ...]) -> PollAnswer:
        line = self._idle.pop()
        loop = asyncio.get_running_loop()
        try:
            for wait_s in (*retries, None):
                if self._over is not None:
                    raise self._over
                try:
                    answer = await loop.run_in_executor(self._threads, line.post, body)
                except (OSError, http.client.HTTPException) as error:
                    if wait_s is None or self._over is not None:
                        raise BridgeClosedError(None, f"{type(error).__name__}: {error}") from error
                    await asyncio.sleep(wait_s)
                else:
                    return _read(answer.status, answer.body)
        finally:
            self._idle.append(line)
        raise BridgeClosedError(None, "no answer")

    def _take(self, answer: PollAnswer) -> None:
        self._secret = answer.connection
        self._received = max(self._received, answer.sequence)
        for frame in answer.frames:
            self._inbox.put_nowait(bytes(frame))


def _read(status: int, body: bytes) -> PollAnswer:
    if status != OK:
        raise BridgeClosedError(None, f"HTTP {status}")
    answer = read_poll_answer(body)
    if isinstance(answer, BodyFault):
        raise BridgeClosedError(None, "the answer to a poll cannot be read")
    return answer


class LongPollConnector:
    """Opens long polls to one control plane."""

    kind: BridgeKind = "longpoll"

    def __init__(self, url: str, *, insecure_http: bool = False) -> None:
        self._url = http_url(url, POLL_PATH, insecure_http=insecure_http)

    async def connect(self) -> LongPollBridge:
        bridge = LongPollBridge(self._url)
        try:
            await bridge.start()
        except BridgeClosedError:
            await bridge.close()
            raise
        return bridge
