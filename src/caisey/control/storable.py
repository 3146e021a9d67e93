"""Numbers that the log can hold: integers up to 53 bits, as RFC 8785 asks of everything under a digest.

Owns the border between what the protocol allows (64 bits) and what an event may carry. A number of a frame's own that
is larger is a fault of its shape; in a result, which may hold anything, it is kept as text, every digit of it. Without
this border one number of one runtime would fail the commit of everybody's events.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from caisey.protocol import frames as f
from caisey.protocol.faults import FrameFault, probe, unsignable
from caisey.protocol.limits import MAX_SIGNED_INTEGER as MAX_INTEGER
from caisey.protocol.limits import RAW_KEPT_BYTES
from caisey.protocol.outline import bounded, fingerprint, outline

_LONG_NUMBER: Final = re.compile(rb"[:,\[\s-][0-9]{16}")
"""Where none is found, no number is large; where one is, it may also be text."""
_FREE: Final = frozenset({"result", "changes", "load"})
"""Fields of any shape, made storable one by one; and the one that is not stored."""


def too_large(frame: f.FromRuntime, data: bytes) -> FrameFault | None:
    """The fault of a frame with a number of its own that the log cannot hold."""
    if isinstance(frame, f.Output):
        if frame.offset + len(frame.data) <= MAX_INTEGER:
            return None
    elif isinstance(frame, f.Gap) and frame.offset + frame.length > MAX_INTEGER:
        return _fault(data, [_too_many_bits("/length")])
    elif _LONG_NUMBER.search(data) is None:
        return None
    document: dict[str, Any] = msgspec.to_builtins(frame)
    faults = unsignable({name: value for name, value in document.items() if name not in _FREE})
    large = [fault for fault in faults if fault.found != "number"]
    if not large and isinstance(frame, f.Output):
        large = [_too_many_bits("/offset")]
    return _fault(data, large, document) if large else None


def storable(document: Any) -> Any:
    """The same JSON with every number that the log cannot hold as text."""
    kind = type(document)
    if kind is dict:
        return {key: storable(value) for key, value in document.items()}
    if kind is list:
        return [storable(value) for value in document]
    if kind is int and abs(document) > MAX_INTEGER:
        return str(document)
    if kind is float and abs(document) > MAX_INTEGER:
        return repr(document)
    return document


def _too_many_bits(pointer: str) -> f.ShapeFault:
    return f.ShapeFault(pointer=pointer, expected="integer of at most 53 bits", found="a larger one")


def _fault(data: bytes, errors: list[f.ShapeFault], document: Any = None) -> FrameFault:
    frame_type, about = probe(data)
    return FrameFault(
        code="frame.invalid_shape",
        errors=bounded(errors),
        about=about,
        frame_type=frame_type,
        fingerprint=fingerprint(f"{frame_type} frame.invalid_shape", errors),
        size=len(data),
        raw=data[:RAW_KEPT_BYTES],
        outline=None if document is None else outline(document),
        document=document,
    )
