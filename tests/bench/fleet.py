"""Many simulated runtimes in one process of their own: they answer every dispatch at once, and beat.

    python -m tests.bench.fleet URL COUNT [FIRST] < enrollment tokens, one a line

Prints `ready` when all are connected, then serves until it is ended; each further line is one that lost its connection.
Signatures of the control plane are not checked here: the generator must cost less than what it measures. Journals are
counted up in memory.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.core.canonical import canonical
from tests.bench.wire import Connection, Socket

HELLO_TOOLS = [{"name": "shell", "version": 1, "digest": "0" * 64}]
OUT = base64.b64encode(b"ok\n").decode()
SHA = hashlib.sha256(b"ok\n").hexdigest()
EMPTY = hashlib.sha256(b"").hexdigest()
AT_ONCE = 8
"""How many connect side by side: a fleet that comes back at once is another figure than an idle one."""

_encode = msgspec.json.encode
_decode = msgspec.json.decode


class Reference(msgspec.Struct):
    """Which attempt a frame is about."""

    tool_call_id: str
    number: int


class Frame(msgspec.Struct):
    """The fields that a simulated runtime looks at."""

    type: str
    attempt: Reference | None = None
    arguments: dict[str, Any] = {}
    id: str = ""
    nonce: str | None = None
    heartbeat_interval_ms: int = 0


_read = msgspec.json.Decoder(Frame).decode


def b64(data: bytes) -> str:
    """Bytes as frames spell them."""
    return base64.b64encode(data).decode()


class Simulated:
    """One runtime."""

    def __init__(self, url: str, token: str, number: int) -> None:
        place = urlsplit(url)
        self.host, self.port = place.hostname or "", place.port or 80
        self.token, self.number = token, number
        self.key = Ed25519PrivateKey.generate()
        self.journal_id = f"jrn{number}x{os.urandom(6).hex()}"
        self.fingerprint = hashlib.sha256(self.journal_id.encode()).hexdigest()
        self.sequence = 0
        self.interval = 15.0
        self.beats = 0
        self.said: asyncio.Queue[bytes] | None = asyncio.Queue()  # until it is welcome
        self.socket: Socket | None = None
        self.beating: asyncio.TimerHandle | None = None

    async def enroll(self, line: Connection) -> None:
        """With the token, as a runtime does."""
        body = {
            "token": self.token,
            "public_key": b64(self.key.public_key().public_bytes_raw()),
            "runtime_version": "0.1.0",
            "journal_id": self.journal_id,
            "endpoint": {
                "hostname": f"SIM-{self.number}",
                "os": "linux",
                "os_version": "Debian 12",
                "arch": "x86_64",
                "machine_fingerprint": self.fingerprint,
                "boot_id": f"boot{self.number}",
            },
        }
        status, said = await line.request("POST", "/runtime/v1/enroll", body)
        assert status == 201, said
        self.runtime_id, self.control_plane_key = said["runtime_id"], said["control_plane_key"]

    async def connect(self) -> None:
        """Returns when it is welcome."""
        assert self.said is not None
        self.socket = Socket(self.hear)
        await self.socket.open(self.host, self.port, "/runtime/v1/connect", "caisey.runtime.v1")
        challenge = _decode(await self.said.get())
        self.socket.send(self.signed(self._hello(challenge)))
        welcome = _decode(await self.said.get())
        assert welcome["type"] == "welcome", welcome
        self.interval = welcome["heartbeat_interval_ms"] / 1000
        self.said = None
        self.beating = asyncio.get_running_loop().call_later(self.interval, self._beat)
        self.socket.gone.add_done_callback(lambda _: sys.stdout.write(f"{self.number}\n"))

    def hear(self, message: bytes) -> None:
        """One frame."""
        if self.said is not None:
            self.said.put_nowait(message)
            return
        assert self.socket is not None
        frame = _read(message)
        if frame.type == "dispatch":
            self._work(frame)
        elif frame.type == "ping":
            pong = {"type": "pong", "id": frame.id}
            self.socket.send(self.signed(pong | {"nonce": frame.nonce}) if frame.nonce else _encode(pong))
        elif frame.type == "cadence":
            self.interval = frame.heartbeat_interval_ms / 1000
            if self.beating is not None:
                self.beating.cancel()
            self._beat()

    def signed(self, frame: dict[str, Any]) -> bytes:
        """The frame as it goes out."""
        message = f"caisey-{frame['type']}-v1\n".encode() + canonical(frame)
        return _encode(frame | {"signature": b64(self.key.sign(message))})

    def _hello(self, challenge: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "hello",
            "protocol": 1,
            "challenge": challenge["nonce"],
            "nonce": b64(os.urandom(32)),
            "control_plane_key": self.control_plane_key,
            "runtime_id": self.runtime_id,
            "incarnation": f"inc{os.urandom(8).hex()}",
            "start_number": 1,
            "boot_id": f"boot{self.number}",
            "journal_id": self.journal_id,
            "journal_sequence": self.sequence,
            "machine_fingerprint": self.fingerprint,
            "runtime_version": "0.1.0",
            "bridge": "websocket",
            "time_ms": time.time_ns() // 1_000_000,
            "tools": HELLO_TOOLS,
            "statements": [],
            "more": False,
        }

    def _beat(self) -> None:
        assert self.socket is not None
        if self.socket.gone.done():
            return
        self.beats += 1
        beat = {
            "type": "heartbeat",
            "sequence": self.beats,
            "time_ms": time.time_ns() // 1_000_000,
            "monotonic_ms": time.monotonic_ns() // 1_000_000,
            "interval_ms": int(self.interval * 1000),
            "journal_sequence": self.sequence,
            "accepting": True,
            "in_flight": [],
            "load": {"cpu_percent": 1, "rss_bytes": 1},
            "slept_ms": 0,
        }
        self.socket.send(_encode(beat))
        self.beating = asyncio.get_running_loop().call_later(self.interval, self._beat)

    def _work(self, frame: Frame) -> None:
        assert self.socket is not None
        assert frame.attempt is not None
        if "never" in frame.arguments.get("command", ""):
            return  # lost on the way
        now = time.time_ns() // 1_000_000
        attempt = f'{{"tool_call_id":"{frame.attempt.tool_call_id}","number":{frame.attempt.number}}}'
        self.sequence += 3
        a, s, f = self.sequence - 2, self.sequence - 1, self.sequence
        ended = (
            f'{{"exit_code":0,"signal":null,"ended_by":"itself","tree_ended":true,"started_ms":{now},"ended_ms":{now},'
            f'"streams":{{"stdout":{{"bytes":3,"sha256":"{SHA}","blank":false,"truncated":false}},'
            f'"stderr":{{"bytes":0,"sha256":"{EMPTY}","blank":true,"truncated":false}}}}}}'
        )
        self.socket.send(
            f'{{"type":"acknowledged","attempt":{attempt},"journal_sequence":{a}}}'.encode(),
            f'{{"type":"started","attempt":{attempt},"journal_sequence":{s},"pid":7,"process_key":"7",'
            f'"process_started_ms":{now},"user":"root","cwd":"/","interpreter":"/bin/sh"}}'.encode(),
            f'{{"type":"output","attempt":{attempt},"stream":"stdout","offset":0,"data":"{OUT}"}}'.encode(),
            f'{{"type":"finished","attempt":{attempt},"journal_sequence":{f},"execution":{ended},"changes":[]}}'.encode(),
        )


async def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    tokens = sys.stdin.read().split()
    fleet = [Simulated(url, tokens[i % len(tokens)], first + i) for i in range(count)]
    place = urlsplit(url)
    rest = iter(fleet)

    async def some() -> None:
        line = Connection(place.hostname or "", place.port or 80, "none")
        for runtime in rest:
            await runtime.enroll(line)
            await runtime.connect()
        line.close()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
