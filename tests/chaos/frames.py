"""Frames that are none: invalid UTF-8, broken JSON, sizes beyond every limit, from a runtime that is enrolled.

It is closed or answered by the page (PROTOCOL.md §8), can come again, and nobody else notices.
"""

from __future__ import annotations

import base64
import os
import socket
import struct
from collections import Counter

from tests.chaos.stage import Stage, pause
from tests.end_to_end.client import Api
from tests.end_to_end.fleet import Fleet
from tests.foreign.loop import LoopThread
from tests.foreign.runtime import Runtime

MIB = 1 << 20
TEXT = 0x1
CLOSES_WITHIN_S = 30.0
NOT_TEXT = (b"\xff\xfe{}", b'{"type":"heartbeat","x":"\xc3\x28"}', b'{"type":"\xed\xa0\x80"}', b"\xf5" * 100)
NOT_A_FRAME = (
    b"",
    b"null",
    b"[" * 100_000,
    b'{"type":"output","type":"output"}',
    b'{"type":"\\ud800"}',
    b'{"type":"output","attempt":{"tool_call_id":"' + b"x" * 70 + b'","number":1}}',
    b'{"type":"started","attempt":' + b"9" * 400 + b"}",
    b"\x00\x1b[2J",
    b'{"type":"finished","attempt":{"tool_call_id":"tcl_x","number":99999999999999999999}}',
)


def frames(stage: Stage, rounds: int, rate: float) -> None:
    """A foreign runtime beside the real one sends all of them; the real one's prompts go on."""
    loop, api = LoopThread(), Api(stage.plane.url, stage.token)
    fleet = Fleet(loop, api)
    done: Counter[str] = Counter()
    try:
        with stage.load(rate):
            odd = fleet.runtime()
            for number in range(rounds):
                _not_text(odd, NOT_TEXT[number % len(NOT_TEXT)], done)
                if number % 4 == 0:
                    _too_long(odd, done)
            mark = odd.recording.mark()
            for data in NOT_A_FRAME:
                odd.say(data)
                done["no frame"] += 1
            answered = odd.recording.wait("problem", since=mark, timeout=CLOSES_WITHIN_S)
            stage.report.hold("frames that cannot be read are answered with their code", answered.frame["code"])
            for number in range(rounds):
                _raw(stage.plane.port, stage.dice.randbytes(stage.dice.choice((1, 60, 2000))))
                done["bytes that are no HTTP"] += 1
                if number % 4 == 0:
                    _half_a_handshake(stage.plane.port)
                    done["handshake left half"] += 1
            prompt = api.ask(api.open_session(odd.endpoint_id), {"tool": "shell", "arguments": {"command": "echo"}})
            found = api.wait_verdict(prompt, ("answered", "yes"), within=CLOSES_WITHIN_S)
            stage.report.hold("the one that sent them still works", found)
            stage.report.hold(
                "the control plane broke no rule towards it", not odd.recording.faults, str(odd.recording.faults)
            )
            pause(0.5)
    finally:
        fleet.close()
        api.close()
        loop.close()
    said = ", ".join(f"{count} × {kind}" for kind, count in sorted(done.items()))
    stage.report.did.append(said)


def _not_text(odd: Runtime, data: bytes, done: Counter[str]) -> None:
    """Closed with 1007, and let in again."""
    mark = odd.recording.mark()
    odd.say(data)
    closed = odd.recording.wait("closed", "note", since=mark, timeout=CLOSES_WITHIN_S)
    assert closed.frame["code"] == 1007, closed
    odd.recording.wait("welcome", since=mark, timeout=CLOSES_WITHIN_S)
    done["no UTF-8: closed with 1007"] += 1


def _too_long(odd: Runtime, done: Counter[str]) -> None:
    """Closed with 1009, and let in again."""
    mark = odd.recording.mark()
    odd.say('{"type":"output","data":"' + "x" * (4 * MIB) + '"}')
    closed = odd.recording.wait("closed", "note", since=mark, timeout=CLOSES_WITHIN_S)
    assert closed.frame["code"] in (1009, 1006, 0), closed  # the peer may be cut off while it still writes
    odd.recording.wait("welcome", since=mark, timeout=CLOSES_WITHIN_S)
    done["too long: closed with 1009"] += 1


def _raw(port: int, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(data)
        line.shutdown(socket.SHUT_WR)


def _half_a_handshake(port: int) -> None:
    """Upgraded, then a header that promises more than it brings; then gone."""
    key = base64.b64encode(os.urandom(16)).decode()
    asks = (
        f"GET /runtime/v1/connect HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: caisey.runtime.v1\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(asks.encode())
        assert line.recv(4096).startswith(b"HTTP/1.1 101"), "no upgrade"
        line.sendall(bytes([0x80 | TEXT, 0x80 | 127]) + struct.pack(">Q", 3 * MIB) + b"abcd" + b"{" * 100)
