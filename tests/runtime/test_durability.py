"""Nothing leaves before it is on disk: the syncs of a real runtime, as the kernel saw them, beside what it said.

`kill -9` proves nothing about `synchronous=FULL`: the page cache outlives the process. So the order of system calls is
looked at. The long poll is used because its bodies can be read.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from caisey.protocol.frames import Finished, Heartbeat
from caisey.protocol.signatures import sign
from tests.runtime.conftest import awaited
from tests.runtime.endpoint import endpoint
from tests.runtime.plane import Link
from tests.runtime.test_longpoll import polling_plane

WAL = r"(?:fsync|fdatasync)\(\d+<[^>]*journal\.db-wal>"
FOLDER = r"(?:fsync|fdatasync)\(\d+<[^>]*spool/[^>/]*>"
END = r"(?:fsync|fdatasync)\(\d+<[^>]*spool/[^>/]*/end\.part>"


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@awaited
async def test_every_receipt_is_synced_before_it_is_said(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    watched = ("strace", "-D", "-f", "-y", "-s", "4000", "-e", "trace=fsync,fdatasync,sendto,execve", "-o", str(trace))
    async with polling_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        await made.start(prefix=watched, bridge="longpoll")
        await plane.wait_for(Heartbeat)
        assert plane.hello is not None
        link = Link(plane, None, plane.hello)  # type: ignore[arg-type]
        before = len(trace.read_text())
        await plane.tell(sign(link.dispatch_frame("tcl_1", command="exec true-or-not || true"), plane.key))
        await plane.wait_for(Finished)
        await made.terminate()
        lines = trace.read_text()[before:].splitlines()
    places = {
        "received": first(lines, WAL),
        "acknowledged": first(lines, r"sendto\(.*acknowledged"),
        "claimed": first(lines, WAL, after=first(lines, WAL)),
        "marked": first(lines, FOLDER, after=first(lines, WAL, after=first(lines, WAL))),
        "executed": first(lines, r"execve\(\"/bin/sh\""),
        "started": first(lines, r"sendto\(.*\\\"started\\\""),
        "end recorded": first(lines, END),
        "end journalled": first(lines, WAL, after=first(lines, END)),
        "finished": first(lines, r"sendto\(.*\\\"finished\\\""),
    }
    for earlier, later in (
        ("received", "acknowledged"),
        ("received", "claimed"),
        ("claimed", "marked"),
        ("marked", "executed"),
        ("marked", "started"),
        ("executed", "end recorded"),
        ("end recorded", "end journalled"),
        ("end journalled", "finished"),
    ):
        assert places[earlier] < places[later], (earlier, later, places)


def first(lines: list[str], pattern: str, after: int = -1) -> int:
    """Where the first such call ended: strace shows one that was interrupted by another process in two lines."""
    for place, line in enumerate(lines):
        if place > after and re.search(pattern, line):
            return place if "<unfinished" not in line else resumed(lines, place)
    raise AssertionError(f"never: {pattern}")


def resumed(lines: list[str], began: int) -> int:
    pid = lines[began].split()[0]
    for place in range(began + 1, len(lines)):
        if lines[place].startswith(f"{pid} ") and "resumed>" in lines[place]:
            return place
    raise AssertionError(f"never ended: {lines[began]}")
