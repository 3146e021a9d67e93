"""Readers of the log: committed rows, never in the writer's way.

Owns the reading connections: one for look-ups on the loop's thread, and one for each thread of a small pool. A reader
sees what was committed when its statement began.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from caisey.storage.contract import Closed, Stored
from caisey.storage.sqlite.connections import open_reader
from caisey.storage.sqlite.rows import COLUMNS, stored

T = TypeVar("T")

THREADS: Final = 3
MAX_EVENTS: Final = 10_000
"""No read returns more; who wants all goes on after the last."""

_BY_SESSION: Final = f"SELECT {COLUMNS} FROM events WHERE session_id = ? AND sequence > ? ORDER BY sequence LIMIT ?"  # noqa: S608
_BY_ORGANIZATION: Final = (
    f"SELECT {COLUMNS} FROM events WHERE organization_id = ? AND sequence > ? ORDER BY sequence LIMIT ?"  # noqa: S608
)
_BY_POSITION: Final = f"SELECT {COLUMNS} FROM events WHERE position > ? ORDER BY position LIMIT ?"  # noqa: S608


class Readers:
    """See the module."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._now = open_reader(path)
        self._opened = [self._now]
        self._opening = threading.Lock()
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="log-reader")
        self._closed = False

    def query_now(self, sql: str, params: Sequence[object]) -> list[tuple[Any, ...]]:
        """Read on this thread."""
        if self._closed:
            raise Closed("the log is closed")
        return self._now.execute(sql, tuple(params)).fetchall()

    async def query(self, sql: str, params: Sequence[object]) -> list[tuple[Any, ...]]:
        """Read in the pool."""
        values = tuple(params)
        return await self._in_pool(lambda connection: connection.execute(sql, values).fetchall())

    async def by_session(self, session_id: str, after: int, limit: int) -> list[Stored]:
        """Events of a session."""
        return await self._events(_BY_SESSION, (session_id, after, min(limit, MAX_EVENTS)))

    async def by_organization(self, organization_id: str, after: int, limit: int) -> list[Stored]:
        """Events of an organization."""
        return await self._events(_BY_ORGANIZATION, (organization_id, after, min(limit, MAX_EVENTS)))

    async def by_position(self, after: int, limit: int) -> list[Stored]:
        """Events of all organizations."""
        return await self._events(_BY_POSITION, (after, min(limit, MAX_EVENTS)))

    async def _events(self, sql: str, params: tuple[object, ...]) -> list[Stored]:
        return await self._in_pool(lambda connection: [stored(row) for row in connection.execute(sql, params)])

    async def _in_pool(self, read: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise Closed("the log is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: read(self._connection()))

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = open_reader(self._path)
            self._own.connection = connection
            with self._opening:
                self._opened.append(connection)
        return connection

    def close(self) -> None:
        """Finish what is being read, then close."""
        self._closed = True
        self._pool.shutdown(wait=True)
        for connection in self._opened:
            connection.close()
