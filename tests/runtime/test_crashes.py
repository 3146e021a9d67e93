"""kill -9 of the runtime at every point between a dispatch and its end: at most one start, and the right statement.

What ran is counted by its effect: each execution appends one line to a file.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from caisey.protocol.frames import Finished, Reference, Statement
from caisey.runtime.platforms.linux import own_cgroup
from tests.runtime.conftest import awaited
from tests.runtime.endpoint import Endpoint, children, end_everything, endpoint, shims
from tests.runtime.killed import POINTS
from tests.runtime.plane import PATIENCE_S, Link, about, control_plane

NOTHING_RAN = ("received, not acknowledged", "acknowledged, not spawned", "spawned, not claimed")


async def crash_at(made: Endpoint, point: str, command: str) -> None:
    """Dispatch to a runtime that dies at that point, and wait until it is dead."""
    await made.start(module=("tests.runtime.killed", point, "run"))
    link = await made.plane.link()
    await link.dispatch("tcl_1", command=command)
    assert await made.ended() == -signal.SIGKILL


async def known_end(link: Link) -> str:
    """The word that ends the attempt: in the hello, as a frame, or as `finished`."""
    said = link.hello_statement("tcl_1")
    if said is not None and said.state in ("finished", "process_gone", "closed", "superseded"):
        return said.state
    frame = await link.wait_for(
        object,
        lambda f: isinstance(f, Statement | Finished) and about("tcl_1")(f) and getattr(f, "state", "") != "started",
    )
    return frame.state if isinstance(frame, Statement) else "finished"


@pytest.mark.parametrize("point", POINTS)
@awaited
async def test_at_most_one_start_and_the_right_statement(point: str, tmp_path: Path) -> None:
    counted = tmp_path / "count"
    command = f"echo ran >> {counted}; echo said"
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        await crash_at(made, point, command)
        link = await made.connect()
        said = link.hello_statement("tcl_1")
        assert said is not None, "a journal never forgets what it was given"
        if point in NOTHING_RAN:
            assert said.state == "received"
            assert said.owner is not None
            assert said.owner.incarnation != link.hello.incarnation
            assert not counted.exists(), "a received attempt is not started by the runtime itself"
            await link.dispatch("tcl_1", command=command)
            await link.acknowledged("tcl_1")
        # Whatever was: the same consent under a higher number never starts a second time.
        end = await known_end(link)
        await link.dispatch("tcl_1", number=2, command=command)
        answer = await link.statement("tcl_1", answers=Reference("tcl_1", 2))
        assert answer.state == end
        if point == "claimed, not let go":
            assert end == "process_gone"
            assert not counted.exists()
        else:
            assert end == "finished"
            assert counted.read_text() == "ran\n"
            assert link.text("tcl_1") == b"said\n"


@awaited
async def test_a_running_command_is_adopted_and_its_output_goes_on(tmp_path: Path) -> None:
    go_on = tmp_path / "go_on"
    os.mkfifo(go_on)
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        link = await made.connect()
        await link.dispatch("tcl_1", command=f"echo before; read line < {go_on}; echo $line")
        started = await link.started("tcl_1")
        former = link.hello
        link = await made.restart()
        assert link.hello.start_number == former.start_number + 1
        assert link.hello.incarnation != former.incarnation
        assert link.hello.journal_id == former.journal_id
        assert link.hello.journal_sequence > former.journal_sequence
        said = link.hello_statement("tcl_1")
        assert said is not None
        assert (said.state, said.pid, said.process_key) == ("started", started.pid, started.process_key)
        assert said.owner is not None
        assert said.owner.incarnation == link.hello.incarnation
        go_on.write_text("after\n")
        finished = await link.finished("tcl_1")
        assert finished.execution.exit_code == 0
        assert link.text("tcl_1") == b"before\nafter\n"


@awaited
async def test_a_command_that_ended_while_the_runtime_was_away(tmp_path: Path) -> None:
    go_on, done = tmp_path / "go_on", tmp_path / "done"
    os.mkfifo(go_on)
    os.mkfifo(done)
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        link = await made.connect()
        await link.dispatch("tcl_1", command=f"read line < {go_on}; echo $line; echo > {done}; exit 7")
        await link.started("tcl_1")
        await made.kill()
        go_on.write_text("alone\n")
        done.read_text()
        link = await made.connect()
        finished = await link.finished("tcl_1")
        assert finished.execution.exit_code == 7
        assert link.text("tcl_1") == b"alone\n"


@awaited
async def test_shim_and_command_killed_is_process_gone(tmp_path: Path) -> None:
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        link = await made.connect()
        await link.dispatch("tcl_1", command="echo some; exec sleep 1000")
        started = await link.started("tcl_1")
        shim = parent_of(started.pid)
        os.kill(shim, signal.SIGSTOP)  # so that it cannot record the end
        os.kill(started.pid, signal.SIGKILL)
        os.kill(shim, signal.SIGKILL)
        said = await link.statement("tcl_1")
        assert said.state == "process_gone"
        assert said.execution is None
        await link.dispatch("tcl_1", number=2, command="echo some; exec sleep 1000")
        await link.statement("tcl_1", state="process_gone", answers=Reference("tcl_1", 2))
        await link.dispatch("tcl_1", number=3, consent=2, command="echo some; exec sleep 1000")
        await link.acknowledged("tcl_1", 3)
        assert [pid for pid in shims(made.journal) if pid == shim] == []


@awaited
async def test_a_command_whose_shim_died_still_counts_as_alive(tmp_path: Path) -> None:
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        link = await made.connect()
        await link.dispatch("tcl_1", command="exec sleep 1000")
        started = await link.started("tcl_1")
        os.kill(parent_of(started.pid), signal.SIGKILL)
        await link.reconcile(("tcl_1", 1, 1))
        assert (await link.statement("tcl_1")).state == "started"
        await link.dispatch("tcl_1", number=2, consent=2, arguments={"command": "exec sleep 1000"})
        blocked = await link.statement("tcl_1")
        assert (blocked.state, blocked.answers is not None) == ("started", True)
        os.kill(started.pid, signal.SIGKILL)
        assert (await link.statement("tcl_1", state="process_gone")).pid == started.pid


@awaited
async def test_a_zombie_counts_as_dead(tmp_path: Path) -> None:
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        link = await made.connect()
        await link.dispatch("tcl_1", command="exec sleep 1000")
        started = await link.started("tcl_1")
        shim = parent_of(started.pid)
        zygote = parent_of(shim)
        os.kill(zygote, signal.SIGSTOP)  # it reaps its children no more
        os.kill(shim, signal.SIGSTOP)
        os.kill(started.pid, signal.SIGKILL)  # a zombie: its parent does not reap it
        os.kill(shim, signal.SIGKILL)  # and a zombie, too
        said = await link.statement("tcl_1")
        assert said.state == "process_gone"
        assert state_of(shim) == "Z"
        os.kill(zygote, signal.SIGCONT)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@awaited
async def test_a_dead_zygote_is_replaced(tmp_path: Path) -> None:
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        link = await made.connect()
        await link.dispatch("tcl_1", command="read line")
        shim = parent_of((await link.started("tcl_1")).pid)
        os.kill(parent_of(shim), signal.SIGKILL)
        for number in range(8):
            await link.dispatch(f"after_{number}", command="echo said")
        for number in range(8):
            assert (await link.finished(f"after_{number}")).execution.exit_code == 0
        await link.input("tcl_1", 1, b"\n")
        assert (await link.finished("tcl_1")).execution.exit_code == 0


@awaited
async def test_nothing_of_a_killed_shim_is_left(tmp_path: Path) -> None:
    group = own_cgroup()
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        link = await made.connect()
        await link.dispatch("tcl_1", command="exec sleep 1000")
        shim = parent_of((await link.started("tcl_1")).pid)
        spool = spool_of(shim)
        left = [made.journal / "spool" / spool]
        if group is not None:
            left.append(cgroup_of(group, spool))
        assert [path.is_dir() for path in left] == [True] * len(left)
        await made.kill()
        end_everything(made.journal)
        link = await made.connect()
        assert link.hello.statements[0].state == "process_gone"
        await link.confirm("tcl_1")
        await link.heard_all()
        await made.restart()
        assert not any(path.exists() for path in left)


@awaited
async def test_a_shim_whose_folder_was_taken_away_ends(tmp_path: Path) -> None:
    """Nobody will ever look for its end record; it used to try for ever, at the price of a core."""
    go_on = tmp_path / "go_on"
    os.mkfifo(go_on)
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        link = await made.connect()
        await link.dispatch("tcl_1", command=f"read line < {go_on}")
        shim = parent_of((await link.started("tcl_1")).pid)
        await made.kill()
        watched = os.pidfd_open(shim)
        try:
            shutil.rmtree(made.journal / "spool" / spool_of(shim))
            go_on.write_text("go on\n")
            await readable(watched)
        finally:
            os.close(watched)


@awaited
async def test_an_end_that_cannot_be_written_is_written_once_it_can(tmp_path: Path) -> None:
    go_on = tmp_path / "go_on"
    os.mkfifo(go_on)
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        link = await made.connect()
        await link.dispatch("tcl_1", command=f"read line < {go_on}; exit 7")
        shim = parent_of((await link.started("tcl_1")).pid)
        [child] = children(shim)
        in_the_way = made.journal / "spool" / spool_of(shim) / "end.part"
        in_the_way.unlink()
        in_the_way.mkdir()
        command = os.pidfd_open(child)
        try:
            go_on.write_text("go on\n")
            await readable(command)
        finally:
            os.close(command)
        in_the_way.rmdir()
        finished = await link.finished("tcl_1")
        assert finished.execution.exit_code == 7


async def readable(fd: int) -> None:
    """Wait for a file descriptor; of a process, it is readable once the process has ended."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(fd, ended.set)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(fd)


def spool_of(shim: int) -> str:
    return Path(f"/proc/{shim}/cwd").readlink().name


def cgroup_of(group: str, spool: str) -> Path:
    return Path(group, f"caisey-{spool}")
