"""Linux: processes by /proc, trees by cgroup v2 where a group can be made, else by the subreaper.

Owns every path below /proc and the cgroup mount. Never trusts a pid without its start time, and never takes a process
for dead because it could not be looked at.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import signal
import time

from caisey.runtime.platforms import Tree, Usage

_ASKED = 64
"""Processes of one tree that are asked what they wait for; a tree may have thousands, once a second."""
_NOTHING_LEFT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Why a look at a process fails that says nothing about the process."""
BOOT_ID = "/proc/sys/kernel/random/boot_id"
_STATE, _SESSION, _STARTTIME = 0, 3, 19
_UTIME, _CHILD_STIME = 11, 14
_READ = {"x86_64": 0, "aarch64": 63, "armv7l": 3, "i686": 3, "riscv64": 63}.get(platform.machine())
_READY = {
    "x86_64": (7, 23, 232, 270, 271, 281),
    "aarch64": (22, 72, 73),
}.get(platform.machine(), ())
"""poll, select, epoll_wait and their kin: a process that sleeps there may wait for input, or for anything else."""


class Linux:
    """The platform of an endpoint that runs Linux."""

    name = "linux"

    def __init__(self) -> None:
        self._boot_id = _text(BOOT_ID) or "unknown"
        self._ticks = os.sysconf("SC_CLK_TCK")

    def boot_id(self) -> str:
        return self._boot_id

    def boottime_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def monotonic_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000

    def process_key(self, pid: int, *, zombie: bool = False) -> str | None:
        fields = _stat(pid, certain=True)
        if fields is None or (fields[_STATE] in "ZX" and not zombie):
            return None
        return f"{self._boot_id}:{fields[_STARTTIME]}"

    def process_started_ms(self, pid: int) -> int | None:
        fields = _stat(pid)
        if fields is None:
            return None
        age_ms = self.boottime_ms() - int(fields[_STARTTIME]) * 1000 // self._ticks
        return time.time_ns() // 1_000_000 - age_ms

    def descendants(self, tree: Tree) -> list[int]:
        found = {pid for pid in _below(tree.shim) if not _is_zombie(pid)}
        if tree.cgroup is not None:
            found.update(int(pid) for pid in _text(f"{tree.cgroup}/cgroup.procs").split())
        found.discard(tree.shim)
        return sorted(found)

    def usage(self, tree: Tree) -> Usage:
        pids = self.descendants(tree)
        return Usage(self._cpu_ms(tree, pids), self._waits_for_input(tree, pids))

    def _cpu_ms(self, tree: Tree, pids: list[int]) -> int:
        if tree.cgroup is not None:
            for line in _text(f"{tree.cgroup}/cpu.stat").splitlines():
                if line.startswith("usage_usec "):
                    return max(0, int(line.split()[1]) // 1000 - self._own_ms(tree.shim))
        ticks = 0
        for pid in pids:
            fields = _stat(pid)
            if fields is not None:
                ticks += sum(int(value) for value in fields[_UTIME : _CHILD_STIME + 1])
        return ticks * 1000 // self._ticks

    def _own_ms(self, pid: int) -> int:
        """CPU time of one process alone."""
        fields = _stat(pid)
        return sum(int(value) for value in fields[_UTIME : _UTIME + 2]) * 1000 // self._ticks if fields else 0

    def orphans(self, shim: int) -> list[int]:
        """Live processes of the session that a shim began; what it let go before it could say who that is."""
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        stats = ((pid, _stat(pid, certain=True)) for pid in pids if pid != shim)
        return [pid for pid, fields in stats if fields and fields[_STATE] not in "ZX" and int(fields[_SESSION]) == shim]

    def _waits_for_input(self, tree: Tree, pids: list[int]) -> bool | None:
        """True: one of them sleeps in a read of the command's own standard input. None: one may, it cannot be told."""
        stdin = _link(f"/proc/{tree.child}/fd/0")
        doubtful = stdin is None or _READ is None or len(pids) > _ASKED
        for pid in pids[:_ASKED]:
            call = _text(f"/proc/{pid}/syscall").split()
            if not call:
                doubtful = True
            elif call[0].isdigit() and int(call[0]) == _READ and _link(f"/proc/{pid}/fd/{int(call[1], 16)}") == stdin:
                return None if stdin is None else True
            elif call[0].isdigit() and int(call[0]) in _READY and _link(f"/proc/{pid}/fd/0") == stdin:
                doubtful = True
        return None if doubtful else False

    def end_tree(self, tree: Tree) -> None:
        if tree.cgroup is not None:
            if tree.shim == os.getpid():
                leave_cgroup(tree.cgroup)
            _write(f"{tree.cgroup}/cgroup.kill", "1")
        for pid in self.descendants(tree):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def machine_identity(self) -> list[str]:
        places = ("/etc/machine-id", "/var/lib/dbus/machine-id", "/sys/class/dmi/id/product_uuid")
        cards = [f"/sys/class/net/{name}" for name in sorted(_names("/sys/class/net"))]
        wired = [f"{card}/address" for card in cards if os.path.exists(f"{card}/device")]
        return [value for value in map(_text, (*places, *wired)) if value]

    def own_cpu_ms(self) -> int:
        return time.process_time_ns() // 1_000_000

    def own_rss_bytes(self) -> int:
        pages = _text("/proc/self/statm").split()[1:2]
        return int(pages[0]) * os.sysconf("SC_PAGE_SIZE") if pages else 0

    def os_version(self) -> str:
        for line in _text("/etc/os-release").splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip().strip('"')
        return platform.release()


def make_cgroup(parent: str, name: str) -> str | None:
    """A new group for one command below the runtime's own; `None` where that cannot be, or cannot be killed."""
    path = f"{parent}/{name}"
    try:
        os.mkdir(path, 0o755)
    except OSError:
        return None
    if os.access(f"{path}/cgroup.kill", os.W_OK):
        return path
    remove_cgroup(path)
    return None


def leave_cgroup(path: str) -> None:
    """Go back to the group above, where this process came from."""
    join_cgroup(os.path.dirname(path), os.getpid())


def own_cgroup() -> str | None:
    """The directory of this process's own group in the cgroup v2 tree."""
    for line in _text("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            mount = before.split()[4]
            break
    else:
        return None
    for line in _text("/proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            path = mount + line[3:].rstrip("/")
            return path if os.access(path, os.W_OK) else None
    return None


def join_cgroup(path: str, pid: int) -> bool:
    return _write(f"{path}/cgroup.procs", str(pid))


def remove_cgroup(path: str) -> None:
    """Take an empty group away; one with live processes stays."""
    with contextlib.suppress(OSError):
        os.rmdir(path)


def sweep_cgroups(parent: str, prefix: str) -> None:
    """Take away the groups of shims that were killed. One that holds a process cannot be taken away."""
    for name in _names(parent):
        if name.startswith(prefix):
            remove_cgroup(f"{parent}/{name}")


def _text(path: str, *, certain: bool = False) -> str:
    """A small file of the kernel; empty where there is none. By descriptor: a text file object costs a fresh shim more
    than all it reads. `certain`: raises OSError where it cannot be told."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        if certain and error.errno in _NOTHING_LEFT:
            raise
        return ""
    try:
        data = b""
        while more := os.read(fd, 65536):
            data += more
    except OSError:
        return ""
    finally:
        os.close(fd)
    return data.decode("utf-8", "replace").strip()


def _write(path: str, text: str) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(fd, text.encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _stat(pid: int, *, certain: bool = False) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; the name before them may hold anything, also brackets."""
    text = _text(f"/proc/{pid}/stat", certain=certain)
    return text.rpartition(")")[2].split() if text else None


def _is_zombie(pid: int) -> bool:
    fields = _stat(pid)
    return fields is None or fields[_STATE] in "ZX"


def _below(pid: int) -> list[int]:
    """Children of a process and theirs, however deep; daemons come back to the shim, which is their subreaper."""
    found: list[int] = []
    todo = [pid]
    while todo:
        here = todo.pop()
        for task in _names(f"/proc/{here}/task"):
            children = [int(child) for child in _text(f"/proc/{here}/task/{task}/children").split()]
            found += children
            todo += children
    return found


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
