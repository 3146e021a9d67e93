"""Who has a session open now: from the streams that are open, in memory.

Owns the counts. Nothing of it reaches the log: that somebody looked is no event, and after a restart whoever still
looks connects again. Must never be asked about access: who may open a stream was judged before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from caisey.control.nudges import Nudges
from caisey.core.events import Actor

MAX_SHOWN = 50


class Here(NamedTuple):
    """Somebody, since when, with how many streams."""

    actor: Actor
    since_ms: int
    streams: int


class Presence:
    """By session and actor."""

    def __init__(self, nudges: Nudges) -> None:
        self._nudges = nudges
        self._here: dict[str, dict[Actor, Here]] = {}

    @contextmanager
    def here(self, session_id: str, actor: Actor, now_ms: int) -> Iterator[None]:
        """The actor has the session open for as long as the block runs; whoever else watches it is told."""
        self._count(session_id, actor, 1, now_ms)
        try:
            yield
        finally:
            self._count(session_id, actor, -1, now_ms)

    def of(self, session_id: str) -> list[Here]:
        """Who is there, the longest first; bounded."""
        return sorted(self._here.get(session_id, {}).values(), key=lambda h: (h.since_ms, h.actor.id))[:MAX_SHOWN]

    def _count(self, session_id: str, actor: Actor, by: int, now_ms: int) -> None:
        mine = self._here.setdefault(session_id, {})
        before = mine.get(actor, Here(actor, now_ms, 0))
        streams = before.streams + by
        if streams > 0:
            mine[actor] = before._replace(streams=streams)
        else:
            mine.pop(actor, None)
        if not mine:
            self._here.pop(session_id, None)
        if (before.streams > 0) != (streams > 0):
            self._nudges.give({session_id})
