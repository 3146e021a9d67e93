"""What crosses the socket between runtime and shim: lines of JSON.

Owns the framing alone; `warm`, `life` and `launcher` own what is said.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class Lines:
    """One connection as lines of JSON, never blocking once `blocking` is off."""

    LIMIT = 2 * 1024 * 1024

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = b""
        self._unsent = b""

    def fileno(self) -> int:
        return self.connection.fileno()

    def read(self) -> list[dict[str, Any]] | None:
        """The messages that came, or `None` when the other side is gone or talks nonsense."""
        try:
            data = self.connection.recv(1 << 16)
        except BlockingIOError:
            return []
        except OSError:
            return None
        self._buffer += data
        if not data or len(self._buffer) > self.LIMIT:
            return None
        *lines, self._buffer = self._buffer.split(b"\n")
        try:
            messages = [json.loads(line) for line in lines]
        except ValueError:
            return None
        return messages if all(isinstance(message, dict) for message in messages) else None

    def say(self, **message: Any) -> None:
        """Tell the other side. What it does not read at once waits here; one that never reads is cut off."""
        self._unsent += json.dumps(message).encode() + b"\n"
        self.flush()

    @property
    def behind(self) -> bool:
        """Whether the other side has yet to take what was said; news that can be said later should wait."""
        return bool(self._unsent)

    def flush(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self.connection.send(self._unsent) :]
        except BlockingIOError:
            if len(self._unsent) > self.LIMIT:
                self._unsent = b""
                self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            self._unsent = b""

    def close(self) -> None:
        self.connection.close()
