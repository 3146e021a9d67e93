"""On which endpoints something was written lately: whether there are others whom one runtime's bytes hold up.

Owns the two endpoints that were last at work, and nothing else: more is not asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from caisey.control.sessions import Committed

LATELY_MS: Final = 2_000


class AtWork:
    """See the module. Times are steady milliseconds."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._last: tuple[str, int] = ("", -LATELY_MS)
        self._last_other: int = -LATELY_MS  # when one that is not `_last` was at work

    def committed(self, told: Committed) -> None:
        """A session has gone on."""
        endpoint_id, at_ms = self._last
        if endpoint_id != told.endpoint_id:
            self._last_other = at_ms
        self._last = (told.endpoint_id, self._now_ms())

    def others(self, endpoint_id: str) -> bool:
        """Whether sessions of other endpoints were at work lately."""
        last, at_ms = self._last
        return self._now_ms() - (self._last_other if last == endpoint_id else at_ms) < LATELY_MS
