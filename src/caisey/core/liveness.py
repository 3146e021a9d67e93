"""What silence means: health, proofs, sendable, how often to beat (RECOVERY.md §6, PROTOCOL.md §7).

Owns the arithmetic of liveness and nothing that lives. Times are arguments; who measured them, and with which clock, is
the shell's affair. It concludes nothing about attempts.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from caisey.core.policy import Policy
from caisey.core.states import Health
from caisey.core.view import EndpointView, RuntimeView

JITTER = 0.1  # PROTOCOL.md §7: beats come at the stated interval, give or take this share
PROOF_INTERVALS = 2  # sendable: proved within this many heartbeat intervals
BUSY_DIVISOR = 3  # while a session is open, beats come this many times as often
BUSY_FLOOR_MS = 1_000
FLEET_BEATS_PER_SECOND = 1_000  # the whole fleet together
MAX_INTERVAL_MS = 3_600_000


class Reason(StrEnum):
    """Why an endpoint may not be sent to now; `NONE` where it may."""

    NONE = ""
    REMOVING = "removing"
    NEVER_SEEN = "never_seen"
    OFFLINE = "offline"
    ASLEEP = "asleep"
    REVOKED = "revoked"
    SETTLE_ONLY = "settle_only"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    NOT_PROVED = "not_proved"


class Sendable(NamedTuple):
    """Whether new work may go out, why not, and when a runtime last proved that it answers (0: never)."""

    value: bool
    reason: Reason
    proved_at_ms: int


def silence_allowed_ms(interval_ms: int, missed_to_unhealthy: int) -> int:
    """How long a runtime that states this interval may be silent before it has missed that many beats."""
    return int(interval_ms * missed_to_unhealthy * (1 + JITTER))


def proof_is_fresh(proved_at_ms: int, interval_ms: int, now_ms: int) -> bool:
    """Whether a proof is young enough to send (RECOVERY.md §6)."""
    return proved_at_ms > 0 and now_ms - proved_at_ms <= PROOF_INTERVALS * interval_ms


def health_of(runtimes: Iterable[RuntimeView], *, ever_seen: bool, removing: bool = False) -> Health:
    """An endpoint's health from its runtimes: the best of them counts."""
    if removing:
        return Health.REMOVING
    found = Health.OFFLINE if ever_seen else Health.NEVER_SEEN
    for runtime in runtimes:
        if runtime.asleep:
            found = Health.ASLEEP if found is not Health.UNHEALTHY else found
        elif runtime.bridges and runtime.healthy:
            return Health.HEALTHY
        elif runtime.bridges:
            found = Health.UNHEALTHY
    return found


def why_not(runtime: RuntimeView, now_ms: int) -> Reason:
    """Why this runtime may not be sent to; `NONE` where it may."""
    if runtime.revoked:
        return Reason.REVOKED
    if runtime.asleep:
        return Reason.ASLEEP
    if not runtime.bridges:
        return Reason.OFFLINE
    if runtime.settle_only:
        return Reason.SETTLE_ONLY
    if not runtime.healthy:
        return Reason.UNHEALTHY
    if not runtime.accepting:
        return Reason.DRAINING
    if not proof_is_fresh(runtime.proved_at_ms, runtime.heartbeat_interval_ms, now_ms):
        return Reason.NOT_PROVED
    return Reason.NONE


_NEAREST_FIRST = (
    Reason.NONE,
    Reason.NOT_PROVED,
    Reason.DRAINING,
    Reason.UNHEALTHY,
    Reason.SETTLE_ONLY,
    Reason.ASLEEP,
    Reason.OFFLINE,
    Reason.REVOKED,
)


def sendable(view: EndpointView, now_ms: int) -> Sendable:
    """Whether the endpoint may be sent new work now; if not, the reason of the runtime that is nearest to it."""
    proved = max((r.proved_at_ms for r in view.runtimes), default=0)
    if view.health in (Health.REMOVING, Health.NEVER_SEEN):
        return Sendable(False, Reason(view.health.value), proved)
    reasons = {why_not(r, now_ms) for r in view.runtimes} or {Reason.OFFLINE}
    reason = next(r for r in _NEAREST_FIRST if r in reasons)
    return Sendable(reason is Reason.NONE, reason, proved)


def grace_ms(policy: Policy) -> int:
    """How long everyone has to come back after the control plane itself was away (RECOVERY.md §4)."""
    return max(2 * policy.ms("heartbeat_interval"), policy.ms("ack_window"))


def interval_for(policy: Policy, *, session_open: bool, fleet: int) -> int:
    """The heartbeat interval to ask for: shorter while someone works there, longer as the fleet grows.

    The short one is never longer than the policy's. The long one keeps the beats of all `fleet` runtimes together
    below `FLEET_BEATS_PER_SECOND`; the few with an open session are not slowed down.
    """
    usual = policy.ms("heartbeat_interval")
    if session_open:
        return min(usual, max(BUSY_FLOOR_MS, usual // BUSY_DIVISOR))
    return min(MAX_INTERVAL_MS, max(usual, fleet * 1_000 // FLEET_BEATS_PER_SECOND))
