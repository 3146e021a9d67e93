"""A run of the matrix, for readers: one document for machines, and lines in which effects that agree stand together.

Owns the form of the document and the words of a line. Makes no page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from caisey.conformance.form import (
    EFFECTS,
    WINDOWS,
    Cell,
    Effect,
    Expected,
    Stall,
    Verdict,
    times,
    words_of,
)

EFFECT_WORDS: Final[dict[Effect, str]] = {
    "read_only": "reads",
    "idempotent": "repeatable",
    "mutating": "changes",
}
NONE: Final = "\u2013"


@dataclass(frozen=True)
class Line:
    """Effects of one row that agree."""

    group: str
    name: str
    what: str
    rule: str
    effects: str
    detected: str
    ran: str
    known: str
    by_itself: str
    then: str
    offered: str
    started: str
    seconds: str = NONE
    label: str = ""
    differences: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.differences


def specified(stalls: Iterable[Stall]) -> list[Line]:
    """The matrix as it is specified."""
    lines = []
    for stall in stalls:
        for expected, effects in _alike(stall.cells.items(), lambda cell: cell[1]):
            lines.append(_line(stall, [effect for effect, _ in effects], expected))
    return lines


def measured(cells: Sequence[Cell]) -> list[Line]:
    """The matrix as it was found: what is specified where that was found, and the differences beside it."""
    lines = []
    for stall in dict.fromkeys(cell.stall for cell in cells):
        mine = sorted((cell for cell in cells if cell.stall is stall), key=lambda cell: EFFECTS.index(cell.effect))
        for _, alike in _alike(mine, lambda cell: (cell.expected, _said(cell))):
            lines.append(_found_line(stall, alike))
    return lines


def document(cells: Sequence[Cell], **about: Any) -> dict[str, Any]:
    """The run as JSON. `about`: where, when, by what."""
    wrong = [cell for cell in cells if not cell.ok]
    return {
        **about,
        "policy": {f"{name}_s": seconds for name, seconds in WINDOWS.items()},
        "cells_played": len(cells),
        "cells_not_as_specified": len(wrong),
        "cells": [_cell(cell) for cell in cells],
    }


def _cell(cell: Cell) -> dict[str, Any]:
    expected, found = cell.expected, cell.found
    return {
        "group": cell.stall.group,
        "stall": cell.stall.name,
        "what": cell.stall.what,
        "rule": cell.stall.rule,
        "effect": cell.effect,
        "as_specified": cell.ok,
        "times_played": cell.times_played,
        "expected": {
            "verdicts": _verdicts(expected.verdicts),
            "known": None if expected.known is None else asdict(expected.known) | {"words": expected.known.words()},
            "by_itself": expected.by_itself,
            "then": expected.then,
            "offered": expected.offered,
            "withheld": expected.withheld,
            "code": expected.code,
            "evidence": expected.evidence,
            "starts": expected.starts,
        },
        "found": {**asdict(found), "verdicts": _verdicts(found.verdicts)},
        "differences": [asdict(difference) for difference in cell.differences],
    }


def _verdicts(verdicts: tuple[Verdict, ...]) -> list[dict[str, str]]:
    return [{"kind": kind, "ran": ran} for kind, ran in verdicts]


# -- lines ------------------------------------------------------------------------------------------------------------


def _alike(things: Iterable[Any], key: Callable[[Any], Any]) -> list[tuple[Any, list[Any]]]:
    """Things with the same key together, in the order in which each key came first."""
    found: dict[Any, list[Any]] = {}
    for thing in things:
        found.setdefault(key(thing), []).append(thing)
    return list(found.items())


def _line(stall: Stall, effects: Sequence[Effect], expected: Expected) -> Line:
    return Line(
        group=stall.group,
        name=stall.name,
        what=stall.what,
        rule=stall.rule,
        effects="all" if len(effects) == len(EFFECTS) else words_of([EFFECT_WORDS[effect] for effect in effects]),
        detected=_chain([kind for kind, _ in expected.verdicts]),
        ran=_chain([ran for _, ran in expected.verdicts]),
        known=NONE if expected.known is None else expected.known.words(),
        by_itself=words_of(tuple(dict.fromkeys(expected.by_itself))) if expected.by_itself else NONE,
        then=expected.then,
        offered=words_of(expected.offered) if expected.offered else NONE,
        started=times(expected.starts),
    )


def _chain(words: Sequence[str]) -> str:
    """One after the other; the same again and again as a number."""
    if len(words) > 1 and len(set(words)) == 1:
        return f"{words[0]} ×{len(words)}"  # that is the sign
    return words_of(list(words), " → ")


def _found_line(stall: Stall, cells: Sequence[Cell]) -> Line:
    line = _line(stall, [cell.effect for cell in cells], cells[0].expected)
    seconds = sorted(cell.found.seconds for cell in cells if cell.found.seconds is not None)
    return Line(
        **{
            **asdict(line),
            "seconds": _range(seconds),
            "label": " / ".join(dict.fromkeys(cell.found.label for cell in cells if cell.found.label)),
            "differences": _said(cells[0]),
        }
    )


def _said(cell: Cell) -> tuple[str, ...]:
    """The differences in words; the seconds of one that was late are its own and differ from run to run."""
    return tuple(f"{d.column}: expected {d.expected}, found {d.found}" for d in cell.differences)


def _range(seconds: Sequence[float]) -> str:
    if not seconds:
        return NONE
    least, most = f"{seconds[0]:.2f}", f"{seconds[-1]:.2f}"
    return f"{least} s" if least == most else f"{least} to {most} s"
