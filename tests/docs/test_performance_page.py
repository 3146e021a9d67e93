"""`docs/performance.md` and its plots are what `make bench ARGS=--page` makes of the kept results."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

import pytest

from tests.bench.page import IMAGES, PAGE, PLOTS, page
from tests.bench.plot import Chart, Line, svg
from tests.bench.registered import FIGURES
from tests.bench.results import Results, judged, used


@pytest.fixture(scope="module")
def kept() -> Results:
    return Results.kept()


def test_the_page_is_in_step(kept: Results) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(kept), "run `make bench ARGS=--page`"


@pytest.mark.parametrize("name", sorted(PLOTS))
def test_the_plot_is_in_step(name: str, kept: Results) -> None:
    chart = PLOTS[name](kept)
    assert chart is not None, "its figure was never kept"
    assert (IMAGES / f"performance-{name}.svg").read_text(encoding="utf-8") == svg(chart)


def test_every_kept_figure_and_every_plot_stands_on_the_page(kept: Results) -> None:
    text = page(kept)
    for name in kept.figures:
        assert f"### {name.replace('_', '-')}\n" in text
        assert f"ARGS={name}`" in text
    assert set(re.findall(r"performance-(\w+)\.svg", text)) == set(PLOTS)


def test_a_chart_is_well_formed_whatever_its_words() -> None:
    lines = [
        Line("<p50> & more", [(1, 2.0), (1_000, 3.5), (1_000_000, 2.5)]),
        Line("flat", [(1, 0.0), (1_000_000, 0.0)]),
    ]
    drawn = svg(Chart('"title" <b>', "events", "ms", lines, x_log=True, marks=[("bar", 4.0)]))
    Xml.fromstring(drawn)  # noqa: S314  # our own
    places = [
        float(x) for path in re.findall(r'class="line[^"]*" d="M([^"]*)"', drawn) for x in re.findall(r"[-\d.]+", path)
    ]
    assert places
    assert all(0 <= place <= 640 for place in places)


def test_the_best_run_is_the_one_that_used_up_least_of_its_tightest_bar() -> None:
    bars = FIGURES["verdict"].bars
    steady = {"values": {"p50": 9.0, "p99": 20.0}}
    spiky = {"values": {"p50": 4.0, "p99": 60.0}}
    assert used(bars, steady) < 1 < used(bars, spiky)
    assert [judged(bar, steady) for bar in bars] == ["met", "met"]
    assert [judged(bar, spiky) for bar in bars] == ["moonshot", "NOT MET"]


def test_a_bar_of_zero_counts_only_once_it_is_broken() -> None:
    bars = FIGURES["in_flight"].bars
    assert used(bars, {"values": {"per second": 300.0, "dropped": 0}}) == 0.5
    assert used(bars, {"values": {"per second": 300.0, "dropped": 1}}) > 1
