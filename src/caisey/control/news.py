"""What sessions have to hear about their endpoint and each other, until they have: also past a log that failed.

Owns what a session could not be told because its COMMIT failed. Nobody else would say it again: a held call goes when
its session hears that the agent takes work, and where that one word is lost it waits for the whole of its hold. What a
session is told comes in the order in which it happened.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog

from caisey.core import commands as c
from caisey.core.errors import Fault

if TYPE_CHECKING:
    from caisey.control.sessions import Handled

logger = structlog.get_logger(__name__)

STORAGE_FAULTS: Final = frozenset({"server.storage_failed", "server.overloaded"})
"""The log was at fault and not the command: the same again, a little later, is right."""
KEPT: Final = 64
"""Of one session. Of a longer row the newest: it says how things are, and the end of it is what counts."""

Then = Callable[["Handled"], None]
Told = tuple[c.Command, Then | None]


class News:
    """See the module."""

    def __init__(self, submit: Callable[[str, c.Command], asyncio.Future[Handled]]) -> None:
        self._submit = submit
        self._untold: dict[str, deque[Told]] = {}
        self._under_way: set[str] = set()

    def tell(self, session_id: str, command: c.Command, then: Then | None = None) -> None:
        """Submit it; behind what the session could not be told yet. `then` once it is durable."""
        untold = self._untold.get(session_id)
        if untold is None:
            self._send(session_id, (command, then))
        elif not untold or untold[-1] != (command, then):
            untold.append((command, then))

    def again(self) -> None:
        """Try what is left, one after the other for each session. Called some times a second."""
        for session_id in list(self._untold):
            if session_id not in self._under_way:
                self._next(session_id)

    def left_for(self, session_id: str) -> bool:
        """Whether it has not heard everything yet."""
        return session_id in self._untold

    def _next(self, session_id: str) -> None:
        untold = self._untold[session_id]
        if not untold:
            del self._untold[session_id]
            return
        self._under_way.add(session_id)
        self._send(session_id, untold.popleft(), again=True)

    def _send(self, session_id: str, told: Told, *, again: bool = False) -> None:
        future = self._submit(session_id, told[0])
        future.add_done_callback(lambda done: self._done(session_id, told, done, again=again))

    def _done(self, session_id: str, told: Told, done: asyncio.Future[Handled], *, again: bool) -> None:
        if again:
            self._under_way.discard(session_id)
        error = done.exception() if not done.cancelled() else None
        if isinstance(error, Fault) and error.code in STORAGE_FAULTS:
            self._keep(session_id, told, first=again)
            return
        if error is not None:
            logger.warning("news.refused", session_id=session_id, command=type(told[0]).__name__, error=str(error))
        elif told[1] is not None and not done.cancelled():
            told[1](done.result())
        if again and session_id in self._untold:
            self._next(session_id)

    def _keep(self, session_id: str, told: Told, *, first: bool) -> None:
        untold = self._untold.setdefault(session_id, deque(maxlen=KEPT))
        if not first:
            logger.warning("news.kept", session_id=session_id, command=type(told[0]).__name__)
            untold.append(told)
        elif len(untold) < KEPT:
            untold.appendleft(told)
