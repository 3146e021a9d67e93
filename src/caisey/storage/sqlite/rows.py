"""Rows of `events` as values.

Owns the column order. A row that was written is read back without judging it; verification is `core/audit.py`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from caisey.core.audit import SALT_BYTES
from caisey.core.events import Actor
from caisey.storage.contract import Stored

WRITTEN_COLUMNS: Final = (
    "position, organization_id, sequence, session_id, at_ms, type, actor_kind, actor_id, reason, payload, salts,"
    " previous, digest"
)
COLUMNS: Final = f"{WRITTEN_COLUMNS}, digests"

CHAIN_ENDS: Final = """
WITH RECURSIVE known(id) AS (
    SELECT MIN(organization_id) FROM events
    UNION ALL
    SELECT (SELECT MIN(organization_id) FROM events WHERE organization_id > known.id) FROM known WHERE known.id NOTNULL
)
SELECT id, sequence, digest FROM known JOIN events ON events.organization_id = known.id AND events.sequence =
    (SELECT MAX(sequence) FROM events WHERE organization_id = known.id)
"""
"""Each organization with its last sequence and digest, by seeking from one to the next in the index: never a scan."""

_decode: Final = msgspec.json.decode
_decode_digests: Final = msgspec.json.Decoder(dict[str, str]).decode


def stored(row: tuple[Any, ...]) -> Stored:
    """A row of `COLUMNS` as a value."""
    payload: dict[str, Any] = _decode(row[9])
    salts: bytes = row[10]
    names = sorted(payload)
    return Stored(
        position=row[0],
        organization_id=row[1],
        sequence=row[2],
        session_id=row[3],
        at_ms=row[4],
        type=row[5],
        actor=Actor(row[6], row[7]),
        reason=row[8],
        payload=payload,
        salts={name: salts[at * SALT_BYTES : (at + 1) * SALT_BYTES].hex() for at, name in enumerate(names)},
        previous=row[11].hex(),
        digest=row[12].hex(),
        digests={} if row[13] is None else _decode_digests(row[13]),
    )
