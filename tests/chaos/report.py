"""What was done to the programs, and what held: one line for each.

Owns the words alone. A line under `broken` is a promise of the product that did not hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Report:
    """One scene."""

    name: str
    seed: int
    did: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    skipped: str | None = None
    figures: dict[str, float] = field(default_factory=dict)

    def hold(self, what: str, true: object, otherwise: str = "") -> bool:
        """Notes that it held, or that it did not."""
        if true:
            self.held.append(what)
        else:
            self.broken.append(f"{what}: {otherwise}" if otherwise else f"not so: {what}")
        return bool(true)

    def text(self) -> str:
        """Lines for people."""
        if self.skipped is not None:
            return f"{self.name}: SKIPPED: {self.skipped}"
        lines = [f"{self.name} (seed {self.seed})"]
        lines += [f"  did     {line}" for line in self.did]
        lines += [f"  held    {line}" for line in self.held]
        lines += [f"  BROKEN  {line}" for line in self.broken]
        return "\n".join(lines)


class SkippedError(Exception):
    """This machine does not permit the scene; the text says what is missing."""
