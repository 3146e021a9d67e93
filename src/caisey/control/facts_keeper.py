"""Facts that results bring: taken after COMMIT, written beside the log.

Owns the follower of sessions that turns results of some tools into facts of their endpoint. Losing one is no loss: the
result stays in the log, the next one brings it again. Must never hold a session up.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from caisey.control.directory import facts
from caisey.control.directory.records import Fact
from caisey.control.directory.store import Directory
from caisey.control.sessions import Committed, Sessions
from caisey.core import events as e
from caisey.core.errors import Fault

logger = structlog.get_logger(__name__)

WAITING: Final = 1_000
"""More results than this that wait are not looked at."""


class FactsKeeper:
    """See the module."""

    def __init__(self, sessions: Sessions, directory: Directory) -> None:
        self._sessions = sessions
        self._directory = directory
        self._waiting: asyncio.Queue[tuple[str, list[Fact]]] = asyncio.Queue(WAITING)
        sessions.follow(self._follow)

    def _follow(self, committed: Committed) -> None:
        for record in committed.records:
            event = record.event
            if isinstance(event, e.AttemptFinished) and event.has_result and not event.faults:
                found = self._facts(committed, event, record.at_ms)
                if found and not self._waiting.full():
                    self._waiting.put_nowait((committed.organization_id, found))

    def _facts(self, committed: Committed, event: e.AttemptFinished, at_ms: int) -> list[Fact]:
        session = self._sessions.peek(committed.session_id)
        call = None if session is None else session.calls.get(event.tool_call_id)
        if call is None or not facts.is_source(call.spec.tool):
            return []
        return facts.of_result(committed.endpoint_id, call.spec.tool, call.spec.arguments, event.result, at_ms)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            organization_id, found = await self._waiting.get()
            try:
                await facts.keep(self._directory, organization_id, found)
            except Fault as fault:
                logger.warning("facts.not_kept", code=fault.code)
