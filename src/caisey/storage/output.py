"""Output bytes of tool calls: the statements that store them, and reading them back with their gaps.

Owns the tables `output` and `output_conflicts`. Which bytes are new is decided by the caller; what was stored is never
replaced here either: a second segment at the same place is not taken. Bytes go into the transaction of the event that
says so (RECOVERY.md §3, §9 invariant 4).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from caisey.storage.contract import Log, Write

Key = tuple[str, int, str]
"""Tool call, attempt number, stream."""

MAX_READ: Final = 16 * 1024 * 1024
"""No read returns more bytes; who wants all goes on behind the last."""

_STORE: Final = (
    "INSERT INTO output (tool_call_id, attempt, stream, offset, data) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_KEEP_APART: Final = (
    "INSERT INTO output_conflicts (tool_call_id, attempt, stream, offset, data, at_ms) VALUES (?, ?, ?, ?, ?, ?)"
)
# From the last segment that begins at or before the start, since it may reach into the range.
_RANGE: Final = """
SELECT offset, data FROM output WHERE tool_call_id = ?1 AND attempt = ?2 AND stream = ?3 AND offset < ?5
AND offset >= COALESCE((SELECT MAX(offset) FROM output
    WHERE tool_call_id = ?1 AND attempt = ?2 AND stream = ?3 AND offset <= ?4), ?4)
ORDER BY offset
"""
_CONFLICTS: Final = """
SELECT offset, data, at_ms FROM output_conflicts
WHERE tool_call_id = ? AND attempt = ? AND stream = ? ORDER BY conflict LIMIT ?
"""


class Segment(NamedTuple):
    """Bytes and where in the stream they begin."""

    offset: int
    data: bytes


class Conflict(NamedTuple):
    """Bytes that say something else about a place whose bytes were stored before."""

    offset: int
    data: bytes
    at_ms: int


class Output:
    """Output in the log's database."""

    def __init__(self, log: Log) -> None:
        self._log = log

    @staticmethod
    def segment(key: Key, offset: int, data: bytes) -> Write:
        """The statement that stores bytes which are not stored yet."""
        return (_STORE, (*key, offset, data))

    @staticmethod
    def conflict(key: Key, offset: int, data: bytes, at_ms: int) -> Write:
        """The statement that keeps differing bytes apart."""
        return (_KEEP_APART, (*key, offset, data, at_ms))

    async def segments(self, key: Key, offset: int, limit: int) -> list[Segment]:
        """What is stored of `offset` to `offset + limit`, in order, adjacent segments joined: between two is a gap."""
        end = offset + min(limit, MAX_READ)
        rows = await self._log.query(_RANGE, (*key, offset, end))
        return _joined(_within(rows, offset, end))

    async def read(self, key: Key, start: int, end: int) -> bytes:
        """The bytes of a range that is covered; up to the first gap where it is not."""
        found = await self.segments(key, start, end - start)
        return found[0].data if found and found[0].offset == start else b""

    async def conflicts(self, key: Key, limit: int = 100) -> list[Conflict]:
        """What was kept apart, in the order in which it came."""
        return [Conflict(*row) for row in await self._log.query(_CONFLICTS, (*key, limit))]


def _within(rows: Iterable[tuple[int, bytes]], start: int, end: int) -> Iterable[Segment]:
    for offset, data in rows:
        first, last = max(offset, start), min(offset + len(data), end)
        if first < last:
            yield Segment(first, data[first - offset : last - offset])


def _joined(segments: Iterable[Segment]) -> list[Segment]:
    runs: list[tuple[int, list[bytes]]] = []
    reached = -1
    for offset, data in segments:
        if offset == reached:
            runs[-1][1].append(data)
        else:
            runs.append((offset, [data]))
        reached = offset + len(data)
    return [Segment(offset, b"".join(parts)) for offset, parts in runs]
