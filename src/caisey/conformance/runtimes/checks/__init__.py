"""Every check, in the order in which they are made.

Owns the list. Each check brings its own calls and leaves the runtime connected.
"""

from __future__ import annotations

from typing import Final

from caisey.conformance.runtimes.checks import faults, fence, handshake, limits, liveness, settling, work
from caisey.conformance.runtimes.form import Check

CHECKS: Final[tuple[Check, ...]] = (
    *handshake.CHECKS,
    *liveness.CHECKS,
    *faults.CHECKS,
    *work.CHECKS,
    *fence.CHECKS,
    *settling.CHECKS,
    *limits.CHECKS,
)
