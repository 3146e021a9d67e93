"""The shape of a document without its values: words for types, the tree of keys, a fingerprint (RECOVERY.md §8).

Owns how a fault is described and when two faults are the same. Must never let a value through: what is described here
is stored, counted and shown to people who may not see the document itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from caisey.protocol import limits
from caisey.protocol.frames import ShapeFault

ABSENT: Final = "absent"
POINTER_TOKEN_LENGTH: Final = 128
OUTLINE_NODES: Final = 512
OUTLINE_DEPTH: Final = 12
FINGERPRINT_BYTES: Final = 16

_NO_LAST_NEWLINE: Final = r"(?!\n)"

_TYPE_WORDS: Final[dict[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def type_word(value: object) -> str:
    """The JSON type of a parsed value, in the words of JSON Schema."""
    word = _TYPE_WORDS.get(type(value))
    if word is not None:
        return word
    return next((word for kind, word in _TYPE_WORDS.items() if isinstance(value, kind)), "value")


def length_words(value: object) -> str:
    """A type with its length or size: what `found` says where the type itself was right."""
    if isinstance(value, str):
        return f"string of {len(value)} characters"
    if isinstance(value, list):
        return f"array of {len(value)} items"
    if isinstance(value, dict):
        return f"object of {len(value)} fields"
    return type_word(value)


def pattern_words(pattern: str) -> str:
    """A pattern as a reader wants it: without the guard against a last newline that Python's `$` lets pass."""
    return f"string matching {pattern.replace(_NO_LAST_NEWLINE, '')}"


def pointer_token(key: str) -> str:
    """One step of a JSON pointer (RFC 6901), cut to a bound, without what text stores refuse (lone surrogates)."""
    token = key.encode("utf-8", "replace").decode("utf-8")
    if len(token) > POINTER_TOKEN_LENGTH:
        token = f"{token[: POINTER_TOKEN_LENGTH - 1]}…"
    return token.replace("~", "~0").replace("/", "~1")


def join(pointer: str, *steps: str | int) -> str:
    """`pointer` with further steps behind it."""
    return pointer + "".join(f"/{pointer_token(step) if isinstance(step, str) else step}" for step in steps)


def outline(document: object) -> object:
    """The tree of keys: objects as objects, arrays as the outline of their first item, everything else as its type.

    Bounded: at most `OUTLINE_NODES` nodes and `OUTLINE_DEPTH` levels; what is cut shows as `"…"`.
    """
    left = OUTLINE_NODES

    def of(value: object, depth: int) -> object:
        nonlocal left
        left -= 1
        if left <= 0:
            return "…"
        if isinstance(value, dict) and value:
            if depth == OUTLINE_DEPTH:
                return "…"
            tree: dict[str, object] = {}
            for key, inner in value.items():
                tree[pointer_token(str(key))] = of(inner, depth + 1)
                if left <= 0:
                    break
            return tree
        if isinstance(value, list) and value:
            return [of(value[0], depth + 1)] if depth < OUTLINE_DEPTH else "…"
        return type_word(value)

    return of(document, 0)


def fingerprint(subject: str, faults: Iterable[ShapeFault]) -> str:
    """The same for the same faults of the same kind of document, wherever and whenever they happen.

    `subject` says what was read (a frame type, `result`, `arguments`); the tool and the endpoint stay out of it, since
    the ledger counts by them. Array positions and lengths are left out: a list with three bad items has the same
    shape as a list with one.
    """
    lines = {
        f"{_without_positions(fault.pointer)}\n{fault.expected}\n{fault.found.split(' of ')[0]}" for fault in faults
    }
    text = "\n\n".join([subject, *sorted(lines)])
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[:FINGERPRINT_BYTES].hex()


def bounded(faults: list[ShapeFault]) -> tuple[ShapeFault, ...]:
    """At most `limits.SHAPE_ERRORS` faults, in the order they were found."""
    return tuple(faults[: limits.SHAPE_ERRORS])


def _without_positions(pointer: str) -> str:
    return "/".join("*" if step.isdecimal() else step for step in pointer.split("/"))
