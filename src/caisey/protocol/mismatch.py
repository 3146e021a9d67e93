"""All the places where a parsed JSON value does not fit a msgspec type.

Owns the slow, exact answer for a value that msgspec refused: msgspec stops at the first fault and names it in prose, a
peer and the ledger need all of them with their pointers (PROTOCOL.md §8). Runs only on the bad path, on hostile
values; it recurses, so the caller has bounded the depth first.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from msgspec import inspect

from caisey.protocol.frames import ShapeFault
from caisey.protocol.outline import ABSENT, join, length_words, pattern_words, type_word
from caisey.protocol.places import STORED, numbers_beyond, spelled


@lru_cache(maxsize=256)
def type_of(kind: Any) -> inspect.Type:
    """The description of a type that `mismatches` takes; computed once."""
    return inspect.type_info(kind)


def mismatches(value: object, kind: inspect.Type, pointer: str = "") -> Iterator[ShapeFault]:
    """Every fault of `value` against `kind`, in the order of the type's fields. No value is ever quoted."""
    check = _CHECKS.get(type(kind))
    if check is None:
        raise TypeError(f"no check for {type(kind).__name__}: add one beside the others")
    yield from check(value, kind, pointer)


def expected_words(kind: inspect.Type) -> str:
    """What a reader should have put there: the JSON type, or the choice of types."""
    if isinstance(kind, inspect.UnionType):
        words = dict.fromkeys(expected_words(option) for option in kind.types)
        return " or ".join(sorted(words, key=lambda word: word == "null"))
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(str(value) for value in kind.values)
    return _WORDS[type(kind)]


_WORDS: dict[type[inspect.Type], str] = {
    inspect.AnyType: "any value",
    inspect.RawType: "any value",
    inspect.NoneType: "null",
    inspect.BoolType: "boolean",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.StrType: "string",
    inspect.BytesType: "base64 string",
    inspect.VarTupleType: "array",
    inspect.ListType: "array",
    inspect.DictType: "object",
    inspect.StructType: "object",
}


def _fault(pointer: str, expected: str, found: str) -> ShapeFault:
    return ShapeFault(pointer=pointer, expected=expected, found=found)


def _any(value: object, kind: inspect.AnyType | inspect.RawType, pointer: str) -> Iterator[ShapeFault]:
    """Any JSON, but no number that cannot be stored (PROTOCOL.md §9)."""
    for path, number in numbers_beyond(value, STORED):
        place = pointer + spelled(path)
        if isinstance(number, float):
            yield _fault(place, "number within the range of a double", "number")
        else:
            yield _fault(place, "integer of at most 64 bits", f"integer of {number.bit_length()} bits")


def _simple(*accepted: type) -> Callable[[object, Any, str], Iterator[ShapeFault]]:
    def check(value: object, kind: inspect.Type, pointer: str) -> Iterator[ShapeFault]:
        if type(value) not in accepted:
            yield _fault(pointer, expected_words(kind), type_word(value))

    return check


def _integer(value: object, kind: inspect.IntType, pointer: str) -> Iterator[ShapeFault]:
    if type(value) is not int:
        yield _fault(pointer, "integer", type_word(value))
    elif (kind.ge is not None and value < kind.ge) or (kind.le is not None and value > kind.le):
        yield _fault(pointer, f"integer from {kind.ge} to {kind.le}", f"integer of {value.bit_length()} bits")


def _number(value: object, kind: inspect.FloatType, pointer: str) -> Iterator[ShapeFault]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        yield _fault(pointer, "number", type_word(value))
    elif not math.isfinite(value) or (kind.ge is not None and value < kind.ge):
        yield _fault(pointer, f"number of at least {kind.ge}", "number")


def _string(value: object, kind: inspect.StrType, pointer: str) -> Iterator[ShapeFault]:
    if not isinstance(value, str):
        yield _fault(pointer, "string", type_word(value))
    elif kind.pattern is not None and re.search(kind.pattern, value) is None:
        yield _fault(pointer, pattern_words(kind.pattern), length_words(value))
    elif not _length_fits(len(value), kind):
        yield _fault(pointer, f"string of {_length_bounds(kind)} characters", length_words(value))


def _bytes(value: object, kind: inspect.BytesType, pointer: str) -> Iterator[ShapeFault]:
    if not isinstance(value, str):
        yield _fault(pointer, "base64 string", type_word(value))
        return
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        yield _fault(pointer, "base64 string", length_words(value))
        return
    if not _length_fits(len(decoded), kind):
        yield _fault(pointer, f"base64 of {_length_bounds(kind)} bytes", f"base64 of {len(decoded)} bytes")


def _literal(value: object, kind: inspect.LiteralType, pointer: str) -> Iterator[ShapeFault]:
    if not isinstance(value, str) or value not in kind.values:
        yield _fault(pointer, expected_words(kind), type_word(value))


def _union(value: object, kind: inspect.UnionType, pointer: str) -> Iterator[ShapeFault]:
    """The faults against the option of the same JSON type, where there is one: that is the one that was meant."""
    closest: list[ShapeFault] | None = None
    for option in kind.types:
        faults = list(mismatches(value, option, pointer))
        if not faults:
            return
        same_type = not (faults[0].pointer == pointer and faults[0].found == type_word(value))
        if same_type or isinstance(option, inspect.LiteralType):
            closest = faults
    yield from closest or [_fault(pointer, expected_words(kind), type_word(value))]


def _array(value: object, kind: inspect.VarTupleType | inspect.ListType, pointer: str) -> Iterator[ShapeFault]:
    if not isinstance(value, list):
        yield _fault(pointer, "array", type_word(value))
        return
    if not _length_fits(len(value), kind):
        yield _fault(pointer, f"array of {_length_bounds(kind)} items", length_words(value))
    for position, inner in enumerate(value):
        yield from mismatches(inner, kind.item_type, join(pointer, position))


def _map(value: object, kind: inspect.DictType, pointer: str) -> Iterator[ShapeFault]:
    if not isinstance(value, dict):
        yield _fault(pointer, "object", type_word(value))
        return
    for key, inner in value.items():
        if isinstance(kind.key_type, inspect.LiteralType) and key not in kind.key_type.values:
            yield _fault(join(pointer, key), f"a field that is {expected_words(kind.key_type)}", "another field")
        yield from mismatches(inner, kind.value_type, join(pointer, key))


def _struct(value: object, kind: inspect.StructType, pointer: str) -> Iterator[ShapeFault]:
    if not isinstance(value, dict):
        yield _fault(pointer, "object", type_word(value))
        return
    if kind.tag_field is not None and value.get(kind.tag_field, kind.tag) != kind.tag:
        yield _fault(join(pointer, kind.tag_field), str(kind.tag), type_word(value[kind.tag_field]))
    for field in kind.fields:
        if field.encode_name in value:
            yield from mismatches(value[field.encode_name], field.type, join(pointer, field.encode_name))
        elif field.required:
            yield _fault(join(pointer, field.encode_name), expected_words(field.type), ABSENT)


def _length_fits(length: int, kind: Any) -> bool:
    return (kind.min_length or 0) <= length and (kind.max_length is None or length <= kind.max_length)


def _length_bounds(kind: Any) -> str:
    if kind.min_length == kind.max_length:
        return str(kind.max_length)
    if kind.max_length is None:
        return f"at least {kind.min_length}"
    return f"{kind.min_length} to {kind.max_length}" if kind.min_length else f"at most {kind.max_length}"


_CHECKS: dict[type[inspect.Type], Callable[[object, Any, str], Iterator[ShapeFault]]] = {
    inspect.AnyType: _any,
    inspect.RawType: _any,
    inspect.NoneType: _simple(type(None)),
    inspect.BoolType: _simple(bool),
    inspect.IntType: _integer,
    inspect.FloatType: _number,
    inspect.StrType: _string,
    inspect.BytesType: _bytes,
    inspect.LiteralType: _literal,
    inspect.UnionType: _union,
    inspect.VarTupleType: _array,
    inspect.ListType: _array,
    inspect.DictType: _map,
    inspect.StructType: _struct,
}
