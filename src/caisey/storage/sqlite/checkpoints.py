"""Moves committed pages from the write-ahead log into the database, beside the writer.

Owns the length of the log. Checkpoints do not hold up commits: the bulk is copied while the writer goes on; only when
the log has grown past its bound is the writer held for the small rest, so that the log can begin anew.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Final

from caisey.storage.sqlite.connections import open_writer

INTERVAL_S: Final = 0.25
RESTART_BYTES: Final = 64 * 1024 * 1024
"""Past this the log begins anew as soon as no reader is in its old part. It holds commits up for one sync of the
database: at 16 MiB that was every half second under load, and the 99th percentile of a commit."""
TRUNCATE_BYTES: Final = 256 * 1024 * 1024
"""A file that has grown past this (a reader stood in the way for long) is cut."""


class Checkpointer:
    """See the module. `dirty` is set by the writer after each commit; `gate` is held by it while it writes."""

    def __init__(self, path: Path, dirty: threading.Event, gate: threading.Lock) -> None:
        self.wal_bytes = 0
        self.failures = 0
        self._connection = open_writer(path)
        self._connection.execute("PRAGMA busy_timeout = 0")
        self._page = int(self._connection.execute("PRAGMA page_size").fetchone()[0])
        self._wal = path.with_name(f"{path.name}-wal")
        self._dirty = dirty
        self._gate = gate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-checkpoints", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """Stop. The last connection to close takes the log into the database, and removes it."""
        self._stop.set()
        self._dirty.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.wait(INTERVAL_S):
                self._dirty.wait()
                self._dirty.clear()
                if not self._stop.is_set():
                    self._tidy()
        finally:
            self._connection.close()

    def _tidy(self) -> None:
        try:
            self.wal_bytes = self._checkpoint("PASSIVE")
            if self.wal_bytes > RESTART_BYTES:
                self._checkpoint("PASSIVE")  # what came during the first: the less is left, the shorter is the hold
                with self._gate:
                    cut = self._wal.stat().st_size > TRUNCATE_BYTES
                    self._checkpoint("TRUNCATE" if cut else "RESTART")
        except (sqlite3.Error, OSError):
            # The disk is full or failing: commits say so to those who wait for them, and the next round tries again.
            self.failures += 1

    def _checkpoint(self, mode: str) -> int:
        """Bytes in the log. A reader in its old part only shortens what is done."""
        _, pages, _ = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return int(pages) * self._page
