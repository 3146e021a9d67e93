"""A frame that could not be taken: what was wrong with it, and what is still known of it (PROTOCOL.md §8).

Owns `FrameFault` and the diagnosis behind it. A fault is a value, never an exception: it is recorded, counted, answered
with a `problem`, and the attempt it names is reconciled. Must never raise, whatever the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final, Literal, TypeVar, get_args

import msgspec
from msgspec import Raw, Struct

from caisey.protocol import limits
from caisey.protocol.fields import Id
from caisey.protocol.frames import AnyFrame, Problem, Reference, ShapeFault, SignedFrame
from caisey.protocol.mismatch import mismatches, type_of
from caisey.protocol.outline import ABSENT, bounded, fingerprint, outline, type_word
from caisey.protocol.places import SIGNED, numbers_beyond, spelled
from caisey.protocol.strict_json import (
    NotJsonError,
    Numbers,
    crowded,
    depth_exceeds,
    is_utf8,
    numbers_in,
    parse,
    plainly_too_deep,
    without_strings,
)

T = TypeVar("T")

FrameFaultCode = Literal["frame.invalid_json", "frame.invalid_shape", "frame.too_large", "frame.unexpected"]

FRAME_TYPES: Final[dict[str, type[Struct]]] = {str(kind.__struct_config__.tag): kind for kind in get_args(AnyFrame)}
SIGNED_TYPES: Final[frozenset[type[Struct]]] = frozenset(get_args(SignedFrame))

_ATTEMPT_TEXT: Final = re.compile(rb'"attempt"\s*:\s*(\{[^{}]{0,400}\})')
_TYPE_TEXT: Final = re.compile(rb'"type"\s*:\s*"([a-z_]{1,64})"')


@dataclass(frozen=True, slots=True)
class FrameFault:
    """One frame that was not taken. `raw` is its first 64 KiB; `document` is there where it was JSON at all."""

    code: FrameFaultCode
    errors: tuple[ShapeFault, ...]
    about: Reference | None
    frame_type: str | None
    fingerprint: str
    size: int
    raw: bytes = field(repr=False)
    outline: object = field(repr=False, default=None)
    document: Any = field(repr=False, default=None)

    @property
    def answerable(self) -> bool:
        """A `problem` is never answered with a `problem` (§8)."""
        return self.frame_type != "problem"

    def problem(self) -> Problem:
        """What to tell the peer."""
        return Problem(code=self.code, errors=self.errors, about=self.about)


class _Probe(Struct):
    """The two fields that say what a frame is about, whatever the rest of it looks like."""

    type: Raw = Raw()
    attempt: Raw = Raw()


_PROBE = msgspec.json.Decoder(_Probe)
_TYPE = msgspec.json.Decoder(Id)
_REFERENCE = msgspec.json.Decoder(Reference)


def diagnose(data: bytes, accepted: frozenset[type[Struct]]) -> FrameFault:
    """Say everything that is wrong with a frame that was refused. `accepted` are the frame types of this direction."""
    size = len(data)
    if size > limits.FRAME_BYTES:
        expected = f"frame of at most {limits.FRAME_BYTES} bytes"
        return _fault(data, "frame.too_large", [_whole(expected, f"frame of {size} bytes")])
    if not is_utf8(data):
        return _fault(data, "frame.invalid_json", [_whole("UTF-8", f"text of {size} bytes")])
    bare = without_strings(data)
    many = crowded(bare)
    if plainly_too_deep(bare) or (not many and depth_exceeds(bare)):
        return _fault(data, "frame.invalid_json", [_whole(f"depth of at most {limits.JSON_DEPTH}", "deeper nesting")])
    if many:
        expected = f"frame of at most {limits.JSON_CONTAINERS} arrays and objects"
        return _fault(data, "frame.too_large", [_whole(expected, "a frame of more")])
    try:
        document, breaches = parse(data, bare)
    except NotJsonError:
        return _fault(data, "frame.invalid_json", [_whole("JSON", f"text of {size} bytes")])
    if breaches:
        return _fault(data, "frame.invalid_json", breaches, document)
    if not isinstance(document, dict):
        return _fault(data, "frame.invalid_shape", [_whole("object", type_word(document))], document)
    return _diagnose_object(data, document, accepted, numbers_in(bare))


def _diagnose_object(
    data: bytes, document: dict[str, Any], accepted: frozenset[type[Struct]], numbers: Numbers
) -> FrameFault:
    named = document.get("type", ABSENT)
    if not isinstance(named, str) or "type" not in document:
        word = ABSENT if "type" not in document else type_word(named)
        return _fault(data, "frame.invalid_shape", [_at("/type", "string", word)], document)
    kind = FRAME_TYPES.get(named)
    if kind is None or kind not in accepted:
        return _fault(data, "frame.unexpected", [_at("/type", "a frame type of this direction", "string")], document)
    checks = [mismatches(document, type_of(kind))]
    if numbers.long:
        checks.append(mismatches(document, type_of(Any)))
    checks.append(_oversized(document, kind))
    if kind in SIGNED_TYPES and not numbers.signable:
        checks.append(unsignable(document))
    found: dict[str, ShapeFault] = {}
    for fault in islice(chain.from_iterable(checks), 2 * limits.SHAPE_ERRORS):
        found.setdefault(fault.pointer, fault)
    errors = list(found.values())
    if not errors:
        # msgspec refused what this walk let pass. It is refused all the same; only the place is not known.
        errors = [_whole(f"{named} frame", "object")]
    return _fault(data, "frame.invalid_shape", errors, document)


def unsignable(document: object) -> Iterator[ShapeFault]:
    """What a signed frame may not hold (§1): fractions, and integers beyond plus and minus 2^53-1."""
    for path, number in numbers_beyond(document, SIGNED):
        if isinstance(number, float):
            yield _at(spelled(path), "integer", "number")
        else:
            yield _at(spelled(path), "integer of at most 53 bits", f"integer of {number.bit_length()} bits")


_BOUNDED_FIELDS: Final = {
    "finished": ("result", limits.INLINE_RESULT_BYTES),
    "dispatch": ("arguments", limits.ARGUMENTS_BYTES),
}


def oversized(document: dict[str, Any], frame_type: str) -> tuple[str, int, int] | None:
    """The field of a frame that is longer than it may be as JSON: its name, its bytes, its limit."""
    name, limit = _BOUNDED_FIELDS.get(frame_type, (None, 0))
    if name is None or name not in document:
        return None
    length = len(msgspec.json.encode(document[name]))
    return (name, length, limit) if length > limit else None


def _oversized(document: dict[str, Any], kind: type[Struct]) -> Iterator[ShapeFault]:
    try:
        found = oversized(document, str(kind.__struct_config__.tag))
    except OverflowError:
        return  # an integer that is too long was named already
    if found is not None:
        name, length, limit = found
        yield _at(f"/{name}", f"JSON of at most {limit} bytes", f"JSON of {length} bytes")


def unexpected(data: bytes) -> FrameFault:
    """A frame that is well formed and came at a moment when it may not (before the welcome, twice, …)."""
    return _fault(data, "frame.unexpected", [_at("/type", "another frame at this moment", "string")])


def _fault(data: bytes, code: FrameFaultCode, errors: list[ShapeFault], document: Any = None) -> FrameFault:
    frame_type, about = probe(data)
    return FrameFault(
        code=code,
        errors=bounded(errors),
        about=about,
        frame_type=frame_type,
        fingerprint=fingerprint(f"{frame_type or 'frame'} {code}", errors),
        size=len(data),
        raw=data[: limits.RAW_KEPT_BYTES] if len(data) <= limits.MESSAGE_BYTES else b"",
        outline=outline(document) if document is not None else None,
        document=document,
    )


def probe(data: bytes) -> tuple[str | None, Reference | None]:
    """The type and the attempt that a frame names, as far as they can be read at all."""
    if len(data) > limits.MESSAGE_BYTES:
        return None, None
    try:
        found = _PROBE.decode(data)
        named, attempt = bytes(found.type), bytes(found.attempt)
    except (msgspec.DecodeError, ValueError, RecursionError):
        head = data[: limits.RAW_KEPT_BYTES]
        type_text, attempt_text = _TYPE_TEXT.search(head), _ATTEMPT_TEXT.search(head)
        named = b'"' + type_text[1] + b'"' if type_text else b""
        attempt = attempt_text[1] if attempt_text else b""
    return _read(_TYPE, named), _read(_REFERENCE, attempt)


def _read(decoder: msgspec.json.Decoder[T], data: bytes) -> T | None:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _whole(expected: str, found: str) -> ShapeFault:
    return _at("", expected, found)


def _at(pointer: str, expected: str, found: str) -> ShapeFault:
    return ShapeFault(pointer=pointer, expected=expected, found=found)
