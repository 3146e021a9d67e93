"""Ending what runs: time limits, cancels, the system going down; with children that do not want to."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from caisey.protocol.frames import Output
from tests.runtime.conftest import Story
from tests.runtime.endpoint import Endpoint
from tests.runtime.plane import Link
from tests.runtime.test_crashes import parent_of

Live = Callable[[Story], None]

STUBBORN = r"""
stubborn() {{ trap "" TERM INT HUP; echo $1 >> {pids}; while :; do sleep 1; done; }}
export PIDS={pids}
setsid sh -c '
  trap "" TERM; echo $$ >> $PIDS
  (setsid sh -c "trap \"\" TERM; echo \$\$ >> $PIDS; echo up; while :; do sleep 1; done" &)
  while :; do sleep 1; done
' &
stubborn $$
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def all_dead(pids: Path) -> bool:
    found = [int(line) for line in pids.read_text().split()]
    assert len(found) == 3
    return not any(alive(pid) for pid in found)


def test_a_time_limit_ends_the_whole_tree(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        pids = endpoint.state.path / "pids"
        await link.dispatch("tcl_1", command=STUBBORN.format(pids=pids), time_ms=500)
        execution = (await link.finished("tcl_1")).execution
        assert (execution.ended_by, execution.tree_ended, execution.exit_code) == ("time_limit", True, None)
        assert execution.signal == signal.SIGKILL
        assert all_dead(pids)
        assert link.text("tcl_1") == b"up\n"

    live(story)


def test_a_cancel_ends_the_whole_tree(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        pids = endpoint.state.path / "pids"
        await link.dispatch("tcl_1", command=STUBBORN.format(pids=pids))
        await link.wait_for(Output)
        await link.cancel("tcl_1")
        execution = (await link.finished("tcl_1")).execution
        assert (execution.ended_by, execution.tree_ended) == ("cancel", True)
        assert all_dead(pids)

    live(story)


def test_a_polite_command_may_say_goodbye(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done")
        await link.wait_for(Output)
        await link.cancel("tcl_1")
        execution = (await link.finished("tcl_1")).execution
        assert (execution.ended_by, execution.exit_code, execution.tree_ended) == ("cancel", 5, True)
        assert link.text("tcl_1") == b"up\nbye\n"

    live(story)


def test_a_cancel_that_lost_the_race_tells_of_the_finish(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1")
        assert (await link.finished("tcl_1")).execution.ended_by == "itself"
        await link.cancel("tcl_1")
        said = await link.statement("tcl_1")
        assert said.state == "finished"
        assert said.execution is not None
        assert said.execution.ended_by == "itself"

    live(story)


def test_the_system_going_down_is_told_apart(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="exec sleep 1000")
        started = await link.started("tcl_1")
        os.kill(parent_of(started.pid), signal.SIGTERM)
        execution = (await link.finished("tcl_1")).execution
        assert (execution.ended_by, execution.signal) == ("shutdown", signal.SIGTERM)

    live(story)


def test_a_cancel_reaches_a_command_of_a_former_life(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="exec sleep 1000")
        await link.started("tcl_1")
        link = await endpoint.restart()
        await link.cancel("tcl_1")
        assert (await link.finished("tcl_1")).execution.ended_by == "cancel"

    live(story)


def test_a_cancel_ends_a_command_whose_shim_is_dead(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="exec sleep 1000")
        started = await link.started("tcl_1")
        os.kill(parent_of(started.pid), signal.SIGKILL)
        link = await endpoint.restart()
        await link.cancel("tcl_1")
        assert (await link.statement("tcl_1", state="process_gone")).pid == started.pid
        assert not alive(started.pid)

    live(story)
