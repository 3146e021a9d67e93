"""Frames of welcomed runtimes, one after the other, each to whom it concerns.

Owns the routes from frame types to their meaning, in the order of the connection. Concludes nothing. Whatever the
bytes, nothing is raised to the socket for what a runtime sends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from caisey.control.clock import Times
from caisey.control.connections import Connection
from caisey.control.journals import Journals
from caisey.control.liveness import Liveness
from caisey.control.misreadings import Misreadings
from caisey.control.output import Piece
from caisey.control.places import Places
from caisey.control.remembered import save_journal
from caisey.control.results import Results
from caisey.control.statements import Statements
from caisey.control.storable import too_large
from caisey.control.streams import Streams
from caisey.control.submissions import Submissions, not_yours
from caisey.core import commands as c
from caisey.core.errors import Fault
from caisey.protocol import frames as f
from caisey.protocol.codec import decode_from_runtime
from caisey.protocol.faults import FrameFault, unexpected
from caisey.storage.contract import Write

logger = structlog.get_logger(__name__)

JOURNAL_FULL: Final = "journal.full"
Route = Callable[[Connection, Any], Awaitable[None] | None]


class Inbound:
    """See the module."""

    def __init__(
        self,
        *,
        submissions: Submissions,
        places: Places,
        streams: Streams,
        results: Results,
        statements: Statements,
        misreadings: Misreadings,
        liveness: Liveness,
        journals: Journals,
        times: Times,
    ) -> None:
        self._submissions = submissions
        self._places = places
        self._streams = streams
        self._results = results
        self._statements = statements
        self._misreadings = misreadings
        self._liveness = liveness
        self._journals = journals
        self._times = times
        self._routes: dict[type, Route] = {
            f.Acknowledged: self._acknowledged,
            f.Started: self._started,
            f.Refused: self._refused,
            f.Output: self._output,
            f.Gap: self._gap,
            f.Progress: self._progress,
            f.InputAccepted: self._input_accepted,
            f.Finished: self._finished,
            f.Statement: self._statement,
            f.Heartbeat: self._liveness.heartbeat,
            f.Leaving: self._liveness.leaving,
            f.Problem: self._problem,
        }

    def receive(self, connection: Connection, data: bytes | str) -> Awaitable[None] | None:
        """One frame. What comes back has to be awaited before the next one is read: order, and room."""
        received = decode_from_runtime(data)
        if isinstance(received, FrameFault):
            self._misreadings.take(connection, received)
            return self._submissions.room(connection)
        frame = received.frame
        unstorable = too_large(frame, received.data)
        if unstorable is not None:
            self._misreadings.take(connection, unstorable)
            return self._submissions.room(connection)
        if connection.statements_wait:
            self._await_statements(connection, frame)
        if isinstance(frame, f.Pong):
            self._liveness.pong(connection, received, frame)
            return None
        route = self._routes.get(type(frame))
        if route is None:  # a hello that comes twice
            self._misreadings.take(connection, unexpected(received.data))
            return None
        try:
            waiting = route(connection, frame)
        except Fault as fault:
            _not_taken(connection, frame, fault)
            return None
        return self._submissions.room(connection) if waiting is None else self._wait(connection, frame, waiting)

    @staticmethod
    async def _wait(connection: Connection, frame: f.FromRuntime, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        except Fault as fault:
            _not_taken(connection, frame, fault)

    def _await_statements(self, connection: Connection, frame: f.FromRuntime) -> None:
        """A row that began in the hello ends with the first other frame."""
        if not isinstance(frame, f.Statement):
            self._statements.all_read(connection)

    # -- receipts ---------------------------------------------------------------------------------------------------

    def _heard(self, connection: Connection, sequence: int, *, proof: bool = False) -> list[Write]:
        """A receipt raises its journal's mark, in the transaction of what it says."""
        runtime = connection.runtime
        if proof:  # it answers what it was sent
            runtime.proved_ms = self._times.monotonic_ms()
        runtime.endpoint.view = None
        if sequence <= runtime.journal.mark:
            return []
        self._journals.seen(runtime.journal, sequence)
        return [save_journal(runtime.journal.row(self._times.now_ms()))]

    def _receipt(self, connection: Connection, frame: Any, receipt: str, details: dict[str, Any]) -> None:
        about = self._places.about(connection, frame.attempt)
        command = about.command(
            c.ReceiveReceipt, receipt=receipt, journal_sequence=frame.journal_sequence, details=details
        )
        self._submissions(about, command, self._heard(connection, frame.journal_sequence, proof=True))

    def _acknowledged(self, connection: Connection, frame: f.Acknowledged) -> None:
        self._receipt(connection, frame, "acknowledged", {})

    def _started(self, connection: Connection, frame: f.Started) -> None:
        details = {
            "pid": frame.pid,
            "process_key": frame.process_key,
            "process_started_ms": frame.process_started_ms,
            "user": frame.user,
            "cwd": frame.cwd,
            "interpreter": frame.interpreter,
        }
        self._receipt(connection, frame, "started", details)

    def _refused(self, connection: Connection, frame: f.Refused) -> None:
        self._receipt(connection, frame, "refused", {"code": frame.code, "hint": frame.hint})

    def _finished(self, connection: Connection, frame: f.Finished) -> Awaitable[None] | None:
        about = self._places.about(connection, frame.attempt)
        return self._results.take(about, frame, self._heard(connection, frame.journal_sequence))

    def _statement(self, connection: Connection, frame: f.Statement) -> None:
        self._statements.take(connection, frame)

    # -- output and input --------------------------------------------------------------------------------------------

    def _output(self, connection: Connection, frame: f.Output) -> Awaitable[None] | None:
        about = self._places.about(connection, frame.attempt)
        return self._streams.take(about, frame.stream, Piece(frame.offset, frame.data))

    def _gap(self, connection: Connection, frame: f.Gap) -> None:
        about = self._places.about(connection, frame.attempt)
        self._streams.flush(about.tool_call_id, about.number)
        command = about.command(
            c.ReceiveGap, stream=frame.stream, offset=frame.offset, length=frame.length, why=frame.why
        )
        self._submissions(about, command)

    def _progress(self, connection: Connection, frame: f.Progress) -> None:
        about = self._places.about(connection, frame.attempt)
        command = about.command(
            c.ReceiveProgress,
            cpu_ms=frame.cpu_ms or 0,
            bytes=dict(frame.bytes.items()),
            last_output_ms=frame.last_output_ms,
            waiting_for_input=frame.waiting_for_input,
        )
        self._submissions(about, command)

    def _input_accepted(self, connection: Connection, frame: f.InputAccepted) -> None:
        about = self._places.about(connection, frame.attempt)
        self._submissions(about, about.command(c.ReceiveInputAccepted, sequence=frame.sequence))

    # -- what it could not take ---------------------------------------------------------------------------------------

    def _problem(self, connection: Connection, frame: f.Problem) -> None:
        """No evidence about any attempt (PROTOCOL.md §4): on record for who runs this, and never answered."""
        if frame.code == JOURNAL_FULL:
            self._liveness.journal_full(connection.runtime)
        logger.warning(
            "runtime.problem",
            runtime_id=connection.runtime.runtime_id,
            code=frame.code,
            errors=len(frame.errors),
            tool_call_id=frame.about.tool_call_id if frame.about else None,
        )


def _not_taken(connection: Connection, frame: f.FromRuntime, fault: Fault) -> None:
    if fault.code != "frame.not_yours":
        logger.warning("runtime.frame_refused", code=fault.code, frame=type(frame).__name__)
    not_yours(connection, getattr(frame, "attempt", None))
