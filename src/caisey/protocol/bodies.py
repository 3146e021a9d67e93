"""HTTP bodies of the protocol: JSON with the rules of a frame, and all faults of one that does not fit.

Owns `read_body` and its fault. Knows no HTTP: status codes and problem details belong to who answers.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import msgspec

from caisey.protocol import limits
from caisey.protocol.frames import ShapeFault
from caisey.protocol.mismatch import mismatches, type_of
from caisey.protocol.outline import bounded
from caisey.protocol.strict_json import NotJsonError, depth_exceeds, is_utf8, parse, without_strings

B = TypeVar("B", bound=msgspec.Struct)


class BodyFault(NamedTuple):
    """A body that was not taken, with every place. `readable` says whether it was JSON at all."""

    errors: tuple[ShapeFault, ...]
    readable: bool


def read_body(data: bytes, kind: type[B], size: int) -> B | BodyFault:
    """Read a body of at most `size` bytes as `kind`. Never raises."""
    if len(data) > size:
        return _unreadable(f"body of at most {size} bytes", f"body of {len(data)} bytes")
    if not is_utf8(data) or depth_exceeds(without_strings(data), limits.JSON_DEPTH + 2):
        return _unreadable(f"UTF-8, at most {limits.JSON_DEPTH} levels deep", f"body of {len(data)} bytes")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError):
        return _diagnose(data, kind)


def _diagnose(data: bytes, kind: type[msgspec.Struct]) -> BodyFault:
    try:
        document, breaches = parse(data)
    except NotJsonError:
        return _unreadable("JSON", f"body of {len(data)} bytes")
    faults = breaches or list(mismatches(document, type_of(kind)))
    return BodyFault(bounded(faults or [ShapeFault(pointer="", expected="object", found="another one")]), readable=True)


def _unreadable(expected: str, found: str) -> BodyFault:
    return BodyFault((ShapeFault(pointer="", expected=expected, found=found),), readable=False)
