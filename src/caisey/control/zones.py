"""Time zones by name, as a reader's browser or account gives them.

Owns the look-up: bounded, kept, and UTC for every name that this machine does not know. Must never be asked for times
of the log, which are UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}")
_KEPT: Final = 256


def is_name(text: str) -> bool:
    """Whether it has the form of a zone's name."""
    return _NAME.fullmatch(text) is not None


@lru_cache(maxsize=_KEPT)
def zone_of(name: str) -> tzinfo:
    """The zone of that name; UTC where it is empty or not known on this machine."""
    if not is_name(name):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
