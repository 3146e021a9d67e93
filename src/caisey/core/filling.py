"""Filling the `{places}` of a text with values, inside a length.

Owns one rule: a missing value removes its sentence; nothing unfilled is ever shown. Values are put in once and never
read again, so that a name full of braces stays a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

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
    sentences: list[_Sentence] = []
    for sentence in _sentences(text):
        for name in sentence.names:
            if values.get(name) is None:
                break
        else:
            sentences.append(sentence)
    while sentences:
        filled = _fit(sentences, values, length)
        if len(filled) <= length:
            return filled
        if len(sentences) == 1:
            return cut(filled, length)
        sentences = sentences[:-1]
    return ""


class _Sentence(NamedTuple):
    """`parts`: what stands between the places, and every second one the name of a place."""

    parts: list[str]
    names: tuple[str, ...]  # each once, in order
    begins_with: str | None  # the place that it begins with


@lru_cache(maxsize=4096)
def _sentences(text: str) -> tuple[_Sentence, ...]:
    """The text, read once: it is filled again for every fact of every attempt that is shown."""
    found = []
    for sentence in _SENTENCE_END.split(text):
        parts = _PLACE.split(sentence)
        names = parts[1::2]
        found.append(_Sentence(parts, tuple(dict.fromkeys(names)), names[0] if names and not parts[0] else None))
    return tuple(found)


def _fit(sentences: list[_Sentence], values: Values, length: int) -> str:
    given = {name: str(values[name]) for sentence in sentences for name in sentence.names}
    while True:
        filled = " ".join([_spelled(sentence, given, values) for sentence in sentences])
        over = len(filled) - length
        if over <= 0 or not given:
            return filled
        longest = max(given, key=lambda name: len(given[name]))
        now = given[longest]
        shorter = cut(now, max(_SHORTEST, len(now) - over))
        if len(shorter) >= len(now):
            return filled
        given[longest] = shorter


def _spelled(sentence: _Sentence, given: dict[str, str], values: Values) -> str:
    if not sentence.names:
        return sentence.parts[0]
    parts = sentence.parts.copy()
    parts[1::2] = [given[name] for name in parts[1::2]]
    filled = "".join(parts)
    first = sentence.begins_with
    return filled[:1].upper() + filled[1:] if first is not None and isinstance(values[first], Own) else filled
