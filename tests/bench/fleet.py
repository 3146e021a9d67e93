"""Many simulated runtimes in one process of their own: they answer every dispatch at once, and beat.

    python -m tests.bench.fleet URL COUNT < enrollment tokens, one a line

Prints `ready` when all are connected, then serves until it is ended. Signatures of the control plane are not checked
here: the generator must cost less than what it measures. Journals are counted up in memory.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import json
import os
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import connect

from caisey.core.canonical import canonical

HELLO_TOOLS = [{"name": "shell", "version": 1, "digest": "0" * 64}]
OUT = base64.b64encode(b"ok\n").decode()
SHA = hashlib.sha256(b"ok\n").hexdigest()
EMPTY = hashlib.sha256(b"").hexdigest()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Simulated:
    """One runtime."""

    def __init__(self, url: str, token: str, number: int) -> None:
        self.url, self.token, self.number = url, token, number
        self.key = Ed25519PrivateKey.generate()
        self.journal_id = f"jrn{number}x{os.urandom(6).hex()}"
        self.fingerprint = hashlib.sha256(self.journal_id.encode()).hexdigest()
        self.sequence = 0
        self.interval = 15.0
        self.beats = 0
        self.alive: set[tuple[str, int]] = set()

    def enroll(self) -> None:
        place = urlsplit(self.url)
        line = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
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
        line.request("POST", "/runtime/v1/enroll", json.dumps(body), {"Content-Type": "application/json"})
        answer = line.getresponse()
        said = json.loads(answer.read())
        assert answer.status == 201, said
        self.runtime_id, self.control_plane_key = said["runtime_id"], said["control_plane_key"]
        line.close()

    def signed(self, frame: dict[str, Any]) -> str:
        message = f"caisey-{frame['type']}-v1\n".encode() + canonical(frame)
        return json.dumps(frame | {"signature": b64(self.key.sign(message))})

    async def run(self, connected: asyncio.Semaphore) -> None:
        url = self.url.replace("http", "ws", 1) + "/runtime/v1/connect"
        async with connect(
            url,
            subprotocols=["caisey.runtime.v1"],
            compression=None,
            max_size=1 << 22,
            ping_interval=None,  # type: ignore[list-item]
        ) as socket:
            challenge = json.loads(await socket.recv())
            await socket.send(self.signed(self._hello(challenge)))
            welcome = json.loads(await socket.recv())
            assert welcome["type"] == "welcome", welcome
            self.interval = welcome["heartbeat_interval_ms"] / 1000
            connected.release()
            beating = asyncio.create_task(self._beat(socket))
            try:
                async for message in socket:
                    answer = self.answer(json.loads(message))
                    for frame in answer:
                        await socket.send(frame)
            finally:
                beating.cancel()

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

    async def _beat(self, socket: Any) -> None:
        while True:
            await asyncio.sleep(self.interval)
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
            await socket.send(json.dumps(beat))

    def answer(self, frame: dict[str, Any]) -> list[str]:
        """What this runtime says to a frame."""
        kind = frame["type"]
        if kind == "dispatch":
            return self._work(frame)
        if kind == "ping":
            pong = {"type": "pong", "id": frame["id"]}
            return [self.signed(pong | {"nonce": frame["nonce"]}) if frame.get("nonce") else json.dumps(pong)]
        if kind == "cadence":
            self.interval = frame["heartbeat_interval_ms"] / 1000
        return []

    def _work(self, frame: dict[str, Any]) -> list[str]:
        if "never" in frame["arguments"].get("command", ""):
            return []
        now = time.time_ns() // 1_000_000
        attempt = json.dumps(frame["attempt"])
        self.sequence += 3
        a, s, f = self.sequence - 2, self.sequence - 1, self.sequence
        ended = (
            f'{{"exit_code":0,"signal":null,"ended_by":"itself","tree_ended":true,"started_ms":{now},"ended_ms":{now},'
            f'"streams":{{"stdout":{{"bytes":3,"sha256":"{SHA}","blank":false,"truncated":false}},'
            f'"stderr":{{"bytes":0,"sha256":"{EMPTY}","blank":true,"truncated":false}}}}}}'
        )
        return [
            f'{{"type":"acknowledged","attempt":{attempt},"journal_sequence":{a}}}',
            f'{{"type":"started","attempt":{attempt},"journal_sequence":{s},"pid":7,"process_key":"7","process_started_ms":'
            f'{now},"user":"root","cwd":"/","interpreter":"/bin/sh"}}',
            f'{{"type":"output","attempt":{attempt},"stream":"stdout","offset":0,"data":"{OUT}"}}',
            f'{{"type":"finished","attempt":{attempt},"journal_sequence":{f},"execution":{ended},"changes":[]}}',
        ]


async def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    tokens = sys.stdin.read().split()
    fleet = [Simulated(url, tokens[i % len(tokens)], i) for i in range(count)]
    for runtime in fleet:
        runtime.enroll()
    connected = asyncio.Semaphore(0)
    tasks = []
    for runtime in fleet:
        tasks.append(asyncio.create_task(runtime.run(connected)))
        await connected.acquire()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    uvloop.run(main())
