"""An endpoint as decisions see it, put together from the directory and from what lives.

Owns `EndpointView`s, kept until something under them changes: one is asked for with every command. Owns the recorded
health of endpoints that are not live, and the grace after the control plane itself was away. Must never wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

from caisey.control.clock import Times
from caisey.control.connections import BRIDGES, Fleet, LiveEndpoint
from caisey.control.journals import Journals
from caisey.core.liveness import grace_ms, health_of
from caisey.core.states import Health
from caisey.core.view import Change, EndpointView, RuntimeView

if TYPE_CHECKING:
    from caisey.control.directory.records import Endpoint, Runtime
    from caisey.control.directory.store import Directory

DRIFT_MS: Final = 50  # how far the two clocks may part before the views follow
_UNTIL_SEEN: Final = (Health.HEALTHY, Health.UNHEALTHY)


class Past(Protocol):
    """What the store says of an endpoint that comes to life. Quick enough to be asked while everybody waits."""

    def changes(self, endpoint_id: str, since_ms: int) -> Iterable[Change]: ...

    def open_sessions(self, endpoint_id: str) -> int: ...


class Views:
    """See the module."""

    def __init__(self, directory: Directory, fleet: Fleet, journals: Journals, times: Times, past: Past) -> None:
        self._directory = directory
        self._fleet = fleet
        self._journals = journals
        self._times = times
        self._past = past
        self._recorded: dict[str, tuple[Health, int]] = {}
        self._offset = times.now_ms() - times.monotonic_ms()
        self._grace_from_ms = times.now_ms()

    def load(self, rows: Iterable[tuple[str, str, int]]) -> None:
        """(endpoint, health, since) as recorded. Once, at start."""
        for endpoint_id, health, since_ms in rows:
            self._recorded[endpoint_id] = (Health(health), since_ms)

    # -- endpoints --------------------------------------------------------------------------------------------------

    def live(self, endpoint_id: str) -> LiveEndpoint:
        """The endpoint with all that is live about it; it comes to life when it is first asked for."""
        found = self._fleet.endpoints.get(endpoint_id)
        return found if found is not None else self._bring_to_life(endpoint_id)

    def _bring_to_life(self, endpoint_id: str) -> LiveEndpoint:
        record = self._directory.endpoints.get(endpoint_id)
        recorded = self._recorded.get(endpoint_id, (Health.NEVER_SEEN, record.created_at_ms if record else 0))
        live = LiveEndpoint(endpoint_id, record.organization_id if record else "", *recorded)
        if record is None:
            return live  # nothing is kept of an endpoint that does not exist
        self._fleet.endpoints[endpoint_id] = live
        live.open_sessions = self._past.open_sessions(endpoint_id)
        policy = self._directory.policy_of(endpoint_id)
        for change in self._past.changes(endpoint_id, self._times.now_ms() - policy.ms("mutating_age")):
            live.add_change(change)
        return live

    def recorded_as(self, *healths: Health) -> list[str]:
        """Endpoints with such a recorded health."""
        return [endpoint_id for endpoint_id, (health, _) in self._recorded.items() if health in healths]

    def record(self, live: LiveEndpoint, health: Health, since_ms: int) -> None:
        """The endpoint's health is written down as this."""
        live.health, live.since_ms, live.view = health, since_ms, None
        self._recorded[live.endpoint_id] = (health, since_ms)

    def health(self, live: LiveEndpoint) -> Health:
        """What the endpoint's health is now, recorded or not.

        In the grace after a restart, who was there before counts as there until it had the time to come back.
        """
        return self._health(live, self._runtimes(live))

    def _health(self, live: LiveEndpoint, runtimes: Iterable[RuntimeView]) -> Health:
        record = self._directory.endpoints.get(live.endpoint_id)
        removing = record is not None and record.removing_since_ms is not None
        found = health_of(runtimes, ever_seen=live.health is not Health.NEVER_SEEN, removing=removing)
        waiting = not live.was_here and live.health in _UNTIL_SEEN
        if found is Health.OFFLINE and waiting and self.in_grace(live.endpoint_id):
            return live.health
        return found

    # -- views ------------------------------------------------------------------------------------------------------

    def view_of(self, endpoint_id: str) -> EndpointView:
        """The endpoint as it is at this moment."""
        if abs(self._times.now_ms() - self._times.monotonic_ms() - self._offset) > DRIFT_MS:
            self._follow_clock()
        live = self.live(endpoint_id)
        return live.view or self._make(live)

    def health_of(self, endpoint_id: str) -> Health:
        """As `view_of` says it, without bringing anything to life: asked of thousands at once."""
        if endpoint_id in self._fleet.endpoints:
            return self.view_of(endpoint_id).health
        record = self._directory.endpoints.get(endpoint_id)
        if record is not None and record.removing_since_ms is not None:
            return Health.REMOVING
        recorded = self._recorded.get(endpoint_id, (Health.NEVER_SEEN, 0))[0]
        if recorded not in _UNTIL_SEEN or self.in_grace(endpoint_id):
            return recorded
        return Health.OFFLINE

    def _make(self, live: LiveEndpoint) -> EndpointView:
        record = self._directory.endpoints.get(live.endpoint_id)
        group = self._directory.client_groups.get(record.client_group_id or "") if record else None
        organization = self._directory.organizations.get(live.organization_id)
        review_since = self._journals.untrusted_since(live.endpoint_id)
        runtimes = self._runtimes(live)
        live.view = EndpointView(
            endpoint_id=live.endpoint_id,
            policy=self._directory.policy_of(live.endpoint_id),
            name=record.name if record else "",
            client=group.name if group else organization.name if organization else "",
            health=self._health(live, runtimes),
            since_ms=live.since_ms,
            runtimes=runtimes,
            review_needed=review_since is not None,
            review_since_ms=review_since or 0,
            changes=tuple(sorted((c for mine in live.changes.values() for c in mine), key=lambda c: c.at_ms)),
            proofs=live.proofs,
            handed=live.handed,
            grace_from_ms=self._grace_from_ms,
            grace_until_ms=self.grace_until_ms(live.endpoint_id),
        )
        return live.view

    def _runtimes(self, live: LiveEndpoint) -> tuple[RuntimeView, ...]:
        enrolled = self._directory.runtimes_of.get(live.endpoint_id, {})
        return tuple(self._runtime(record, live) for record in enrolled.values())

    def _runtime(self, record: Runtime, endpoint: LiveEndpoint) -> RuntimeView:
        live = endpoint.runtimes.get(record.runtime_id)
        revoked = record.revoked_at_ms is not None or record.suspected_since_ms is not None
        if live is None:
            journal = self._journals.of(endpoint.endpoint_id, record.journal_id)
            life = self._fleet.lives.get(record.runtime_id)
            return RuntimeView(
                runtime_id=record.runtime_id,
                journal_id=record.journal_id,
                incarnation=life.incarnation if life else "",
                boot_id=life.boot_id if life else record.boot_id,
                revoked=revoked,
                asleep=endpoint.health is Health.ASLEEP,
                highest_sequence=journal.mark,
                trusted=journal.trusted,
                version=record.version,
            )
        return RuntimeView(
            runtime_id=live.runtime_id,
            journal_id=live.journal.journal_id,
            incarnation=live.incarnation,
            boot_id=live.boot_id,
            bridges=tuple(kind for kind in BRIDGES if kind in live.connections),
            healthy=live.healthy,
            proved_at_ms=self.wall_ms(live.proved_ms),
            checked_at_ms=self.wall_ms(live.checked_ms),
            heartbeat_interval_ms=live.interval_ms,
            accepting=live.accepting,
            settle_only=live.settle_only,
            revoked=revoked,
            asleep=live.asleep,
            highest_sequence=live.journal.mark,
            trusted=live.journal.trusted,
            version=live.version,
        )

    def forget(self, records: Iterable[Endpoint | Runtime] | None = None) -> None:
        """Something under the views changed: of these endpoints, or (None) of all."""
        if records is None:
            for live in self._fleet.endpoints.values():
                live.view = None
            return
        for record in records:
            found = self._fleet.endpoints.get(record.endpoint_id)
            if found is not None:
                found.view = None

    # -- times ------------------------------------------------------------------------------------------------------

    def wall_ms(self, monotonic_ms: int | None) -> int:
        """A monotonic moment by the wall clock; 0 where there is none."""
        return 0 if monotonic_ms is None else monotonic_ms + self._offset

    def start_grace(self) -> None:
        """The control plane itself was away until now."""
        self._grace_from_ms = self._times.now_ms()
        self.forget()

    def grace_until_ms(self, endpoint_id: str) -> int:
        """No deadline of the endpoint is judged before this."""
        return self._grace_from_ms + grace_ms(self._directory.policy_of(endpoint_id))

    def in_grace(self, endpoint_id: str) -> bool:
        """Whether everybody there still has the time to come back."""
        return self._times.now_ms() < self.grace_until_ms(endpoint_id)

    def _follow_clock(self) -> None:
        """The wall clock was stepped, and all deadlines with it: so are the times that stand in views."""
        offset = self._times.now_ms() - self._times.monotonic_ms()
        step, self._offset = offset - self._offset, offset
        self._grace_from_ms += step
        for live in self._fleet.endpoints.values():
            for times in (live.proofs, live.handed):
                times.update({key: at_ms + step for key, at_ms in times.items()})
        self.forget()
