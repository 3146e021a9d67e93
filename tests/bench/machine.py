"""The machine while a figure is measured: how fast it is at this moment, and how much of it others take.

Owns the calibration that stands beside every figure, so that a figure of a busy machine can be told from a slow
program. Reads `/proc`; Linux only.
"""

from __future__ import annotations

import os
import platform
import resource
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
QUIET_PERCENT = 20
_ROUNDS = 100


def calibrate() -> dict[str, float]:
    """In about half a second: what a pure loop, a sync of the disk and a wake-up of another thread cost right now."""
    return {"loop_per_ms": _loop(), **_times("fsync_ms", _syncs()), **_times("wake_ms", _wake_ups())}


def _times(name: str, values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"{name}_p50": ordered[len(ordered) // 2] * 1000, f"{name}_p99": ordered[-2] * 1000}


def _loop() -> float:
    best = 0.0
    for _ in range(5):
        began, total = time.perf_counter(), 0
        for number in range(100_000):
            total += number
        best = max(best, 100 / (time.perf_counter() - began))
    return best


def _syncs() -> list[float]:
    found = []
    with tempfile.NamedTemporaryFile() as probe:
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            os.write(probe.fileno(), b"x" * 4096)
            os.fdatasync(probe.fileno())
            found.append(time.perf_counter() - began)
    return found


def _wake_ups() -> list[float]:
    """There and back through two pipes to another thread."""
    there, back = os.pipe(), os.pipe()

    def echo() -> None:
        while data := os.read(there[0], 1):
            os.write(back[1], data)

    other = threading.Thread(target=echo)
    other.start()
    found = []
    for _ in range(_ROUNDS):
        time.sleep(0.0005)  # both ends idle, as between two prompts
        began = time.perf_counter()
        os.write(there[1], b"x")
        os.read(back[0], 1)
        found.append(time.perf_counter() - began)
    os.close(there[1])
    other.join()
    for fd in (there[0], *back):
        os.close(fd)
    return found


class Share:
    """How much of the machine was taken from its making to `others_percent`, and not by us or what we started."""

    def __init__(self) -> None:
        self._busy, self._all = _machine_ticks()
        self._ours = _own_seconds()

    def others_percent(self) -> float:
        """Of all cores. Processes of ours count once they have ended."""
        busy, everything = _machine_ticks()
        ours = (_own_seconds() - self._ours) * TICKS
        return max(0.0, 100 * (busy - self._busy - ours) / max(1, everything - self._all))


def wait_until_quiet(at_most_s: float) -> None:
    """Until others take less than a fifth of the machine for a second, or so many seconds have passed."""
    ends = time.monotonic() + at_most_s
    while time.monotonic() < ends:
        share = Share()
        time.sleep(1)
        if share.others_percent() < QUIET_PERCENT:
            return


def _machine_ticks() -> tuple[int, int]:
    fields = [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, sum(fields)


def _own_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def about() -> dict[str, Any]:
    """What this machine is."""
    model = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")),
        platform.machine(),
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    return {
        "cores": os.cpu_count(),
        "cpu": model,
        "memory_gib": round(memory, 1),
        "system": f"Linux {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


# -- processes ---------------------------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads."""
    total = 0.0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        total += int((thread / "schedstat").read_text().split()[0]) / 1e9
    return total


def with_ended_children_seconds(pid: int) -> float:
    """User and system time of a process and of all children that it has reaped, with theirs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


def memory_mib(pid: int) -> dict[str, float]:
    """Resident and proportional size of a process, in MiB."""
    sizes = {
        line.split(":")[0]: int(line.split()[1]) / 1024
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    }
    return {"rss": sizes["Rss"], "pss": sizes["Pss"]}


def below(pid: int) -> list[int]:
    """Every process below this one."""
    found = [
        int(child)
        for thread in Path(f"/proc/{pid}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]
    return found + [deeper for child in found for deeper in below(child)]
