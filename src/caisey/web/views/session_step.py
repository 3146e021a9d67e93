"""The body of an opened row: output, how it ended, changes, late words, and how we know.

Owns which try is shown first, which streams have a pane, and the lines of evidence in plain names. Pure, from one tool
call of the document of `GET /prompts/{id}`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from caisey.core.catalogue.phrases import PHRASES
from caisey.core.plain_text import one_line, visible
from caisey.core.spoken import size
from caisey.web.views.session_result import Shown, shown_result
from caisey.web.views.session_rows import change_text, short_span
from caisey.web.views.timeline import Timeline, timeline
from caisey.web.words import WORDS, word

Document = dict[str, Any]

LINES_FIRST: Final = 12
LINE_LENGTH: Final = 2_000
FAULTS_SHOWN: Final = 50
RESULT_LENGTH: Final = 64 * 1024
RESULT_LINES: Final = 300
_NOT_TOLD: Final = frozenset({"progress"})


class Pane(NamedTuple):
    """One stream of one try. `lines` is the end of it, for who has no script."""

    stream: str
    title: str
    bytes: int
    size: str
    text: str
    earlier: int
    cut: bool
    gaps: str
    stored: str
    missing: str
    live: bool
    conflicts: int
    error: bool


class Fact(NamedTuple):
    """One line of evidence."""

    at: str
    source: str
    text: str
    reason: str
    cited: bool
    code: str


class Try(NamedTuple):
    """One try."""

    number: int
    label: str
    tone: str
    ran: str
    panes: tuple[Pane, ...]
    grey: str
    changes: tuple[str, ...]
    result: str
    shown: Shown | None
    facts: tuple[Fact, ...]
    left_out: int
    picture: Timeline
    code: str
    malformed: bool
    faults: tuple[Document, ...]
    former: str
    late: bool


class Body(NamedTuple):
    """The step; `newest` is the try that is shown, `earlier` the ones before it."""

    id: str
    tone: str
    label: str
    summary: str
    ran: str
    newest: Try | None
    earlier: tuple[Try, ...]
    changes_note: str


def body_of(call: Document, now_ms: int) -> Body:
    """One opened row."""
    tries = [_try(call, attempt, now_ms) for attempt in call["attempts"]]
    said = call["now"]
    shown = _shown_first(call)
    return Body(
        id=call["id"],
        tone=said["tone"],
        label=said["label"],
        summary=said["summary"],
        ran=said["ran_label"],
        newest=next((t for t in tries if t.number == shown), None),
        earlier=tuple(t for t in tries if t.number != shown),
        changes_note=_changes_note(call),
    )


def _shown_first(call: Document) -> int:
    """The newest try that was really sent; one that was taken back at once has nothing to show."""
    attempts = call["attempts"]
    sent = [a["number"] for a in attempts if a["started_at"] or a["execution"] or a["state"] != "ended"]
    return int(sent[-1] if sent else attempts[-1]["number"] if attempts else 0)


def _changes_note(call: Document) -> str:
    if call["effect"] == "read_only" or call["ran"] == "no":
        return ""
    if call["tool"] in ("shell", "powershell", "osascript"):
        return word("session.changes.inside")
    return "" if any(a["changes"] for a in call["attempts"]) else word("session.changes.none")


def _try(call: Document, attempt: Document, now_ms: int) -> Try:
    verdict = attempt["verdict"]
    said = verdict or attempt["now"]
    cites = set(verdict["cites"]) if verdict else set()
    facts = [_fact(fact, fact["index"] in cites) for fact in attempt["evidence"] if fact["type"] not in _NOT_TOLD]
    last = attempt["evidence"][-1]["index"] + 1 if attempt["evidence"] else 0
    return Try(
        number=attempt["number"],
        label=said["label"],
        tone=said["tone"],
        ran=said["ran_label"],
        panes=tuple(_panes(attempt)),
        grey=grey_line(attempt),
        changes=tuple(change_text(change) for change in attempt["changes"]),
        result=_result(attempt),
        shown=shown_result(attempt["result"]) if not _has_raw(attempt) else None,
        facts=tuple(facts),
        left_out=max(0, last - len(attempt["evidence"])),
        picture=timeline(attempt, now_ms),
        code=code_of(attempt),
        malformed=_has_raw(attempt),
        faults=tuple(attempt["shape_faults"][:FAULTS_SHOWN]),
        former=(verdict or {}).get("former_label") or "",
        late=bool(attempt["late"]),
    )


def _has_raw(attempt: Document) -> bool:
    """Whether there is an answer that did not fit, to be looked at as it came."""
    verdict = attempt["verdict"]
    return bool(attempt["shape_faults"]) or (verdict is not None and verdict["kind"] == "malformed_result")


def code_of(attempt: Document) -> str:
    """The small stable codes, for searching."""
    verdict = attempt["verdict"]
    if verdict is None:
        return str(attempt["state"])
    return " · ".join(part for part in (verdict["kind"], verdict["ran"], verdict["code"], verdict["entry"]) if part)


def grey_line(attempt: Document) -> str:
    """How it ended and as whom it ran, in one line: `exit code 0 · as root · 0.4 s · in /`."""
    execution = attempt["execution"] or {}
    started: Document = next((f for f in attempt["evidence"] if f["type"] == "started"), {})
    parts = [_ended(execution)]
    user = started.get("user") or execution.get("user")
    if user:
        parts.append(word("session.as", user=one_line(str(user), 60)))
    began, ended = execution.get("started_ms"), execution.get("ended_ms")
    if type(began) is int and type(ended) is int and 0 <= ended - began < 400 * 86_400_000:
        parts.append(short_span(ended - began))
    if started.get("cwd"):
        parts.append(word("session.in", folder=one_line(str(started["cwd"]), 80)))
    return " · ".join(part for part in parts if part)


def _ended(execution: Document) -> str:
    code, signal = execution.get("exit_code"), execution.get("signal")
    if type(code) is int:
        return word("session.exit", code=code)
    return word("session.signal", signal=one_line(str(signal), 20)) if signal is not None else ""


def _result(attempt: Document) -> str:
    """A structured result, readable."""
    if attempt["result"] is None:
        return ""
    encoded = msgspec.json.encode(attempt["result"])
    text = msgspec.json.format(encoded, indent=2).decode()
    lines = text[:RESULT_LENGTH].split("\n")
    shown = visible("\n".join([*lines[:RESULT_LINES], *(["…"] if len(lines) > RESULT_LINES else [])]))
    return bounded(shown, RESULT_LINES + 1)[0]


def _fact(fact: Document, cited: bool) -> Fact:
    source = fact["source"]
    by_a_person = source in ("user", "token")
    return Fact(
        at=fact["at"],
        source=PHRASES.get(f"source.{source}", one_line(str(source), 30)),
        text=fact["text"],
        reason=one_line(str(fact.get("reason") or ""), 300) if by_a_person else "",
        cited=cited,
        code=one_line(str(fact["type"]), 40),
    )


# -- output --------------------------------------------------------------------------------------------------------


def _panes(attempt: Document) -> list[Pane]:
    """The streams that wrote anything; of a try under way always the first, so that its place is there."""
    live = attempt["state"] in ("started", "lost", "acknowledged")
    found = []
    for name, stream in attempt["output"].items():
        if name == "result" or not (stream["bytes"] or (live and name == "stdout" and attempt["state"] == "started")):
            continue
        text, earlier = bounded(visible(stream["text"]), LINES_FIRST)
        found.append(
            Pane(
                stream=one_line(name, 20),
                title=WORDS.get(f"session.stream.{name}", one_line(name, 20)),
                bytes=stream["bytes"],
                size=size(stream["bytes"]),
                text=text,
                earlier=earlier,
                cut=bool(stream["truncated"]),
                gaps=msgspec.json.encode(_gaps(stream)).decode(),
                stored=size(stream["stored"]),
                missing=missing_words(stream),
                live=live,
                conflicts=stream["conflicts"],
                error=name == "stderr",
            )
        )
    return found


def missing_words(stream: Document) -> str:
    """How much did not come or was not kept, and why: said beside the output, since the end alone looks whole."""
    gaps = stream["gaps"]
    if not gaps:
        return ""
    why = dict.fromkeys(PHRASES.get(f"gap.{gap['why']}", PHRASES["gap.other"]) for gap in gaps)
    return word("session.missing", size=size(sum(gap["length"] for gap in gaps)), why=", ".join(why))


def _gaps(stream: Document) -> list[Document]:
    """What is missing, each with the words that stand in its place."""
    return [
        {
            "offset": gap["offset"],
            "length": gap["length"],
            "text": PHRASES["missing"]
            .replace("{size}", size(gap["length"]))
            .replace("{why}", PHRASES.get(f"gap.{gap['why']}", PHRASES["gap.other"])),
        }
        for gap in stream["gaps"]
    ]


def bounded(text: str, lines: int) -> tuple[str, int]:
    """The last lines, each cut to what a page can bear, and how many stand before them."""
    found = text.removesuffix("\n").split("\n") if text else []
    kept = [line if len(line) <= LINE_LENGTH else f"{line[: LINE_LENGTH - 1]}…" for line in found[-lines:]]
    return "\n".join(kept), max(0, len(found) - lines)
