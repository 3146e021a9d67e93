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

import msgspec

from caisey.storage.contract import Closed, EventsFound, EventsWanted, Stored
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


_SEARCH: Final = f"""
    SELECT {COLUMNS} FROM events
    WHERE organization_id = ?1 AND sequence < ?2 AND sequence >= ?3
        AND (?4 IS NULL OR type = ?4 OR (substr(?4, -1) = '.' AND substr(type, 1, length(?4)) = ?4))
        AND (?5 IS NULL OR actor_id = ?5 OR actor_kind = ?5)
        AND (?6 IS NULL OR session_id = ?6)
        AND (?7 IS NULL OR json_extract(payload, '$.endpoint_id') = ?7
            OR session_id IN (SELECT s.session_id FROM sessions s WHERE s.endpoint_id = ?7))
        AND (?8 IS NULL OR instr(lower(payload), lower(?8)) > 0 OR instr(lower(coalesce(reason, '')), lower(?9)) > 0)
        AND (?10 IS NULL OR at_ms >= ?10) AND (?11 IS NULL OR at_ms <= ?11)
    ORDER BY sequence DESC LIMIT ?12
"""  # noqa: S608
SEARCHED: Final = 100_000
"""One search looks at so many events at most."""


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

    def newest_of_session(self, session_id: str, after: int, limit: int) -> list[Stored]:
        """Events of a session, read on this thread."""
        return [stored(row) for row in self.query_now(_BY_SESSION, (session_id, after, limit))]

    def newest_of_organization(self, organization_id: str, after: int, limit: int) -> list[Stored]:
        """Events of an organization, read on this thread."""
        return [stored(row) for row in self.query_now(_BY_ORGANIZATION, (organization_id, after, limit))]

    async def by_session(self, session_id: str, after: int, limit: int) -> list[Stored]:
        """Events of a session."""
        return await self._events(_BY_SESSION, (session_id, after, min(limit, MAX_EVENTS)))

    async def by_organization(self, organization_id: str, after: int, limit: int) -> list[Stored]:
        """Events of an organization."""
        return await self._events(_BY_ORGANIZATION, (organization_id, after, min(limit, MAX_EVENTS)))

    async def by_position(self, after: int, limit: int) -> list[Stored]:
        """Events of all organizations."""
        return await self._events(_BY_POSITION, (after, min(limit, MAX_EVENTS)))

    async def search(self, organization_id: str, wanted: EventsWanted, before: int, limit: int) -> EventsFound:
        """Newest first; one more than `limit` is read, to know whether the piece was looked through."""
        start = max(1, before - SEARCHED)
        text = wanted.text
        spelled = None if text is None else msgspec.json.encode(text).decode()[1:-1]
        asked = (wanted.type, wanted.actor, wanted.session_id, wanted.endpoint_id, spelled, text)
        values = (organization_id, before, start, *asked, wanted.since_ms, wanted.until_ms, limit + 1)
        found = await self._events(_SEARCH, values)
        if len(found) > limit:
            return EventsFound(found[:limit], found[limit - 1].sequence)
        return EventsFound(found, start)

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
