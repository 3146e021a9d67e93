"""Runs of figures: measured, kept in `docs/performance.json`, compared, shown as a table."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import msgspec

from tests.bench.figure import Bar, Figure, as_document
from tests.bench.machine import Share, about, calibrate
from tests.bench.registered import FIGURES

KEPT = Path(__file__).parents[2] / "docs" / "performance.json"
Run = dict[str, Any]


async def measure(figure: Figure) -> Run:
    """One run, with the machine as it was beside it."""
    before, share = calibrate(), Share()
    began = time.perf_counter()
    measured = await figure.measure()
    return as_document(measured) | {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "took_s": round(time.perf_counter() - began, 1),
        "machine": before | {"load_1m": os.getloadavg()[0], "others_percent": share.others_percent()},
    }


class Results:
    """Runs by figure."""

    def __init__(self, figures: dict[str, list[Run]] | None = None, machine: dict[str, Any] | None = None) -> None:
        self.figures = figures or {}
        self.machine = machine or about()

    @classmethod
    def kept(cls) -> Self:
        """What stands in `docs/performance.json`."""
        if not KEPT.exists():
            return cls()
        document = msgspec.json.decode(KEPT.read_bytes())
        return cls(document["figures"], document["machine"])

    def keep(self) -> None:
        """Write it there."""
        KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(_rounded(self.as_document())), indent=1) + b"\n")

    def as_document(self) -> dict[str, Any]:
        """As JSON."""
        known = [name for name in FIGURES if name in self.figures]
        return {"machine": self.machine, "figures": {name: self.figures[name] for name in known}}

    def add(self, name: str, run: Run) -> None:
        """One more run."""
        self.figures.setdefault(name, []).append(run)

    def replace(self, newer: Results) -> None:
        """The runs of figures that were measured again take the place of the older ones."""
        self.figures |= newer.figures
        self.machine = newer.machine

    def best(self, name: str) -> Run | None:
        """The run that used up least of its bars."""
        runs = self.figures.get(name)
        return min(runs, key=lambda run: used(FIGURES[name].bars, run)) if runs else None


def used(bars: Iterable[Bar], run: Run) -> float:
    """How much of its tightest bar a run used up; zero bars count only when they are broken.

    Of figures without bars, the run counts during which others took least.
    """
    shares = [
        bar.share(run["values"][bar.value]) if bar.bar else float(run["values"][bar.value] > 0) * 1e9 for bar in bars
    ]
    return max(shares) if shares else float(run["machine"]["others_percent"])


def judged(bar: Bar, run: Run) -> str:
    """moonshot, met, or not met."""
    found = run["values"][bar.value]
    if bar.met(found, bar.moonshot):
        return "moonshot"
    return "met" if bar.met(found, bar.bar) else "NOT MET"


def number(value: float) -> str:
    """Three digits that count, no more."""
    if value == int(value) and abs(value) < 1e7:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def run_line(figure: Figure, run: Run) -> str:
    """One run for people."""
    machine = run["machine"]
    lines = ["  " + "   ".join(f"{name} {number(value)}" for name, value in run["values"].items())]
    for name, sample in run["samples"].items():
        shown = "  ".join(f"{q} {number(sample[q])}" for q in ("p50", "p90", "p99", "max"))
        lines.append(f"    {name:<38} {shown}  (n {sample['count']})")
    lines += ["    " + "  ".join(f"{name} {number(value)}" for name, value in row.items()) for row in run["series"]]
    if run["memory_mib"]:
        lines.append("    resident, MiB: " + "  ".join(f"{name} {number(v)}" for name, v in run["memory_mib"].items()))
    lines.append(
        f"    machine: others took {machine['others_percent']:.0f} %, load {machine['load_1m']:.1f}, "
        f"loop {machine['loop_per_ms']:,.0f}/ms, fsync {machine['fsync_ms_p50']:.2f}/{machine['fsync_ms_p99']:.2f} ms, "
        f"wake-up {machine['wake_ms_p50']:.3f}/{machine['wake_ms_p99']:.2f} ms (p50/p99)"
    )
    lines += [
        f"    {bar.words}: {number(run['values'][bar.value])} {bar.unit}"
        f" (bar {number(bar.bar)}, moonshot {number(bar.moonshot)}): {judged(bar, run)}"
        for bar in figure.bars
    ]
    return "\n".join(lines) + "\n"


def table(results: Results) -> str:
    """The best run of every figure, a line for each bar."""
    rows = [("figure", "value", "best", "bar", "moonshot", "")]
    for name, figure in FIGURES.items():
        run = results.best(name)
        if run is None:
            continue
        rows += [
            (
                name,
                bar.words,
                f"{number(run['values'][bar.value])} {bar.unit}".strip(),
                number(bar.bar),
                number(bar.moonshot),
                judged(bar, run),
            )
            for bar in figure.bars
        ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "".join("  ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value
