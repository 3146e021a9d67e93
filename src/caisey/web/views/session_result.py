"""A structured result as people read it: names with values, and lists as tables.

Owns which results are plain enough for that; everything else is shown as it is, as JSON. Bounded, every value on one
line. Pure.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from caisey.core.plain_text import one_line
from caisey.core.spoken import size
from caisey.web.words import WORDS

Document = dict[str, Any]

PAIRS: Final = 40
TABLES: Final = 4
COLUMNS: Final = 8
ROWS: Final = 100
CELL_LENGTH: Final = 120
LISTED: Final = 20
_SIZE: Final = "_bytes"


class Table(NamedTuple):
    """A list of things that are alike; `more` of them are not shown."""

    title: str
    columns: tuple[str, ...]
    numbers: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int


class Shown(NamedTuple):
    """What stands in the place of the JSON."""

    pairs: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]


def shown_result(result: Any) -> Shown | None:
    """None where the result is not plain enough: nested, long, or none at all."""
    if not isinstance(result, dict) or not result or len(result) > PAIRS:
        return None
    pairs: list[tuple[str, str]] = []
    tables: list[Table] = []
    for name, value in result.items():
        if _is_list_of_things(value):
            tables.append(_table(name, value))
        elif _is_plain(value):
            pairs.append((_name(name), _cell(name, value)))
        else:
            return None
    return Shown(tuple(pairs), tuple(tables)) if len(tables) <= TABLES else None


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= LISTED and all(_is_plain(one) and not isinstance(one, list) for one in value)
    if isinstance(value, str):
        return len(value) <= CELL_LENGTH and "\n" not in value
    return value is None or isinstance(value, int | float)


def _is_list_of_things(value: Any) -> bool:
    """Dictionaries with plain values and a few names in common."""
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        return False
    names = {name for one in value for name in one}
    return 0 < len(names) <= COLUMNS and all(_is_short(field) for one in value for field in one.values())


def _is_short(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _table(name: str, things: list[Document]) -> Table:
    columns = list(dict.fromkeys(column for one in things for column in one))
    numbers = tuple(all(_is_number(one.get(column)) for one in things) for column in columns)
    rows = tuple(tuple(_cell(column, one.get(column)) for column in columns) for one in things[:ROWS])
    return Table(_name(name), tuple(_name(c) for c in columns), numbers, rows, max(0, len(things) - ROWS))


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _name(name: str) -> str:
    return one_line(name.removesuffix(_SIZE).replace("_", " "), 40)


def _cell(name: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_cell(name, one) for one in value) or WORDS["session.result.none"]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return WORDS["session.result.none"]
    if name.endswith(_SIZE) and isinstance(value, int) and value >= 0:
        return size(value)
    return one_line(str(value), CELL_LENGTH)
