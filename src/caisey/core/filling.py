"""Filling the `{places}` of a text with values, inside a length.

Owns one rule: a missing value removes its sentence; nothing unfilled is ever shown. Values are put in once and never
read again, so that a name full of braces stays a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from caisey.core.plain_text import cut

_PLACE = re.compile(r"\{(\w+)\}")
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z{])")
_SHORTEST = 12  # a value is not cut below this while another one can give way

Values = Mapping[str, str | None]


class Own(str):
    """A phrase of ours rather than a name: it takes a capital letter where it begins a sentence."""

    __slots__ = ()


@lru_cache(maxsize=4096)
def places(text: str) -> frozenset[str]:
    """The names of the places in a text. Texts are the catalogue's: few, and each is filled again and again."""
    return frozenset(_PLACE.findall(text))


def fill(text: str, values: Values, length: int) -> str:
    """The text with its values, at most `length` characters; long values give way first, then last sentences."""
    sentences = [s for s in _SENTENCE_END.split(text) if all(values.get(p) is not None for p in places(s))]
    given = {name: str(value) for name, value in values.items() if value is not None}
    own = frozenset(name for name, value in values.items() if isinstance(value, Own))
    while sentences:
        filled = _fit(sentences, given, own, length)
        if len(filled) <= length:
            return filled
        if len(sentences) == 1:
            return cut(filled, length)
        sentences = sentences[:-1]
    return ""


def _fit(sentences: list[str], given: dict[str, str], own: frozenset[str], length: int) -> str:
    used = frozenset().union(*(places(s) for s in sentences))
    values = {name: given[name] for name in used}
    while True:
        filled = " ".join(_sentence(s, values, own) for s in sentences)
        over = len(filled) - length
        if over <= 0 or not values:
            return filled
        longest = max(values, key=lambda name: len(values[name]))
        now = values[longest]
        shorter = cut(now, max(_SHORTEST, len(now) - over))
        if len(shorter) >= len(now):
            return filled
        values[longest] = shorter


def _sentence(sentence: str, values: dict[str, str], own: frozenset[str]) -> str:
    filled = _PLACE.sub(lambda place: values[place[1]], sentence)
    first = _PLACE.match(sentence)
    return filled[:1].upper() + filled[1:] if first and first[1] in own else filled
