"""The bodies of `POST /runtime/v1/poll` (PROTOCOL.md §1).

Owns how frames travel in a poll. Each frame stays raw until `codec` reads it, so that one that cannot be read is a
fault of its own and spoils none of its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct

from caisey.protocol import limits
from caisey.protocol.bodies import BodyFault, read_body
from caisey.protocol.fields import Count, Secret

POLL_PATH: Final = "/runtime/v1/poll"


class PollRequest(Struct, frozen=True, kw_only=True):
    """One poll. `connection` is null in the first; `sequence` rises by one; `received` is the other side's last."""

    connection: Secret | None
    sequence: Count
    received: Count = 0
    frames: Annotated[tuple[Raw, ...], Meta(max_length=limits.POLL_FRAMES)]


class PollAnswer(Struct, frozen=True, kw_only=True):
    """The answer; the same `sequence` gets the same answer again."""

    connection: Secret
    sequence: Count
    received: Count
    frames: Annotated[tuple[Raw, ...], Meta(max_length=limits.POLL_FRAMES)]


def raw_frames(frames: Sequence[bytes]) -> tuple[Raw, ...]:
    """Encoded frames as they go into a body."""
    return tuple(Raw(frame) for frame in frames)


def encode_poll(body: PollRequest | PollAnswer) -> bytes:
    """A body as it goes out."""
    return msgspec.json.encode(body)


def read_poll_request(data: bytes) -> PollRequest | BodyFault:
    """Read what a runtime sent. Never raises."""
    return read_body(data, PollRequest, limits.MESSAGE_BYTES)


def read_poll_answer(data: bytes) -> PollAnswer | BodyFault:
    """Read what a control plane answered. Never raises."""
    return read_body(data, PollAnswer, limits.MESSAGE_BYTES)
