"""One endpoint that says more than anybody can hear: a runtime by the page, which sends valid frames without a pause.

A program of its own (python -m tests.chaos.flooder URL KIND, the enrollment token on stdin), so that it takes the time
of its own process and not of whoever measures. Prints `floods` once it does, and `sent N` when it is told to end.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from tests.foreign.loop import LoopThread
from tests.foreign.runtime import Runtime
from tests.foreign.wire import dump, encode
from tests.foreign.work import Work

KINDS = ("heartbeats", "output", "progress", "strange statements", "1 MiB frames")
ROOM_BYTES = 1 << 20  # given to the kernel and not taken yet
CHUNK_BYTES = 64 * 1024
BIG_BYTES = (1 << 20) - 512
ENDPOINT = "FLOOD-1"

Frame = dict[str, Any]


class Flooder:
    """A foreign runtime, and what it says."""

    def __init__(self, url: str, kind: str, token: str) -> None:
        self.loop = LoopThread()
        self.kind = kind
        self.sent = 0
        self.ended = False
        self.runtime = Runtime(self.loop, url, tools=[{"name": "shell", "version": 1, "digest": "0" * 64}])
        self.runtime.machine.hostname = ENDPOINT
        self.runtime.manners.repeat = False
        self.runtime.script = self._script
        self.started: asyncio.Event | None = None
        self._work: Work | None = None
        self.runtime.enroll(token)
        self.runtime.connect()

    async def _script(self, work: Work) -> None:
        await work.start()
        self._work = work
        assert self.started is not None
        self.started.set()
        await asyncio.Event().wait()

    async def flood(self) -> None:
        """Until told to end. On a new connection where the former one was closed."""
        self.started = asyncio.Event()
        if self.kind in ("output", "progress"):
            _say("ask")
            await self.started.wait()
        _say("floods")
        for text in self._frames():
            data = _masked(text)
            while not self.ended and not self._room():  # noqa: ASYNC110  (the kernel tells nobody)
                await asyncio.sleep(0.002)
            if self.ended:
                return
            self._transport().write(data)
            self.sent += 1
            if self.sent % 32 == 0:
                await asyncio.sleep(0)

    def _transport(self) -> asyncio.Transport:
        return self.runtime.links[-1].bridge.socket.transport  # type: ignore[attr-defined]

    def _room(self) -> bool:
        links = [link for link in self.runtime.links if link.live]
        return bool(links) and self._transport().get_write_buffer_size() < ROOM_BYTES

    def _frames(self) -> Iterator[str]:
        makes: dict[str, Callable[[int], Frame | str]] = {
            "heartbeats": self._heartbeat,
            "output": self._output,
            "progress": self._progress,
            "strange statements": self._statement,
            "1 MiB frames": self._big,
        }
        for number in count():
            made = makes[self.kind](number)
            yield made if isinstance(made, str) else dump(made)

    def _heartbeat(self, number: int) -> Frame:
        return self.runtime.links[-1]._heartbeat() | {"sequence": 1000 + number}

    def _about(self) -> Frame:
        assert self._work is not None
        return {"tool_call_id": self._work.attempt[0], "number": self._work.attempt[1]}

    def _output(self, number: int) -> str:
        self._chunk = getattr(self, "_chunk", encode(os.urandom(CHUNK_BYTES)))
        head = json.dumps(
            {"type": "output", "attempt": self._about(), "stream": "stdout", "offset": number * CHUNK_BYTES}
        )
        return f'{head[:-1]},"data":"{self._chunk}"}}'

    def _progress(self, number: int) -> Frame:
        fields = {"cpu_ms": number, "bytes": {"stdout": 0}, "last_output_ms": None, "waiting_for_input": False}
        return {"type": "progress", "attempt": self._about(), **fields}

    def _statement(self, number: int) -> Frame:
        return {
            "type": "statement",
            "attempt": {"tool_call_id": f"tcl_strange{number % 5000}", "number": 1},
            "state": "process_gone",
            "journal_id": self.runtime.journal.journal_id,
            "journal_sequence": self.runtime.journal.sequence,
        }

    def _big(self, number: int) -> str:
        """A heartbeat with a field that nobody knows, as long as a frame may be."""
        self._filler = getattr(self, "_filler", "x" * BIG_BYTES)
        return f'{dump(self._heartbeat(number))[:-1]},"unknown":"{self._filler[: BIG_BYTES - 1024]}"}}'


def _masked(text: str) -> bytes:
    """One text message. The mask is zero: to mask is the client's affair, and costs it time that it floods with."""
    data = text.encode()
    size = len(data)
    if size < 126:
        head = bytes([0x81, 0x80 | size])
    elif size < 1 << 16:
        head = bytes([0x81, 0x80 | 126]) + struct.pack(">H", size)
    else:
        head = bytes([0x81, 0x80 | 127]) + struct.pack(">Q", size)
    return head + b"\0\0\0\0" + data


def _say(line: str) -> None:
    """To whoever started it."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Until SIGTERM."""
    url, kind = sys.argv[1:3]
    flooder = Flooder(url, kind, sys.stdin.readline().strip())
    _say(f"endpoint {flooder.runtime.endpoint_id}")

    def end(*_: object) -> None:
        flooder.ended = True

    signal.signal(signal.SIGTERM, end)
    work = asyncio.run_coroutine_threadsafe(flooder.flood(), flooder.loop.loop)
    while not work.done() and not flooder.ended:
        signal.pause()
    work.result(20)
    _say(f"sent {flooder.sent}")
    flooder.runtime.die()
    flooder.loop.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
