"""What a check is, and what came of it.

Owns the form alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from caisey.conformance.runtimes.subject import Subject

Outcome = Literal["passed", "failed", "not tried"]


@dataclass(frozen=True)
class Check:
    """One thing that PROTOCOL.md or RECOVERY.md asks of a runtime. `act` raises `Failed` or `NotTried`."""

    name: str
    group: str
    rule: str
    act: Callable[[Subject], Awaitable[None]]


@dataclass(frozen=True)
class Result:
    """What came of a check. `expected` and `found` where it failed, `found` alone where it was not tried."""

    check: Check
    outcome: Outcome
    seconds: float
    expected: str = ""
    found: str = ""
