"""Words of members, API tokens and settings."""

from __future__ import annotations

from typing import Final

SETTINGS: Final[dict[str, str]] = {}
