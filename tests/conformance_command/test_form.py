"""A cell against what is specified: every column that differs is named, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from caisey.conformance import html, page, report
from caisey.conformance.form import EFFECTS, Cell, Expected, Found, Known, Stall, compared
from caisey.conformance.stalls import STALLS

EXPECTED = Expected(
    (("orphaned", "no"), ("answered", "yes")), "done", Known("ack"), ("sent again",), offered=("verify",),
    withheld=("retry",), code="a.code", evidence=("lost",), starts=1,
)  # fmt: skip
FOUND = Found(
    (("orphaned", "no"), ("answered", "yes")), "done", 1.6, ("sent again",), ("verify", "adjust"), "a.code",
    ("lost", "queued"), 1, "Done",
)  # fmt: skip


def test_what_is_as_specified_has_no_difference() -> None:
    assert compared(EXPECTED, FOUND, 0.5) == []


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"verdicts": (("orphaned", "no"), ("empty", "yes"))}, "detected as"),
        ({"verdicts": (("orphaned", "unconfirmed"), ("answered", "yes"))}, "ran"),
        ({"then": "waits for a person"}, "then"),
        ({"seconds": 2.01}, "known after"),
        ({"seconds": None}, "known after"),
        ({"by_itself": ()}, "by itself"),
        ({"offered": ("adjust",)}, "offered"),
        ({"offered": ("verify", "retry")}, "withheld"),
        ({"code": None}, "code"),
        ({"evidence": ("queued",)}, "evidence"),
        ({"starts": 2}, "started"),
        ({"doubled": ("consent 1",)}, "one start per consent"),
        ({"failure": "it fell over"}, "played"),
    ],
)
def test_each_column_that_differs_is_named(change: dict[str, Any], column: str) -> None:
    found = replace(FOUND, **change)
    assert [difference.column for difference in compared(EXPECTED, found, 0.5)] == [column]


def test_every_row_has_a_name_of_its_own_and_a_way_to_be_played() -> None:
    names = [stall.name for stall in STALLS]
    assert len(set(names)) == len(names)
    for stall in STALLS:
        assert stall.act is not None or stall.drive is not None, stall.name
        assert stall.cells.keys() <= set(EFFECTS), stall.name
        assert stall.rule, stall.name


def test_every_kind_of_the_specification_has_a_row() -> None:
    """RECOVERY.md §2; `denied` needs approvals."""
    kinds = {kind for stall in STALLS for expected in stall.cells.values() for kind, _ in expected.verdicts}
    assert kinds >= {
        "answered", "empty", "malformed_call", "malformed_result", "orphaned", "runtime_died", "command_failed",
        "timed_out", "refused", "expired", "cancelled",
    }  # fmt: skip


def test_what_was_found_is_text_on_the_pages_never_markup() -> None:
    hostile = "<script>alert(1)</script>|"
    stall = Stall(hostile, hostile, hostile, hostile, {"mutating": EXPECTED})
    found = replace(FOUND, label=hostile, code=hostile)
    cell = Cell(stall, "mutating", EXPECTED, found, compared(EXPECTED, found, 0.5))
    lines = report.measured([cell])
    shown = html.page(lines, report.document([cell], control_plane=hostile))
    assert "<script" not in shown
    assert "not as specified" in shown
    row = next(line for line in page.page(lines).splitlines() if line.startswith("| **<script"))
    assert "</script>\\|" in row


def test_the_seconds_of_a_run_can_be_taken_from_the_page() -> None:
    stall = Stall("a row", "a group", "what", "rule", {"mutating": EXPECTED})
    pages = {
        page.page(report.measured([Cell(stall, "mutating", EXPECTED, replace(FOUND, seconds=seconds))]))
        for seconds in (0.01, 1.55, None)
    }
    assert len(pages) == 3
    assert {page.without_seconds(text) for text in pages} == {
        page.without_seconds(page.page(report.specified([stall])))
    }
