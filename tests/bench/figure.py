"""What a figure is, and the list of all of them.

Owns the registry: a module of `tests/bench` adds its figures with `@figure(...)` and is named in `registered.py`. A
figure is measured on real parts and judged by nobody here: its bars stand beside it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bar:
    """What one value of a figure should reach: DESIGN's bar and its moonshot."""

    value: str  # the name in `Measured.values`
    words: str
    unit: str
    bar: float
    moonshot: float
    more_is_better: bool = False

    def share(self, found: float) -> float:
        """How much of the bar is used up: 1.0 is just met, less is better."""
        if self.more_is_better:
            return self.bar / found if found else float("inf")
        return found / self.bar

    def met(self, found: float, limit: float) -> bool:
        """Whether `found` reaches `limit`."""
        return found >= limit if self.more_is_better else found <= limit


@dataclass
class Measured:
    """What one run found. Samples become percentiles; a series is a list of rows with the same names."""

    values: dict[str, float] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)  # "name, unit"
    series: list[dict[str, float]] = field(default_factory=list)
    memory_mib: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


Measure = Callable[[], Awaitable[Measured]]


@dataclass(frozen=True)
class Figure:
    """One line of the budgets."""

    name: str
    title: str
    how: str
    measure: Measure
    bars: tuple[Bar, ...]


found: list[Figure] = []


def figure(title: str, *bars: Bar, how: str) -> Callable[[Measure], Measure]:
    """Register the function as the figure of its own name. `how` says in one sentence what is measured."""

    def register(measure: Measure) -> Measure:
        name = str(getattr(measure, "__name__", ""))
        if any(figure.name == name for figure in found):
            raise ValueError(f"two figures are named {name}")
        found.append(Figure(name, title, how, measure, bars))
        return measure

    return register


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p90, p99 and max, in the unit of the values."""
    ordered = sorted(values)
    return {"p50": at(ordered, 0.5), "p90": at(ordered, 0.9), "p99": at(ordered, 0.99), "max": ordered[-1]}


def at(ordered: list[float], share: float) -> float:
    """The value below which that share lies; `ordered` is sorted."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def outline(values: list[float], points: int = 101) -> list[float]:
    """The whole distribution in that many values, from the least to the greatest: what a plot needs."""
    ordered = sorted(values)
    return [ordered[round(i * (len(ordered) - 1) / (points - 1))] for i in range(points)]


def as_document(measured: Measured) -> dict[str, Any]:
    """The form in which a run is kept."""
    return {
        "values": measured.values,
        "samples": {
            name: percentiles(values) | {"count": len(values), "outline": outline(values)}
            for name, values in measured.samples.items()
        },
        "series": measured.series,
        "memory_mib": measured.memory_mib,
        "notes": measured.notes,
    }
