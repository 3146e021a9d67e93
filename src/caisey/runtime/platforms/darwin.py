"""macOS: processes by libproc, trees by the children that can still be seen.

Owns every call into libproc and sysctl. There is no subreaper and no cgroup: a daemon that left its parent is not found
again, so `tree_ended` speaks of what could be seen.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
import subprocess
import time

from caisey.runtime.platforms import Tree, Usage

_BSD_INFO, _TASK_INFO = 3, 4
_BSD_INFO_BYTES, _TASK_INFO_BYTES = 136, 96
_STATUS_AT, _START_AT = 4, 120
_ZOMBIE = 5
_MOST_CHILDREN = 4096


class Darwin:
    """The platform of an endpoint that runs macOS."""

    name = "darwin"

    def __init__(self) -> None:
        self._libproc = ctypes.CDLL("/usr/lib/libproc.dylib", use_errno=True)
        self._boot_id = _sysctl("kern.bootsessionuuid") or "unknown"
        self._uptime = getattr(time, "CLOCK_UPTIME_RAW", time.CLOCK_MONOTONIC)

    def boot_id(self) -> str:
        return self._boot_id

    def boottime_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000  # runs during sleep on macOS

    def monotonic_ms(self) -> int:
        return time.clock_gettime_ns(self._uptime) // 1_000_000

    def _info(self, pid: int, kind: int, size: int) -> bytes | None:
        buffer = ctypes.create_string_buffer(size)
        got = self._libproc.proc_pidinfo(pid, kind, ctypes.c_uint64(0), buffer, size)
        return buffer.raw if got == size else None

    def _started_us(self, pid: int, *, zombie: bool = False) -> int | None:
        info = self._info(pid, _BSD_INFO, _BSD_INFO_BYTES)
        if info is None or (struct.unpack_from("=I", info, _STATUS_AT)[0] == _ZOMBIE and not zombie):
            return None
        seconds, microseconds = struct.unpack_from("=QQ", info, _START_AT)
        return int(seconds * 1_000_000 + microseconds)

    def process_key(self, pid: int, *, zombie: bool = False) -> str | None:
        started = self._started_us(pid, zombie=zombie)
        return None if started is None else f"{self._boot_id}:{started}"

    def process_started_ms(self, pid: int) -> int | None:
        started = self._started_us(pid)
        return None if started is None else started // 1000

    def descendants(self, tree: Tree) -> list[int]:
        found: list[int] = []
        todo = [tree.shim]
        while todo:
            children = (ctypes.c_int * _MOST_CHILDREN)()
            count = self._libproc.proc_listchildpids(todo.pop(), children, ctypes.sizeof(children))
            below = [pid for pid in children[: max(0, count)] if self.process_key(pid) is not None]
            found += below
            todo += below
        return sorted(found)

    def orphans(self, shim: int) -> list[int]:
        found = _output("/bin/ps", "-axo", "pid=,sess=").splitlines()
        return [int(line.split()[0]) for line in found if line.split()[1:] == [str(shim)]]

    def usage(self, tree: Tree) -> Usage:
        total = 0
        for pid in self.descendants(tree):
            info = self._info(pid, _TASK_INFO, _TASK_INFO_BYTES)
            if info is not None:
                total += sum(struct.unpack_from("=QQ", info, 16))
        return Usage(total // 1_000_000, None)

    def end_tree(self, tree: Tree) -> None:
        for pid in self.descendants(tree):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(tree.child, signal.SIGKILL)

    def own_cpu_ms(self) -> int:
        return time.process_time_ns() // 1_000_000

    def own_rss_bytes(self) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS; the highest so far

    def machine_identity(self) -> list[str]:
        found = _output("/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice")
        lines = [line for line in found.splitlines() if "IOPlatformUUID" in line]
        return [line.rpartition("=")[2].strip().strip('"') for line in lines]

    def os_version(self) -> str:
        return f"macOS {platform.mac_ver()[0]}"


def _sysctl(name: str) -> str:
    return _output("/usr/sbin/sysctl", "-n", name)


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
