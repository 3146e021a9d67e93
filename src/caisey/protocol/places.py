"""Where in a parsed document something stands: walks that find it, and the pointer to it (RFC 6901).

Owns the way through a document that may be hostile: a million values wide. Nothing is called or made for a value that
is not looked for, and a pointer is spelled only where somebody will read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from caisey.protocol import limits
from caisey.protocol.outline import join

Container = dict[str, Any] | list[Any]
Path = tuple["Path", str | int] | None
"""The way to a value, from the last step to the first."""

_CONTAINERS: Final = (dict, list)


class Bounds(NamedTuple):
    """Which numbers may stand somewhere."""

    lowest: int
    highest: int
    fractions: bool


STORED: Final = Bounds(limits.MIN_INTEGER, limits.MAX_INTEGER, fractions=True)
SIGNED: Final = Bounds(-limits.MAX_SIGNED_INTEGER, limits.MAX_SIGNED_INTEGER, fractions=False)


def spelled(path: Path) -> str:
    """The JSON pointer of a path."""
    way: list[str | int] = []
    while path is not None:
        path, step = path
        way.append(step)
    return join("", *reversed(way))


def steps(container: Container) -> Iterable[tuple[str | int, Any]]:
    """What an object or an array holds, each with its step."""
    return container.items() if isinstance(container, dict) else enumerate(container)


def containers(document: Any) -> Iterator[tuple[Path, Container]]:
    """Every object and array of a document, each before those in it."""
    stack: list[tuple[Path, Any]] = [(None, document)] if isinstance(document, _CONTAINERS) else []
    while stack:
        path, container = stack.pop()
        yield path, container
        within = [(step, inner) for step, inner in steps(container) if isinstance(inner, _CONTAINERS)]
        stack += [((path, step), inner) for step, inner in reversed(within)]


def numbers_beyond(document: Any, bounds: Bounds) -> Iterator[tuple[Path, int | float]]:
    """The numbers of a document that may not stand there. What is no finite number may stand nowhere."""
    low, high, fractions = bounds
    if not isinstance(document, _CONTAINERS):
        yield from ((None, found) for _, found in numbers_beyond([document], bounds))
    for path, container in containers(document):
        yield from [
            ((path, step), inner)
            for step, inner in steps(container)
            if (type(inner) is int and not low <= inner <= high)
            or (type(inner) is float and (not fractions or inner - inner != 0.0))
        ]


def texts(container: Container) -> Iterable[tuple[str | int, str]]:
    """The texts of an object or an array, each with its step."""
    return [(step, inner) for step, inner in steps(container) if type(inner) is str]
