"""The hub: everything that lives between the sessions and the runtimes of the endpoints.

Owns the parts and how they hang together, what sessions may ask of their surroundings (`view_of`, `run_effects`,
`record_change`, `mark_regressed`), what transports may ask (`knock`, `receive`, `closed`), and the following of the
directory. Every method runs on the event loop's thread. Must never decide anything about an attempt.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from caisey.control.at_work import AtWork
from caisey.control.connections import Connection, Fleet, LiveRuntime
from caisey.control.directory.records import ClientGroup, Endpoint, Organization, PolicyLevel, Record, Runtime
from caisey.control.journals import Journals
from caisey.control.outbound import Outbound
from caisey.control.reception import Opening
from caisey.control.remembered import StoredPast, load_health, load_journals, load_lives
from caisey.control.sessions import Sessions
from caisey.control.traffic import Parts, Traffic, assemble
from caisey.control.views import Views
from caisey.core import commands as c
from caisey.core.effects import Effect
from caisey.core.states import Health
from caisey.core.view import Change, EndpointView
from caisey.protocol import limits
from caisey.protocol.handshake import RejectCode

SHOWN_IN_VIEWS: Final = (PolicyLevel, ClientGroup, Organization)


class Hub:
    """See the module. The sessions need the hub to be made, and the hub needs them: `connect`, then `load`."""

    def __init__(self, parts: Parts, *, supported: Callable[[str], bool] = lambda version: True) -> None:
        self._parts = parts
        self._supported = supported
        self._directory = parts.directory
        self._suspected: set[str] = set()
        self._journals = Journals()
        self._traffic: Traffic | None = None
        self.fleet = Fleet()
        self._views = Views(parts.directory, self.fleet, self._journals, parts.times, StoredPast(parts.log))
        self._at_work = AtWork(parts.times.monotonic_ms)
        self._outbound = Outbound(self.fleet, parts.keyring, parts.times, parts.random_bytes)

    def connect(self, sessions: Sessions) -> None:
        """These are the sessions that frames become commands of."""
        self._traffic = assemble(
            self._parts,
            fleet=self.fleet,
            views=self._views,
            journals=self._journals,
            outbound=self._outbound,
            sessions=sessions,
            supported=self._supported,
        )
        sessions.follow(self._at_work.committed)
        self._directory.subscribe(self._follow)

    async def load(self) -> None:
        """Read back what is remembered. The directory is loaded; nobody may knock before."""
        log = self._parts.log
        self._journals.load(await load_journals(log))
        self._views.load(await load_health(log))
        self.fleet.lives.update(await load_lives(log))
        runtimes = self._directory.runtimes.values()
        self._suspected = {r.runtime_id for r in runtimes if r.suspected_since_ms is not None}

    @property
    def traffic(self) -> Traffic:
        """The parts that need the sessions."""
        if self._traffic is None:
            raise RuntimeError("connect the hub with its sessions first")
        return self._traffic

    # -- for sessions ------------------------------------------------------------------------------------------------

    def view_of(self, endpoint_id: str) -> EndpointView:
        """The endpoint as it is at this moment."""
        return self._views.view_of(endpoint_id)

    def health_of(self, endpoint_id: str) -> Health:
        """Its health alone: the endpoint does not come to life for it."""
        return self._views.health_of(endpoint_id)

    def run_effects(self, effects: Sequence[Effect]) -> None:
        """Send what has to be sent. Called after COMMIT only."""
        self._outbound.run(effects)

    def record_change(self, endpoint_id: str, change: Change) -> None:
        """A mutating call started there. Its row was written with the event."""
        self._views.live(endpoint_id).add_change(change)

    def mark_regressed(self, endpoint_id: str, journal_id: str) -> None:
        """A word about an attempt showed that its journal went back in time: a person has to look."""
        self.traffic.arrivals.journal_went_back(endpoint_id, journal_id)

    # -- for transports ----------------------------------------------------------------------------------------------

    def knock(self, address: str) -> Opening | None:
        """Begin a handshake; None where that address has too many unfinished ones."""
        return self.traffic.reception.knock(address)

    def receive(self, connection: Connection, data: bytes | str) -> Awaitable[None] | None:
        """One frame of a welcomed connection. Await what comes back before the next one is read."""
        return self.traffic.inbound.receive(connection, data)

    def others_wait(self, connection: Connection) -> bool:
        """Whether there is work on other endpoints, which the bytes of this connection may hold up."""
        return self._at_work.others(connection.runtime.endpoint.endpoint_id)

    def closed(self, connection: Connection, code: int, reason: str) -> None:
        """The transport of a welcomed connection is gone, whoever closed it."""
        self.traffic.misreadings.transport_closed(connection, code)
        self.traffic.arrivals.gone(connection, code, reason)

    # -- for people --------------------------------------------------------------------------------------------------

    def journal_reviewed(self, endpoint_id: str) -> None:
        """A person has looked at the journals that went back in time: they are trusted again."""
        self._journals.reviewed(endpoint_id)
        self._views.live(endpoint_id).view = None
        self.traffic.liveness.flush()
        self.traffic.liveness.tell(endpoint_id, c.Advance())

    # -- for the process ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Judge silence and write marks, until cancelled."""
        await self.traffic.liveness.run()

    def also(self, sweep: Callable[[int], None]) -> None:
        """Call this about four times a second, with monotonic ms."""
        self.traffic.liveness.also(sweep)

    def paused(self, paused_ms: int) -> None:
        """This process was not running for so long: everybody gets the time to come back."""
        if paused_ms > 0:
            self.traffic.liveness.forgive()

    def opens(self) -> None:
        """Everybody can come from now on: the grace of a start begins here, however long the start itself took."""
        self.traffic.liveness.forgive()

    def close(self, code: int = 1012, reason: str = "the control plane restarts") -> None:
        """Close every bridge; what is marked is written."""
        for runtime_id in list(self.fleet.runtimes):
            self.traffic.arrivals.send_away(runtime_id, code, reason, tell=False)
        self.traffic.liveness.flush()

    # -- following the directory -------------------------------------------------------------------------------------

    def _follow(self, records: tuple[Record, ...]) -> None:
        """After COMMIT: what people decided becomes true of what lives."""
        for record in records:
            if isinstance(record, Runtime):
                self._follow_runtime(record)
            elif isinstance(record, Endpoint):
                self._follow_endpoint(record)
        if any(isinstance(record, SHOWN_IN_VIEWS) for record in records):
            self._views.forget()

    def _follow_runtime(self, record: Runtime) -> None:
        arrivals = self.traffic.arrivals
        if record.suspected_since_ms is not None:
            self._suspected.add(record.runtime_id)
        elif record.runtime_id in self._suspected:
            self._suspected.discard(record.runtime_id)
            if record.revoked_at_ms is None:
                arrivals.anyone_may_come(record.runtime_id)
        self._views.forget([record])
        live = self.fleet.runtimes.get(record.runtime_id)
        if live is None:
            return
        if record.revoked_at_ms is not None and record.compromised:
            arrivals.send_away(record.runtime_id, limits.CLOSE_REVOKED, RejectCode.RUNTIME_REVOKED.value)
        if live.endpoint.endpoint_id != record.endpoint_id:
            self._move(live, record.endpoint_id)
        live.settle_only = arrivals.may_only_settle(record, live.version)

    def _move(self, live: LiveRuntime, endpoint_id: str) -> None:
        """The runtime belongs to another endpoint now, and its journal with it."""
        former, present = live.endpoint, self._views.live(endpoint_id)
        del former.runtimes[live.runtime_id]
        present.runtimes[live.runtime_id] = live
        live.endpoint = present
        live.journal = self._journals.moved(live.journal, endpoint_id)
        for endpoint in (former, present):
            self.traffic.liveness.changed(endpoint)

    def _follow_endpoint(self, record: Endpoint) -> None:
        endpoint = self.fleet.endpoints.get(record.endpoint_id)
        if endpoint is None:
            return
        for live in endpoint.runtimes.values():
            runtime = self._directory.runtimes[live.runtime_id]
            live.settle_only = self.traffic.arrivals.may_only_settle(runtime, live.version)
        self.traffic.liveness.changed(endpoint)
