"""Commands on their way from a connection to its sessions, and how many of them may be under way.

Owns the question whether a connection may be read further, so that a flooding runtime slows down nobody but itself.
Owns what a runtime is told where a command was refused or could not be kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from caisey.control.connections import BYTES_UNDER_WAY, UNDER_WAY, Connection
from caisey.control.outbound import Outbound
from caisey.control.sessions import Handled, Sessions
from caisey.control.streams import About
from caisey.core import commands as c
from caisey.core.effects import confirmation
from caisey.core.errors import Fault
from caisey.protocol import frames as f
from caisey.protocol.codec import encode
from caisey.storage.contract import Write

logger = structlog.get_logger(__name__)

TRY_AGAIN_LATER: Final = 1013  # WebSocket: the frames were not kept, and come again on the next connection
AWAITS_CONFIRMATION: Final = (c.ReceiveFinished, c.ReceiveStatement, c.ReceiveReceipt, c.ReceiveGap)


def not_yours(connection: Connection, reference: f.Reference | None) -> None:
    """Tell a runtime that this attempt is none of its business, and nothing else (PROTOCOL.md §4 end)."""
    connection.send(encode(f.Problem(code="frame.not_yours", about=reference)))


class Submissions:
    """See the module."""

    def __init__(self, sessions: Sessions, outbound: Outbound) -> None:
        self._sessions = sessions
        self._outbound = outbound

    def __call__(
        self,
        about: About,
        command: c.RuntimeCommand,
        writes: Sequence[Write] = (),
        *,
        size: int = 0,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Decided at once, in order. `size` bytes count against the connection until it is durable; then `then`."""
        connection = about.connection
        connection.begin(size)
        future = self._sessions.submit(about.session_id, command, writes)
        future.add_done_callback(lambda done: self._done(done, about, command, size, then))

    def room(self, connection: Connection) -> asyncio.Future[None] | None:
        """What to wait for before the connection is read further; None where there is room."""
        if connection.under_way < UNDER_WAY and connection.unstored < BYTES_UNDER_WAY:
            return None
        if connection.room is None:
            connection.room = asyncio.get_running_loop().create_future()
        return connection.room

    def confirm(self, about: About) -> None:
        """Say again what is durable of an attempt: the runtime speaks as if it had not heard."""
        session = self._sessions.peek(about.session_id)
        if session is None:
            return
        owed = confirmation(session, about.tool_call_id, about.number)
        if owed is not None:
            about.connection.send(self._outbound.confirmation(about.connection.runtime, owed))

    # -- once it is durable -----------------------------------------------------------------------------------------

    def _done(
        self,
        done: asyncio.Future[Handled],
        about: About,
        command: c.RuntimeCommand,
        size: int,
        then: Callable[[], None] | None,
    ) -> None:
        connection = about.connection
        error = done.exception() if not done.cancelled() else Fault("server.storage_failed")
        if error is None:
            self._handled(done.result(), about, command)
        elif isinstance(error, Fault):
            self._refused(error, about, command)
        else:
            logger.error("runtime.command_failed", command=type(command).__name__, exc_info=error)
        if then is not None:
            then()
        connection.end(size)

    def _handled(self, handled: Handled, about: About, command: c.RuntimeCommand) -> None:
        """Where events follow, so do their effects. Where none do, it was heard before: say again what is kept."""
        if isinstance(command, c.ReceiveInputAccepted):
            self._outbound.input_accepted(about.tool_call_id, about.number, command.sequence)
        if not isinstance(command, AWAITS_CONFIRMATION):
            return
        moved = about.connection.runtime.endpoint.endpoint_id != handled.session.endpoint_id
        if moved or not handled.records:
            owed = confirmation(handled.session, about.tool_call_id, about.number)
            if owed is not None:
                about.connection.send(self._outbound.confirmation(about.connection.runtime, owed))

    def _refused(self, fault: Fault, about: About, command: c.RuntimeCommand) -> None:
        if fault.code == "frame.not_yours":
            not_yours(about.connection, f.Reference(about.tool_call_id, about.number))
        elif fault.code == "server.internal":
            logger.error("runtime.command_refused", command=type(command).__name__, code=fault.code)
        else:
            about.connection.close(TRY_AGAIN_LATER, fault.code)
