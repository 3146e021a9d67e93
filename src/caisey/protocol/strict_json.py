"""JSON as this protocol reads it: one key once, no lone surrogates, no NaN, bounded depth (PROTOCOL.md §1, §9).

Owns two answers about the same rules. `depth_exceeds`, `is_utf8` and `survey` are cheap and run on every frame;
`parse` is slow and names every breach with its pointer, and runs on the bad path only. Both must agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple, NoReturn

from caisey.protocol import limits
from caisey.protocol.frames import ShapeFault
from caisey.protocol.outline import join, length_words

_TO_BRACES: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_LONG_INTEGER: Final = re.compile(rb"[0-9]{4000}")
_BIG_DIGITS: Final = 4_000
"""Python refuses to read longer integers; far below, they are out of every range anyway."""


def is_utf8(data: bytes) -> bool:
    """Whether all of it is UTF-8, also the parts that a decoder would skip."""
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _outside_strings(data: bytes) -> bytes:
    """The document without its strings. Right for JSON; up to the first wrong byte for everything else."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(data.split(b'"')[::2])


def depth_exceeds(data: bytes, depth: int = limits.JSON_DEPTH) -> bool:
    """Whether arrays and objects nest deeper, found without parsing and without recursion.

    Each round takes the innermost pairs away, so what is left after `depth` rounds is deeper, or does not close.
    """
    if data.count(b"[") + data.count(b"{") <= depth:
        return False
    brackets = _outside_strings(data).translate(_TO_BRACES, _NOT_BRACKETS)
    for _ in range(depth):
        fewer = brackets.replace(b"[]", b"")
        if len(fewer) == len(brackets):
            break
        brackets = fewer
    # A pair that is left encloses `depth` levels that were taken away. Without one, only `]…[…` is left, which is not
    # JSON: a parser stops at the first `]`, and before it gets to the end it stands `len` levels deep.
    return b"[]" in brackets or (brackets.startswith(b"[") and len(brackets) > depth)


class Survey(NamedTuple):
    """What one walk over a parsed document finds."""

    keys: int
    integers_fit: bool
    signable: bool


def survey(document: Any) -> Survey:
    """Count the keys and look at the numbers: 64-bit integers everywhere, and what a signed frame may hold (§1)."""
    keys = 0
    fits = signable = True
    lowest, highest = -limits.MAX_SIGNED_INTEGER, limits.MAX_SIGNED_INTEGER
    stack: list[Any] = [document]
    pop, extend = stack.pop, stack.extend
    while stack:
        value = pop()
        kind = type(value)
        if kind is dict:
            keys += len(value)
            extend(value.values())
        elif kind is list:
            extend(value)
        elif kind is int:
            if not lowest <= value <= highest:
                signable = False
                fits = fits and limits.MIN_INTEGER <= value <= limits.MAX_INTEGER
        elif kind is float:
            signable = False
    return Survey(keys, fits, signable)


def keys_written(data: bytes) -> int:
    """How many members the text has. More than the parsed document has means that one was written twice."""
    return _outside_strings(data).count(b":")


class NotJsonError(ValueError):
    """The bytes are no JSON document at all; there is nothing to point at."""


class Parsed(NamedTuple):
    """A document that parsed, with the breaches that a lenient parser would have hidden."""

    document: Any
    breaches: list[ShapeFault]


class _Doubled(dict[str, Any]):
    """An object in which some keys stood more than once; the last value is kept, as lenient parsers do."""

    doubled: tuple[str, ...] = ()


def parse(data: bytes) -> Parsed:
    """Parse text whose depth was bounded before, and name every duplicate key and lone surrogate.

    Raises `NotJsonError` for what is not JSON, NaN and infinities included. The costly hooks and the walk are used
    only on a document that a count or a search says needs them: hostile text is long.
    """
    try:
        text = data.decode("utf-8")
        read_integer = _bounded_integer if _LONG_INTEGER.search(data) else None
        document = json.loads(text, parse_constant=_no_constant, parse_int=read_integer)
        doubled = survey(document).keys != keys_written(data)
        if doubled:
            document = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_int=read_integer)
    except (ValueError, RecursionError) as error:
        raise NotJsonError(type(error).__name__) from error
    return Parsed(
        document,
        list(islice(_breaches(document), limits.SHAPE_ERRORS)) if doubled or _SURROGATE_ESCAPE.search(data) else [],
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for key, _ in pairs:
        if key in seen:
            twice[key] = None
        seen.add(key)
    result = _Doubled(members)
    result.doubled = tuple(twice)
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _bounded_integer(digits: str) -> int:
    if len(digits) > _BIG_DIGITS:
        digits = digits[:_BIG_DIGITS]
    return int(digits)


def _breaches(value: Any, pointer: str = "") -> Iterator[ShapeFault]:
    if isinstance(value, dict):
        if isinstance(value, _Doubled):
            for key in value.doubled:
                yield ShapeFault(pointer=join(pointer, key), expected="a key that stands once", found="a key twice")
        for key, inner in value.items():
            if _LONE_SURROGATE.search(key):
                yield _lone(join(pointer, key), key)
            yield from _breaches(inner, join(pointer, key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _breaches(inner, join(pointer, position))
    elif isinstance(value, str) and _LONE_SURROGATE.search(value):
        yield _lone(pointer, value)


def _lone(pointer: str, value: str) -> ShapeFault:
    return ShapeFault(pointer=pointer, expected="text without lone surrogates", found=length_words(value))
