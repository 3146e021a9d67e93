"""An answer that did not fit, as it came, with each fault pointed at.

Owns how bytes of unknown form become lines: JSON is laid out and each fault stands at its place; what is no JSON stands
as visible text, with the faults at the top. Bounded, whatever came. Pure.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from caisey.core.plain_text import one_line, visible

Document = dict[str, Any]

SHOWN_BYTES: Final = 256 * 1024
LINES: Final = 4_000
LINE_LENGTH: Final = 1_000
DEEPEST: Final = 40
FAULTS: Final = 256


class Fault(NamedTuple):
    """One place that does not fit."""

    pointer: str
    expected: str
    found: str


class Line(NamedTuple):
    """One line; `anchor` is the number of the first fault that stands at it."""

    text: str
    faults: tuple[Fault, ...] = ()
    anchor: int = 0


class Raw(NamedTuple):
    """What the template shows."""

    size: int
    lines: tuple[Line, ...]
    faults: tuple[Fault, ...]
    cut: bool


def raw_of(data: bytes, faults: list[Document], size: int | None = None) -> Raw:
    """`data` is the beginning of the answer, `size` its whole length."""
    told = tuple(
        Fault(*(one_line(str(one.get(name, "")), 200) for name in ("pointer", "expected", "found")))
        for one in faults[:FAULTS]
    )
    lines = _as_json(data, told) if len(data) <= SHOWN_BYTES else None
    if lines is None:
        lines = _as_text(data[:SHOWN_BYTES], told)
    whole = len(data) if size is None else size
    return Raw(whole, tuple(lines[:LINES]), told, len(lines) > LINES or whole > SHOWN_BYTES)


def _as_text(data: bytes, faults: tuple[Fault, ...]) -> list[Line]:
    text = visible(data.decode("utf-8", errors="backslashreplace"))
    lines = [Line(_short(line)) for line in text.split("\n")]
    if faults:
        lines[0] = lines[0]._replace(faults=faults, anchor=1)
    return lines


def _as_json(data: bytes, faults: tuple[Fault, ...]) -> list[Line] | None:
    """Laid out, or None where it is no JSON (or deeper than anybody writes)."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    drawing = _Drawing(faults)
    drawing.draw(value, "", "", 0)
    drawing.leftovers()
    return drawing.lines


class _Drawing:
    """JSON line by line, with the faults of each place beside it."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self._at: dict[str, list[tuple[int, Fault]]] = {}
        for number, fault in enumerate(faults, 1):
            self._at.setdefault(fault.pointer, []).append((number, fault))
        self.lines: list[Line] = []

    def draw(self, value: Any, pointer: str, name: str, depth: int, end: str = "") -> None:
        """One value and all in it."""
        if len(self.lines) > LINES:
            return
        indent = "  " * depth
        if isinstance(value, dict | list) and value and depth < DEEPEST:
            opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
            self._line(f"{indent}{name}{opening}", pointer)
            items = list(value.items()) if isinstance(value, dict) else [(str(n), v) for n, v in enumerate(value)]
            for place, (key, inner) in enumerate(items):
                said = f"{msgspec.json.encode(key).decode()}: " if isinstance(value, dict) else ""
                comma = "," if place < len(items) - 1 else ""
                self.draw(inner, f"{pointer}/{_escaped(key)}", said, depth + 1, comma)
            self._line(f"{indent}{closing}{end}", None)
            return
        shown = "…" if depth >= DEEPEST and isinstance(value, dict | list) else msgspec.json.encode(value).decode()
        self._line(f"{indent}{name}{shown}{end}", pointer)

    def leftovers(self) -> None:
        """Faults of places that are not there: what is missing stands at the end, with its place."""
        for pointer, found in self._at.items():
            faults = tuple(fault for _, fault in found)
            self.lines.append(Line(_short(f"{pointer or '/'}"), faults, found[0][0]))
        self._at = {}

    def _line(self, text: str, pointer: str | None) -> None:
        found = self._at.pop(pointer, []) if pointer is not None else []
        faults = tuple(fault for _, fault in found)
        self.lines.append(Line(_short(visible(text)), faults, found[0][0] if found else 0))


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _short(line: str) -> str:
    return line if len(line) <= LINE_LENGTH else f"{line[: LINE_LENGTH - 1]}…"
