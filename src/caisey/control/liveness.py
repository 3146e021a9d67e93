"""Heartbeats, proofs and silence: who is there, and since when (PROTOCOL.md §7, RECOVERY.md §6).

Owns the judgement of silence (one sweep over a heap, no timer per runtime), the rhythm that runtimes are asked for, the
pings that keep proofs fresh, and the recorded changes of health. Heartbeats never reach the log; only a change of
health does. Must never judge anybody by a time when this process itself was not running.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Final

import structlog

from caisey.control.clock import Times
from caisey.control.connections import Connection, Fleet, LiveEndpoint, LiveRuntime
from caisey.control.directory.store import Directory
from caisey.control.journals import Journals
from caisey.control.outbound import Outbound
from caisey.control.places import Places
from caisey.control.remembered import save_health, save_journal
from caisey.control.sessions import Committed, Sessions
from caisey.control.views import Views
from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.liveness import PROOF_INTERVALS, interval_for, silence_allowed_ms
from caisey.core.states import Health
from caisey.protocol import frames as f
from caisey.protocol.codec import Received, encode
from caisey.protocol.signatures import verify_pong
from caisey.storage.contract import Entry, Log, Overloaded

logger = structlog.get_logger(__name__)

SWEEP_MS: Final = 250
FLUSH_MS: Final = 1_000
PINGS_PER_SECOND: Final = 100  # for runtimes on whose endpoint nobody works; the others are pinged with every beat
SILENT_CLOSE_MS: Final = 60_000  # at least; a bridge that says nothing for so long is closed
GOING_AWAY: Final = 1001
CADENCE_TOLERANCE: Final = 0.2  # smaller changes of the rhythm are not worth a frame
PROOFS_KEPT: Final = 4_000  # per endpoint; the newest
HEALTH_PER_SWEEP: Final = 1_000


class Liveness:
    """See the module."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        views: Views,
        journals: Journals,
        directory: Directory,
        sessions: Sessions,
        places: Places,
        outbound: Outbound,
        log: Log,
        times: Times,
    ) -> None:
        self._fleet = fleet
        self._views = views
        self._journals = journals
        self._directory = directory
        self._sessions = sessions
        self._places = places
        self._outbound = outbound
        self._log = log
        self._times = times
        self._heap: list[tuple[int, int, LiveRuntime]] = []
        self._order = itertools.count()
        self._unrecorded: dict[str, LiveEndpoint] = {}
        self._durable: dict[str, tuple[Health, int]] = {}  # by endpoint: the health that the log has
        self._pings_left = float(PINGS_PER_SECOND)
        self._swept_ms = times.monotonic_ms()
        self._flushed_ms = self._swept_ms
        self._grace_over = False
        self._also: list[Callable[[int], None]] = []
        sessions.follow(self._followed)

    # -- what runtimes say -------------------------------------------------------------------------------------------

    def heartbeat(self, connection: Connection, beat: f.Heartbeat) -> None:
        """One beat: it proves that the runtime is there, and what it works on."""
        runtime = connection.runtime
        endpoint = runtime.endpoint
        changed = not runtime.healthy or runtime.asleep or runtime.interval_ms != beat.interval_ms
        could_not = not runtime.accepting or changed
        runtime.beat_ms = self._times.monotonic_ms()
        runtime.interval_ms = beat.interval_ms
        runtime.healthy, runtime.asleep = True, False
        if runtime.accepting != beat.accepting:
            runtime.accepting, changed = beat.accepting, True
        if beat.journal_sequence > runtime.journal.mark:
            self._journals.seen(runtime.journal, beat.journal_sequence)
            endpoint.view = None
        if beat.in_flight or runtime.in_flight:
            self._in_flight(runtime, beat)
        connection.send(encode(f.HeartbeatAck(sequence=beat.sequence, server_time_ms=self._times.now_ms())))
        self._keep_proved(connection)
        self._keep_rhythm(runtime)
        if beat.slept_ms != runtime.slept_ms:
            runtime.slept_ms = beat.slept_ms
            if beat.slept_ms:
                self.tell(endpoint.endpoint_id, c.RuntimeSlept(runtime_id=runtime.runtime_id, slept_ms=beat.slept_ms))
        if changed:
            self.watch(runtime)
            self.changed(endpoint)
            if could_not and runtime.accepting:
                self.tell(endpoint.endpoint_id, c.Advance())

    def _in_flight(self, runtime: LiveRuntime, beat: f.Heartbeat) -> None:
        """A place in the list proves an attempt of this runtime, or of its journal, for two intervals."""
        proofs = runtime.endpoint.proofs
        now = self._times.now_ms()
        former, runtime.in_flight = runtime.in_flight, {}
        for reference in beat.in_flight:
            key = (reference.tool_call_id, reference.number)
            known = former.get(key)
            proves = runtime.in_flight[key] = self._may_prove(runtime, reference) if known is None else known
            if proves:
                proofs.pop(key, None)
                proofs[key] = now
        while len(proofs) > PROOFS_KEPT:
            del proofs[next(iter(proofs))]

    def _may_prove(self, runtime: LiveRuntime, reference: f.Reference) -> bool:
        """As with frames: only of what was dispatched to it, or to its journal on this endpoint."""
        place = self._places.of(reference.tool_call_id)
        session = self._sessions.peek(place.session_id) if place is not None else None
        call = session.calls.get(reference.tool_call_id) if session is not None else None
        attempt = call.attempt(reference.number) if call is not None else None
        if place is None or attempt is None:
            return False
        here = place.endpoint_id == runtime.endpoint.endpoint_id
        return attempt.runtime_id == runtime.runtime_id or (here and attempt.journal_id == runtime.journal.journal_id)

    def pong(self, connection: Connection, received: Received[f.FromRuntime], pong: f.Pong) -> None:
        """The answer to a ping. One that fits none is ignored: it may be late."""
        ping = connection.pings.get(pong.id)
        runtime = connection.runtime
        if ping is None:
            return
        if ping.nonce is not None and not verify_pong(received.document, ping.nonce, runtime.public_key):
            logger.warning("runtime.pong_not_proved", runtime_id=runtime.runtime_id)
            return
        del connection.pings[pong.id]
        now = self._times.monotonic_ms()
        stale = runtime.proved_ms is None or now - runtime.proved_ms > PROOF_INTERVALS * runtime.interval_ms
        runtime.proved_ms = now
        if ping.nonce is not None:
            runtime.checked_ms = now
        runtime.endpoint.view = None
        if ping.answered is not None and not ping.answered.done():
            ping.answered.set_result(None)
        if ping.asked or stale:
            self.tell(runtime.endpoint.endpoint_id, c.Advance())

    def leaving(self, connection: Connection, frame: f.Leaving) -> None:
        """It says why before it goes. Nothing new is sent to it; if it stays after all, a heartbeat says so."""
        runtime = connection.runtime
        runtime.accepting = False
        runtime.asleep = frame.reason == "sleep"
        runtime.endpoint.view = None
        self.changed(runtime.endpoint)
        self.tell(
            runtime.endpoint.endpoint_id,
            c.RuntimeLeaving(runtime_id=runtime.runtime_id, incarnation=runtime.incarnation, reason=frame.reason),
        )

    def journal_full(self, runtime: LiveRuntime) -> None:
        """Its journal cannot be written: not sendable until a heartbeat or a hello says otherwise."""
        runtime.accepting = False
        runtime.endpoint.view = None

    # -- rhythm and proofs -------------------------------------------------------------------------------------------

    def interval_of(self, endpoint: LiveEndpoint) -> int:
        """The heartbeat interval that the endpoint's runtimes are asked for."""
        policy = self._directory.policy_of(endpoint.endpoint_id)
        return interval_for(policy, session_open=endpoint.open_sessions > 0, fleet=self._fleet.size)

    def _keep_rhythm(self, runtime: LiveRuntime) -> None:
        wanted = self.interval_of(runtime.endpoint)
        if abs(wanted - runtime.told_interval_ms) <= CADENCE_TOLERANCE * wanted:
            return
        runtime.told_interval_ms = wanted
        connection = runtime.best
        if connection is not None:
            connection.send(encode(f.Cadence(heartbeat_interval_ms=wanted)))

    def _keep_proved(self, connection: Connection) -> None:
        """With each beat where somebody works; elsewhere as often as the whole fleet together can bear."""
        if not connection.runtime.endpoint.open_sessions:
            if self._pings_left < 1:
                return
            self._pings_left -= 1
        self._outbound.ping(connection, nonce=False, asked=False)

    def _followed(self, committed: Committed) -> None:
        """Sessions open and close: the rhythm of their endpoint follows at once."""
        opened = sum(isinstance(record.event, e.SessionCreated) for record in committed.records)
        closed = sum(isinstance(record.event, e.SessionClosed) for record in committed.records)
        endpoint = self._fleet.endpoints.get(committed.endpoint_id)
        if opened == closed or endpoint is None:
            return
        endpoint.open_sessions = max(0, endpoint.open_sessions + opened - closed)
        for runtime in endpoint.connected():
            self._keep_rhythm(runtime)
            if opened and runtime.best is not None:
                self._outbound.ping(runtime.best, nonce=False, asked=False)

    # -- silence -----------------------------------------------------------------------------------------------------

    def watch(self, runtime: LiveRuntime) -> None:
        """Look at this runtime when it will have been silent for too long, or sooner."""
        deadline = self._deadline(runtime)
        if runtime.watched_ms is None or deadline < runtime.watched_ms:
            runtime.watched_ms = deadline
            heapq.heappush(self._heap, (deadline, next(self._order), runtime))

    def _deadline(self, runtime: LiveRuntime) -> int:
        policy = self._directory.policy_of(runtime.endpoint.endpoint_id)
        allowed = silence_allowed_ms(runtime.interval_ms, policy.missed_to_unhealthy)
        if not runtime.healthy:
            allowed = max(SILENT_CLOSE_MS, 4 * allowed)
        return runtime.beat_ms + allowed

    def also(self, sweep: Callable[[int], None]) -> None:
        """Call this with each sweep, with monotonic ms."""
        self._also.append(sweep)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.sweep()
            await asyncio.sleep(SWEEP_MS / 1000)

    def sweep(self) -> None:
        """Judge who was silent for too long, and write what is due."""
        now = self._times.monotonic_ms()
        passed, self._swept_ms = now - self._swept_ms, now
        self._pings_left = min(float(PINGS_PER_SECOND), self._pings_left + passed * PINGS_PER_SECOND / 1000)
        while self._heap and self._heap[0][0] <= now:
            deadline, _, runtime = heapq.heappop(self._heap)
            if runtime.watched_ms == deadline:  # else it is looked at sooner
                runtime.watched_ms = None
                if runtime.connections:
                    self._judge(runtime, now)
        for endpoint in list(self._unrecorded.values())[:HEALTH_PER_SWEEP]:
            self.changed(endpoint)
        if not self._grace_over:
            self._end_grace()
        if now - self._flushed_ms >= FLUSH_MS:
            self._flushed_ms = now
            self.flush()
        self._sessions.news.again()
        for sweep in self._also:
            sweep(now)

    def _judge(self, runtime: LiveRuntime, now: int) -> None:
        if self._deadline(runtime) > now:
            self.watch(runtime)
        elif runtime.healthy:
            runtime.healthy = False
            self.watch(runtime)
            self.changed(runtime.endpoint)
            self.tell(runtime.endpoint.endpoint_id, c.Advance())
        else:
            for connection in list(runtime.connections.values()):
                connection.close(GOING_AWAY, "silent")

    def forgive(self) -> None:
        """This process was not running for a while: nobody was silent in that time."""
        now = self._times.monotonic_ms()
        for runtime in self._fleet.runtimes.values():
            runtime.beat_ms = now
        self._grace_over = False
        self._views.start_grace()

    def _end_grace(self) -> None:
        """Who was there before the control plane was away, and has not come back in time, is offline."""
        gone = self._views.recorded_as(Health.HEALTHY, Health.UNHEALTHY)
        waiting = False
        for endpoint_id in gone:
            if self._views.in_grace(endpoint_id):
                waiting = True
            else:
                self._unrecorded.setdefault(endpoint_id, self._views.live(endpoint_id))
        self._grace_over = not waiting

    # -- health ------------------------------------------------------------------------------------------------------

    def changed(self, endpoint: LiveEndpoint) -> None:
        """Something about the endpoint changed. If its health did, that is an event."""
        self._unrecorded.pop(endpoint.endpoint_id, None)
        endpoint.view = None
        health = self._views.health(endpoint)
        if health is endpoint.health or not endpoint.organization_id:
            return
        now = self._times.now_ms()
        entry = Entry(
            organization_id=endpoint.organization_id,
            session_id=None,
            type="endpoint.health_changed",
            at_ms=now,
            actor=e.CONTROL_PLANE,
            reason=None,
            payload={
                "endpoint_id": endpoint.endpoint_id,
                "before": endpoint.health.value,
                "health": health.value,
                "since_ms": now,
            },
        )
        try:
            appended = self._log.append([entry], [save_health(endpoint.endpoint_id, health, now)])
        except Overloaded:
            self._unrecorded[endpoint.endpoint_id] = endpoint
            return
        self._durable.setdefault(endpoint.endpoint_id, (endpoint.health, endpoint.since_ms))
        self._views.record(endpoint, health, now)
        appended.committed.add_done_callback(lambda done: self._recorded(done, endpoint, (health, now)))

    def _recorded(self, done: asyncio.Future[None], endpoint: LiveEndpoint, written: tuple[Health, int]) -> None:
        """Of several changes that fail together each one leads back to what the log has, not to the one before it."""
        if done.cancelled() or done.exception() is not None:
            self._views.record(endpoint, *self._durable[endpoint.endpoint_id])
            self._unrecorded[endpoint.endpoint_id] = endpoint
        else:
            self._durable[endpoint.endpoint_id] = written

    def flush(self) -> None:
        """Write the marks that heartbeats raised."""
        rows = self._journals.take_changes(self._times.now_ms())
        if not rows:
            return
        try:
            appended = self._log.append([], [save_journal(row) for row in rows])
        except Overloaded:
            self._journals.put_back(rows)
            return
        appended.committed.add_done_callback(
            lambda done: self._journals.put_back(rows) if done.cancelled() or done.exception() is not None else None
        )

    # -- sessions ----------------------------------------------------------------------------------------------------

    def tell(self, endpoint_id: str, command: c.Command) -> None:
        """Every session of the endpoint in which something may still happen hears of it."""
        for session_id in self._sessions.sessions_with_open_work(endpoint_id):
            self._sessions.tell(session_id, command)
