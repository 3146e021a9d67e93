"""Where callers are let in: accepts connections, and stops for a while when no file descriptor is left for more.

Owns the accepting, in place of the event loop's own. libuv turns callers away by closing a spare descriptor; once it
could not open that one again (another thread was quicker, or the limit was lowered) it goes on asking for a caller that
it cannot have, as fast as a core allows. Here they wait in the backlog meanwhile. Never looks at what a caller says.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import ssl
from collections.abc import Callable
from typing import Final

import structlog

logger = structlog.get_logger(__name__)

PAUSE_S: Final = 0.5
AT_ONCE: Final = 64
"""Callers that are let in before everybody who is inside has a turn."""
RESERVE: Final = 32
"""Descriptors that callers never get: what the program opens itself (a backup, SQLite's files) needs some."""
TOLD_EVERY_S: Final = 60.0
"""At the limit, callers come and go by the second; a log that says so each time hides everything else."""

_NOBODY: Final = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ECONNABORTED})


class Door:
    """One listening socket, which stays its owner's to close. Callers come in from `open()` to `close()`."""

    def __init__(
        self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None
    ) -> None:
        self._listening, self._protocol, self._tls = listening, protocol, tls
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[None]] = set()
        self._later: asyncio.TimerHandle | None = None
        self._closed = False
        self._told = False
        self._next_told_at = 0.0

    def open(self) -> None:
        """Let callers in from now on."""
        self._listening.setblocking(False)
        self._loop.add_reader(self._listening, self._let_in)

    def close(self) -> None:
        """Nobody more. Who was on the threshold (TLS not agreed yet) is sent away."""
        if self._closed:
            return
        self._closed = True
        if self._later is not None:
            self._later.cancel()
        self._loop.remove_reader(self._listening)
        for entering in self._entering:
            entering.cancel()

    def _let_in(self) -> None:
        for _ in range(AT_ONCE):
            try:
                caller, _address = self._listening.accept()
            except OSError as error:
                if error.errno not in _NOBODY:
                    self._wait(error.strerror or str(error))
                return
            if _is_reserved(caller.fileno()):
                caller.close()  # told at once: to keep one at each try would give the reserve away
                self._wait("only the program's own are left")
                return
            entering = self._loop.create_task(self._enter(caller))
            self._entering.add(entering)
            entering.add_done_callback(self._entering.discard)
            self._has_room()

    def _wait(self, why: str) -> None:
        if (now := self._loop.time()) >= self._next_told_at:
            self._told, self._next_told_at = True, now + TOLD_EVERY_S
            logger.warning("door.waits", why=why, hint="each caller is an open file: LimitNOFILE= of the service")
        self._loop.remove_reader(self._listening)
        self._later = self._loop.call_later(PAUSE_S, self._again)

    def _again(self) -> None:
        self._later = None
        self._loop.add_reader(self._listening, self._let_in)

    def _has_room(self) -> None:
        if self._told:
            self._told = False
            logger.info("door.open_again")

    async def _enter(self, caller: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, caller, ssl=self._tls)
        except (OSError, asyncio.CancelledError):  # gone before it was in, or TLS that was none
            with contextlib.suppress(OSError):
                caller.close()


def _is_reserved(number: int) -> bool:
    """A new descriptor has the lowest number that is free: one near the limit says that few are left."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most != resource.RLIM_INFINITY and number >= most - min(RESERVE, most // 8)
