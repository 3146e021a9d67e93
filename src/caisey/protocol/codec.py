"""Bytes to frames and back, with every guard of PROTOCOL.md §1, §8 and §9.

Owns the one way in. Whatever the bytes, the answer is a `Received` frame or a `FrameFault`, never an exception. The
good path costs a few microseconds: a frame that encodes to the very bytes that came holds no duplicate key, no unknown
field and no odd number, so nothing more needs to be looked at. Everything else is read a second time, in full.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Generic, TypeVar, get_args

import msgspec
from msgspec import Struct

from caisey.protocol import limits
from caisey.protocol.faults import SIGNED_TYPES, FrameFault, diagnose, oversized
from caisey.protocol.frames import AnyFrame, Finished, FromControlPlane, FromRuntime
from caisey.protocol.strict_json import (
    crowded,
    depth_exceeds,
    doubled_key,
    is_utf8,
    numbers_in,
    survey,
    without_strings,
)

F = TypeVar("F")


@dataclass(frozen=True)
class Received(Generic[F]):
    """A frame with the bytes it came in."""

    frame: F
    data: bytes = field(repr=False)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The frame as received, unknown fields included: what signatures are checked over (§1)."""
        document: dict[str, Any] = msgspec.json.decode(self.data)
        return document


_ENCODER: Final = msgspec.json.Encoder()
_GENERIC: Final = msgspec.json.Decoder()
_REFUSALS: Final = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)
_FULLY_READ: Final = SIGNED_TYPES | {Finished}
"""Frames with parts of any shape, or signed: their numbers are looked at one by one."""
_SMALLEST_INNER_BOUND: Final = min(limits.INLINE_RESULT_BYTES, limits.ARGUMENTS_BYTES)
_FROM_RUNTIME: Final = msgspec.json.Decoder(FromRuntime)
_FROM_CONTROL_PLANE: Final = msgspec.json.Decoder(FromControlPlane)
_RUNTIME_TYPES: Final[frozenset[type[Struct]]] = frozenset(get_args(FromRuntime))
_CONTROL_PLANE_TYPES: Final[frozenset[type[Struct]]] = frozenset(get_args(FromControlPlane))


def encode(frame: AnyFrame) -> bytes:
    """A frame as it goes out: compact JSON in UTF-8. The sender keeps its own frames below the limits."""
    return _ENCODER.encode(frame)


def decode_from_runtime(data: bytes | str) -> Received[FromRuntime] | FrameFault:
    """Read one frame that a runtime sent. Hostile bytes are expected."""
    return _decode(data, _FROM_RUNTIME, _RUNTIME_TYPES)


def decode_from_control_plane(data: bytes | str) -> Received[FromControlPlane] | FrameFault:
    """Read one frame that a control plane sent. The signature is checked by `signatures`, not here."""
    return _decode(data, _FROM_CONTROL_PLANE, _CONTROL_PLANE_TYPES)


def _decode(
    data: bytes | str, decoder: msgspec.json.Decoder[F], accepted: frozenset[type[Struct]]
) -> Received[F] | FrameFault:
    if isinstance(data, str):
        # A lone surrogate cannot be UTF-8; kept as the bytes it would have been, it is diagnosed like any other.
        data = data.encode("utf-8", "surrogatepass")
    if len(data) > limits.FRAME_BYTES:
        return diagnose(data, accepted)
    try:
        frame = decoder.decode(data)
        sound = (type(frame) not in _FULLY_READ and _ENCODER.encode(frame) == data) or _read_in_full(frame, data)
    except _REFUSALS:
        return diagnose(data, accepted)
    return Received(frame, data) if sound else diagnose(data, accepted)


def _read_in_full(frame: object, data: bytes) -> bool:
    """Whether the whole of it keeps the rules, also where a typed reading skips or forgives.

    The typed reading came first and was safe: the C decoder bounds its own recursion, far above the protocol's depth.
    """
    if not is_utf8(data):
        return False
    bare = without_strings(data)
    if crowded(bare) or depth_exceeds(bare):
        return False
    document = _GENERIC.decode(data)
    if doubled_key(document, bare):
        return False
    numbers = numbers_in(bare)
    if numbers.long and not survey(document).integers_fit:
        return False
    if type(frame) in SIGNED_TYPES and not numbers.signable and not survey(document).signable:
        return False
    # The inner bounds are far wider than an ordinary frame; only a long one is measured.
    return len(data) <= _SMALLEST_INNER_BOUND or oversized(document, document["type"]) is None
