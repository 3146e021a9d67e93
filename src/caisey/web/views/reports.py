"""Reports as they are shown: lines with their bars, days as a picture, and the same as CSV.

Owns the words of a line, the shapes of the pictures, and how a cell of a CSV is made harmless for a spreadsheet. Pure,
from `GET /reports/recovery` and `GET /reports/shapes`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

from caisey.core import spoken
from caisey.core.catalogue.phrases import PHRASES, RAN
from caisey.core.plain_text import one_line
from caisey.web.words import WORDS, word

Document = dict[str, Any]

NAME_LENGTH: Final = 80
DAYS_DRAWN: Final = 92
WIDTH: Final = 1000
HEIGHT: Final = 120
LABELS: Final = 5
RECOVERY_BY: Final = ("verdict", "client_group", "tool", "endpoint", "day")
SHAPES_BY: Final = ("fingerprint", "tool", "endpoint", "runtime_version", "client_group")
PERIODS: Final = ("1", "7", "30", "90")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class Line(NamedTuple):
    """One line of stalls, with the shares of its bar in percent."""

    name: str
    href: str
    stalls: int
    automatic: int
    person: int
    open: int
    bar: tuple[tuple[str, float, float], ...]  # class, x, width of 160
    p50: str
    p90: str
    longest: str
    ran: str


class Bar(NamedTuple):
    """One day of the picture."""

    x: float
    width: float
    parts: tuple[tuple[str, float, float], ...]  # class, y, height
    words: str


class Days(NamedTuple):
    """Stalls by day."""

    bars: list[Bar]
    labels: list[str]
    most: int
    words: str


class Shape(NamedTuple):
    """One line of the ledger of shapes."""

    name: str
    href: str
    number: int
    computers: int
    cause: str
    cause_href: str
    why: str
    tools: str
    last_at: str
    seen: list[Document]


def share(line: Document, width: float = 160) -> tuple[tuple[str, float, float], ...]:
    """The parts of a bar: recovered without a person, by a person, not."""
    counts = (
        ("automatic", line["recovered_without_a_person"]),
        ("person", line["recovered_by_a_person"]),
        ("open", line["not_recovered"]),
    )
    total = max(1, sum(count for _, count in counts))
    parts, x = [], 0.0
    for kind, count in counts:
        part = count / total * width
        if count:
            parts.append((f"bar-{kind}", round(x, 2), round(part, 2)))
        x += part
    return tuple(parts)


def recovery_line(line: Document) -> Line:
    """One group in words."""
    known = line["seconds_until_known"]
    ran = ", ".join(f"{RAN.get(kind, kind)} {count}" for kind, count in sorted(line["by_ran"].items()))
    name, href = _named(line)
    return Line(
        name=name,
        href=href,
        stalls=line["stalls"],
        automatic=line["recovered_without_a_person"],
        person=line["recovered_by_a_person"],
        open=line["not_recovered"],
        bar=share(line),
        p50=seconds(known["p50"]),
        p90=seconds(known["p90"]),
        longest=seconds(known["max"]),
        ran=ran,
    )


def seconds(value: float) -> str:
    """A length of time."""
    return spoken.span(int(value * 1000), PHRASES)


def _named(line: Document) -> tuple[str, str]:
    """What a line is about, in words, and where one reads more."""
    group = line["group"]
    if "kind" in group:
        return WORDS.get(f"kind.{group['kind']}", one_line(group["kind"], NAME_LENGTH)), ""
    if "endpoint_id" in group:
        name = line["name"]
        if name is None:
            return WORDS["reports.gone"], ""
        return one_line(name, NAME_LENGTH), f"/endpoints/{group['endpoint_id']}"
    if "client_group_id" in group:
        name = line["name"] or (WORDS["reports.no_client"] if group["client_group_id"] is None else "")
        return one_line(name or group["client_group_id"] or "", NAME_LENGTH), ""
    if "runtime_version" in group:
        return one_line(group["runtime_version"] or WORDS["shapes.no_version"], NAME_LENGTH), ""
    if "tool" in group and "fingerprint" not in group:
        version = group.get("tool_version")
        return one_line(f"{group['tool']} {version}" if version else str(group["tool"]), NAME_LENGTH), ""
    return one_line(str(group.get("day", "")), NAME_LENGTH), ""


def days(items: Iterable[Document], since: str, until: str) -> Days:
    """Every day of the span, also those without a stall; of a long span the newest."""
    by_day = {item["group"]["day"]: item for item in items if "day" in item["group"]}
    first, last = _day(since), _day(until)
    first = max(first, last - timedelta(days=DAYS_DRAWN - 1))
    dates = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    most = max((item["stalls"] for item in by_day.values()), default=0)
    slot = WIDTH / max(1, len(dates))
    bars = [_bar(by_day.get(at.isoformat()), at, place * slot, slot, max(1, most)) for place, at in enumerate(dates)]
    places = sorted({round(n * (len(dates) - 1) / (LABELS - 1)) for n in range(LABELS)})
    labels = [f"{dates[place].day} {dates[place]:%b}" for place in places]
    words = ", ".join(word("reports.line_words", name=day, n=by_day[day]["stalls"]) for day in sorted(by_day)[-31:])
    return Days(bars, labels, most, words)


def _day(text: str) -> date:
    return datetime.fromisoformat(text).astimezone(UTC).date()


def _bar(item: Document | None, at: date, x: float, slot: float, most: int) -> Bar:
    width = round(max(1.0, slot * 0.8), 2)
    if item is None:
        return Bar(round(x, 2), width, (), word("reports.line_words", name=at.isoformat(), n=0))
    parts, top = [], float(HEIGHT)
    for name, count in (
        ("automatic", item["recovered_without_a_person"]),
        ("person", item["recovered_by_a_person"]),
        ("open", item["not_recovered"]),
    ):
        height = count / most * HEIGHT
        top -= height
        if count:
            parts.append((f"bar-{name}", round(top, 2), round(height, 2)))
    return Bar(round(x, 2), width, tuple(parts), word("reports.line_words", name=at.isoformat(), n=item["stalls"]))


# -- shapes --------------------------------------------------------------------------------------------------------


def shape(line: Document) -> Shape:
    """One group of shapes in words."""
    name, href = _named(line)
    group = line["group"]
    if "fingerprint" in group:
        side = WORDS.get(f"shapes.side.{group['side']}", group["side"])
        name = f"{one_line(str(group['tool']), 40)}: {side}"
    elif not name:
        name = one_line(str(next(iter(group.values()), "")), NAME_LENGTH)
    cause, where = str(line["likelier_cause"]), line["likelier_endpoint_id"] or ""
    called = one_line(line["likelier_endpoint"] or where, NAME_LENGTH)
    why = line["why"].replace(where, called) if where else line["why"]
    return Shape(
        name=name,
        href=href,
        number=line["count"],
        computers=line["endpoints"],
        cause=_cause(cause, called),
        cause_href=f"/endpoints/{where}" if cause == "endpoint" and line["likelier_endpoint"] else "",
        why=one_line(why, 240),
        tools=one_line(", ".join(line["tools"]), NAME_LENGTH),
        last_at=line["last_at"],
        seen=[_seen(one) for one in line["shapes"]],
    )


def _cause(side: str, called: str) -> str:
    if side == "endpoint":
        return word("shapes.cause.endpoint", name=called)
    return WORDS.get(f"shapes.cause.{side}", side)


def _seen(one: Document) -> Document:
    """One shape: its faults in words, its outline as lines."""
    errors = one["errors"] if isinstance(one["errors"], list) else []
    outline = one["outline"]
    return {
        "side": WORDS.get(f"shapes.side.{one['side']}", one["side"]),
        "count": one["count"],
        "computers": one["endpoints"],
        "fingerprint": WORDS["shapes.more"] if one["fingerprint"] == "more" else one_line(one["fingerprint"], 16),
        "faults": [_fault(error) for error in errors[:20] if isinstance(error, dict)],
        "outline": _outline(outline) if outline is not None else "",
    }


def _fault(error: Document) -> str:
    pointer = one_line(str(error.get("pointer") or ""), 80) or WORDS["shapes.whole"]
    said = {name: one_line(str(error.get(name, "")), 80) for name in ("expected", "found")}
    return word("shapes.expected", pointer=pointer, **said)


def _outline(value: Any, depth: int = 0) -> str:
    """The tree of keys, indented; it holds types, never values."""
    if isinstance(value, dict) and depth < 8:
        lines = []
        for name, inner in list(value.items())[:60]:
            below = _outline(inner, depth + 1)
            nested = isinstance(inner, dict | list)
            lines.append("  " * depth + one_line(str(name), 60) + (":\n" + below if nested else f": {below.strip()}"))
        return "\n".join(lines) or "  " * depth + "{}"
    if isinstance(value, list) and depth < 8:
        return "\n".join("  " * depth + "- " + _outline(one, depth + 1).lstrip() for one in value[:20]) or "[]"
    return "  " * depth + one_line(str(value), 60)


# -- CSV -----------------------------------------------------------------------------------------------------------


def csv_of(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """UTF-8 with a mark, so that a spreadsheet reads it; no cell is taken for a formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(heads)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


RECOVERY_HEADS: Final = (
    "group",
    "id",
    "stalls",
    "recovered_without_a_person",
    "recovered_by_a_person",
    "not_recovered",
    "seconds_until_known_p50",
    "seconds_until_known_p90",
    "seconds_until_known_max",
    "did_not_run",
    "ran",
    "started_not_finished",
    "not_known_if_it_ran",
)
SHAPE_HEADS: Final = ("group", "id", "count", "computers", "shapes", "likelier_cause", "why", "tools", "first", "last")


def recovery_row(line: Document) -> tuple[object, ...]:
    """A line of the CSV."""
    known, ran = line["seconds_until_known"], line["by_ran"]
    counts = (line["stalls"], *(line[name] for name in RECOVERY_HEADS[3:6]))
    spans = tuple(known[name] for name in ("p50", "p90", "max"))
    return (
        _named(line)[0],
        _id_of(line),
        *counts,
        *spans,
        *(ran.get(kind, 0) for kind in ("no", "yes", "partly", "unconfirmed")),
    )


def shape_row(line: Document) -> tuple[object, ...]:
    """A line of the CSV."""
    shown = shape(line)
    times = (line["first_at"], line["last_at"])
    return (
        shown.name,
        _id_of(line),
        line["count"],
        line["endpoints"],
        line["fingerprints"],
        line["likelier_cause"],
        shown.why,
        shown.tools,
        *times,
    )


def _id_of(line: Document) -> str:
    return " ".join(str(value) for value in line["group"].values() if value is not None)
