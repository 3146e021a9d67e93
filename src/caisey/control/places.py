"""Which session a tool call belongs to, and whether a runtime may speak of it (PROTOCOL.md §4 end).

Owns the memory of where tool calls belong. Discloses nothing: what is another's answers as what does not exist.
"""

from __future__ import annotations

from typing import Final

import msgspec

from caisey.control.connections import Connection
from caisey.control.sessions import Sessions
from caisey.control.streams import About, attempt_in
from caisey.core.errors import Fault
from caisey.protocol.frames import Reference

KEPT: Final = 50_000


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a tool call belongs. It never moves."""

    session_id: str
    endpoint_id: str


class Places:
    """See the module."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._known: dict[str, Place] = {}

    def of(self, tool_call_id: str) -> Place | None:
        """The place of a tool call; None where there is no such call."""
        known = self._known.get(tool_call_id)
        if known is None:
            found = self._sessions.session_of_call(tool_call_id)
            if found is None:
                return None
            known = self.learn(tool_call_id, found[0], found[1])
        return known

    def learn(self, tool_call_id: str, session_id: str, endpoint_id: str) -> Place:
        """A call that is about to be spoken of belongs there."""
        if len(self._known) >= KEPT:
            for oldest in list(self._known)[: KEPT // 4]:
                del self._known[oldest]
        place = self._known[tool_call_id] = Place(session_id, endpoint_id)
        return place

    def about(self, connection: Connection, reference: Reference) -> About:
        """The attempt, for a runtime of its endpoint. Whether its journal fits is for the session to say.

        A runtime that was moved to another endpoint meanwhile still speaks for what it was given itself. Raises Fault.
        """
        place = self.of(reference.tool_call_id)
        if place is None:
            raise Fault("frame.not_yours")
        if place.endpoint_id != connection.runtime.endpoint.endpoint_id:
            session = self._sessions.peek(place.session_id)
            attempt = attempt_in(session, reference.tool_call_id, reference.number)
            if attempt.runtime_id != connection.runtime.runtime_id:
                raise Fault("frame.not_yours")
        return About(connection, place.session_id, reference.tool_call_id, reference.number)
