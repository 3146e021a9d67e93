"""What was put aside, as rows: kept, read, taken back.

Owns the statements of `attention_snoozes`. Whether a snooze still holds is `core.snooze`'s to say, at the moment
somebody looks; a row that is over stays for a day, then goes.
"""

from __future__ import annotations

from typing import Final

from caisey.core.snooze import Snooze

Statement = tuple[str, tuple[str | int | bytes | None, ...]]

KEPT_MS: Final = 86_400_000
_SAVE: Final = """
    INSERT OR REPLACE INTO attention_snoozes (key, type, rank, since_ms, until_ms, reason, actor_id, at_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""


def save(key: str, snooze: Snooze, reason: str, actor_id: str, now_ms: int) -> tuple[Statement, Statement]:
    """The line is put aside; what ended long ago is forgotten."""
    return (
        (_SAVE, (key, *snooze, reason, actor_id, now_ms)),
        ("DELETE FROM attention_snoozes WHERE until_ms < ?", (now_ms - KEPT_MS,)),
    )


def end(key: str) -> Statement:
    """The line is back."""
    return ("DELETE FROM attention_snoozes WHERE key = ?", (key,))


def own(key: str, owner: str) -> Statement:
    """Somebody has taken a line that belongs to no session."""
    return ("UPDATE attention SET owner = ? WHERE key = ?", (owner, key))
