"""`docs/performance.md` and its plots, from the kept results and the text in `page.md`.

Owns the form of the page. Every figure on it comes from `docs/performance.json`; nothing is typed in by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.bench.figure import Bar, Figure
from tests.bench.plot import Chart, Line, svg
from tests.bench.registered import FIGURES
from tests.bench.results import KEPT, Results, Run, judged, number

TEXT = Path(__file__).with_name("page.md")
PAGE = KEPT.with_suffix(".md")
IMAGES = PAGE.parent / "images"
_PLACE = re.compile(r"\{\{(\w+)(?: (\w+))?\}\}")
_JUDGED = {"moonshot": "moonshot", "met": "met", "NOT MET": "**not met**"}


def write(results: Results) -> None:
    """The page and its images, anew."""
    for name, draw in PLOTS.items():
        chart = draw(results)
        if chart is not None:
            (IMAGES / f"performance-{name}.svg").write_text(svg(chart))
    PAGE.write_text(page(results))


def page(results: Results) -> str:
    """The text with its places filled."""
    text = TEXT.read_text()
    placed = {match[2] for match in _PLACE.finditer(text) if match[1] == "figure"}
    others = [name for name in FIGURES if name in results.figures and name not in placed]
    makers: dict[str, Callable[[str], str]] = {
        "machine": lambda _: _machine(results),
        "budgets": lambda _: _budgets(results),
        "figure": lambda name: _figure(results, FIGURES[name]),
        "others": lambda _: "\n\n".join(_figure(results, FIGURES[name]) for name in others),
        "plot": lambda name: _plot(results, name),
        "date": lambda _: max(run["at"][:10] for runs in results.figures.values() for run in runs),
    }
    return _PLACE.sub(lambda match: makers[match[1]](match[2] or ""), text)


def _machine(results: Results) -> str:
    m = results.machine
    return f"{m['cores']} cores ({m['cpu']}), {m['memory_gib']} GiB, {m['system']}, Python {m['python']}"


def _budgets(results: Results) -> str:
    lines = ["| what | best of | value | bar | moonshot | | others took |", "|---|---|---|---|---|---|---|"]
    for name, figure in FIGURES.items():
        run = results.best(name)
        if run is None:
            continue
        for place, bar in enumerate(figure.bars):
            title = f"[{figure.title}](#{name.replace('_', '-')})" if place == 0 else ""
            count = str(len(results.figures[name])) if place == 0 else ""
            others = f"{run['machine']['others_percent']:.0f} %" if place == 0 else ""
            lines.append(
                f"| {title} | {count} | {bar.words} **{number(run['values'][bar.value])}** {bar.unit} |"
                f" {number(bar.bar)} | {number(bar.moonshot)} | {_JUDGED[judged(bar, run)]} | {others} |"
            )
    return "\n".join(lines)


def _figure(results: Results, figure: Figure) -> str:
    """One section: how, the command, every run, the best one in full."""
    best = results.best(figure.name)
    head = (
        f"### {figure.name.replace('_', '-')}\n\n**{figure.title}.** {figure.how}\n\n`make bench ARGS={figure.name}`\n"
    )
    if best is None:
        return f"{head}\nNot measured yet."
    parts = [head, _runs(results.figures[figure.name], best, figure.bars)]
    if best["samples"]:
        parts.append(_samples(best))
    if best["series"]:
        parts.append(_series(best))
    beside = [f"{name} {number(value)}" for name, value in best["values"].items() if not _is_bar(figure, name)]
    beside += [f"{name} {number(value)} MiB resident" for name, value in best["memory_mib"].items()]
    if beside:
        parts.append("Beside it: " + ", ".join(beside) + ".")
    return "\n\n".join(part.rstrip() for part in parts)


def _is_bar(figure: Figure, name: str) -> bool:
    return name in {bar.value for bar in figure.bars} or name in ("p50", "p90", "p99", "max")


def _runs(runs: list[Run], best: Run, bars: tuple[Bar, ...]) -> str:
    heads = [f"{bar.words}, {bar.unit}".rstrip(", ") for bar in bars]
    lines = [
        "| run | " + "".join(f"{head} | " for head in heads) + "others took | loop/ms | fsync p50 / p99 ms |",
        "|---|" + "---|" * (len(heads) + 3),
    ]
    for run in runs:
        m = run["machine"]
        bold = "**" if run is best and len(runs) > 1 else ""
        values = "".join(f"{bold}{number(run['values'][bar.value])}{bold} | " for bar in bars)
        lines.append(
            f"| {run['at'][:16].replace('T', ' ')} | {values}{m['others_percent']:.0f} % | {m['loop_per_ms']:,.0f} |"
            f" {m['fsync_ms_p50']:.2f} / {m['fsync_ms_p99']:.2f} |"
        )
    return "\n".join(lines)


def _samples(run: Run) -> str:
    lines = ["| the best run | p50 | p90 | p99 | max | n |", "|---|---|---|---|---|---|"]
    for name, sample in run["samples"].items():
        shown = " | ".join(number(sample[q]) for q in ("p50", "p90", "p99", "max"))
        lines.append(f"| {name} | {shown} | {sample['count']:,} |")
    return "\n".join(lines)


def _series(run: Run) -> str:
    heads = list(dict.fromkeys(name for row in run["series"] for name in row))
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += [
        "| " + " | ".join(number(row[name]) if name in row else "" for name in heads) + " |" for row in run["series"]
    ]
    return "\n".join(lines)


# -- plots -------------------------------------------------------------------------------------------------------


def _plot(results: Results, name: str) -> str:
    chart = PLOTS[name](results)
    return "" if chart is None else f"![{chart.title}](images/performance-{name}.svg)"


def _spread(name: str, sample: str, title: str) -> Callable[[Results], Chart | None]:
    """The whole distribution of the best run, up to its 99th percentile: the last hundredth would flatten the rest."""

    def draw(results: Results) -> Chart | None:
        run = results.best(name)
        if run is None:
            return None
        marks = [(f"bar {bar.words}", bar.bar) for bar in FIGURES[name].bars if bar.unit == "ms"]
        outline = run["samples"][sample]["outline"]
        line = Line(sample.rsplit(",", 1)[0], list(enumerate(outline[:100])), dots=False)
        return Chart(title, "percentile", "ms", [line], marks=marks)

    return draw


def _grown(
    name: str, x: str, ys: tuple[str, ...], title: str, *, unit: str, log: bool
) -> Callable[[Results], Chart | None]:
    def draw(results: Results) -> Chart | None:
        run = results.best(name)
        if run is None:
            return None
        lines = [Line(y, [(row[x], row[y]) for row in run["series"] if y in row]) for y in ys]
        return Chart(title, x, unit, lines, x_log=log)

    return draw


PLOTS: dict[str, Callable[[Results], Chart | None]] = {
    "receipt": _spread("first_receipt", "first receipt, ms", "Prompt to first receipt at 300 prompts/s"),
    "verdict": _spread("verdict", "verdict, ms", "shell: true to its verdict, real runtime"),
    "growth": _grown(
        "growth", "events", ("p50 ms", "p99 ms"), "One more prompt, by events in the log", unit="ms", log=True
    ),
    "memory": _grown(
        "runtimes", "runtimes", ("MiB",), "Memory of the control plane, by runtimes", unit="MiB", log=False
    ),
    "fleet": _grown(
        "runtimes", "runtimes", ("p50 ms", "p99 ms"), "One prompt at a time, by runtimes connected", unit="ms", log=True
    ),
    "sessions": _grown(
        "sessions_at_once", "sessions", ("per second",), "Verdicts a second, by sessions at once", unit="1/s", log=True
    ),
    "waits": _grown(
        "sessions_at_once",
        "sessions",
        ("p50 ms", "p99 ms"),
        "Prompt to verdict, by sessions at once",
        unit="ms",
        log=True,
    ),
}
