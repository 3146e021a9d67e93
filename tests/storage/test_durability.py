"""What was acknowledged survives: a kill at any moment, and, by the order of the system calls, the loss of power."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from caisey.core import audit
from tests.storage.appending import MARK
from tests.storage.logs import KEY, ONE, TWO, every_line, in_loop, sqlite_log

APPEND = [sys.executable, "-m", "tests.storage.appending"]


@pytest.mark.parametrize("after", [1, 40, 400])
def test_killed_in_the_middle_it_has_lost_nothing_that_was_acknowledged(tmp_path: Path, after: int) -> None:
    """Killed while units are under way, as soon as `after` were acknowledged."""
    directory = tmp_path / "data"
    with subprocess.Popen([*APPEND, str(directory), "1000000"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        acknowledged: list[int] = []
        try:
            assert process.stdout.readline() == b"open\n"
            while len(acknowledged) < after:
                acknowledged.append(int(process.stdout.readline().removeprefix(MARK)))
        finally:
            process.kill()
        acknowledged += [int(line.removeprefix(MARK)) for line in process.stdout if line.endswith(b"\n")]

    @in_loop
    async def check() -> None:
        async with sqlite_log(directory) as log:
            ((units,),) = log.query_now("SELECT COUNT(*) FROM prompts")
            assert set(acknowledged) <= set(range(units))
            for organization in (ONE, TWO):
                lines = await every_line(log, organization)
                assert audit.verify(lines, KEY.public_key()).ok
                assert [line["payload"]["number"] for line in lines if "payload" in line] == list(range(units))

    check()


@pytest.mark.skipif(shutil.which("strace") is None, reason="counts system calls with strace, which is not installed")
def test_every_acknowledgement_comes_after_a_sync_of_the_log(tmp_path: Path) -> None:
    """`kill -9` proves nothing about power: the order of write, sync and acknowledgement does."""
    trace, count = tmp_path / "trace", 25
    command = ["strace", "-f", "-y", "-qq", "-e", "trace=write,pwrite64,fsync,fdatasync", "-o", str(trace)]
    program = [*APPEND, str(tmp_path / "data"), str(count), "one-by-one"]
    subprocess.run([*command, *program], check=True, capture_output=True)
    acknowledged = 0
    unsynced = synced = False
    for line in _completed(trace.read_text("utf-8", "replace").splitlines()):
        if re.search(r"pwrite64\(\d+<[^>]*caisey\.db-wal>", line):
            unsynced = True
        elif re.search(r"(fsync|fdatasync)\(\d+<[^>]*caisey\.db-wal>", line):
            unsynced, synced = False, True
        elif f'"{MARK.decode()}' in line:
            acknowledged += 1
            assert synced, "acknowledged without a sync of its own"
            assert not unsynced, "acknowledged before what was written was synced"
            synced = False
    assert acknowledged == count


def _completed(lines: list[str]) -> list[str]:
    """Each call where it returned: strace divides a call in two lines when another thread comes between."""
    begun: dict[str, str] = {}
    calls: list[str] = []
    for line in lines:
        thread, _, call = line.partition(" ")
        if call.endswith("<unfinished ...>"):
            begun[thread] = call
        elif "resumed>" in call:
            calls.append(begun.pop(thread, "") + call)
        else:
            calls.append(call)
    return calls
