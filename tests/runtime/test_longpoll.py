"""The long poll of a real runtime against a control plane that speaks HTTP and loses answers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from caisey.protocol import limits
from caisey.protocol.codec import Received, decode_from_runtime, encode
from caisey.protocol.frames import Challenge, Finished, Heartbeat, HeartbeatAck, Hello, Output, Welcome
from caisey.protocol.longpoll import PollAnswer, PollRequest, encode_poll, raw_frames, read_poll_request
from caisey.protocol.signatures import sign, verify
from tests.runtime.conftest import awaited
from tests.runtime.endpoint import endpoint
from tests.runtime.plane import PATIENCE_S, Link, Plane


class PollingPlane(Plane):
    """One runtime's long poll, by the letter: rising numbers, the same answer again, a new poll ends a waiting one."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []
        self.polls: list[PollRequest] = []
        self.outgoing: list[bytes] = []
        self.answers: dict[int, bytes] = {}
        self.lose_answers = 0
        self.status = 200
        self._nonce = os.urandom(32)
        self._news = asyncio.Condition()
        self._newest = 0
        self.hello: Hello | None = None

    async def post(self, body: bytes) -> tuple[int, bytes | None]:
        poll = read_poll_request(body)
        assert isinstance(poll, PollRequest), poll
        self.polls.append(poll)
        if poll.connection is not None and poll.sequence in self.answers:
            return self.status, self.answers[poll.sequence]
        if poll.connection is None:
            self.hello, self.outgoing, self.answers = None, [], {}
            self.say(Challenge(nonce=self._nonce, server_time_ms=0, protocols=limits.SUPPORTED_PROTOCOLS))
        async with self._news:
            self._newest = poll.sequence
            for raw in poll.frames:
                self._hear(bytes(raw))
            self._news.notify_all()
            await self._news.wait_for(lambda: self.outgoing or self._newest > poll.sequence)
        frames, self.outgoing = self.outgoing, []
        answer = encode_poll(
            PollAnswer(connection="secret", sequence=poll.sequence, received=poll.sequence, frames=raw_frames(frames))
        )
        self.answers[poll.sequence] = answer
        if self.lose_answers:
            self.lose_answers -= 1
            return self.status, None
        return self.status, answer

    async def close(self) -> None:
        """End the poll that waits."""
        async with self._news:
            self._newest = 1 << 60
            self._news.notify_all()

    def say(self, frame: Any) -> None:
        self.outgoing.append(encode(frame))

    async def tell(self, frame: Any) -> None:
        async with self._news:
            self.say(frame)
            self._news.notify_all()

    def _hear(self, data: bytes) -> None:
        received = decode_from_runtime(data)
        assert isinstance(received, Received), received
        frame = received.frame
        self.heard.append(frame)
        if isinstance(frame, Hello):
            assert verify(received.document, "hello", self.runtimes[frame.runtime_id])
            self.hello = frame
            welcome = Welcome(
                connection="con_1", mode="work", heartbeat_interval_ms=15_000, output_chunk_bytes=65536, confirm=(),
                nonce=frame.nonce, runtime_id=frame.runtime_id, incarnation=frame.incarnation,
            )  # fmt: skip
            self.say(sign(welcome, self.key))
        elif isinstance(frame, Heartbeat):
            self.say(HeartbeatAck(sequence=frame.sequence, server_time_ms=0))

    async def wait_for(self, kind: type) -> Any:
        def found() -> list[Any]:
            return [frame for frame in self.heard if isinstance(frame, kind)]

        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(found)
            return found()[0]


@asynccontextmanager
async def polling_plane() -> AsyncIterator[PollingPlane]:
    plane = PollingPlane()

    serving: set[asyncio.Task[Any] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                if not head.startswith(b"post /runtime/v1/poll "):
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
                status, answer = await plane.post(body)
                if answer is None:
                    break
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(answer)) + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            serving.discard(asyncio.current_task())

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    plane.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield plane
    finally:
        server.close()
        await plane.close()
        while serving:
            await asyncio.wait({task for task in serving if task is not None})


@awaited
async def test_work_over_a_long_poll(tmp_path: Path) -> None:
    async with polling_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        await made.start(bridge="longpoll")
        await plane.wait_for(Heartbeat)
        assert plane.hello is not None
        assert plane.hello.bridge == "longpoll"
        link = Link(plane, None, plane.hello)  # type: ignore[arg-type]
        plane.lose_answers = 2
        frame = link.dispatch_frame("tcl_1", command="echo some; head -c 3000000 /dev/zero")
        await plane.tell(sign(frame, plane.key))
        finished = await plane.wait_for(Finished)
        assert finished.execution.exit_code == 0
        chunks = [frame for frame in plane.heard if isinstance(frame, Output)]
        assert [chunk.offset for chunk in chunks] == sorted({chunk.offset for chunk in chunks})
        assert sum(len(chunk.data) for chunk in chunks) == 3_000_005
        numbers = [poll.sequence for poll in plane.polls]
        assert sorted(set(numbers)) == list(range(1, max(numbers) + 1))
        assert len([frame for frame in plane.heard if isinstance(frame, Finished)]) == 1
        assert await made.terminate() == 0


@awaited
async def test_where_websockets_are_broken_the_long_poll_is_found(tmp_path: Path) -> None:
    async with polling_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        await made.start(bridge="auto")
        await plane.wait_for(Heartbeat)
        assert plane.hello is not None
        assert plane.hello.bridge == "longpoll"
        assert await made.terminate() == 0


@awaited
async def test_a_control_plane_that_forgot_the_connection(tmp_path: Path) -> None:
    async with polling_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        await made.start(bridge="longpoll")
        first = await plane.wait_for(Hello)
        await plane.wait_for(Heartbeat)
        plane.status = 404
        plane.heard.clear()
        await plane.tell(HeartbeatAck(sequence=1, server_time_ms=0))
        async with asyncio.timeout(PATIENCE_S), plane._news:
            await plane._news.wait_for(lambda: plane.polls[-1].connection is None)
        plane.status = 200
        again = await plane.wait_for(Hello)
        assert again.incarnation == first.incarnation
        assert msgspec.structs.asdict(again)["start_number"] == first.start_number
