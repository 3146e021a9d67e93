"""What can still be read of a `finished` frame that did not fit (RECOVERY.md §2, `malformed_result`).

Owns the reading of one part while another is broken. Never guesses: a part is taken only if the whole of it fits, and
parts of a frame that is no JSON at all are never taken.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import msgspec

from caisey.protocol.faults import FrameFault
from caisey.protocol.frames import Change, Execution, Finished
from caisey.protocol.strict_json import survey

T = TypeVar("T")


class Salvaged(NamedTuple):
    """The readable parts; `None` (for the result: `UNSET`) where a part is missing or does not fit."""

    execution: Execution | None
    changes: tuple[Change, ...] | None
    result: Any


def salvage(fault: FrameFault) -> Salvaged:
    """The parts of an unreadable `finished` that fit on their own. Never raises."""
    document = fault.document
    unreadable = fault.code != "frame.invalid_shape" or fault.frame_type != Finished.__struct_config__.tag
    if unreadable or not isinstance(document, dict):
        return Salvaged(None, None, msgspec.UNSET)
    result = document.get("result", msgspec.UNSET)
    pointers = [error.pointer for error in fault.errors]
    if any(pointer == "/result" or pointer.startswith("/result/") for pointer in pointers):
        result = msgspec.UNSET
    return Salvaged(
        execution=_part(document.get("execution"), Execution),
        changes=_part(document.get("changes"), tuple[Change, ...]),
        result=result,
    )


def _part(value: Any, kind: type[T]) -> T | None:
    if value is None or not survey(value).integers_fit:
        return None
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, ValueError, OverflowError):
        return None
