"""The folder of a journal: the database, the spool, and who lives on it.

Owns its layout and its rights. Two runtimes of one endpoint may be given the same folder.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from caisey.runtime.database import Database
from caisey.runtime.state import check_private, make_private

JOURNAL_ID_BYTES: Final = 16


class JournalFolder:
    """One journal's folder, made where it is missing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spool = path / "spool"
        self.live = path / "live"
        for directory in (path, self.spool, self.live):
            make_private(directory)
        (path / "journal.db").touch(mode=0o600, exist_ok=True)  # SQLite gives its other files the rights of this one
        for file in path.glob("journal.db*"):
            check_private(file)

    def open(self) -> Database:
        return Database(self.path, new_journal_id=f"jrn_{secrets.token_hex(JOURNAL_ID_BYTES)}")

    def journal_id(self) -> str:
        """The id of the journal; a new one gets its id now."""
        database = self.open()
        try:
            return database.journal_id
        finally:
            database.close()
