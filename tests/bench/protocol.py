"""What a frame costs: read, refused, signed, verified. Prints microseconds; `python -m tests.bench.protocol`."""

from __future__ import annotations

import json
import timeit
from collections.abc import Callable
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.protocol import frames
from caisey.protocol.codec import Received, decode_from_control_plane, decode_from_runtime, encode
from caisey.protocol.frames import FromRuntime
from caisey.protocol.shapes import Checker
from caisey.protocol.signatures import sign, signed_bytes, verify
from tests.protocol.examples import ATTEMPT, FROM_CONTROL_PLANE, FROM_RUNTIME

ROUNDS = 5


def microseconds(action: Callable[[], object]) -> float:
    """The best of some rounds: what the code costs, without what the machine did beside it."""
    timer = timeit.Timer(action)
    number, _ = timer.autorange()
    return min(timer.repeat(ROUNDS, max(1, number // 2))) / max(1, number // 2) * 1e6


def line(name: str, *figures: float) -> None:
    print(f"{name:<34}" + "".join(f"{figure:12.1f}" for figure in figures))


def main() -> None:
    samples: dict[str, FromRuntime] = {
        "acknowledged": FROM_RUNTIME[1],
        "started": FROM_RUNTIME[2],
        "output, 1 KiB": frames.Output(
            attempt=ATTEMPT, stream="stdout", offset=0, data=bytes(1024), journal_sequence=1
        ),
        "output, 64 KiB": frames.Output(attempt=ATTEMPT, stream="stdout", offset=0, data=bytes(65_536)),
        "finished with result": FROM_RUNTIME[9],
        "heartbeat": FROM_RUNTIME[15],
    }
    print(f"{'microseconds a frame':<34}{'own form':>12}{'foreign form':>12}{'refused':>12}{'encode':>12}")
    for name, frame in samples.items():
        data = encode(frame)
        foreign = json.dumps(json.loads(data) | {"x": 1}, indent=1).encode()
        doubled = data[:-1] + b',"type":"x"}'
        assert isinstance(decode_from_runtime(foreign), Received)
        line(
            name,
            microseconds(partial(decode_from_runtime, data)),
            microseconds(partial(decode_from_runtime, foreign)),
            microseconds(partial(decode_from_runtime, doubled)),
            microseconds(partial(encode, frame)),
        )

    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes_raw()
    dispatch = FROM_CONTROL_PLANE[3]
    assert isinstance(dispatch, frames.Dispatch)
    signed = encode(sign(dispatch, key))
    received = decode_from_control_plane(signed)
    assert isinstance(received, Received)
    document = received.document
    print()
    line("dispatch: canonical form", microseconds(lambda: signed_bytes("dispatch", document)))
    line("dispatch: sign", microseconds(lambda: sign(dispatch, key)))
    line("dispatch: read", microseconds(lambda: decode_from_control_plane(signed)))
    line("dispatch: verify", microseconds(lambda: verify(document, "dispatch", public)))
    checker = Checker({"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]})
    line("arguments: fit", microseconds(lambda: checker.faults({"command": "true"})))
    line("arguments: refused", microseconds(lambda: checker.faults({"command": 1, "x": 2})))

    wrong = b'{"type":"heartbeat","in_flight":[' + b"0," * 500_000 + b"0]}"
    hostile = {
        "1 MiB of wrong items": wrong,
        "1 MiB of doubled keys": b'{"type":"heartbeat","x":[' + b'{"a":0,"a":0},' * 70_000 + b"0]}",
        "1 MiB of [": b"[" * (1 << 20),
        "1 MiB of []": b"[]" * (1 << 19),
        '1 MiB of {"a":': b'{"a":' * 209_715,
    }
    print(f"\n{'hostile, milliseconds':<34}")
    for name, data in hostile.items():
        line(name, microseconds(partial(decode_from_runtime, data)) / 1_000)


if __name__ == "__main__":
    main()
