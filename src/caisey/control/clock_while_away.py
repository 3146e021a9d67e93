"""A clock that was stepped back while no control plane ran: nobody could compare it with the monotonic one.

Owns the look at the start. The log knows a later moment than the clock shows: every deadline in it would be as much too
late, and what is open would stand still for as long. Must run before anything else is written, so that a start that
breaks off in the middle is taken up by the next one, and no session is moved twice.
"""

from __future__ import annotations

from typing import Final

import structlog

from caisey.control.sessions import Sessions
from caisey.core import commands as c
from caisey.core.events import ClockStepped, type_of_class
from caisey.storage.contract import Log

logger = structlog.get_logger(__name__)

STEP_MS: Final = 1000
_STEPPED: Final = type_of_class(ClockStepped)
_NEWEST: Final = (
    "SELECT position, at_ms FROM events WHERE session_id IS NOT NULL AND type <> ? ORDER BY position DESC LIMIT 1"
)
_MOVED: Final = "SELECT DISTINCT session_id FROM events WHERE position > ?"


async def follow(log: Log, sessions: Sessions, now_ms: int) -> None:
    """Move the deadlines of everything open by as much as the clock is known to have gone back. Raises `Fault`."""
    newest = await log.query(_NEWEST, (_STEPPED,))
    if not newest:
        return
    position, at_ms = newest[0]
    step = now_ms - int(at_ms)
    if step > -STEP_MS:
        return
    logger.warning("clock.stepped_while_away", by_ms=step)
    moved = {str(row[0]) for row in await log.query(_MOVED, (position,))}
    for session_id in sorted({session_id for session_id, _ in sessions.open_deadlines()} - moved):
        await sessions.submit(session_id, c.StepClock(by_ms=step))
