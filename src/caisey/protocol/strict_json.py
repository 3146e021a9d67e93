"""JSON as this protocol reads it: one key once, no lone surrogates, no NaN, bounded depth (PROTOCOL.md §1, §9).

Owns two answers about the same rules. What takes a document `bare`, without its strings, is cheap and runs on every
frame, however long and hostile; `parse` is slower, names every breach with its pointer, and runs on the bad path only.
Both must agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple, NoReturn

from caisey.protocol import limits
from caisey.protocol.frames import ShapeFault
from caisey.protocol.outline import length_words
from caisey.protocol.places import Path, containers, spelled, texts

_TO_BRACES: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_CONTAINERS: Final = frozenset({dict, list})
_TO_NOUGHTS: Final = bytes.maketrans(b"123456789E", b"000000000e")
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_BIG_DIGITS: Final = 4_000
"""Python refuses to read longer integers; far below, they are out of every range anyway."""
_SMALL_DIGITS: Final = 15
"""An integer of so many digits is within plus and minus 2^53."""


def is_utf8(data: bytes) -> bool:
    """Whether all of it is UTF-8, also the parts that a decoder would skip."""
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def without_strings(data: bytes) -> bytes:
    """The document `bare`. Right for JSON; up to the first wrong byte for everything else."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(data.split(b'"')[::2])


def crowded(bare: bytes) -> bool:
    """Whether it has more arrays and objects than a frame may have."""
    return bare.count(b"[") + bare.count(b"{") > limits.JSON_CONTAINERS


def plainly_too_deep(bare: bytes) -> bool:
    """Whether more arrays and objects than may be open are opened in a row: how depth is mostly provoked."""
    return b"[" * (limits.JSON_DEPTH + 1) in bare.translate(_TO_BRACES, _NOT_BRACKETS)


def depth_exceeds(bare: bytes, depth: int = limits.JSON_DEPTH) -> bool:
    """Whether arrays and objects nest deeper, found without parsing and without recursion.

    Each round takes the innermost pairs away, so what is left after `depth` rounds is deeper, or does not close.
    """
    if bare.count(b"[") + bare.count(b"{") <= depth:
        return False
    brackets = bare.translate(_TO_BRACES, _NOT_BRACKETS)
    for _ in range(depth):
        fewer = brackets.replace(b"[]", b"")
        if len(fewer) == len(brackets):
            break
        brackets = fewer
    # A pair that is left encloses `depth` levels that were taken away. Without one, only `]…[…` is left, which is not
    # JSON: a parser stops at the first `]`, and before it gets to the end it stands `len` levels deep.
    return b"[]" in brackets or (brackets.startswith(b"[") and len(brackets) > depth)


class Numbers(NamedTuple):
    """What the numbers of a document may do, as far as its text says."""

    long: bool
    """Some integer may be beyond 53 bits, some number beyond a double."""
    signable: bool
    """All are integers, and short."""


def numbers_in(bare: bytes) -> Numbers:
    """A look at the text. Where it finds nothing, nobody has to walk through the values."""
    noughts = bare.translate(_TO_NOUGHTS)
    long = b"0" * (_SMALL_DIGITS + 1) in noughts or b"e000" in noughts or b"e+000" in noughts
    return Numbers(long, not (long or b"." in noughts or b"0e" in noughts))


def doubled_key(document: Any, bare: bytes) -> bool:
    """Whether a key stands twice in an object: the text has more members than the parsed document."""
    if type(document) not in _CONTAINERS:
        return False
    return _members(document, bare.count(b"{")) != bare.count(b":")


def _members(document: Any, objects: int) -> int:
    """How many members a document has, which has so many objects at most: behind the last, nobody looks on."""
    found = 0
    queue: list[Any] = [document]
    for value in queue:  # which grows meanwhile
        inner = value
        if type(value) is dict:
            found += len(value)
            objects -= 1
            inner = value.values()
        if not objects:
            break
        queue += [one for one in inner if type(one) in _CONTAINERS]
    return found


class Survey(NamedTuple):
    """What one walk over a parsed document finds."""

    integers_fit: bool
    signable: bool


def survey(document: Any) -> Survey:
    """Look at the numbers: 64-bit integers everywhere, and what a signed frame may hold (§1)."""
    fits = signable = True
    lowest, highest = -limits.MAX_SIGNED_INTEGER, limits.MAX_SIGNED_INTEGER
    stack: list[Any] = [document]
    pop, extend = stack.pop, stack.extend
    while stack:
        value = pop()
        kind = type(value)
        if kind is dict:
            extend(value.values())
        elif kind is list:
            extend(value)
        elif kind is int:
            if not lowest <= value <= highest:
                signable = False
                fits = fits and limits.MIN_INTEGER <= value <= limits.MAX_INTEGER
        elif kind is float:
            signable = False
    return Survey(fits, signable)


class NotJsonError(ValueError):
    """The bytes are no JSON document at all; there is nothing to point at."""


class Parsed(NamedTuple):
    """A document that parsed, with the breaches that a lenient parser would have hidden."""

    document: Any
    breaches: list[ShapeFault]


class _Doubled(dict[str, Any]):
    """An object in which some keys stood more than once; the last value is kept, as lenient parsers do."""

    doubled: tuple[str, ...] = ()


def parse(data: bytes, bare: bytes | None = None) -> Parsed:
    """Parse text whose depth was bounded before, and name every duplicate key and lone surrogate.

    Raises `NotJsonError` for what is not JSON, NaN and infinities included. The costly hooks and the walk are used
    only on a document that a count or a search says needs them: hostile text is long.
    """
    bare = without_strings(data) if bare is None else bare
    try:
        text = data.decode("utf-8")
        read_integer = _bounded_integer if b"0" * _BIG_DIGITS in bare.translate(_TO_NOUGHTS) else None
        document = json.loads(text, parse_constant=_no_constant, parse_int=read_integer)
        doubled = doubled_key(document, bare)
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


def _breaches(document: Any) -> Iterator[ShapeFault]:
    if isinstance(document, str) and _LONE_SURROGATE.search(document):
        yield _lone(None, document)
    for path, value in containers(document):
        if isinstance(value, _Doubled):
            for key in value.doubled:
                pointer = spelled((path, key))
                yield ShapeFault(pointer=pointer, expected="a key that stands once", found="a key twice")
        if isinstance(value, dict):
            yield from (_lone((path, key), key) for key in value if _LONE_SURROGATE.search(key))
        yield from (_lone((path, step), text) for step, text in texts(value) if _LONE_SURROGATE.search(text))


def _lone(path: Path, value: str) -> ShapeFault:
    return ShapeFault(pointer=spelled(path), expected="text without lone surrogates", found=length_words(value))
