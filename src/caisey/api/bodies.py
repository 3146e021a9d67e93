"""Request bodies and queries: read within bounds, checked whole, refused with every fault.

Owns the road from bytes to a typed body. Bounds come first (size, UTF-8, depth, keys that stand twice), then the shape:
a body that fits costs one msgspec decoding; one that does not is checked again by JSON Schema, which names all places.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, TypeVar, get_type_hints

import msgspec
from litestar import Request
from msgspec import inspect

from caisey.api.problem import shape_fault
from caisey.core.errors import Fault
from caisey.protocol import limits
from caisey.protocol.frames import ShapeFault
from caisey.protocol.mismatch import type_of
from caisey.protocol.outline import ABSENT, type_word
from caisey.protocol.shapes import Checker
from caisey.protocol.strict_json import (
    NotJsonError,
    crowded,
    depth_exceeds,
    doubled_key,
    is_utf8,
    numbers_in,
    parse,
    survey,
    without_strings,
)

S = TypeVar("S", bound=msgspec.Struct)

BODY_BYTES: Final = 1024 * 1024
PROMPT_BYTES: Final = 16 * 1024 * 1024
"""50 calls with 256 KiB of arguments each, and their names."""

QUERY_TEXT_LENGTH: Final = 1024


async def read(request: Request[Any, Any, Any], at_most: int) -> bytes:
    """The raw body. Raises `request.too_large` as soon as that is known."""
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > at_most:
        raise Fault("request.too_large", f"At most {at_most} bytes.")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > at_most:
            raise Fault("request.too_large", f"At most {at_most} bytes.")
        parts.append(part)
    return b"".join(parts)


def require_json(request: Request[Any, Any, Any]) -> None:
    """Raises `request.unsupported_media_type` for a body that does not say that it is JSON."""
    media_type = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    if media_type != "application/json":
        raise Fault("request.unsupported_media_type")


def typed(document: Any, kind: type[S], code: str = "request.invalid_shape") -> S:
    """The document as `kind`. Raises `code` with every place that does not fit."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError:
        faults = checker(kind).faults(document)
        # JSON Schema knows every rule that msgspec does; what it let pass is refused all the same.
        whole = ShapeFault(pointer="", expected=f"a body as {kind.__name__}", found=type_word(document))
        raise shape_fault(code, faults or (whole,)) from None


def parse_json(data: bytes) -> Any:
    """Any JSON document within bounds. Raises `request.invalid_json` (a doubled key, too), `request.too_large`."""
    if not is_utf8(data):
        raise Fault("request.invalid_json", "The body is not UTF-8.")
    bare = without_strings(data)
    if crowded(bare):
        raise Fault("request.too_large", f"At most {limits.JSON_CONTAINERS} arrays and objects.")
    if depth_exceeds(bare):
        raise Fault("request.invalid_json", f"It nests deeper than {limits.JSON_DEPTH} levels.")
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError):
        return _say_what_is_wrong(data, bare)
    if doubled_key(document, bare) or (numbers_in(bare).long and not survey(document).integers_fit):
        return _say_what_is_wrong(data, bare)
    return document


def _say_what_is_wrong(data: bytes, bare: bytes) -> Any:
    """The slow parser names each breach; where it finds none the document is good after all."""
    try:
        document, breaches = parse(data, bare)
    except NotJsonError:
        raise Fault("request.invalid_json") from None
    if breaches:
        raise shape_fault("request.invalid_json", breaches, "A key stands twice, or text holds a lone surrogate.")
    if not survey(document).integers_fit:
        raise Fault("request.invalid_json", "An integer has more than 64 bits.")
    return document


@cache
def checker(kind: type[msgspec.Struct]) -> Checker:
    """The compiled schema of a body."""
    return Checker(schema_of(kind))


def schema_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of a body, complete in itself."""
    return msgspec.json.schema(kind)


def query(request: Request[Any, Any, Any], kind: type[S]) -> S:
    """The query as `kind`; parameters that it does not name are ignored. Raises `request.invalid_query`.

    An empty parameter counts as absent.
    """
    wanted = kind.__struct_fields__
    values: dict[str, str] = {}
    faults: list[ShapeFault] = []
    for field, name in zip(wanted, kind.__struct_encode_fields__, strict=True):
        given = [text for text in request.query_params.getall(name, []) if text != ""]
        if len(given) > 1:
            faults.append(ShapeFault(pointer=f"/{name}", expected="one value", found=f"{len(given)} values"))
        elif given and len(given[0]) > QUERY_TEXT_LENGTH:
            expected = f"at most {QUERY_TEXT_LENGTH} characters"
            faults.append(
                ShapeFault(pointer=f"/{name}", expected=expected, found=f"string of {len(given[0])} characters")
            )
        elif given:
            values[name] = given[0]
            faults += _query_fault(kind, field, name, given[0])
        elif name in _required(kind):
            faults.append(ShapeFault(pointer=f"/{name}", expected=_words(kind, name), found=ABSENT))
    if faults:
        raise shape_fault("request.invalid_query", faults)
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError:
        whole = ShapeFault(pointer="", expected=f"a query as {kind.__name__}", found="another one")
        raise shape_fault("request.invalid_query", [whole]) from None


def _query_fault(kind: type[msgspec.Struct], field: str, name: str, text: str) -> list[ShapeFault]:
    annotation = _annotations(kind)[field]
    try:
        msgspec.convert(text, annotation, strict=False)
    except msgspec.ValidationError:
        found = "null byte" if "\0" in text else f"string of {len(text)} characters"
        return [ShapeFault(pointer=f"/{name}", expected=_words(kind, name), found=found)]
    return []


@cache
def _required(kind: type[msgspec.Struct]) -> frozenset[str]:
    described = type_of(kind)
    fields = described.fields if isinstance(described, inspect.StructType) else ()
    return frozenset(field.encode_name for field in fields if field.required)


@cache
def _annotations(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _words(kind: type[msgspec.Struct], name: str) -> str:
    """What a parameter should be, from its schema."""
    schema = msgspec.json.schema(kind)
    definition = next(iter(schema["$defs"].values()))["properties"][name]
    options = definition.get("anyOf", [definition])
    words = []
    for option in options:
        if "enum" in option:
            words.append("one of " + ", ".join(map(str, option["enum"])))
        elif "minimum" in option and "maximum" in option:
            words.append(f"{option['type']} from {option['minimum']} to {option['maximum']}")
        elif option.get("type") not in (None, "null"):
            words.append(f"{option['type']} matching {option['pattern']}" if "pattern" in option else option["type"])
    return " or ".join(words) or "another value"
