"""Who lives on this computer: processes by identity, incarnations by the lock each holds.

Owns the `live` folder of a journal: one file for each runtime, locked for as long as it runs, with its incarnation
inside. The kernel drops the lock of a process that dies, however it dies, so that nobody has to be asked.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from caisey.protocol.frames import Owner
from caisey.runtime.platforms import Platform, Usage
from caisey.runtime.processes import End, Identity, Shelter, StartSeen, tree_of
from caisey.runtime.spool import Spool, child_in


class AlreadyRunningError(Exception):
    """Another process runs this runtime. Two must never share a key."""


def hold_lock(path: Path, content: str = "") -> int:
    """Lock a file for as long as this process lives. Raises `AlreadyRunningError` where another holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as held:
        os.close(fd)
        raise AlreadyRunningError(str(path)) from held
    os.ftruncate(fd, 0)
    os.write(fd, content.encode())
    return fd


class LocalCensus:
    """The census of this computer, for one journal."""

    def __init__(self, platform: Platform, spool: Spool, live: Path, me: Owner) -> None:
        self._platform = platform
        self._spool = spool
        self._live = live
        self._me = me
        self._lock = hold_lock(live / me.runtime_id, me.incarnation)

    def close(self) -> None:
        os.close(self._lock)

    def alive(self, process: Identity) -> bool:
        return bool(process.key) and self._platform.process_key(process.pid) == process.key

    def child_of(self, spool: str) -> StartSeen | None:
        return child_in(self._spool.folder(spool))

    def strays(self, shim: Identity) -> bool:
        return bool(self._platform.orphans(shim.pid)) and shim.key.startswith(f"{self._platform.boot_id()}:")

    def end_record(self, spool: str) -> End | None:
        return self._spool.end_record(spool)

    def incarnation_lives(self, runtime_id: str, incarnation: str) -> bool:
        if runtime_id == self._me.runtime_id:
            return incarnation == self._me.incarnation
        return self._living(self._live / runtime_id) == incarnation

    def live_incarnations(self) -> set[str]:
        """Every incarnation that runs on this journal now."""
        return {living for path in self._live.iterdir() if (living := self._living(path))} | {self._me.incarnation}

    @staticmethod
    def _living(path: Path) -> str:
        """The incarnation that holds this lock, or nothing. A shared lock asks without taking it from its owner."""
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return ""
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.read(fd, 128).decode("utf-8", "replace")
        finally:
            os.close(fd)
        return ""

    def usage(self, shelter: Shelter) -> Usage:
        return self._platform.usage(tree_of(shelter))
