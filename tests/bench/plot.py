"""Line charts as SVG, readable on a light page and on a dark one, without any library.

Owns the drawing. Knows nothing of figures: it is given lines of points, and numbers to write beside the axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 44, 52
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #333 }
.title { font-size: 14px; font-weight: 600 }
.axis { stroke: #888; stroke-width: 1 }
.grid { stroke: #ddd; stroke-width: 1 }
.line { fill: none; stroke-width: 2 }
.c0 { stroke: #0b62a4 } .c1 { stroke: #b5460f } .c2 { stroke: #2e7d32 } .c3 { stroke: #7b3fa0 }
.d0 { fill: #0b62a4 } .d1 { fill: #b5460f } .d2 { fill: #2e7d32 } .d3 { fill: #7b3fa0 }
.mark { fill: none; stroke: #888; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
text { fill: #ddd } .grid { stroke: #444 }
.c0 { stroke: #6cb6f5 } .c1 { stroke: #f2a36b } .c2 { stroke: #7fcf86 } .c3 { stroke: #c79be6 }
.d0 { fill: #6cb6f5 } .d1 { fill: #f2a36b } .d2 { fill: #7fcf86 } .d3 { fill: #c79be6 }
}
""".strip()

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A named curve. `dots`: its points were measured one by one, and show as such."""

    name: str
    points: Sequence[Point]
    dots: bool = True


@dataclass(frozen=True)
class Chart:
    """What is drawn. `marks` are horizontal lines with a name: the bars."""

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    x_log: bool = False
    marks: Sequence[tuple[str, float]] = field(default_factory=list)


def svg(chart: Chart) -> str:
    """The chart as a document of its own."""
    xs = [x for line in chart.lines for x, _ in line.points]
    ys = [y for line in chart.lines for _, y in line.points] + [y for _, y in chart.marks]
    top = _rounded_up(max(ys))
    at_x, at_y = _scale(min(xs), max(xs), LEFT, WIDTH - RIGHT, log=chart.x_log), _scale(0, top, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(chart.title)}</title><style>{_STYLE}</style>",
        _text(LEFT, 22, chart.title, "title"),
        *_axes(chart, xs, top, at_x, at_y),
    ]
    for name, y in chart.marks:
        parts.append(f'<path class="mark" d="M{LEFT} {at_y(y):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(WIDTH - RIGHT + 6, at_y(y) + 4, name))
    for number, line in enumerate(chart.lines):
        parts += _curve(line, number, at_x, at_y)
    return "\n".join([*parts, "</svg>", ""])


Place = Callable[[float], float]


def _scale(low: float, high: float, start: float, end: float, *, log: bool = False) -> Place:
    place = math.log10 if log else float
    span = (place(high) - place(low)) or 1.0
    return lambda value: start + (place(value) - place(low)) / span * (end - start)


def _rounded_up(value: float) -> float:
    """The next number that people count in."""
    if value <= 0:
        return 1.0
    step = 10.0 ** math.floor(math.log10(value))
    return next(step * factor for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * factor >= value)


def _axes(chart: Chart, xs: Sequence[float], top: float, at_x: Place, at_y: Place) -> list[str]:
    parts = []
    for part in range(6):
        y = top * part / 5
        parts.append(f'<path class="{"grid" if part else "axis"}" d="M{LEFT} {at_y(y):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 8, at_y(y) + 4, _number(y), anchor="end"))
    places = sorted(set(xs)) if len(set(xs)) <= 8 else [min(xs) + (max(xs) - min(xs)) * part / 5 for part in range(6)]
    last = -1e9
    for x in places:
        if at_x(x) - last < 34:
            continue  # two numbers would touch
        last = at_x(x)
        parts.append(_text(last, HEIGHT - BOTTOM + 18, _number(x), anchor="middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, chart.x, anchor="middle"))
    parts.append(_text(LEFT - 8, TOP - 8, chart.y, anchor="end"))
    return parts


def _curve(line: Line, number: int, at_x: Place, at_y: Place) -> list[str]:
    places = [(at_x(x), at_y(y)) for x, y in line.points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = [f'<circle class="d{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places] if line.dots else []
    y = TOP + 14 + 18 * number
    legend = [
        f'<path class="line c{number}" d="M{WIDTH - RIGHT + 8} {y - 4}h18"/>',
        _text(WIDTH - RIGHT + 32, y, line.name),
    ]
    return [f'<path class="line c{number}" d="{path}"/>', *dots, *legend]


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _number(value: float) -> str:
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
