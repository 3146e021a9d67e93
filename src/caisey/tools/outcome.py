"""What a builtin wrote to its result descriptor, read by the runtime.

Owns the reading side; `run` writes it. The child is our own program, but what it reports comes from a computer in
trouble: a document that is cut short or does not fit is `None`, and the streams and the exit code stand alone.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from caisey.protocol import limits
from caisey.protocol.frames import Change
from caisey.protocol.strict_json import survey


class ToolFault(Struct, frozen=True, kw_only=True):
    """The tool's own word on why it failed (`codes`); with it goes an exit code other than 0."""

    code: str
    message: str


class ToolOutcome(Struct, frozen=True, kw_only=True):
    """`result` is absent where the tool failed before it had one; `changes` are what it did see happen."""

    result: Any | UnsetType = UNSET
    changes: tuple[Change, ...] = ()
    error: ToolFault | None = None


OUTCOME_BYTES = limits.RESULT_BYTES + 64 * limits.KIB
"""The result with its changes and its error."""

_DECODER = msgspec.json.Decoder(ToolOutcome)


def read_outcome(data: bytes) -> ToolOutcome | None:
    """The outcome in `data`, all bytes of the result descriptor; `None` where there is none that can be read."""
    if not data or len(data) > OUTCOME_BYTES:
        return None
    try:
        outcome = _DECODER.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return outcome if survey(outcome.result).integers_fit else None
