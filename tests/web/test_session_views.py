"""The pure parts of the session page: the order of what is open, time lines, raw answers, fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caisey.core.spoken import rfc3339
from caisey.web.views import session_again
from caisey.web.views.session_items import chosen, open_items
from caisey.web.views.session_raw import LINES, SHOWN_BYTES, raw_of
from caisey.web.views.session_result import shown_result
from caisey.web.views.session_rows import opened_at_first
from caisey.web.views.session_step import LINE_LENGTH, bounded, missing_words
from caisey.web.views.timeline import LEFT, MAX_MARKS, RIGHT, WIDTH, timeline

START = 1_700_000_000_000


def step(name: str, **more: Any) -> dict[str, Any]:
    usual = {
        "id": name,
        "state": "waiting",
        "tone": "ask",
        "ran": "no",
        "effect": "mutating",
        "entry": "waiting.used_up",
        "due_at": "2026-01-01T00:00:00.000Z",
        "since": "2026-01-01T00:00:00.000Z",
        "tries": 1,
    }
    return usual | more


def session(*prompts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "prompts": [{"id": f"pmt_{n}", "origin": None, "tool_calls": calls} for n, calls in enumerate(prompts)],
        "prompts_before": 0,
    }


def order(*prompts: list[dict[str, Any]]) -> list[str]:
    return [item.step["id"] for item in open_items(session(*prompts))]


def test_the_most_urgent_comes_first() -> None:
    """CONSOLE.md, Attention: "Order in Needs you"."""
    assert order(
        [step("runs", state="running", tone="run", entry="started", since="2026-01-01T00:00:09.000Z")],
        [step("old", since="2025-01-01T00:00:00.000Z")],
        [step("hold", entry="held.world_changed", state="running")],
        [step("approval", entry="awaiting_approval", state="running")],
        [step("asks", entry="started.asks", state="running")],
        [step("perhaps", ran="unconfirmed")],
        [step("reads", ran="unconfirmed", effect="read_only", since="2025-06-01T00:00:00.000Z")],
        [step("alarm", tone="alarm")],
        [step("done", state="ended", tone="done", entry="answered")],
    ) == ["alarm", "perhaps", "asks", "approval", "hold", "old", "reads", "runs"]


def test_what_only_waits_for_the_step_before_is_no_item_of_its_own() -> None:
    assert order([step("a"), step("b", state="pending", tone="plain", entry="pending.stopped")]) == ["a"]
    left = [
        step("a", state="ended", entry="closed.dropped"),
        step("b", state="pending", tone="plain"),
        step("c", state="pending"),
    ]
    assert order(left) == ["b"]


def test_news_stand_there_until_something_newer_is_asked() -> None:
    news = step("news", state="ended", entry="ended.late_changed")
    assert order([news]) == ["news"]
    assert order([news], [step("newer", state="ended", tone="done", entry="answered")]) == []


def test_the_item_that_is_asked_for() -> None:
    items = open_items(session([step("a")], [step("b")]))
    assert [chosen(items, name) for name in ("a", "b", "gone", None)] == [0, 1, 0, 0]


def test_open_at_first_are_the_newest_and_what_asks() -> None:
    many = [[step(f"ask{n}")] for n in range(40)]
    opened = opened_at_first(session(*many, [step("new", tone="done", state="ended")]))
    assert "new" in opened
    assert len(opened) == 6


# -- time lines ----------------------------------------------------------------------------------------------------

KINDS = [
    "queued",
    "held",
    "dispatched",
    "acknowledged",
    "started",
    "lost",
    "found",
    "gap",
    "finished",
    "ended",
    "noted",
]
facts = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 40 * 86_400_000)), max_size=40)


@given(facts, st.booleans(), st.integers(-10_000, 86_400_000))
def test_a_time_line_fits_into_its_picture(found: list[tuple[str, int]], ended: bool, due: int) -> None:
    evidence = [
        {"type": kind, "at": rfc3339(START + at), "index": n}
        for n, (kind, at) in enumerate(sorted(found, key=lambda item: item[1]))
    ]
    attempt = {
        "evidence": evidence,
        "state": "ended" if ended else "started",
        "due_at": None if ended else rfc3339(START + due),
    }
    picture = timeline(attempt, START + 1_000)
    places = [mark.x for mark in picture.marks] + ([picture.deadline.x] if picture.deadline else [])
    assert places == sorted(places)
    assert all(LEFT <= x <= WIDTH - RIGHT + 1 for x in places)
    assert len(picture.marks) <= MAX_MARKS + 1
    assert (picture.deadline is None) is ended
    for stretch in picture.stretches:
        assert stretch.width >= 0
        assert stretch.text


def test_a_time_line_says_the_same_in_words() -> None:
    evidence = [
        {"type": kind, "at": rfc3339(START + at), "index": n}
        for n, (kind, at) in enumerate(
            [
                ("queued", 0),
                ("dispatched", 200),
                ("acknowledged", 300),
                ("started", 320),
                ("finished", 60_320),
                ("ended", 60_330),
            ]
        )
    ]
    picture = timeline({"evidence": evidence, "state": "ended", "due_at": None}, START)
    assert picture.words == "asked; 0.2 s, sent; 0.1 s, confirmed; 20 ms, started; 60 s, end"


# -- the raw answer ------------------------------------------------------------------------------------------------


def test_each_fault_stands_at_its_place() -> None:
    data = json.dumps({"name": "cron", "deep": [{"a/b": 1}, {"~": None}]}).encode()
    faults = [
        {"pointer": "/deep/0/a~1b", "expected": "string", "found": "integer"},
        {"pointer": "/deep/1/~0", "expected": "string", "found": "null"},
        {"pointer": "/state", "expected": "present", "found": "absent"},
        {"pointer": "", "expected": "object", "found": "array"},
    ]
    raw = raw_of(data, faults)
    at = {fault.pointer: line.text.strip() for line in raw.lines for fault in line.faults}
    assert at == {"/deep/0/a~1b": '"a/b": 1', "/deep/1/~0": '"~": null', "/state": "/state", "": "{"}
    assert sorted(line.anchor for line in raw.lines if line.anchor) == [1, 2, 3, 4]
    assert not raw.cut


@given(st.binary(max_size=3_000))
def test_any_bytes_can_be_looked_at(data: bytes) -> None:
    raw = raw_of(data, [{"pointer": "/x", "expected": "y", "found": "z"}])
    assert raw.size == len(data)
    assert any(line.faults for line in raw.lines)
    for line in raw.lines:
        assert all(c.isprintable() or c == "\t" or c in "\u00a0\u2007\u202f" for c in line.text), line.text


@pytest.mark.parametrize("data", [b"[" * 5_000 + b"]" * 5_000, b"x" * (SHOWN_BYTES + 9), b"[" + b"1," * 60_000 + b"1]"])
def test_what_is_deep_long_or_wide_is_bounded(data: bytes) -> None:
    raw = raw_of(data, [])
    assert len(raw.lines) <= LINES
    assert sum(len(line.text) for line in raw.lines) <= SHOWN_BYTES + 4 * LINES


@given(st.text(max_size=500), st.integers(1, 20))
def test_the_last_lines(text: str, lines: int) -> None:
    shown, before = bounded(text, lines)
    assert len(shown.split("\n")) <= lines
    assert before >= 0
    assert all(len(line) <= LINE_LENGTH for line in shown.split("\n"))


# -- fields --------------------------------------------------------------------------------------------------------


def test_an_edited_command_keeps_the_types_of_what_was_no_text() -> None:
    former = {"command": "a\nb", "count": 3, "deep": {"x": [1]}, "kept": True}
    fields = session_again.edit_fields({"arguments": former})
    assert [(f.name, f.long, f.json) for f in fields] == [
        ("command", True, False), ("count", False, True), ("deep", True, True), ("kept", False, True),
    ]  # fmt: skip
    sent = {f.name: f.value for f in fields} | {"command": "c"}
    assert session_again.arguments_from(sent, former) == former | {"command": "c"}
    with pytest.raises(ValueError, match="JSON"):
        session_again.arguments_from({"count": "three"}, former)


def test_a_check_asks_for_what_nobody_can_know() -> None:
    schema = {"required": ["path"], "properties": {"path": {"type": "string"}, "lines": {"type": "integer"}}}
    assert [f.name for f in session_again.check_fields({"arguments_schema": schema})] == ["path"]


# -- results -------------------------------------------------------------------------------------------------------


def test_a_plain_result_is_names_and_tables() -> None:
    disks = [
        {"mount": "/", "total_bytes": 270_000_000_000, "free_bytes": 82_000_000_000, "ok": True},
        {"mount": "/boot"},
    ]
    found = shown_result(
        {"hostname": "ACCT-07", "memory_bytes": 8_000_000_000, "users": ["anna", "bert"], "filesystems": disks}
    )
    assert found is not None
    assert found.pairs == (("hostname", "ACCT-07"), ("memory", "8.0 GB"), ("users", "anna, bert"))
    [table] = found.tables
    assert (table.title, table.columns) == ("filesystems", ("mount", "total", "free", "ok"))
    assert table.rows == (("/", "270 GB", "82 GB", "yes"), ("/boot", "none", "none", "none"))
    assert table.numbers == (False, True, True, False)


@pytest.mark.parametrize(
    "result",
    [
        None,
        [],
        7,
        "text",
        {},
        {"deep": {"a": 1}},
        {"text": "a\nb"},
        {"text": "x" * 999},
        {"many": [{str(n): n for n in range(99)}]},
    ],
)
def test_what_is_not_plain_is_shown_as_it_is(result: object) -> None:
    assert shown_result(result) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), values, max_size=50))
def test_any_result_is_bounded_and_visible(result: dict[str, Any]) -> None:
    found = shown_result(result)
    if found is None:
        return
    cells = [cell for pair in found.pairs for cell in pair]
    for table in found.tables:
        assert len(table.rows) <= 100
        cells += [table.title, *table.columns, *(cell for row in table.rows for cell in row)]
        assert all(len(row) == len(table.columns) for row in table.rows)
    for cell in cells:
        assert all(c.isprintable() or c in "\u00a0\u2007\u202f" for c in cell), cell


def test_output_with_a_gap_says_so_beside_its_end() -> None:
    gaps = [
        {"offset": 4_000_000, "length": 42_000_000, "why": "limit"},
        {"offset": 50_000_000, "length": 1_000_000, "why": "lost"},
    ]
    assert missing_words({"gaps": gaps}) == "43 MB of this output are missing: over the limit, lost."
    assert missing_words({"gaps": []}) == ""
