"""Two runtimes of one endpoint on one journal: one fence for both."""

from __future__ import annotations

import asyncio
from pathlib import Path

from caisey.protocol.frames import Heartbeat, Problem, Reference
from tests.runtime.conftest import awaited
from tests.runtime.endpoint import endpoint
from tests.runtime.plane import control_plane


@awaited
async def test_a_consent_starts_once_whoever_is_asked(tmp_path: Path) -> None:
    journal, count = tmp_path / "journal", tmp_path / "count"
    async with (
        control_plane() as plane,
        endpoint(plane, tmp_path / "one", "rtm_1", journal) as first,
        endpoint(plane, tmp_path / "two", "rtm_2", journal) as second,
    ):
        one, two = await first.connect(), await second.connect()
        assert one.hello.journal_id == two.hello.journal_id
        assert one.hello.machine_fingerprint == two.hello.machine_fingerprint
        command = f"echo >> {count}; exec sleep 1000"
        await one.dispatch("tcl_1", 1, command=command)
        started = await one.started("tcl_1")
        await two.dispatch("tcl_1", 1, command=command)
        assert (await two.started("tcl_1")).pid == started.pid
        await two.dispatch("tcl_1", 2, command=command)
        assert (await two.statement("tcl_1", answers=Reference("tcl_1", 2))).state == "started"
        await two.reconcile(("tcl_1", 1, 1))
        said = await two.statement("tcl_1", state="started")
        assert said.owner is not None
        assert said.owner.runtime_id == "rtm_1"
        beat = await two.wait_for(Heartbeat)
        assert not beat.in_flight, "it runs in the other's hands"
        await two.cancel("tcl_1")
        assert (await one.finished("tcl_1")).execution.ended_by == "cancel"
        assert count.read_text() == "\n"


@awaited
async def test_the_other_runtime_takes_over_what_the_dead_one_left(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with (
        control_plane() as plane,
        endpoint(plane, tmp_path / "one", "rtm_1", journal) as first,
        endpoint(plane, tmp_path / "two", "rtm_2", journal) as second,
    ):
        one, two = await first.connect(), await second.connect()
        await one.dispatch("tcl_1", command="echo before; read line; echo $line")
        await one.started("tcl_1")
        await first.kill()
        await two.reconcile(("tcl_1", 1, 1))
        assert (await two.statement("tcl_1")).state == "started"
        await two.dispatch("tcl_2")
        await two.finished("tcl_2")
        await two.input("tcl_1", 1, b"after\n")
        await two.finished("tcl_1")
        assert two.text("tcl_1") == b"before\nafter\n"


@awaited
async def test_a_received_one_of_a_dead_runtime_is_taken_up_by_the_other(tmp_path: Path) -> None:
    journal, count = tmp_path / "journal", tmp_path / "count"
    async with (
        control_plane() as plane,
        endpoint(plane, tmp_path / "one", "rtm_1", journal) as first,
        endpoint(plane, tmp_path / "two", "rtm_2", journal) as second,
    ):
        two = await second.connect()
        await first.start(module=("tests.runtime.killed", "acknowledged, not spawned", "run"))
        one = await plane.link()
        await one.dispatch("tcl_1", command=f"echo >> {count}")
        await first.ended()
        await two.reconcile(("tcl_1", 1, 1))
        said = await two.statement("tcl_1")
        assert said.state == "received"
        assert said.owner is not None
        assert said.owner.runtime_id == "rtm_1"
        await two.dispatch("tcl_1", command=f"echo >> {count}")
        await two.finished("tcl_1")
        one = await first.connect()
        await one.dispatch("tcl_1", command=f"echo >> {count}")
        assert (await one.finished("tcl_1")).execution.exit_code == 0
        assert count.read_text() == "\n"


@awaited
async def test_what_waits_in_one_can_be_closed_by_the_other(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with (
        control_plane() as plane,
        endpoint(plane, tmp_path / "one", "rtm_1", journal) as first,
        endpoint(plane, tmp_path / "two", "rtm_2", journal) as second,
    ):
        one, two = await first.connect(), await second.connect()
        calls = [f"run_{number}" for number in range(32)]
        for call in calls:
            await one.dispatch(call, command="read line")
        for call in calls:
            await one.started(call)
        await one.dispatch("tcl_1")
        await one.acknowledged("tcl_1")
        await two.cancel("tcl_1")
        assert (await two.statement("tcl_1")).why == "cancel"
        await one.input(calls[0], 1, b"\n", close=True)
        await one.finished(calls[0])
        assert (await one.statement("tcl_1")).state == "closed"
        assert not one.said(Problem)


@awaited
async def test_one_runtime_never_runs_twice(tmp_path: Path) -> None:
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        await made.connect()
        first = made.process
        await made.start()
        async with asyncio.timeout(20):
            assert made.process is not None
            assert await made.process.wait() == 1
        assert "state.in_use" in (made.state.path / "log").read_text()
        made.process = first
