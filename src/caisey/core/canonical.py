"""RFC 8785 canonical JSON: the one spelling of a value that is digested or signed.

Owns the choice between a fast encoder and the reference implementation. The two agree on everything that `_is_plain`
lets through (a property test holds them to it); whatever it does not vouch for goes to the reference.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import rfc8785

MAX_INTEGER: Final = 2**53 - 1
"""RFC 8785 numbers are IEEE doubles; beyond this an integer would silently become another one."""

_SPELLED_WITH_EXPONENT: Final = 1e21

encode_plain = msgspec.json.Encoder(order="sorted").encode
"""The fast encoder. Canonical for what `_is_plain` accepts: strings are escaped alike, ASCII keys sort alike."""


def canonical(value: Any) -> bytes:
    """The canonical bytes of JSON built-ins, fractions included.

    Raises `ValueError` for what has no canonical form that reads back as itself: integers beyond plus and minus 2^53-1
    (also as fractions that RFC 8785 spells as integers), NaN and infinities, lone surrogates, keys that are not
    strings, other types, and nesting too deep to follow.
    """
    try:
        if _is_plain(value):
            return encode_plain(value)
        return rfc8785.dumps(value)
    except (UnicodeEncodeError, OverflowError, RecursionError, TypeError, AttributeError) as error:
        raise ValueError(f"no canonical form: {type(error).__name__}") from error


def _is_plain(value: Any) -> bool:
    """Whether `value` holds only strings, safe integers, booleans, nulls, lists, and objects whose keys are ASCII.

    RFC 8785 sorts keys by UTF-16 code units, the fast encoder by UTF-8 bytes: for ASCII that is the same order.
    Raises `ValueError` for numbers that would read back as others.
    """
    plain = True
    stack = [value]
    pop, extend = stack.pop, stack.extend
    while stack:
        item = pop()
        kind = type(item)
        if kind is str or kind is bool or item is None:
            continue
        if kind is int:
            if not -MAX_INTEGER <= item <= MAX_INTEGER:
                raise ValueError("no canonical form: an integer beyond plus and minus 2^53-1")
        elif kind is list or kind is tuple:
            extend(item)
        elif kind is dict:
            for key in item:
                if type(key) is not str or not key.isascii():
                    plain = False
                    break
            extend(item.values())
        else:
            plain = False
            if kind is float and MAX_INTEGER < abs(item) < _SPELLED_WITH_EXPONENT:
                raise ValueError("no canonical form: a fraction that would read back as an unsafe integer")
    return plain
