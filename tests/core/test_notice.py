"""The notice `stalled` is worded by evidence, also where `stall_after` is short (RECOVERY.md §2)."""

from __future__ import annotations

import pytest

from caisey.core import commands as c
from caisey.core.policy import Policy
from tests.core.world import World


@pytest.mark.parametrize("stall_after_s", [2.5, 60.0])
@pytest.mark.parametrize(("cpu_share", "notice"), [(0.95, "silent_busy"), (0.0, "silent_idle")])
def test_what_uses_cpu_is_never_called_idle(stall_after_s: float, cpu_share: float, notice: str) -> None:
    world = World(Policy(heartbeat_interval_s=100, stall_after_s=stall_after_s))
    world.set_runtime("R1", heartbeat_interval_ms=100_000)
    world.prompt()
    world.run()
    about = world._about("tcl_1", 1, "R1")
    recorded = 0
    types: list[str] = []
    for second in range(1, int(stall_after_s) + 2):
        types += world.advance(1_000)
        cpu_ms = round(second * 1000 * cpu_share)
        recorded += len(world.do(c.ReceiveProgress(**about, cpu_ms=cpu_ms, bytes={}, waiting_for_input=False)))
    assert "attempt.noticed" in types
    assert world.attempt().notice == notice
    assert recorded <= max(4, stall_after_s / 10 + 1), "not every progress is an event"
