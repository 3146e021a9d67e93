"""The ledger of shapes: what did not fit, counted by its shape, with the raw bytes apart (RECOVERY.md §8).

Owns the statements that count a shape and keep an unreadable frame, and the bounds on both. Never keeps a value in a
shape. What follows from a fault is decided elsewhere.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from caisey.protocol import limits
from caisey.protocol.shapes import Shape
from caisey.storage.contract import Write

DAY_MS: Final = 86_400_000
RAW_PER_RUNTIME: Final = 200  # that name no attempt: the newest
RAW_PER_ATTEMPT: Final = 20  # the oldest: the first one may be all there is of a result
OVERFLOW: Final = "more"
"""The fingerprint under which new shapes are counted once a runtime has shown too many in one day."""

_COUNT: Final = """
    INSERT INTO shapes
        (fingerprint, organization_id, client_group_id, endpoint_id, runtime_id, runtime_version, tool, tool_version,
         side, shape, count, first_at_ms, last_at_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)
    ON CONFLICT (organization_id, endpoint_id, fingerprint, side, tool, tool_version, runtime_id, runtime_version)
    DO UPDATE SET count = count + 1, last_at_ms = excluded.last_at_ms
"""
_KEEP: Final = """
    INSERT INTO unreadable_frames (runtime_id, at_ms, code, frame_type, fingerprint, tool_call_id, number, size, raw)
    SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?
    WHERE (SELECT count(*) FROM unreadable_frames WHERE tool_call_id = ? AND number = ?) < ?
"""
_FORGET: Final = """
    DELETE FROM unreadable_frames WHERE runtime_id = ? AND tool_call_id IS NULL AND id <= (
        SELECT id FROM unreadable_frames WHERE runtime_id = ? AND tool_call_id IS NULL ORDER BY id DESC LIMIT 1 OFFSET ?
    )
"""


class Subject(NamedTuple):
    """Whose document it was. Tool and runtime are empty where none took part."""

    organization_id: str
    client_group_id: str | None
    endpoint_id: str
    runtime_id: str = ""
    runtime_version: str = ""
    tool: str = ""
    tool_version: int = 0


class Unreadable(NamedTuple):
    """One frame that could not be read. `raw` is bounded already."""

    code: str
    frame_type: str | None
    size: int
    raw: bytes
    attempt: tuple[str, int] | None = None


class Ledger:
    """Which shapes each runtime has shown today, and the statements that follow."""

    def __init__(self) -> None:
        self._day = 0
        self._shown: dict[str, set[str]] = {}

    def count(self, side: str, subject: Subject, seen: Shape, now_ms: int) -> Write:
        """One more document of this shape. `side`: call, result or frame."""
        fingerprint = seen.fingerprint
        shape = msgspec.json.encode({"errors": seen.faults, "outline": seen.outline}).decode()
        if not self._new_is_welcome(subject.runtime_id, fingerprint, now_ms):
            fingerprint, shape = OVERFLOW, "{}"
        return (
            _COUNT,
            (
                fingerprint,
                subject.organization_id,
                subject.client_group_id,
                subject.endpoint_id,
                subject.runtime_id,
                subject.runtime_version,
                subject.tool,
                subject.tool_version,
                side,
                shape,
                now_ms,
                now_ms,
            ),
        )

    def keep(self, runtime_id: str, frame: Unreadable, fingerprint: str, now_ms: int) -> list[Write]:
        """The raw bytes, against the runtime and, where it is named, the attempt."""
        call, number = frame.attempt or (None, None)
        kept: Write = (
            _KEEP,
            (
                *(runtime_id, now_ms, frame.code, frame.frame_type, fingerprint, call, number, frame.size, frame.raw),
                *(call, number, RAW_PER_ATTEMPT),
            ),
        )
        return [kept] if call is not None else [kept, (_FORGET, (runtime_id, runtime_id, RAW_PER_RUNTIME))]

    def _new_is_welcome(self, runtime_id: str, fingerprint: str, now_ms: int) -> bool:
        """Bounded per runtime and day; what was shown already goes on being counted (PROTOCOL.md §9)."""
        if now_ms // DAY_MS != self._day:
            self._day = now_ms // DAY_MS
            self._shown.clear()
        shown = self._shown.setdefault(runtime_id, set())
        if fingerprint not in shown and len(shown) >= limits.NEW_SHAPES_PER_RUNTIME_AND_DAY:
            return False
        shown.add(fingerprint)
        return True
