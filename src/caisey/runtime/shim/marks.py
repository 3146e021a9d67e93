"""The two files that prove what happened: the started marker and the end record (RECOVERY.md §5).

Owns their names, how they are made durable, and how they are read. The marker is synced before the command executes;
the end record appears whole or not at all. Never overwrites an end record.
"""

from __future__ import annotations

import json
import os
from typing import Any, Final

MARKER: Final = "started"
END: Final = "end"
CHILD: Final = "child"
CONTROL: Final = "control"
_MARKER_IN_PROGRESS: Final = "started.part"
_END_IN_PROGRESS: Final = "end.part"
_END_BYTES: Final = 4096
"""An end record is below 1 KiB; its blocks are allocated before the command starts, for a disk that fills meanwhile."""


def sync_directory(path: str) -> None:
    """Make names in a directory durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def prepare_marker(directory: str, content: dict[str, Any]) -> None:
    """Write the marker's content under another name, and sync it, while there is time."""
    fd = os.open(os.path.join(directory, _MARKER_IN_PROGRESS), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, json.dumps(content).encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def set_marker(directory: str) -> None:
    """Give the marker its name and return when that is on disk: the command may execute now, and not before."""
    os.rename(os.path.join(directory, _MARKER_IN_PROGRESS), os.path.join(directory, MARKER))
    sync_directory(directory)


def write_child(directory: str, content: dict[str, Any]) -> None:
    """Write down who the command is. One write, not synced: it is asked for only while this boot lasts."""
    fd = os.open(os.path.join(directory, CHILD), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, json.dumps(content).encode())
    finally:
        os.close(fd)


def reserve_end(directory: str) -> None:
    """Allocate the space of the end record before there is anything to record."""
    fd = os.open(os.path.join(directory, _END_IN_PROGRESS), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, b"\0" * _END_BYTES)
    finally:
        os.close(fd)


def write_end(directory: str, content: dict[str, Any]) -> None:
    """Write the end record over its reserved space, sync it, and give it its name.

    The name itself is synced by the caller once the runtime was told: it journals the end before it speaks of it.
    """
    part = os.path.join(directory, _END_IN_PROGRESS)
    data = json.dumps(content).encode()
    fd = os.open(part, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(fd, data)
        os.ftruncate(fd, len(data))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(part, os.path.join(directory, END))


def read_mark(directory: str, name: str) -> dict[str, Any] | None:
    """The marker or the end record, or `None` where there is none that can be read whole."""
    try:
        with open(os.path.join(directory, name), "rb") as file:
            content = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return content if isinstance(content, dict) else None
