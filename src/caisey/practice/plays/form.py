"""What a play is: its name, its line for people, and what it does.

Owns the form alone. Plays never choose themselves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from caisey.practice.work import Work


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameter as it was written, or the play's default. `once`: only the first try stalls."""

    value: str = ""
    once: bool = False

    def number(self, least: float = 0, most: float = 86_400) -> float:
        """The parameter as a number, within bounds; the least of them where it is none."""
        try:
            return min(max(float(self.value), least), most)
        except ValueError:
            return least


@dataclass(frozen=True, slots=True)
class Play:
    """`takes` names its one parameter, for people; empty: it takes none."""

    name: str
    summary: str
    act: Callable[[Work, Asked], Awaitable[None]]
    takes: str = ""
    default: str = ""
