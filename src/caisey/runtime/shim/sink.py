"""One stream of a command on its way into the spool: everything is counted and hashed, a bounded part is kept.

Owns the layout of a stream's two files: `{name}` holds the head, `{name}.tail` a ring with the last bytes past it. What
lies between is a gap, known in full when the command has ended. Never blocks the command for a full disk: what cannot
be kept is counted.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, Final

TAIL_BYTES: Final = 1024 * 1024
_TAIL_SHARE: Final = 4


def tail_bytes(limit: int) -> int:
    """How much of `limit` is kept for the end of a stream."""
    return min(TAIL_BYTES, limit // _TAIL_SHARE)


class Sink:
    """Takes the bytes of one stream. `limit`: how many are kept; `why`: what to say of those that are not."""

    def __init__(self, directory: str, name: str, limit: int, why: str) -> None:
        self.name = name
        self.bytes = 0
        self.blank = True
        self.why = why
        self._path = os.path.join(directory, name)
        self._ring = tail_bytes(limit)
        self._head_limit = limit - self._ring
        self.head = 0
        self._digest = hashlib.sha256()
        self._head_fd = -1
        self._tail_fd = -1

    def take(self, data: bytes) -> None:
        """Count, hash and keep what came."""
        self._digest.update(data)
        if self.blank and data.strip():
            self.blank = False
        start = self.bytes
        self.bytes += len(data)
        room = self._head_limit - self.head
        if room > 0:
            if self._head_fd < 0:
                self._head_fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self.head += self._write(self._head_fd, data[:room], self.head)
            if self.head < min(self._head_limit, self.bytes):
                self._give_up()
            data, start = data[room:], start + min(room, len(data))
        if data and self._ring:
            self._keep_tail(data, start)

    def _keep_tail(self, data: bytes, start: int) -> None:
        if len(data) > self._ring:
            start, data = start + len(data) - self._ring, data[-self._ring :]
        if self._tail_fd < 0:
            self._tail_fd = os.open(self._path + ".tail", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        place = (start - self._head_limit) % self._ring
        first = self._ring - place
        kept = self._write(self._tail_fd, data[:first], place) + self._write(self._tail_fd, data[first:], 0)
        if kept < len(data):
            self._give_up()

    def _write(self, fd: int, data: bytes, offset: int) -> int:
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(fd, data[written:], offset + written)
        except OSError:
            return written
        return written

    def _give_up(self) -> None:
        """The disk is full: nothing more is kept, and the tail, now with holes, counts for nothing."""
        self._head_limit, self._ring, self.why = self.head, 0, "spool_full"

    def close(self) -> None:
        for fd in (self._head_fd, self._tail_fd):
            if fd >= 0:
                os.close(fd)
        self._head_fd = self._tail_fd = -1

    def summary(self) -> dict[str, Any]:
        """What `execution.streams` says of it (PROTOCOL.md §4)."""
        return {
            "bytes": self.bytes,
            "sha256": self._digest.hexdigest(),
            "blank": self.blank,
            "truncated": self.bytes > self.head + self._tail_kept(),
        }

    def layout(self) -> dict[str, Any]:
        """Where its bytes lie in the spool: the head, and the ring that holds the last of them."""
        return {
            "head": self.head,
            "tail": self._tail_kept(),
            "ring": self._ring,
            "base": self._head_limit,
            "why": self.why,
        }

    def _tail_kept(self) -> int:
        return min(self._ring, max(0, self.bytes - self._head_limit))
