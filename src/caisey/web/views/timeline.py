"""The time line of one try as a picture: marks with their times, spans between them, deadlines, gaps of output.

Owns the geometry, as numbers for an SVG without style attributes. Short and long spans stand side by side (0.2 s of
sending beside 38 min of waiting), so widths grow with the logarithm; the length stands in words below each. Pure.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Final, NamedTuple

from caisey.core.spoken import rfc3339
from caisey.web.times import ms_of
from caisey.web.views.session_rows import short_span
from caisey.web.words import WORDS

Document = dict[str, Any]

WIDTH: Final = 720
HEIGHT: Final = 76
LINE_Y: Final = 30
LEFT: Final = 36
RIGHT: Final = 36
LEAST: Final = 58
MAX_MARKS: Final = 11

_KINDS: Final[dict[str, str]] = {
    "queued": "queued",
    "held": "held",
    "approval_asked": "asked",
    "dispatched": "sent",
    "reconcile_asked": "asked",
    "acknowledged": "confirmed",
    "started": "started",
    "lost": "lost",
    "found": "found",
    "reopened": "found",
    "cancel_requested": "stop",
    "gap": "gap",
    "finished": "end",
    "refused": "end",
    "ended": "known",
}
_STATED: Final[dict[str, str]] = {"received": "confirmed", "started": "started", "finished": "end"}
_SPANS: Final[dict[str, str]] = {"held": "waits", "sent": "quiet", "asked": "quiet", "started": "runs", "lost": "lost"}


class Mark(NamedTuple):
    """One moment."""

    x: float
    kind: str
    label: str
    at: str
    upper: bool


class Stretch(NamedTuple):
    """From one mark to the next."""

    x: float
    width: float
    middle: float
    kind: str
    text: str


class Timeline(NamedTuple):
    """What the template draws. `words` say the same without a picture."""

    marks: tuple[Mark, ...]
    stretches: tuple[Stretch, ...]
    deadline: Mark | None
    words: str
    width: int = WIDTH
    height: int = HEIGHT
    line_y: int = LINE_Y


def timeline(attempt: Document, now_ms: int) -> Timeline:
    """The picture of one try from the document of `GET /prompts/{id}`."""
    moments = _moments(attempt)
    if attempt["state"] != "ended":
        moments.append((max(now_ms, moments[-1][0] if moments else now_ms), "now"))
    due = attempt["due_at"]
    if due is not None:
        moments.append((max(ms_of(due), moments[-1][0]), "deadline"))
    places = _places([at for at, _ in moments])
    marks = [
        Mark(x, kind, WORDS[f"session.mark.{kind}"], rfc3339(at), upper=number % 2 == 0)
        for number, ((at, kind), x) in enumerate(zip(moments, places, strict=True))
    ]
    deadline = marks.pop() if due is not None else None
    ends = [*marks[1:], *([deadline] if deadline else [])]
    stretches = tuple(
        Stretch(
            a.x,
            round(b.x - a.x, 1),
            round((a.x + b.x) / 2, 1),
            "ahead" if a.kind == "now" else _SPANS.get(a.kind, "plain"),
            short_span(ms_of(b.at) - ms_of(a.at)),
        )
        for a, b in zip(marks, ends, strict=False)
    )
    named = [mark.label for mark in [*marks[:1], *ends]]
    told = [named[0] if named else "", *(f"{s.text}, {name}" for s, name in zip(stretches, named[1:], strict=False))]
    return Timeline(tuple(marks), stretches, deadline, "; ".join(told))


def _moments(attempt: Document) -> list[tuple[int, str]]:
    """What is drawn, in the order of time: each kind of fact where it first came, and every loss and gap."""
    found: list[tuple[int, str]] = []
    output = False
    for fact in attempt["evidence"]:
        kind = _STATED.get(str(fact.get("state"))) if fact["type"] == "statement" else _KINDS.get(fact["type"])
        if fact["type"] == "progress" and not output and any((fact.get("bytes") or {}).values()):
            kind, output = "output", True
        if kind is None or (kind not in ("lost", "found", "gap", "held") and any(k == kind for _, k in found)):
            continue
        found.append((ms_of(fact["at"]), kind))
    found = sorted(found, key=lambda item: item[0])
    if len(found) > 1 and found[-1][1] == "known" and found[-2][1] == "end":
        found.pop()  # the end and the conclusion from it are one moment
    if len(found) > MAX_MARKS:
        found = found[: MAX_MARKS // 2] + found[-(MAX_MARKS - MAX_MARKS // 2) :]
    return found


def _places(moments: list[int]) -> list[float]:
    """Where each moment stands: at least so far from the one before that both can be read."""
    if not moments:
        return []
    spans = [max(0, b - a) for a, b in pairwise(moments)]
    room = WIDTH - LEFT - RIGHT
    least = min(LEAST, room / max(1, len(spans)))
    weights = [math.log1p(span / 50) for span in spans]
    left_over = max(0.0, room - least * len(spans))
    total = sum(weights) or 1.0
    places = [float(LEFT)]
    for weight in weights:
        places.append(round(places[-1] + least + left_over * weight / total, 1))
    return places
