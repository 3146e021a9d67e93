"""The arithmetic of silence: what is missed, what is fresh, what is sendable, how often to beat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from caisey.core.liveness import (
    BUSY_FLOOR_MS,
    FLEET_BEATS_PER_SECOND,
    Reason,
    grace_ms,
    health_of,
    interval_for,
    proof_is_fresh,
    sendable,
    silence_allowed_ms,
    why_not,
)
from caisey.core.policy import Policy
from caisey.core.states import Health
from caisey.core.view import EndpointView, RuntimeView

NOW = 1_700_000_000_000
WELL = RuntimeView(
    runtime_id="rtm_1",
    journal_id="jrn_1",
    incarnation="inc_1",
    bridges=("websocket",),
    healthy=True,
    proved_at_ms=NOW,
    heartbeat_interval_ms=1_000,
)


@given(interval=st.integers(100, 3_600_000), allowed=st.integers(1, 100))
def test_nobody_is_silent_before_the_beats_that_may_be_missed(interval: int, allowed: int) -> None:
    silence = silence_allowed_ms(interval, allowed)
    assert silence >= interval * allowed, "a beat that is late by its jitter is not missed"
    assert silence <= interval * allowed * 1.1 + 1


@pytest.mark.parametrize(("proved", "fresh"), [(NOW, True), (NOW - 2_000, True), (NOW - 2_001, False), (0, False)])
def test_a_proof_holds_for_two_intervals(proved: int, fresh: bool) -> None:
    assert proof_is_fresh(proved, 1_000, NOW) is fresh


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, Reason.NONE),
        ({"bridges": ()}, Reason.OFFLINE),
        ({"healthy": False}, Reason.UNHEALTHY),
        ({"accepting": False}, Reason.DRAINING),
        ({"settle_only": True}, Reason.SETTLE_ONLY),
        ({"revoked": True}, Reason.REVOKED),
        ({"asleep": True}, Reason.ASLEEP),
        ({"proved_at_ms": NOW - 2_001}, Reason.NOT_PROVED),
        ({"revoked": True, "bridges": ()}, Reason.REVOKED),
    ],
)
def test_why_a_runtime_is_not_sent_to(changes: dict[str, object], reason: Reason) -> None:
    assert why_not(replace(WELL, **changes), NOW) is reason


def test_an_endpoint_is_as_near_to_sendable_as_its_nearest_runtime() -> None:
    away, slow = replace(WELL, bridges=()), replace(WELL, runtime_id="rtm_2", healthy=False)
    view = EndpointView(endpoint_id="ept_1", policy=Policy(), health=Health.UNHEALTHY, runtimes=(away, slow))
    assert sendable(view, NOW) == (False, Reason.UNHEALTHY, NOW)
    assert sendable(replace(view, runtimes=(away, slow, WELL)), NOW) == (True, Reason.NONE, NOW)
    assert sendable(replace(view, runtimes=()), NOW) == (False, Reason.OFFLINE, 0)
    assert sendable(replace(view, health=Health.REMOVING, runtimes=(WELL,)), NOW).reason is Reason.REMOVING
    assert sendable(replace(view, health=Health.NEVER_SEEN, runtimes=()), NOW).reason is Reason.NEVER_SEEN


@pytest.mark.parametrize(
    ("runtimes", "seen", "health"),
    [
        ((), False, Health.NEVER_SEEN),
        ((), True, Health.OFFLINE),
        ((replace(WELL, bridges=()),), True, Health.OFFLINE),
        ((WELL,), True, Health.HEALTHY),
        ((replace(WELL, healthy=False),), True, Health.UNHEALTHY),
        ((replace(WELL, asleep=True),), True, Health.ASLEEP),
        ((replace(WELL, asleep=True, bridges=()),), True, Health.ASLEEP),
        ((replace(WELL, healthy=False), WELL), True, Health.HEALTHY),
        ((replace(WELL, asleep=True), WELL), True, Health.HEALTHY),
        ((replace(WELL, asleep=True), replace(WELL, healthy=False)), True, Health.UNHEALTHY),
    ],
)
def test_the_best_runtime_counts(runtimes: tuple[RuntimeView, ...], seen: bool, health: Health) -> None:
    assert health_of(runtimes, ever_seen=seen) is health
    assert health_of(runtimes, ever_seen=seen, removing=True) is Health.REMOVING


@given(interval_s=st.floats(0.1, 3600), fleet=st.integers(0, 200_000), session_open=st.booleans())
def test_the_rhythm(interval_s: float, fleet: int, session_open: bool) -> None:
    policy = Policy(heartbeat_interval_s=interval_s)
    usual = policy.ms("heartbeat_interval")
    interval = interval_for(policy, session_open=session_open, fleet=fleet)
    if session_open:
        assert min(usual, BUSY_FLOOR_MS) <= interval <= usual
    else:
        assert interval >= usual
        assert fleet / interval * 1000 <= FLEET_BEATS_PER_SECOND * 1.01 or interval == 3_600_000


def test_the_grace_is_long_enough_for_two_beats_and_one_acknowledgement() -> None:
    assert grace_ms(Policy()) == 30_000
    assert grace_ms(Policy(heartbeat_interval_s=0.5)) == 10_000
