"""The transcript and the list of steps: one line for each step, from the document of `GET /sessions/{id}`.

Owns what a closed row shows, and which rows are open at first: the newest, and what asks for somebody. Pure.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from caisey.core.catalogue.phrases import PHRASES
from caisey.core.plain_text import one_line
from caisey.core.spoken import span
from caisey.web.views.session_items import is_young

Document = dict[str, Any]

OPEN_AT_FIRST: Final = 6
"""Bodies that come with the page; the others come when they are opened."""
CHANGE_LENGTH: Final = 80
QUIET: Final = frozenset({"answered.recovered", "empty.recovered", "ended.already_ran", "ended.late_same"})
"""Stalls that recovered: done, with one grey line."""
ICONS: Final = {"plain": "plain", "done": "done", "run": "run", "wait": "wait", "ask": "ask", "alarm": "alarm"}


class Row(NamedTuple):
    """One step."""

    id: str
    position: int
    literal: str
    tone: str
    icon: str
    label: str
    changes: tuple[str, ...]
    duration: str
    quiet: str
    waits: tuple[Document, ...]
    open: bool
    state: str
    sequence: int


class Request(NamedTuple):
    """One request with its rows."""

    id: str
    number: int
    at: str
    who: str
    mine: bool
    text: str
    is_check: bool
    rows: tuple[Row, ...]


def requests(session: Document, person_id: str, now_ms: int, opened: frozenset[str] = frozenset()) -> list[Request]:
    """All requests of the document, oldest first."""
    prompts = session["prompts"]
    shown = opened | opened_at_first(session)
    return [
        Request(
            id=prompt["id"],
            number=prompt["number"],
            at=prompt["created_at"],
            who=one_line(prompt["who"], 60),
            mine=prompt["actor"]["id"] == person_id,
            text=one_line(prompt["text"] or "", 400),
            is_check=prompt["origin"] is not None,
            rows=tuple(_row(step, step["id"] in shown, now_ms) for step in prompt["tool_calls"]),
        )
        for prompt in prompts
    ]


def opened_at_first(session: Document) -> frozenset[str]:
    """The newest step that was sent, and every one that asks for somebody; bounded."""
    steps = [step for prompt in session["prompts"] for step in prompt["tool_calls"]]
    sent = [step["id"] for step in steps if step["tries"]]
    asking = [step["id"] for step in steps if step["tone"] in ("ask", "alarm") and step["tries"]]
    return frozenset([*sent[-1:], *asking[-(OPEN_AT_FIRST - 1) :]])


def _row(step: Document, is_open: bool, now_ms: int) -> Row:
    duration = step["duration_ms"]
    return Row(
        id=step["id"],
        position=step["position"],
        literal=step["literal"],
        tone=step["tone"],
        icon=ICONS.get(step["tone"], "plain"),
        label="" if is_young(step, now_ms) else step["label"],
        changes=tuple(change_text(change) for change in step["changes"]),
        duration="" if duration is None else short_span(duration),
        quiet=step["summary"] if step["entry"] in QUIET else "",
        waits=tuple(step["waits"]),
        open=is_open,
        state=step["state"],
        sequence=step["sequence"],
    )


def change_text(change: Document) -> str:
    """`spooler: running → stopped`."""
    before, after = (_value(change.get(name)) for name in ("before", "after"))
    return one_line(f"{change.get('what')}: {before} → {after}", CHANGE_LENGTH)


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def short_span(ms: int) -> str:
    """`0.4 s` where it is short: a duration says more than an age."""
    return f"{ms / 1000:.1f} s" if 100 <= ms < 10_000 else span(ms, PHRASES)
