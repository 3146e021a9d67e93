"""The data directory: private to its owner, and to one process at a time.

Owns its mode, its lock and the paths of what lies in it. Two control planes on one log would each give the same
sequence to different events, so the lock comes before anything is opened.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Final, Self

from caisey.storage.contract import DataDirectoryInUse, DataDirectoryUnsafe

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_OTHERS: Final = 0o077
_PID_BYTES: Final = 32


class DataDirectory:
    """A locked data directory. The lock ends with `close`, or with the process, however it ends."""

    def __init__(self, path: Path) -> None:
        """Make it if it is missing, check it, lock it. Raises `DataDirectoryInUse`, `DataDirectoryUnsafe`."""
        self.path = path
        _make_private(path)
        self._lock = _lock(path / "lock", path)

    @property
    def database(self) -> Path:
        """The SQLite file, there and private, perhaps still empty."""
        path = self.path / "caisey.db"
        make_private_file(path)
        return path

    def close(self) -> None:
        """Let another process have it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_private_file(path: Path) -> None:
    """Make an empty 0600 file where there is none; refuse one that others can read or write."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    except OSError as error:
        raise DataDirectoryUnsafe(f"{path} cannot be opened: {error.strerror}") from error
    try:
        _refuse_others(path, os.fstat(descriptor))
    finally:
        os.close(descriptor)
    _sync_directory(path.parent)


def _make_private(path: Path) -> None:
    try:
        path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as error:
        raise DataDirectoryUnsafe(f"{path} cannot be used: {error.strerror}") from error
    _refuse_others(path, found)


def _refuse_others(path: Path, found: os.stat_result) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if mode & _OTHERS:
        wanted = DIRECTORY_MODE if stat.S_ISDIR(found.st_mode) else FILE_MODE
        raise DataDirectoryUnsafe(f"{path} has mode {mode:04o} and others can use it; run: chmod {wanted:o} {path}")
    if found.st_uid != os.geteuid():
        raise DataDirectoryUnsafe(f"{path} belongs to user {found.st_uid}, not to {os.geteuid()}")


def _lock(path: Path, directory: Path) -> int:
    make_private_file(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        owner = os.pread(descriptor, _PID_BYTES, 0).strip()
        os.close(descriptor)
        raise DataDirectoryInUse(str(directory), int(owner) if owner.isdigit() else None) from error
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _sync_directory(path: Path) -> None:
    """A new file is durable once the directory that names it is."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
