"""Times as the API writes and reads them: RFC 3339, UTC, milliseconds.

Owns the one spelling. Inside, times are integer milliseconds since the epoch.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload

from caisey.core.spoken import rfc3339


@overload
def at(ms: int) -> str: ...
@overload
def at(ms: None) -> None: ...
def at(ms: int | None) -> str | None:
    """`2026-01-31T12:00:00.000Z`, or None for None."""
    return None if ms is None else rfc3339(ms)


def ms_of(text: str) -> int | None:
    """The inverse, of any RFC 3339 time with a zone and of a bare date (its beginning in UTC); None for the rest."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        if len(text) != len("2026-01-31"):
            return None
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
