"""Times and amounts, for machines (RFC 3339) and as people say them ("40 s", "14:02 UTC", "2.1 MB").

Owns the forms alone. Reads no clock: every time is an argument, in milliseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS = -62_135_596_800_000
_LAST_MS = 253_402_300_799_999
_DAY_MS = 86_400_000
_NEAR_MS = 10 * 60_000  # so near that seconds matter


def rfc3339(at_ms: int) -> str:
    """UTC with milliseconds. A time that no calendar has (an endpoint may claim any) is drawn to the nearest one."""
    seconds, ms = divmod(min(max(at_ms, _FIRST_MS), _LAST_MS), 1000)
    return f"{_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    """Most times that are spelled are of the last seconds, and each is spelled many times over."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="seconds").removesuffix("+00:00")


def optional_rfc3339(at_ms: int | None) -> str | None:
    """As `rfc3339`; None stays None."""
    return None if at_ms is None else rfc3339(at_ms)


def clock(at_ms: int, now_ms: int, zone: tzinfo = UTC) -> str:
    """The hour in the reader's zone: with seconds where it is near, with the day where it is far."""
    moment = (_EPOCH + timedelta(milliseconds=min(max(at_ms, 0), _LAST_MS - _DAY_MS))).astimezone(zone)
    name = " UTC" if zone is UTC else ""
    if abs(at_ms - now_ms) < _NEAR_MS:
        return f"{moment:%H:%M:%S}{name}"
    if abs(at_ms - now_ms) < _DAY_MS // 2:
        return f"{moment:%H:%M}{name}"
    return f"{moment.day} {moment:%b %H:%M}{name}"


def span(ms: int, phrases: Mapping[str, str]) -> str:
    """One number and its unit."""
    ms = max(ms, 0)
    if ms < 1000:
        return phrases["span.ms"].format(n=ms)
    if ms < 99_500:
        return phrases["span.s"].format(n=ms // 1000)
    if ms < 99 * 60_000:
        return phrases["span.min"].format(n=round(ms / 60_000))
    if ms < 48 * 3_600_000:
        return phrases["span.h"].format(n=round(ms / 3_600_000))
    return phrases["span.days"].format(n=round(ms / _DAY_MS))


def whole_span(ms: int, phrases: Mapping[str, str]) -> str:
    """As `span`, never below one second."""
    return span(max(ms, 1000), phrases)


def times(n: int, phrases: Mapping[str, str]) -> str:
    """once, twice, 3 times."""
    return phrases[f"times.{n}"] if f"times.{n}" in phrases else phrases["times.n"].format(n=n)


def size(count: int) -> str:
    """`812 bytes`, `2.1 MB`."""
    if count < 1000:
        return "1 byte" if count == 1 else f"{count} bytes"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.5:
            return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"
    return f"{amount / 1000:.0f} TB"
