"""Processes on Linux, from /proc.

Owns two looks at every process, a short while apart: the difference is what it uses now. A process that goes away
between the looks is no fault.
"""

from __future__ import annotations

import os
import pwd
import time

from caisey.tools.builtin.linux.system import boot_time
from caisey.tools.builtin.report import Row, spelled_time

LOOK_S = 0.2
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SHORT_NAME = 15
"""The kernel cuts the name of a process here."""


class Look:
    """What `/proc/PID/stat` says of one process."""

    __slots__ = ("cpu_ticks", "name", "pages", "start_ticks", "state")

    def __init__(self, line: str) -> None:
        """Read a line of proc(5) `stat`. The name stands in brackets and may hold anything, brackets too."""
        opening, closing = line.index("("), line.rindex(")")
        self.name = line[opening + 1 : closing]
        fields = line[closing + 2 :].split(" ")
        self.state = fields[0]
        self.cpu_ticks = int(fields[11]) + int(fields[12])
        self.start_ticks = int(fields[19])
        self.pages = int(fields[21])


def processes() -> list[Row]:
    """Every process, the dead that wait for their parent left out."""
    before, began = _look(), time.monotonic()
    time.sleep(LOOK_S)
    after, elapsed = _look(), time.monotonic() - began
    booted = boot_time()
    users: dict[int, str] = {}
    rows = []
    for pid, look in after.items():
        user = _user(pid, users)
        if user is None or look.state in {"Z", "X"}:
            continue
        former = before.get(pid)
        same = former is not None and former.start_ticks == look.start_ticks
        used = look.cpu_ticks - former.cpu_ticks if former is not None and same else look.cpu_ticks
        rows.append(
            {
                "pid": pid,
                "name": _full_name(pid, look.name),
                "user": user,
                "cpu_percent": round(used / _TICKS / elapsed * 100, 1),
                "rss_bytes": look.pages * _PAGE,
                "started_at": spelled_time(booted + look.start_ticks / _TICKS),
            }
        )
    return rows


def _look() -> dict[int, Look]:
    looks = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    looks[int(name)] = Look(file.read())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return looks


def _user(pid: int, known: dict[int, str]) -> str | None:
    """Whose it is: the account's name, or its number where it has none; `None` of a process that is gone."""
    try:
        uid = os.stat(f"/proc/{pid}").st_uid
    except FileNotFoundError:
        return None
    if uid not in known:
        try:
            known[uid] = pwd.getpwuid(uid).pw_name
        except KeyError:
            known[uid] = str(uid)
    return known[uid]


def _full_name(pid: int, name: str) -> str:
    """The name in full where the kernel cut it. Of the arguments only the program is read: the rest may be secret."""
    if len(name) < _SHORT_NAME:
        return name
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            program = os.path.basename(file.read(4096).split(b"\0")[0].decode("utf-8", "replace"))
    except (FileNotFoundError, ProcessLookupError):
        return name
    return program if program.startswith(name) else name
