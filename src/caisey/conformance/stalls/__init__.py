"""The rows of the failure matrix, as RECOVERY.md specifies them.

Owns the list. Written from the page, by hand: a cell that follows the code would prove nothing.
"""

from __future__ import annotations

from typing import Final

from caisey.conformance.form import Stall
from caisey.conformance.stalls import arrival, deaths, endings, frames, journals, people, planes, slowness, waiting

STALLS: Final[tuple[Stall, ...]] = (
    *arrival.STALLS,
    *waiting.STALLS,
    *deaths.STALLS,
    *endings.STALLS,
    *people.STALLS,
    *slowness.STALLS,
    *journals.STALLS,
    *frames.STALLS,
    *planes.STALLS,
)
