"""The event log: sequences at once, durable soon, one wake-up of the loop per commit.

Owns the futures of what was appended, the bound on what may wait, and the order in which a failure is told. Every
method but the reading ones runs on the event loop's thread, which never waits for the disk here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from caisey.core.audit import head_bytes, signed_head
from caisey.core.spoken import rfc3339
from caisey.storage.contract import (
    Appended,
    AppendFailed,
    Closed,
    Entry,
    EventsFound,
    EventsWanted,
    Health,
    Overloaded,
    Stored,
    Write,
)
from caisey.storage.migrations import migrate
from caisey.storage.sqlite.checkpoints import Checkpointer
from caisey.storage.sqlite.connections import open_writer
from caisey.storage.sqlite.reading import Readers
from caisey.storage.sqlite.rows import CHAIN_ENDS
from caisey.storage.sqlite.writer import Unit, Writer

MAX_PENDING_UNITS: Final = 20_000
MAX_PENDING_BYTES: Final = 64 * 1024 * 1024
_UNIT_BYTES: Final = 512

_UNSIGNED_ENDS: Final = f"""
SELECT id, sequence, digest FROM ({CHAIN_ENDS}) AS ends
WHERE sequence > COALESCE((SELECT MAX(heads.sequence) FROM heads WHERE heads.organization_id = ends.id), 0)
"""  # noqa: S608  # constants only
_ADD_HEAD: Final = (
    "INSERT INTO heads (organization_id, sequence, digest, at_ms, signature) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)


class _Failure(NamedTuple):
    """A failure that the loop has not been told of yet: nothing of these organizations is taken until then."""

    units: list[Unit]
    organizations: set[str] | None
    error: BaseException


class SqliteLog:
    """`storage.contract.Log` on one SQLite file. The caller holds the data directory's lock until it is closed."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        """Open and migrate; `open` is the way in."""
        connection = open_writer(path)
        try:
            migrate(connection, str(path))
        finally:
            connection.close()
        self._loop = loop
        gate = threading.Lock()
        self._writer = Writer(path, self, gate)
        self._checkpointer = Checkpointer(path, self._writer.dirty, gate)
        self._readers = Readers(path)
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._waiting_bytes = 0
        self._next_key = 0
        self._untold: list[_Failure] = []
        self._on_failure: list[Callable[[], None]] = []
        self._commits = self._units = self._events = self._failures = 0
        self._closed = False
        self._closing: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._writer.start()
        self._checkpointer.start()

    @classmethod
    async def open(cls, path: Path) -> Self:
        """The log in `path`, which exists and is private. Raises `DatabaseTooNew`, `sqlite3.Error`."""
        return cls(path, asyncio.get_running_loop())

    # -- appending --------------------------------------------------------------------------------------------------

    def append(self, entries: Sequence[Entry], writes: Sequence[Write] = ()) -> Appended:
        """See `contract.Log.append`."""
        if self._closed:
            raise Closed("the log is closed")
        size = _size(entries, writes)
        if len(self._waiting) >= MAX_PENDING_UNITS or self._waiting_bytes + size > MAX_PENDING_BYTES:
            raise Overloaded(f"{len(self._waiting)} units wait for their commit")
        committed: asyncio.Future[None] = self._loop.create_future()
        sequences: list[int] = []
        writer = self._writer
        with writer.lock:
            if self._untold:
                self._refuse_broken(entries)
            assigned = writer.assigned
            for entry in entries:
                sequence = assigned.get(entry.organization_id, 0) + 1
                assigned[entry.organization_id] = sequence
                sequences.append(sequence)
            key = self._next_key
            self._next_key = key + 1
            writer.queue.put(Unit(key, entries, writes, size))
        self._waiting[key] = committed
        self._waiting_bytes += size
        return Appended(sequences, committed)

    def next_sequence(self, organization_id: str) -> int:
        """See `contract.Log.next_sequence`."""
        return self._writer.assigned.get(organization_id, 0) + 1

    def _refuse_broken(self, entries: Sequence[Entry]) -> None:
        for failure in self._untold:
            if failure.organizations is None or any(e.organization_id in failure.organizations for e in entries):
                raise Overloaded("a failed commit is being cleared up")

    def on_failure(self, callback: Callable[[], None]) -> None:
        """See `contract.Log.on_failure`."""
        self._on_failure.append(callback)

    async def sign_heads(self, sign: Callable[[bytes], bytes], at_ms: int) -> int:
        """See `contract.Log.sign_heads`."""
        ends = await self.query(_UNSIGNED_ENDS)
        at = rfc3339(at_ms)
        writes: list[Write] = []
        for organization_id, sequence, digest in ends:
            signature = sign(head_bytes(sequence, digest.hex(), at))
            head = signed_head(sequence, digest.hex(), at, signature)
            writes.append((_ADD_HEAD, (organization_id, sequence, head.digest, at_ms, head.signature)))
        if writes:
            await self.append((), writes).committed
        return len(writes)

    # -- reading ----------------------------------------------------------------------------------------------------

    def query_now(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """See `contract.Log.query_now`."""
        return self._readers.query_now(sql, params)

    async def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """See `contract.Log.query`."""
        return await self._readers.query(sql, params)

    def newest_of_session(self, session_id: str, after: int, limit: int) -> list[Stored]:
        """See `contract.Log.newest_of_session`."""
        return self._readers.newest_of_session(session_id, after, limit)

    def newest_of_organization(self, organization_id: str, after: int, limit: int) -> list[Stored]:
        """See `contract.Log.newest_of_organization`."""
        return self._readers.newest_of_organization(organization_id, after, limit)

    async def read_session(self, session_id: str, after: int = 0, limit: int = 1_000) -> list[Stored]:
        """See `contract.Log.read_session`."""
        return await self._readers.by_session(session_id, after, limit)

    async def read_organization(self, organization_id: str, after: int = 0, limit: int = 1_000) -> list[Stored]:
        """See `contract.Log.read_organization`."""
        return await self._readers.by_organization(organization_id, after, limit)

    async def search_organization(
        self, organization_id: str, wanted: EventsWanted, before: int, limit: int
    ) -> EventsFound:
        """See `contract.Log.search_organization`."""
        return await self._readers.search(organization_id, wanted, before, limit)

    async def read_positions(self, after: int = 0, limit: int = 1_000) -> list[Stored]:
        """See `contract.Log.read_positions`."""
        return await self._readers.by_position(after, limit)

    def health(self) -> Health:
        """See `contract.Log.health`."""
        return Health(
            pending_units=len(self._waiting),
            commits=self._commits,
            units=self._units,
            events=self._events,
            failures=self._failures,
            wal_bytes=self._checkpointer.wal_bytes,
        )

    async def close(self) -> None:
        """See `contract.Log.close`. Also after the writer ended by itself; twice does nothing more."""
        self._closed = True
        if self._closing is None:
            self._writer.queue.put(None)
            self._closing = asyncio.create_task(self._finish())
        await asyncio.shield(self._closing)

    async def _finish(self) -> None:
        await self._ended.wait()
        await asyncio.to_thread(self._close_files)

    def _close_files(self) -> None:
        self._writer.join()
        self._readers.close()
        self._checkpointer.close()

    # -- what the writer says, in its thread ------------------------------------------------------------------------

    def committed(self, units: list[Unit], events: int) -> None:
        """See `writer.Answers.committed`."""
        self._tell(self._resolve, units, events)

    def failed(self, units: list[Unit], organizations: set[str] | None, error: BaseException) -> None:
        """See `writer.Answers.failed`. The writer holds its lock: nothing is taken between the failure and this."""
        failure = _Failure(units, organizations, error)
        self._untold.append(failure)
        self._tell(self._fail, failure)

    def stopped(self, *, expected: bool) -> None:
        """See `writer.Answers.stopped`."""
        self._tell(self._end, expected)

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        # A loop that was closed first has nobody left who waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    # -- the same, on the loop's thread -----------------------------------------------------------------------------

    def _resolve(self, units: list[Unit], events: int) -> None:
        self._commits += 1
        self._units += len(units)
        self._events += events
        for unit in units:
            future = self._settled(unit)
            if not future.done():
                future.set_result(None)

    def _fail(self, failure: _Failure) -> None:
        self._failures += 1
        futures = [self._settled(unit) for unit in failure.units]
        for callback in self._on_failure:
            callback()
        with self._writer.lock:
            self._untold.remove(failure)
        for future in futures:
            _fail_future(future, f"not committed: {failure.error}", failure.error)

    def _settled(self, unit: Unit) -> asyncio.Future[None]:
        self._waiting_bytes -= unit.size
        return self._waiting.pop(unit.key)

    def _end(self, expected: bool) -> None:
        self._closed = True
        if not expected:
            for callback in self._on_failure:
                callback()
        while self._waiting:
            _, future = self._waiting.popitem()
            _fail_future(future, "not committed: the writer ended", None)
        self._ended.set()


def _fail_future(future: asyncio.Future[None], words: str, cause: BaseException | None) -> None:
    if not future.done():
        error = AppendFailed(words)
        error.__cause__ = cause
        future.set_exception(error)
        future.exception()  # seen: who appended without waiting was told by `on_failure`


def _size(entries: Sequence[Entry], writes: Sequence[Write]) -> int:
    """About how much memory a unit holds while it waits."""
    values = [value for _, params in writes for value in params]
    for entry in entries:
        values.extend(entry.payload.values())
    return _UNIT_BYTES * (len(entries) + 1) + sum(len(value) for value in values if isinstance(value, bytes | str))
