"""What a journal says of its attempts, from the hello on (PROTOCOL.md §5).

Owns the way from a statement to its command, the end of a row of statements, and what is kept where the log knows no
such attempt. Judges nothing: a promise is weighed by the session.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from caisey.control.attention import Alarm, raise_alarm
from caisey.control.connections import Connection, Fleet
from caisey.control.directory.records import Endpoint
from caisey.control.directory.store import Directory
from caisey.control.journals import Journals
from caisey.control.places import Places
from caisey.control.remembered import Unattached, keep_statement, save_journal
from caisey.control.sessions import Sessions
from caisey.control.streams import About, Streams, Submit
from caisey.control.submissions import not_yours
from caisey.core import commands as c
from caisey.core.errors import Fault
from caisey.protocol import frames as f
from caisey.storage.contract import Log, Overloaded, Write


class Statements:
    """See the module. `tell` submits a command to every session of the endpoint with open work."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        places: Places,
        streams: Streams,
        fleet: Fleet,
        journals: Journals,
        directory: Directory,
        log: Log,
        submit: Submit,
        tell: Callable[[str, c.Command], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._sessions = sessions
        self._places = places
        self._streams = streams
        self._fleet = fleet
        self._journals = journals
        self._directory = directory
        self._log = log
        self._submit = submit
        self._tell = tell
        self._now_ms = now_ms

    def take(self, connection: Connection, statement: f.Statement) -> None:
        """One statement."""
        runtime = connection.runtime
        if statement.journal_id != runtime.journal.journal_id:
            not_yours(connection, statement.attempt)
            return
        if not self._known(statement.attempt):
            self._keep(connection, statement)
            not_yours(connection, statement.attempt)
            return
        try:
            about = self._places.about(connection, statement.attempt)
        except Fault:
            not_yours(connection, statement.attempt)
            return
        self._streams.flush(about.tool_call_id, about.number)
        self._journals.seen(runtime.journal, statement.journal_sequence)
        runtime.endpoint.view = None
        command = self._command(about, statement)
        self._submit(about, command, [save_journal(runtime.journal.row(self._now_ms()))])

    def all_read(self, connection: Connection) -> None:
        """The row has ended: what it did not name is asked for."""
        connection.statements_wait = False
        runtime = connection.runtime
        read = c.StatementsRead(runtime_id=runtime.runtime_id, journal_id=runtime.journal.journal_id)
        self._tell(runtime.endpoint.endpoint_id, read)

    def _known(self, reference: f.Reference) -> bool:
        """Whether such an attempt was ever dispatched."""
        place = self._places.of(reference.tool_call_id)
        session = self._sessions.peek(place.session_id) if place is not None else None
        call = session.calls.get(reference.tool_call_id) if session is not None else None
        attempt = call.attempt(reference.number) if call is not None else None
        return attempt is not None and attempt.journal_id is not None

    def _command(self, about: About, statement: f.Statement) -> c.ReceiveStatement:
        answers = statement.answers
        own = answers is not None and answers.tool_call_id == statement.attempt.tool_call_id
        owner = statement.owner
        return about.command(
            c.ReceiveStatement,
            state=statement.state,
            journal_sequence=statement.journal_sequence,
            answers=answers.number if answers is not None and own else None,
            owner=None if owner is None else (owner.runtime_id, owner.incarnation),
            owner_live=owner is not None and self._is_live(owner),
            why=statement.why,
            code=statement.code,
            pid=statement.pid,
            process_key=statement.process_key,
            execution=None if statement.execution is None else msgspec.to_builtins(statement.execution),
        )

    def _is_live(self, owner: f.Owner) -> bool:
        runtime = self._fleet.runtimes.get(owner.runtime_id)
        return runtime is not None and runtime.incarnation == owner.incarnation and bool(runtime.connections)

    def _keep(self, connection: Connection, statement: f.Statement) -> None:
        """The log was restored from a backup, or the runtime makes things up: evidence, and a person's affair."""
        runtime = connection.runtime
        endpoint = self._directory.endpoints.get(runtime.endpoint.endpoint_id)
        if endpoint is None:
            return
        now = self._now_ms()
        kept = Unattached(
            endpoint_id=endpoint.endpoint_id,
            journal_id=runtime.journal.journal_id,
            tool_call_id=statement.attempt.tool_call_id,
            number=statement.attempt.number,
            runtime_id=runtime.runtime_id,
            statement=msgspec.json.encode(statement),
        )
        try:
            appended = self._log.append([], [keep_statement(kept, now), unknown_attempt(endpoint, now)])
        except Overloaded:
            return  # it comes again with the next hello
        connection.until(appended.committed)


def unknown_attempt(endpoint: Endpoint, now_ms: int) -> Write:
    """What a person is shown where a journal speaks of work that the log does not know."""
    return raise_alarm(
        Alarm.UNKNOWN_ATTEMPT,
        endpoint.endpoint_id,
        organization_id=endpoint.organization_id,
        client_group_id=endpoint.client_group_id,
        endpoint_id=endpoint.endpoint_id,
        since_ms=now_ms,
    )
