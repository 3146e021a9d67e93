"""No file descriptor left: what cannot be looked at is neither dead nor gone, and nothing ends because of it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from caisey.protocol.frames import AnyFrame
from caisey.runtime.attempts import Attempts
from caisey.runtime.census import LocalCensus
from caisey.runtime.database import Database, JournalUnwritableError
from caisey.runtime.judge import State
from caisey.runtime.launcher import Shim, ShimLauncher
from caisey.runtime.outbox import Outbox
from caisey.runtime.platforms import this_platform
from caisey.runtime.processes import EndSeen, Identity, LaunchError, Shelter
from caisey.runtime.records import AttemptRecord
from caisey.runtime.spool import Spool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are looked at on Linux")


@contextlib.contextmanager
def none_left() -> Iterator[None]:
    """This very process can open nothing more; what is open stays open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def true(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0.02)


@pytest.fixture
def command() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            yield process
        finally:
            process.kill()


def identity(process: subprocess.Popen[bytes]) -> Identity:
    key = this_platform().process_key(process.pid)
    assert key is not None
    return Identity(process.pid, key)


def test_a_process_that_cannot_be_looked_at_is_not_dead(command: subprocess.Popen[bytes]) -> None:
    """ "Dead" would let a second start of the same call begin beside it (RECOVERY.md §5)."""
    platform, who = this_platform(), identity(command)
    with none_left():
        with pytest.raises(OSError, match="Too many open files"):
            platform.process_key(who.pid)
        with pytest.raises(OSError, match="Too many open files"):
            platform.orphans(who.pid)
    assert platform.process_key(who.pid) == who.key
    command.kill()
    command.wait()
    assert platform.process_key(who.pid) != who.key


def test_a_judgement_that_cannot_look_is_taken_back(tmp_path: Path, command: subprocess.Popen[bytes]) -> None:
    """Nothing was changed, and nothing is promised."""
    database = Database(tmp_path, new_journal_id="jrn_1")
    with contextlib.closing(database):
        before = database.sequence()
        with none_left(), pytest.raises(JournalUnwritableError):
            write_and_look(database)
        assert database.sequence() == before
        with pytest.raises(OSError, match="Operation not permitted"), database.transaction():
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def write_and_look(database: Database) -> None:
    with database.transaction():
        database.next_sequence()
        LocalCensus.alive(_Census(), Identity(os.getpid(), "boot:1"))  # type: ignore[arg-type]


class _Census:
    _platform = this_platform()


def test_a_command_that_cannot_be_watched_has_not_ended(tmp_path: Path, command: subprocess.Popen[bytes]) -> None:
    async def story() -> None:
        seen: list[Any] = []
        shelter = Shelter(shim=identity(command), child=None, spool="one", cgroup=None)
        shim = Shim(this_platform(), shelter, tmp_path, None, None)
        with none_left():
            shim.watch(seen.append)
            for _ in range(5):
                await asyncio.sleep(0)
            assert seen == []
        command.send_signal(signal.SIGKILL)
        await asyncio.to_thread(command.wait)
        await true(lambda: bool(seen))
        assert seen == [EndSeen()]

    asyncio.run(story())


def test_a_shim_that_cannot_be_reached_now_is_asked_for_again(tmp_path: Path) -> None:
    """Taken for dead it could be neither cancelled nor answered."""

    async def story() -> None:
        launcher = ShimLauncher(this_platform(), tmp_path, "inc_1")
        shelter = Shelter(shim=Identity(1, "boot:0"), child=None, spool="one", cgroup=None)
        (tmp_path / "one").mkdir()
        with none_left():
            with pytest.raises(LaunchError):
                await launcher.adopt(shelter, lambda _: None)
            with pytest.raises(LaunchError):
                await launcher.open()

    asyncio.run(story())


def test_output_that_cannot_be_read_waits_and_holds_nobody_up(tmp_path: Path) -> None:
    async def story() -> None:
        said: list[bytes] = []
        attempts = Attempts()
        (tmp_path / "one").mkdir()
        (tmp_path / "one" / "stdout").write_bytes(b"here")
        entry = attempts.put(
            AttemptRecord(tool_call_id="tcl_1", number=1, consent=1, state=State.STARTED, sequence=1, spool="one")
        )
        entry.kept = {"stdout": 4}

        async def send(data: bytes) -> None:
            said.append(data)

        outbox = Outbox(
            send=send, attempts=attempts, spool=Spool(tmp_path), clock=_Clock(), journal_id="jrn_1", chunk_bytes=1024
        )
        loops = [asyncio.create_task(outbox.run()), asyncio.create_task(outbox.repeat())]
        entry.let_go, entry.started_said = True, True
        with none_left():
            outbox.changed(entry.key)
            outbox.post(_frame())
            await asyncio.wait_for(outbox.idle(), 10)
            assert [b'"output"' in data for data in said].count(True) == 0
            assert any(b"heartbeat_ack" in data for data in said)
        await true(lambda: any(b'"output"' in data for data in said))
        for loop in loops:
            loop.cancel()

    asyncio.run(story())


class _Clock:
    def wall_ms(self) -> int:
        return 0

    def monotonic_ms(self) -> int:
        return 0

    def boottime_ms(self) -> int:
        return 0


def _frame() -> AnyFrame:
    from caisey.protocol.frames import HeartbeatAck

    return HeartbeatAck(sequence=1, server_time_ms=0)
