"""The one thread that writes: it takes what waits, commits it at once, and says so.

Owns the writing connection, the ends of the chains and the order of commits. While one COMMIT syncs, the next batch
gathers; so the number of syncs does not grow with the load. Never touches the event loop but by the three `Answers`.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final, Protocol

from caisey.storage.contract import Entry, Write
from caisey.storage.sqlite.connections import open_writer
from caisey.storage.sqlite.rows import CHAIN_ENDS, WRITTEN_COLUMNS
from caisey.storage.sqlite.sealing import START, Row, Tip, seal

MAX_BATCH_UNITS: Final = 512
MAX_BATCH_BYTES: Final = 8 * 1024 * 1024

_ROW_VALUES: Final = len(WRITTEN_COLUMNS.split(","))
_CHUNK_ROWS: Final = 64
_VALUES: Final = f"({','.join('?' * _ROW_VALUES)})"
_INSERTS: Final = {
    rows: f"INSERT INTO events ({WRITTEN_COLUMNS}) VALUES {','.join([_VALUES] * rows)}"  # noqa: S608  # constants only
    for rows in (1 << power for power in range(_CHUNK_ROWS.bit_length()))
}
# What says that a unit is at fault, and not the disk or the database. All else would fail its neighbours just as well.
_AT_FAULT: Final = frozenset(
    {
        sqlite3.SQLITE_ERROR,  # no such table, wrong SQL
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_TOOBIG,
    }
)
# What binding and sealing raise for values that have no form in the log.
_WRONG_VALUES: Final = (ValueError, TypeError, AttributeError, OverflowError, RecursionError)


class Unit:
    """What one call of `append` asked for."""

    __slots__ = ("entries", "key", "size", "writes")

    def __init__(self, key: int, entries: Sequence[Entry], writes: Sequence[Write], size: int) -> None:
        self.key = key
        self.entries = entries
        self.writes = writes
        self.size = size

    def organizations(self) -> set[str]:
        """Whose chains it would lengthen."""
        return {entry.organization_id for entry in self.entries}


class Answers(Protocol):
    """How the writer speaks. Called in the writer's thread; each hands over to the loop by one wake-up."""

    def committed(self, units: list[Unit], events: int) -> None:
        """These units are durable."""

    def failed(self, units: list[Unit], organizations: set[str] | None, error: BaseException) -> None:
        """These units were not committed. Of these organizations (None: of all) nothing appended is true any more."""

    def stopped(self, *, expected: bool) -> None:
        """The writer has ended: because it was told to, or by a defect, and then units may wait in vain."""


class Writer:
    """See the module. `lock` guards `assigned`, the last sequence given per organization, and the queue together."""

    def __init__(self, path: Path, answers: Answers, gate: threading.Lock) -> None:
        self.lock = threading.Lock()
        self.queue: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self.dirty = threading.Event()
        self._path = path
        self._answers = answers
        self._gate = gate  # held while writing; the checkpointer takes it to finish a checkpoint
        self._connection: sqlite3.Connection | None = open_writer(path)
        self._backlog: list[Unit] = []
        self._stopping = False
        self._position, self._durable = _read_ends(self._connection)
        self.assigned = {organization: tip.sequence for organization, tip in self._durable.items()}
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)

    def start(self) -> None:
        """Begin to take units."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the end, after None was put into the queue."""
        self._thread.join()

    # -- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        expected = False
        try:
            while batch := self._take():
                self._write(batch)
            expected = True
        finally:
            if self._connection is not None:
                self._connection.close()
            self._answers.stopped(expected=expected)

    def _take(self) -> list[Unit]:
        """All that waits, up to a batch; empty when the writer should stop and nothing waits any more."""
        batch, self._backlog = self._backlog[:MAX_BATCH_UNITS], self._backlog[MAX_BATCH_UNITS:]
        size = sum(unit.size for unit in batch)
        while len(batch) < MAX_BATCH_UNITS and size < MAX_BATCH_BYTES and not self._backlog:
            try:
                unit = self.queue.get(block=not batch and not self._stopping)
            except queue.Empty:
                break
            if unit is None:
                self._stopping = True
                continue
            batch.append(unit)
            size += unit.size
        return batch

    def _write(self, batch: list[Unit]) -> None:
        try:
            self._commit(batch)
        except sqlite3.Error as error:
            if _at_fault(error):
                self._write_apart(batch)
            else:
                self._fail_all(batch, error)
        except _WRONG_VALUES:
            self._write_apart(batch)

    def _write_apart(self, batch: list[Unit]) -> None:
        """One of the batch is at fault: each gets a transaction of its own, so that only the culprit fails.

        What stands behind it in the same organization fails with it: its sequences, already told, would leave a gap.
        """
        for place, unit in enumerate(batch):
            try:
                self._commit([unit])
            except sqlite3.Error as error:
                if _at_fault(error):
                    self._fail_one(unit, batch[place + 1 :], error)
                else:
                    self._fail_all(batch[place:], error)
                return
            except _WRONG_VALUES as error:
                self._fail_one(unit, batch[place + 1 :], error)
                return

    # -- one transaction --------------------------------------------------------------------------------------------

    def _commit(self, batch: list[Unit]) -> None:
        entries = [entry for unit in batch for entry in unit.entries]
        tips = {entry.organization_id: self._durable.get(entry.organization_id, START) for entry in entries}
        rows = seal(entries, tips, self._position)
        writes = [write for unit in batch for write in unit.writes]
        with self._gate:
            if self._connection is None:
                self._connection = open_writer(self._path)
            connection = self._connection
            try:
                connection.execute("BEGIN IMMEDIATE")
                _insert(connection, rows)
                for sql, group in groupby(writes, key=itemgetter(0)):
                    connection.executemany(sql, [params for _, params in group])
                connection.execute("COMMIT")
            except BaseException:
                self._roll_back(connection)
                raise
        self._durable.update(tips)
        self._position += len(rows)
        self.dirty.set()
        self._answers.committed(batch, len(rows))

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        """Leave no transaction open; a connection that cannot even do that is replaced."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._connection = None
            connection.close()

    # -- failures ---------------------------------------------------------------------------------------------------

    def _fail_one(self, culprit: Unit, behind: list[Unit], error: BaseException) -> None:
        broken = culprit.organizations()
        failed, kept = [culprit], []
        with self.lock:
            for unit in [*behind, *self._drain()]:
                own = unit.organizations()
                if own & broken:
                    broken |= own
                    failed.append(unit)
                else:
                    kept.append(unit)
            self._backlog = kept
            self._set_back(broken)
            self._answers.failed(failed, broken, error)

    def _fail_all(self, batch: list[Unit], error: BaseException) -> None:
        with self.lock:
            failed = [*batch, *self._drain()]
            connection = self._connection
            if connection is not None:
                try:
                    self._position, self._durable = _read_ends(connection)
                except sqlite3.Error:
                    # Unreadable too: what this thread knows to be committed is the best there is.
                    self._connection = None
                    connection.close()
            self._set_back(set(self.assigned) | set(self._durable))
            self._answers.failed(failed, None, error)

    def _set_back(self, organizations: set[str]) -> None:
        """The last sequence given is again the last one that is committed, or still waits to be."""
        for organization in organizations:
            self.assigned[organization] = self._durable.get(organization, START).sequence
        for unit in self._backlog:
            for entry in unit.entries:
                if entry.organization_id in organizations:
                    self.assigned[entry.organization_id] += 1

    def _drain(self) -> list[Unit]:
        units, self._backlog = self._backlog, []
        while True:
            try:
                unit = self.queue.get_nowait()
            except queue.Empty:
                return units
            if unit is None:
                self._stopping = True
            else:
                units.append(unit)


def _insert(connection: sqlite3.Connection, rows: list[Row]) -> None:
    """Many rows a statement: each statement gives up the interpreter's lock, and a busy loop is slow to return it."""
    at = 0
    while at < len(rows):
        size = min(_CHUNK_ROWS, 1 << (len(rows) - at).bit_length() - 1)
        connection.execute(_INSERTS[size], [value for row in rows[at : at + size] for value in row])
        at += size


def _read_ends(connection: sqlite3.Connection) -> tuple[int, dict[str, Tip]]:
    """The first free position, and the end of each chain."""
    last = connection.execute("SELECT COALESCE(MAX(position), 0) FROM events").fetchone()[0]
    return last + 1, {row[0]: Tip(row[1], row[2]) for row in connection.execute(CHAIN_ENDS)}


def _at_fault(error: sqlite3.Error) -> bool:
    """Whether the unit's own statements are wrong, rather than the disk or the database."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return True  # raised by the binding: wrong number or type of values, several statements, not a write
    return code & 0xFF in _AT_FAULT
