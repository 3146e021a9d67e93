"""Words of Attention, endpoints, reports and audit."""

from __future__ import annotations

from typing import Final

LISTS: Final[dict[str, str]] = {}
