"""What the control plane knows of an endpoint at the moment of a decision.

Owns the shapes only: the shell fills them from its directory and from live connections, `decide` reads them.
All times are milliseconds since the epoch by the control plane's clock.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from caisey.core.policy import Policy
from caisey.core.states import Health


class RuntimeView(msgspec.Struct, frozen=True, gc=False):
    """One runtime of the endpoint. `bridges` is empty when it is not connected."""

    runtime_id: str
    journal_id: str
    incarnation: str
    boot_id: str = ""
    bridges: tuple[str, ...] = ()
    healthy: bool = False  # heartbeats are in time
    proved_at_ms: int = 0  # the last time it answered RPC (welcome, pong, receipt of a dispatch)
    checked_at_ms: int = 0  # the last time it signed a fresh nonce (welcome or signed pong)
    heartbeat_interval_ms: int = 15_000
    accepting: bool = True  # false: draining, or its journal cannot write
    settle_only: bool = False
    revoked: bool = False
    asleep: bool = False
    highest_sequence: int = 0  # highest journal_sequence seen of its journal
    trusted: bool = True  # false: the journal went back in time and no person has looked since
    version: str = ""


class Change(msgspec.Struct, frozen=True, gc=False):
    """A mutating call that started (or may have) on the endpoint."""

    at_ms: int
    actor_id: str
    session_id: str
    tool_call_id: str


class EndpointView(msgspec.Struct, frozen=True, gc=False):
    """Everything `decide` may know of the endpoint."""

    endpoint_id: str
    policy: Policy
    name: str = ""
    client: str = ""
    health: Health = Health.OFFLINE
    since_ms: int = 0  # since when `health` holds
    runtimes: tuple[RuntimeView, ...] = ()
    review_needed: bool = False  # a journal went back in time; nothing mutating goes out by itself
    review_since_ms: int = 0  # since when `review_needed` holds
    changes: tuple[Change, ...] = ()  # newest last, bounded
    proofs: Mapping[tuple[str, int], int] = {}  # (tool call, number) -> last place in a heartbeat's in_flight
    handed: Mapping[tuple[str, int], int] = {}  # (tool call, number) -> when the frame was handed to the bridge
    grace_from_ms: int = 0  # the control plane was away itself until then: a start, a pause of its own
    grace_until_ms: int = 0  # no deadline of what is older than `grace_from_ms` is judged before this

    def runtime(self, runtime_id: str) -> RuntimeView | None:
        """The runtime with this id, or None."""
        return next((r for r in self.runtimes if r.runtime_id == runtime_id), None)
