"""`docs/failure-matrix.md` says what is specified; only the seconds are of one run."""

from __future__ import annotations

import re

from caisey.conformance.page import page, without_seconds
from caisey.conformance.report import specified
from caisey.conformance.stalls import STALLS
from tests.docs.pages import DOCS

PAGE = (DOCS / "failure-matrix.md").read_text(encoding="utf-8")


def test_the_page_is_in_step() -> None:
    assert without_seconds(PAGE) == without_seconds(page(specified(STALLS))), "run `make matrix`"


def test_every_bar_has_a_figure_and_keeps_it() -> None:
    rows = [line.rstrip(" |").rsplit(" | ", 2)[-2:] for line in PAGE.splitlines() if line.startswith("| **")]
    bars = {
        words: float(most) for words, most in re.findall(r"^\| ([^|]+) \| ([\d.]+) s \+ 0.5 s \|$", PAGE, re.MULTILINE)
    }
    with_bar = [(bar.removeprefix("within "), seconds) for bar, seconds in rows if not bar.startswith("\u2013")]
    assert len(with_bar) > 40
    for bar, seconds in with_bar:
        assert float(re.findall(r"[\d.]+(?= s)", seconds)[-1]) <= bars[bar] + 0.5, (bar, seconds)
