"""The journal's file: SQLite with a synced write-ahead log, and space kept back for the words that must be written.

Owns the schema, the transaction, `journal_id`, `journal_sequence` and the reserve. Two runtimes of one endpoint may
open the same file. Every write is inside `transaction`, so that a judgement and what follows from it are one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

BUSY_MS: Final = 10_000
RESERVE_BYTES: Final = 4 * 1024 * 1024
"""Room for some ten thousand closing and end records on a disk that is full."""
HEADROOM_BYTES: Final = 1024 * 1024
"""With less than this beside the reserve nothing new is taken: its records would soon live on the reserve."""

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS journal (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS tool_calls (
        tool_call_id TEXT PRIMARY KEY, highest INTEGER NOT NULL, arguments_sha256 TEXT
    ) STRICT, WITHOUT ROWID""",
    # The primary key is the last line of the fence: SQLite itself refuses a second start of one consent.
    """CREATE TABLE IF NOT EXISTS consents (
        tool_call_id TEXT NOT NULL, consent INTEGER NOT NULL, number INTEGER NOT NULL,
        PRIMARY KEY (tool_call_id, consent)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS attempts (
        tool_call_id TEXT NOT NULL, number INTEGER NOT NULL, consent INTEGER NOT NULL, state TEXT NOT NULL,
        sequence INTEGER NOT NULL, owner_runtime TEXT, owner_incarnation TEXT,
        received_sequence INTEGER, started_sequence INTEGER, why TEXT, code TEXT, hint TEXT,
        shim_pid INTEGER, shim_key TEXT, pid INTEGER, process_key TEXT, process_started_ms INTEGER,
        spool TEXT, cgroup TEXT, user TEXT, cwd TEXT, interpreter TEXT,
        execution BLOB, result BLOB, changes BLOB, layout BLOB, input_sequence INTEGER NOT NULL DEFAULT 0,
        stdout_confirmed INTEGER NOT NULL DEFAULT 0, stderr_confirmed INTEGER NOT NULL DEFAULT 0,
        result_confirmed INTEGER NOT NULL DEFAULT 0, settled INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (tool_call_id, number)
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS attempts_unsettled ON attempts (state) WHERE settled = 0",
    """CREATE TABLE IF NOT EXISTS inputs (
        tool_call_id TEXT NOT NULL, number INTEGER NOT NULL, sequence INTEGER NOT NULL, bytes INTEGER NOT NULL,
        sensitive INTEGER NOT NULL, PRIMARY KEY (tool_call_id, number, sequence)
    ) STRICT, WITHOUT ROWID""",
)
_CANNOT_WRITE: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
    }
)
_CANNOT_LOOK: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}
)
"""What a transaction asks of the spool and the system may fail as well: who cannot look may not conclude either."""


class JournalUnwritableError(Exception):
    """The journal cannot be written: a full or broken disk, or no descriptor left to judge by. Nothing was changed, and
    nothing may be promised."""


class Database:
    """One open journal. Used by one thread at a time."""

    def __init__(self, directory: Path, *, new_journal_id: str) -> None:
        """Open, or make, the journal of that directory; `new_journal_id` names one that is made."""
        self._reserve = directory / "reserve"
        self._connection = sqlite3.connect(
            directory / "journal.db", timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA cache_size = -512")
        with self.transaction():
            for table in _TABLES:
                self._connection.execute(table)
            self._connection.execute("INSERT OR IGNORE INTO journal VALUES ('journal_id', ?)", (new_journal_id,))
            self._connection.execute("INSERT OR IGNORE INTO journal VALUES ('sequence', 0)")
        self.journal_id: str = self._value("journal_id")
        self.keep_reserve()

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when it returns. Raises `JournalUnwritableError` where the disk cannot take it."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            self._roll_back()
            if error.sqlite_errorcode & 0xFF in _CANNOT_WRITE:
                raise JournalUnwritableError(error.sqlite_errorname) from error
            raise
        except OSError as error:
            self._roll_back()
            if error.errno in _CANNOT_LOOK:
                raise JournalUnwritableError(error.strerror) from error
            raise
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def execute(self, sql: str, values: tuple[Any, ...] | dict[str, Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    def next_sequence(self) -> int:
        """The number of the write that is being made."""
        row = self.execute("UPDATE journal SET value = value + 1 WHERE name = 'sequence' RETURNING value").fetchone()
        return int(row[0])

    def sequence(self) -> int:
        """The highest number written so far."""
        return int(self._value("sequence"))

    def count_unsettled(self) -> int:
        """How many attempts wait for the control plane to keep their last word."""
        return int(self.execute("SELECT count(*) FROM attempts WHERE settled = 0").fetchone()[0])

    def _value(self, name: str) -> Any:
        return self.execute("SELECT value FROM journal WHERE name = ?", (name,)).fetchone()[0]

    # -- the reserve ------------------------------------------------------------------------------------------------

    def keep_reserve(self) -> bool:
        """Hold space back while there is some. False: there is too little, so no new work should be taken."""
        try:
            if self._reserve.stat().st_size >= RESERVE_BYTES:
                return shutil.disk_usage(self._reserve).free >= HEADROOM_BYTES
        except FileNotFoundError:
            pass
        try:
            fd = os.open(self._reserve, os.O_WRONLY | os.O_CREAT, 0o600)
        except OSError:
            return False
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, RESERVE_BYTES)
            else:
                os.write(fd, bytes(RESERVE_BYTES))
        except OSError:
            os.ftruncate(fd, 0)
            return False
        finally:
            os.close(fd)
        return True

    def release_reserve(self) -> bool:
        """Give the space back for the words that must be written. False: it was given back before."""
        try:
            held = self._reserve.stat().st_size > 0
            os.truncate(self._reserve, 0)
        except FileNotFoundError:
            return False
        return held
