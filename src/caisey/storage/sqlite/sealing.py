"""Entries become rows: positions, salts, and the digests that chain them.

Owns the hot path of the audit chain; `core/audit.py` says what a digest covers, and a property test holds the two
together. Runs in the writer's thread, one batch at a time, with one draw of randomness for all its salts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from caisey.core.audit import GENESIS, SALT_BYTES, event_digest, field_name
from caisey.core.canonical import canonical, encode_plain
from caisey.core.spoken import rfc3339
from caisey.storage.contract import Entry

Row = tuple[Any, ...]


class Tip(NamedTuple):
    """The end of an organization's chain."""

    sequence: int
    digest: bytes


START: Final = Tip(0, GENESIS)


class _ActorWords(msgspec.Struct, frozen=True):
    """Fields in the order of canonical JSON."""

    id: str
    kind: str


class _Header(msgspec.Struct, frozen=True):
    """`audit.HEADER_FIELDS` in the order of canonical JSON, so that encoding it is canonical as it stands."""

    actor: _ActorWords
    at: str
    organization_id: str
    reason: str | None
    sequence: int
    session_id: str | None
    type: str


_spoken: Final = lru_cache(maxsize=4096)(rfc3339)
_encode: Final = msgspec.json.Encoder().encode


def seal(entries: Sequence[Entry], tips: dict[str, Tip], position: int) -> list[Row]:
    """Rows of `events` for these entries, in order; moves `tips` on. `position` is the first that is free.

    Raises `ValueError` (lone surrogates: `UnicodeEncodeError`, which is one) for a payload that has no canonical form,
    or whose names `audit.field_name` refuses; `tips` is then of no use any more.
    """
    salts = os.urandom(SALT_BYTES * sum(len(entry.payload) for entry in entries))
    rows: list[Row] = []
    used = 0
    for entry in entries:
        size = SALT_BYTES * len(entry.payload)
        own, used = salts[used : used + size], used + size
        text, fields = _seal_payload(entry.payload, own)
        sequence, previous = tips.get(entry.organization_id, START)
        sequence += 1
        digest = event_digest(previous, _header(entry, sequence), fields)
        tips[entry.organization_id] = Tip(sequence, digest)
        rows.append(
            (
                position,
                entry.organization_id,
                sequence,
                entry.session_id,
                entry.at_ms,
                entry.type,
                entry.actor.kind,
                entry.actor.id,
                entry.reason,
                text,
                own,
                previous,
                digest,
            )
        )
        position += 1
    return rows


def _header(entry: Entry, sequence: int) -> bytes:
    return _encode(
        _Header(
            _ActorWords(entry.actor.id, entry.actor.kind),
            _spoken(entry.at_ms),
            entry.organization_id,
            entry.reason,
            sequence,
            entry.session_id,
            entry.type,
        )
    )


def _seal_payload(payload: dict[str, Any], salts: bytes) -> tuple[str, list[bytes]]:
    """The canonical text of a payload, and the digest of each field; salts are used in the order of the names."""
    parts: list[bytes] = []
    digests: list[bytes] = []
    at = 0
    for name in sorted(payload):
        value = payload[name]
        # Most values are one string or nothing; they need no walk.
        kind = type(value)
        spelled = encode_plain(value) if kind is str or kind is bool or value is None else canonical(value)
        bare, quoted = _named(name)
        digests.append(sha256(salts[at : at + SALT_BYTES] + bare + spelled).digest())
        parts.append(quoted + b":" + spelled)
        at += SALT_BYTES
    return f"{{{b','.join(parts).decode()}}}", digests


@lru_cache(maxsize=4096)
def _named(name: str) -> tuple[bytes, bytes]:
    """The name as it is digested, and as JSON."""
    bare = field_name(name)
    return bare, encode_plain(name)
