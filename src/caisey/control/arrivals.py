"""A runtime comes in: what is written down before its welcome, and what follows from it (PROTOCOL.md §3, §5, §6).

Owns the lives of runtimes (who held each key last), the replacement of former bridges, the welcome with what is owed,
and the order after it: sessions hear that the runtime is there, then its statements, then that they have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import structlog
from msgspec.structs import replace

from caisey.control.attention import Alarm, raise_alarm
from caisey.control.clock import Times
from caisey.control.connections import Bridge, Connection, Fleet, LiveRuntime
from caisey.control.directory import facts
from caisey.control.directory.facts import ACCOUNT, ACCOUNTS
from caisey.control.directory.records import Fact, Runtime
from caisey.control.directory.store import Directory
from caisey.control.journals import Journal, Journals
from caisey.control.keyring import Keyring
from caisey.control.liveness import Liveness
from caisey.control.lives import Claim, Life, after
from caisey.control.outbound import Outbound
from caisey.control.places import Places
from caisey.control.remembered import save_journal, save_life
from caisey.control.sessions import Handled, Sessions
from caisey.control.statements import Statements
from caisey.control.submissions import Submissions
from caisey.control.views import Views
from caisey.core import commands as c
from caisey.core.effects import confirmation, owed_on_connect
from caisey.core.events import CONTROL_PLANE
from caisey.protocol import frames as f
from caisey.protocol import limits
from caisey.protocol.codec import encode
from caisey.protocol.handshake import ControlPlaneHandshake, RejectCode, Rejection, rejection
from caisey.storage.contract import Entry, Log, Overloaded, Write

logger = structlog.get_logger(__name__)

REPLACED: Final = "replaced by a newer connection"


class Refusal(NamedTuple):
    """Why there is no welcome: the frame to send, and the close code after it."""

    frame: bytes
    close_code: int
    code: str


def refused(why: Rejection) -> Refusal:
    """A rejection as it goes out."""
    return Refusal(encode(why.frame()), why.close_code, why.code.value)


class Arrival(NamedTuple):
    """A hello that was judged to be what it claims to be."""

    handshake: ControlPlaneHandshake
    moment: int  # of the challenge, as journals count it
    claim: Claim
    set_back: bool
    bridge: Bridge
    secret: str


class Arrivals:
    """See the module. `supported` says of a runtime's version whether work may be sent to it."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        views: Views,
        journals: Journals,
        directory: Directory,
        liveness: Liveness,
        sessions: Sessions,
        places: Places,
        statements: Statements,
        submissions: Submissions,
        outbound: Outbound,
        keyring: Keyring,
        log: Log,
        times: Times,
        supported: Callable[[str], bool],
    ) -> None:
        self._fleet = fleet
        self._views = views
        self._journals = journals
        self._directory = directory
        self._liveness = liveness
        self._sessions = sessions
        self._places = places
        self._statements = statements
        self._submissions = submissions
        self._outbound = outbound
        self._keyring = keyring
        self._log = log
        self._times = times
        self._supported = supported
        self._unwritten: list[Journal] = []  # went back, and the log could not take it
        self._untold: dict[str, str] = {}  # by runtime: its journal went back, and no session has heard of it yet
        liveness.also(self._write_again)

    def anyone_may_come(self, runtime_id: str) -> None:
        """A person has decided: whoever comes next with the key holds it.

        Written for a start that comes before they do; should that be lost, a contradiction is put to a person again.
        """
        life = self._fleet.lives[runtime_id] = Life.unknown(runtime_id)
        try:
            written = self._log.append([], [save_life(life, self._times.now_ms())]).committed
        except Overloaded:
            return
        written.add_done_callback(lambda done: done.cancelled() or done.exception())

    # -- coming in ---------------------------------------------------------------------------------------------------

    async def welcome(self, arrival: Arrival) -> Connection | Refusal:
        """Write down who came, then let them in, then take what the hello said. Raises what the log raises."""
        hello = arrival.handshake.hello
        await self._write_down(arrival)
        confirm = await self._owed(hello)
        record = self._directory.runtimes[hello.runtime_id]  # as it is now: a person may have decided meanwhile
        if record.revoked_at_ms is not None and record.compromised:
            return refused(rejection(RejectCode.RUNTIME_REVOKED))
        if record.suspected_since_ms is not None:
            return refused(rejection(RejectCode.CLONE_SUSPECTED))
        connection = self._enter(arrival, record, confirm)
        self._tell_sessions(connection.runtime)
        await self._take_statements(connection, hello)
        return connection

    async def _write_down(self, arrival: Arrival) -> None:
        """The life, the journal's mark and, where it is behind it, that it went back in time (RECOVERY.md §5)."""
        hello = arrival.handshake.hello
        record = self._directory.runtimes[hello.runtime_id]
        former = self._fleet.lives.get(hello.runtime_id)
        life = after(former, hello.runtime_id, arrival.claim)
        journal = self._journals.of(record.endpoint_id, hello.journal_id)
        seen = journal.mark
        if arrival.set_back or self._journals.went_back(journal, arrival.moment, hello.journal_sequence):
            known = journal.row(self._times.now_ms())
            try:
                await self._went_back(journal, hello.journal_sequence, life)
            except BaseException:  # nobody is let in, and the next hello must find it again
                self._journals.find_again(journal, known)
                self._views.live(record.endpoint_id).view = None
                raise
            self._untold[hello.runtime_id] = hello.journal_id  # whatever fails from here on: the next hello tells it
        else:
            self._journals.seen(journal, hello.journal_sequence)
            if life != former or journal.mark != seen:
                now = self._times.now_ms()
                await self._log.append([], [save_life(life, now), save_journal(journal.row(now))]).committed
        self._fleet.lives[hello.runtime_id] = life
        if (hello.runtime_version, hello.journal_id) != (record.version, record.journal_id):
            async with self._directory.changing(record.organization_id, CONTROL_PLANE) as draft:
                present = self._directory.runtimes[hello.runtime_id]
                draft.save(replace(present, version=hello.runtime_version, journal_id=hello.journal_id))
        await self._keep_accounts(record, hello)

    async def _keep_accounts(self, record: Runtime, hello: f.Hello) -> None:
        """People read it before they send: whom a command will run as, and whom else it may be run as."""
        known = self._directory.facts.get(record.endpoint_id, {})
        others = any((tool.name, tool.version) == ("shell", 2) for tool in hello.tools)
        said = ({ACCOUNT: hello.runs_as} if hello.runs_as else {}) | {ACCOUNTS: others}
        now = self._times.now_ms()
        changed = [
            Fact(endpoint_id=record.endpoint_id, name=name, value=value, source="hello", at_ms=now)
            for name, value in said.items()
            if (known[name].value if name in known else False) != value
        ]
        if changed:
            await facts.keep(self._directory, record.organization_id, changed)

    def journal_went_back(self, endpoint_id: str, journal_id: str) -> None:
        """A word about an attempt showed it. Known already: nothing more."""
        endpoint = self._views.live(endpoint_id)
        journal = self._journals.of(endpoint_id, journal_id)
        if journal.trusted and endpoint.organization_id:
            self._write_that_it_went_back(journal)

    def _write_that_it_went_back(self, journal: Journal) -> None:
        """Distrusted at once, and said to a person as soon as the log can take it: nothing else would say it again."""
        try:
            written = self._went_back(journal, journal.mark, None)
        except Overloaded:
            self._unwritten.append(journal)
            return

        def done(future: asyncio.Future[None]) -> None:
            if future.cancelled() or future.exception() is not None:
                self._unwritten.append(journal)

        written.add_done_callback(done)

    def _write_again(self, _now_ms: int) -> None:
        unwritten, self._unwritten = self._unwritten, []
        for journal in unwritten:
            if not journal.trusted:
                self._write_that_it_went_back(journal)

    def _went_back(self, journal: Journal, sequence: int, life: Life | None) -> asyncio.Future[None]:
        """Nothing mutating goes to that endpoint by itself until a person has looked (RECOVERY.md §5)."""
        record = self._directory.endpoints[journal.endpoint_id]
        if journal.trusted:
            logger.warning("endpoint.journal_regressed", endpoint_id=journal.endpoint_id, journal_id=journal.journal_id)
        now = self._times.now_ms()
        payload: dict[str, Any] = {
            "endpoint_id": journal.endpoint_id,
            "journal_id": journal.journal_id,
            "journal_sequence": sequence,
            "seen": journal.mark,
            "runtime_id": life.runtime_id if life is not None else None,
        }
        self._journals.distrust(journal, sequence, now)
        self._views.live(journal.endpoint_id).view = None
        alarm = raise_alarm(
            Alarm.JOURNAL_REGRESSED,
            record.endpoint_id,
            organization_id=record.organization_id,
            client_group_id=record.client_group_id,
            endpoint_id=record.endpoint_id,
            since_ms=now,
        )
        entry = Entry(record.organization_id, None, "endpoint.journal_regressed", now, CONTROL_PLANE, None, payload)
        writes: list[Write] = [alarm, save_journal(journal.row(now))]
        if life is not None:
            writes.append(save_life(life, now))
        return self._log.append([entry], writes).committed

    async def _owed(self, hello: f.Hello) -> tuple[f.Confirm, ...]:
        """What is durable of the attempts that its statements name: settled ones it may forget at once."""
        entries: list[f.Confirm] = []
        endpoint_id = self._directory.runtimes[hello.runtime_id].endpoint_id
        for reference in dict.fromkeys(statement.attempt for statement in hello.statements):
            place = self._places.of(reference.tool_call_id)
            if place is None or place.endpoint_id != endpoint_id:
                continue
            session = await self._sessions.read(place.session_id)
            call = session.calls.get(reference.tool_call_id) if session is not None else None
            attempt = call.attempt(reference.number) if call is not None else None
            if session is None or attempt is None or attempt.journal_id != hello.journal_id:
                continue
            owed = confirmation(session, reference.tool_call_id, reference.number)
            if owed is not None and (owed.settled or owed.offsets):
                entries.append(f.Confirm(attempt=reference, offsets=owed.offsets, settled=owed.settled))  # type: ignore[arg-type]  # the same names of streams
        return tuple(entries)

    def _enter(self, arrival: Arrival, record: Runtime, confirm: tuple[f.Confirm, ...]) -> Connection:
        """From here to the welcome nothing is awaited: what is sent afterwards comes after it."""
        hello = arrival.handshake.hello
        runtime = self._runtime(record, hello)
        former = runtime.connections.get(arrival.bridge.kind)
        if former is not None:
            former.close(limits.CLOSE_REPLACED, REPLACED)
            self._fleet.detach(former)
        wanted = self._liveness.interval_of(runtime.endpoint)
        welcome = f.Welcome(
            connection=arrival.secret,
            mode="settle_only" if runtime.settle_only else "work",
            heartbeat_interval_ms=wanted,
            output_chunk_bytes=limits.OUTPUT_CHUNK_BYTES,
            confirm=confirm,
            nonce=hello.nonce,
            runtime_id=hello.runtime_id,
            incarnation=hello.incarnation,
        )
        key = self._keyring.trusted_by(hello.control_plane_key)
        connection = Connection(arrival.bridge, runtime)
        connection.send(encode(arrival.handshake.welcome(welcome, key)))
        self._here(runtime, wanted)
        self._fleet.attach(connection)
        rotation = self._keyring.rotation(hello.control_plane_key, hello.runtime_id, hello.incarnation)
        if rotation is not None:
            connection.send(encode(rotation))
        self._liveness.watch(runtime)
        self._liveness.changed(runtime.endpoint)
        return connection

    def _runtime(self, record: Runtime, hello: f.Hello) -> LiveRuntime:
        """The live runtime: the same one for another bridge of the same incarnation, else a new one."""
        runtime = self._fleet.runtimes.get(hello.runtime_id)
        journal = self._journals.of(record.endpoint_id, hello.journal_id)
        if runtime is None or runtime.incarnation != hello.incarnation:
            self.send_away(hello.runtime_id, limits.CLOSE_REPLACED, REPLACED, tell=False)
            endpoint = self._views.live(record.endpoint_id)
            runtime = LiveRuntime(hello.runtime_id, endpoint, journal)
            runtime.incarnation, runtime.boot_id = hello.incarnation, hello.boot_id
            endpoint.runtimes[hello.runtime_id] = self._fleet.runtimes[hello.runtime_id] = runtime
        runtime.journal = journal
        runtime.public_key, runtime.signing_key = record.public_key, hello.control_plane_key
        runtime.version = hello.runtime_version
        runtime.settle_only = self.may_only_settle(record, hello.runtime_version)
        return runtime

    def _here(self, runtime: LiveRuntime, interval_ms: int) -> None:
        """A hello is a proof, and an end to whatever the runtime said before it went."""
        now = self._times.monotonic_ms()
        runtime.beat_ms = runtime.proved_ms = runtime.checked_ms = now
        runtime.healthy, runtime.accepting, runtime.asleep = True, True, False
        runtime.told_interval_ms = interval_ms
        if not runtime.connections:
            runtime.interval_ms = interval_ms

    def may_only_settle(self, record: Runtime, version: str) -> bool:
        """Finished work is still taken, nothing is dispatched."""
        endpoint = self._directory.endpoints.get(record.endpoint_id)
        gone = endpoint is None or endpoint.removing_since_ms is not None or endpoint.removed_at_ms is not None
        return gone or record.revoked_at_ms is not None or not self._supported(version)

    # -- what follows ------------------------------------------------------------------------------------------------

    def _tell_sessions(self, runtime: LiveRuntime) -> None:
        """That it is there. Once that is durable, what the runtime is owed by each session goes out again."""
        journal = runtime.journal
        went_back = self._untold.get(runtime.runtime_id) == journal.journal_id
        if went_back:
            del self._untold[runtime.runtime_id]
        connected = c.RuntimeConnected(
            runtime_id=runtime.runtime_id,
            incarnation=runtime.incarnation,
            boot_id=runtime.boot_id,
            journal_id=journal.journal_id,
            regressed=went_back,
        )
        for session_id in self._sessions.sessions_with_open_work(runtime.endpoint.endpoint_id):
            self._sessions.tell(session_id, connected, lambda told: self._send_again(told, journal.journal_id))

    def _send_again(self, told: Handled, journal_id: str) -> None:
        self._outbound.run(owed_on_connect(told.session, journal_id))

    async def _take_statements(self, connection: Connection, hello: f.Hello) -> None:
        await self._take(connection, hello.statements)
        if hello.more:
            connection.statements_wait = True
        else:
            self._statements.all_read(connection)

    async def _take(self, connection: Connection, statements: Sequence[f.Statement]) -> None:
        for statement in statements:
            self._statements.take(connection, statement)
            room = self._submissions.room(connection)
            if room is not None:
                await room

    # -- going -------------------------------------------------------------------------------------------------------

    def send_away(self, runtime_id: str, code: int, reason: str, *, tell: bool = True) -> None:
        """Close every bridge of the runtime's present incarnation."""
        runtime = self._fleet.runtimes.get(runtime_id)
        for connection in list(runtime.connections.values()) if runtime is not None else ():
            connection.close(code, reason)
            self.gone(connection, code, reason, tell=tell)

    def gone(self, connection: Connection, code: int, reason: str, *, tell: bool = True) -> None:
        """The bridge is closed, whoever closed it. Sessions hear of the last one, unless another life begins."""
        connection.closed = True
        connection.forget_pings()
        runtime = connection.runtime
        if not self._fleet.detach(connection):
            return
        runtime.healthy = False
        if not tell:
            return
        self._liveness.changed(runtime.endpoint)
        closed = c.BridgeClosed(
            runtime_id=runtime.runtime_id, incarnation=runtime.incarnation, code=code, reason=reason[:120]
        )
        self._liveness.tell(runtime.endpoint.endpoint_id, closed)
