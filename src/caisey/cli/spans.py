"""Times as people say and type them: "5 min ago", `30s`; the API's times as milliseconds.

Owns reading; the forms of writing are `core.spoken`'s, so that every part of the product says a time alike. Reads no
clock: now is an argument.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from caisey.core import spoken
from caisey.core.catalogue import ENGLISH

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)?")


def parse_span(text: str) -> int:
    """Milliseconds of `30`, `30s`, `1.5h`; a bare number is seconds. ValueError otherwise, and for less than 1 ms."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a span of time; write it like 30s, 5m or 1.5h")
    milliseconds = round(float(match[1]) * _UNITS_MS[match[2] or "s"])
    if milliseconds < 1:
        raise ValueError(f"{text!r} is less than a millisecond")
    return milliseconds


def span(milliseconds: float) -> str:
    """A length of time with one number: `400 ms`, `40 s`, `5 min`."""
    return spoken.span(round(milliseconds), ENGLISH.phrases)


def size(count: int) -> str:
    """Bytes as people say them: `2.1 MB`."""
    return spoken.size(count)


def to_ms(time: str | None) -> int | None:
    """Milliseconds since the epoch of one of the API's times (RFC 3339, UTC). None for None and for what is none."""
    if not time:
        return None
    try:
        return round(datetime.fromisoformat(time).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def ago(time: str | None, now_ms: int) -> str:
    """`5 min ago`; `just now`; `in 5 min` for what is to come; empty where there is no time."""
    at_ms = to_ms(time)
    if at_ms is None:
        return ""
    passed = now_ms - at_ms
    if passed < -999:
        return f"in {span(-passed)}"
    return "just now" if passed < 1000 else f"{span(passed)} ago"


def clock(time: str | None) -> str:
    """The hour of an API time in the reader's own zone: `14:06:31`."""
    moment = _local(time)
    return "" if moment is None else moment.strftime("%H:%M:%S")


def day_and_clock(time: str | None) -> str:
    """Day and hour of an API time in the reader's own zone: `2026-11-22 14:06`."""
    moment = _local(time)
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M")


def _local(time: str | None) -> datetime | None:
    at_ms = to_ms(time)
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).astimezone()
