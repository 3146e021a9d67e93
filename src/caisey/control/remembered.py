"""What of live things outlives the control plane's process: rows of `storage/schema/runtimes.sql`.

Owns the statements and their columns; decides nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from caisey.control.directory.store import Statement
from caisey.control.journals import JournalRow
from caisey.control.lives import Life
from caisey.core.states import Health
from caisey.core.view import Change
from caisey.storage.contract import Log

STATEMENTS_PER_ENDPOINT: Final = 1_000


_SAVE_LIFE: Final = """
    INSERT OR REPLACE INTO runtime_lives
        (runtime_id, incarnation, start_number, boot_id, machine_fingerprint, replaced, at_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_SAVE_JOURNAL: Final = """
    INSERT OR REPLACE INTO journals (endpoint_id, journal_id, mark, regressed_since_ms, at_ms) VALUES (?, ?, ?, ?, ?)
"""
_SAVE_HEALTH: Final = "INSERT OR REPLACE INTO endpoint_health (endpoint_id, health, since_ms) VALUES (?, ?, ?)"
_KEEP_STATEMENT: Final = """
    INSERT INTO unattached_statements
        (endpoint_id, journal_id, tool_call_id, number, runtime_id, statement, first_at_ms, last_at_ms)
    SELECT ?, ?, ?, ?, ?, ?, ?, ?
    WHERE (SELECT count(*) FROM unattached_statements WHERE endpoint_id = ?) < ?
    ON CONFLICT (endpoint_id, journal_id, tool_call_id, number)
    DO UPDATE SET runtime_id = excluded.runtime_id, statement = excluded.statement, last_at_ms = excluded.last_at_ms
"""
_LIVES: Final = """
    SELECT runtime_id, incarnation, start_number, boot_id, machine_fingerprint, replaced FROM runtime_lives
"""
_JOURNALS: Final = """
    SELECT endpoint_id, journal_id, mark, regressed_since_ms, at_ms FROM journals ORDER BY at_ms
"""
_CHANGES: Final = """
    SELECT at_ms, actor_id, session_id, tool_call_id FROM changes
    WHERE endpoint_id = ? AND at_ms > ? ORDER BY at_ms DESC LIMIT 500
"""


class Unattached(NamedTuple):
    """A statement about an attempt that the log does not know, as it was received."""

    endpoint_id: str
    journal_id: str
    tool_call_id: str
    number: int
    runtime_id: str
    statement: bytes


def save_life(life: Life, now_ms: int) -> Statement:
    """The incarnation that holds the runtime's key now."""
    return _SAVE_LIFE, (*life[:-1], msgspec.json.encode(life.replaced).decode(), now_ms)


def save_journal(row: JournalRow) -> Statement:
    """The journal as it is known now. Statements are executed in the order in which they were made."""
    return _SAVE_JOURNAL, tuple(row)


def save_health(endpoint_id: str, health: Health, since_ms: int) -> Statement:
    """The health that the log says."""
    return _SAVE_HEALTH, (endpoint_id, health.value, since_ms)


def keep_statement(statement: Unattached, now_ms: int) -> Statement:
    """The newest statement of each unknown attempt, bounded per endpoint."""
    return _KEEP_STATEMENT, (*statement, now_ms, now_ms, statement.endpoint_id, STATEMENTS_PER_ENDPOINT)


async def load_lives(log: Log) -> dict[str, Life]:
    """By runtime."""
    return {
        first[0]: Life(*first)._replace(replaced=tuple(msgspec.json.decode(replaced)))
        for *first, replaced in await log.query(_LIVES)
    }


async def load_journals(log: Log) -> list[JournalRow]:
    """Of every endpoint, the longest unheard of first."""
    return [JournalRow(*row) for row in await log.query(_JOURNALS)]


async def load_health(log: Log) -> list[tuple[str, str, int]]:
    """(endpoint, health, since)."""
    return [
        (str(row[0]), str(row[1]), int(row[2]))
        for row in await log.query("SELECT endpoint_id, health, since_ms FROM endpoint_health")
    ]


class StoredPast:
    """What the store says of an endpoint that comes to life."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def changes(self, endpoint_id: str, since_ms: int) -> list[Change]:
        """Mutating calls that started there, oldest first."""
        return [Change(*row) for row in reversed(self._log.query_now(_CHANGES, (endpoint_id, since_ms)))]

    def open_sessions(self, endpoint_id: str) -> int:
        """How many sessions are open on it."""
        rows = self._log.query_now(
            "SELECT count(*) FROM sessions WHERE endpoint_id = ? AND state = 'open'", (endpoint_id,)
        )
        return int(rows[0][0])
