"""Times as a page shows them: "40 s ago", with the exact one beside it, in the reader's zone.

Owns both forms. Reads no clock: now is an argument. `static/js/times.js` keeps the first form fresh.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from caisey.core.catalogue.phrases import PHRASES
from caisey.core.spoken import rfc3339, span
from caisey.web.words import WORDS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_999 - 86_400_000
_JUST_NOW_MS: Final = 1_000


def ms_of(value: str | int) -> int:
    """Milliseconds since the epoch, from a time of the API (RFC 3339) or a number."""
    if isinstance(value, int):
        return value
    return round((datetime.fromisoformat(value) - _EPOCH) / timedelta(milliseconds=1))


def ago(at_ms: int, now_ms: int) -> str:
    """`40 s ago`, `in 5 min`, `now`."""
    away = now_ms - at_ms
    if abs(away) < _JUST_NOW_MS:
        return WORDS["time.now"]
    return WORDS["time.ago" if away > 0 else "time.in"].format(span=span(abs(away), PHRASES))


def exact(at_ms: int, zone: tzinfo = UTC) -> str:
    """`25 Nov 2026, 14:02:07 CET`."""
    moment = (_EPOCH + timedelta(milliseconds=min(max(at_ms, 0), _LAST_MS))).astimezone(zone)
    return f"{moment.day} {moment:%b %Y, %H:%M:%S %Z}"


def clock(at_ms: int, zone: tzinfo = UTC) -> str:
    """`14:02:07`."""
    return f"{(_EPOCH + timedelta(milliseconds=min(max(at_ms, 0), _LAST_MS))).astimezone(zone):%H:%M:%S}"


def machine(at_ms: int) -> str:
    """For the `datetime` attribute."""
    return rfc3339(at_ms)
