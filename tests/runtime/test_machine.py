"""What happens to the computer: a reboot, and a disk that is full. Both are real: a mount namespace, a small tmpfs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from caisey.protocol.frames import Cadence, Heartbeat, Problem
from tests.runtime.conftest import awaited
from tests.runtime.endpoint import end_everything, endpoint
from tests.runtime.plane import control_plane

BOOT_ID = "/proc/sys/kernel/random/boot_id"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


@root_only
@awaited
async def test_after_a_reboot_nothing_of_before_is_alive(tmp_path: Path) -> None:
    another = tmp_path / "boot_id"
    another.write_text("11111111-2222-3333-4444-555555555555\n")
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        link = await made.connect()
        await link.dispatch("tcl_1", command="echo some; exec sleep 1000")
        await link.started("tcl_1")
        before = link.hello.boot_id
        await made.kill()
        end_everything(made.journal)
        await made.start(prefix=("unshare", "-m", "sh", "-c", f'mount --bind {another} {BOOT_ID} && exec "$@"', "sh"))
        link = await plane.link()
        assert link.hello.boot_id != before
        said = link.hello_statement("tcl_1")
        assert said is not None
        assert (said.state, said.execution) == ("process_gone", None)
        await link.dispatch("tcl_1", 2, command="echo some; exec sleep 1000")
        assert (await link.statement("tcl_1", state="process_gone")).attempt.number == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@root_only
@awaited
async def test_a_full_disk_takes_nothing_and_keeps_its_word(tmp_path: Path, small_disk: Path) -> None:
    counted = tmp_path / "count"
    async with control_plane() as plane, endpoint(plane, tmp_path / "state", journal=small_disk / "journal") as made:
        link = await made.connect()
        await link.send(Cadence(heartbeat_interval_ms=200))
        await link.dispatch("tcl_1", command=f"read line; echo ran >> {counted}; echo said")
        await link.started("tcl_1")
        fill(small_disk)
        await link.wait_for(Heartbeat, lambda frame: not frame.accepting)
        await link.dispatch("full")
        assert (await link.wait_for(Problem)).code == "journal.full"
        # What has to be written still can be: the end of what runs, and a promise.
        await link.input("tcl_1", 1, b"\n", close=True)
        finished = await link.finished("tcl_1")
        assert finished.execution.exit_code == 0
        assert counted.read_text() == "ran\n"
        await link.reconcile(("never", 1, 1))
        assert (await link.statement("never")).state == "never_received"
        (small_disk / "ballast").unlink()
        await link.wait_for(Heartbeat, lambda frame: frame.accepting)
        await link.dispatch("after")
        await link.finished("after")


def fill(disk: Path) -> None:
    """Take all the space that is left."""
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            pass
    assert shutil.disk_usage(disk).free == 0
