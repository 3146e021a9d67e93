"""No file descriptors left: the limit of a running program is lowered to what it has open.

Nothing may be taken for done that could not be opened; nobody ends; with room again everything goes on by itself. What
a program has open already (its log, its sockets) goes on working.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.stage import Stage, limit_open_files, open_files, pause

EXHAUSTED_S = (1.0, 2.5)
SPARE = (None, None, 0, 2, 6)  # descriptors left; None: not even those that it closes meanwhile
CALLERS = 40
BUSY = 0.7  # of one core: a loop that spins takes all of it, answering this load a tenth


def descriptors(stage: Stage, rounds: int, rate: float) -> None:
    """Each round one program has none left for a while; the control plane also with callers that want some."""
    share = 0.0
    done = {"control plane": 0, "runtime": 0}
    with stage.load(rate):
        for number in range(rounds):
            pause(stage.dice.uniform(0.3, 0.8))
            name = list(done)[number % 2]
            pid = stage.plane.pid if name == "control plane" else stage.runtime.pid
            seconds = stage.dice.choice(EXHAUSTED_S)
            spare = stage.dice.choice(SPARE)
            with _exhausted(pid, spare), _callers(stage.plane.port if number % 2 == 0 else None):
                used, began = _cpu_s(pid), time.monotonic()
                pause(seconds)
                # By the clock: on a machine with other work the pause is longer than what was asked for.
                share = max(share, (_cpu_s(pid) - used) / (time.monotonic() - began))
            done[name] += 1
        pause(0.5)
    stage.report.did.append(
        ", ".join(f"the {name} had no descriptor left {count} times" for name, count in done.items())
        + f", with {CALLERS} callers at the control plane's door"
    )
    stage.report.hold("no program spins while it has none", share < BUSY, f"{share:.0%} of a core")


@contextlib.contextmanager
def _exhausted(pid: int, spare: int | None) -> Iterator[None]:
    taken = set(open_files(pid))
    lowest_free = next(number for number in range(len(taken) + 1) if number not in taken)
    former = limit_open_files(pid, 0 if spare is None else lowest_free + spare)
    try:
        yield
    finally:
        limit_open_files(pid, former)


@contextlib.contextmanager
def _callers(port: int | None) -> Iterator[None]:
    """Connections that say nothing: each wants a descriptor."""
    lines = []
    try:
        for _ in range(CALLERS if port is not None else 0):
            line = socket.socket()
            line.setblocking(False)
            line.connect_ex(("127.0.0.1", port))
            lines.append(line)
        yield
    finally:
        for line in lines:
            line.close()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
