"""Everything that one runtime sent and saw, in order, with times; and a bounded wait for the next of it.

Written by the runtime's event loop, read by the test's thread. Never decides anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.foreign.wire import Frame

Direction = Literal["in", "out", "note"]


@dataclass(frozen=True)
class Seen:
    """One frame, or a note (`opened`, `closed`, `lost`, `problem` of our own)."""

    index: int
    at: float
    direction: Direction
    type: str
    frame: Frame
    link: int

    def about(self, tool_call_id: str, number: int | None = None) -> bool:
        attempt = self.frame.get("attempt")
        if not isinstance(attempt, dict) or attempt.get("tool_call_id") != tool_call_id:
            return False
        return number is None or attempt.get("number") == number


@dataclass
class Recording:
    """`faults` lists what the control plane did against PROTOCOL.md; a test's end asserts that it is empty."""

    entries: list[Seen] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def add(self, direction: Direction, kind: str, frame: Frame, link: int = 0) -> Seen:
        with self._news:
            seen = Seen(len(self.entries), time.monotonic(), direction, kind, frame, link)
            self.entries.append(seen)
            self._news.notify_all()
        return seen

    def fault(self, text: str) -> None:
        with self._news:
            self.faults.append(text)
            self._news.notify_all()

    def select(self, kind: str, direction: Direction = "in", *, since: int = 0, **fields: Any) -> list[Seen]:
        """All entries of a kind, optionally only those whose frame has these fields."""
        with self._news:
            return [
                seen
                for seen in self.entries[since:]
                if seen.type == kind
                and seen.direction == direction
                and all(seen.frame.get(name) == value for name, value in fields.items())
            ]

    def mark(self) -> int:
        """The place from which a later `wait` or `select` may look."""
        with self._news:
            return len(self.entries)

    def wait(
        self,
        kind: str,
        direction: Direction = "in",
        *,
        where: Callable[[Seen], bool] = lambda _: True,
        timeout: float = 30.0,
        since: int = 0,
        count: int = 1,
    ) -> Seen:
        """The `count`-th entry that fits, waiting for it at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                found = [s for s in self.entries[since:] if s.type == kind and s.direction == direction and where(s)]
                if len(found) >= count:
                    return found[count - 1]
                left = deadline - time.monotonic()
                if left <= 0 or not self._news.wait(left):
                    raise AssertionError(
                        f"no {direction} {kind!r} ({len(found)} of {count}) in {timeout} s\n{self.story()}"
                    )

    def story(self, last: int = 40) -> str:
        """The newest entries, for people."""
        if not self.entries:
            return "nothing was seen"
        began = self.entries[0].at
        lines = [
            f"{s.at - began:8.3f} {s.direction:>4} link {s.link} {s.type} {_short(s.frame)}"
            for s in self.entries[-last:]
        ]
        return "\n".join([*lines, *(f"FAULT {fault}" for fault in self.faults)])


def _short(frame: Frame) -> str:
    kept = {k: v for k, v in frame.items() if k not in ("type", "signature", "nonce", "tools", "control_plane_key")}
    return str(kept)[:400]
