"""The audit chain, checked on the spot, piece by piece: from where the last piece ended.

Owns how much is checked at once and which heads are looked at. What holds is `core.audit`'s to say. Whoever does not
trust the control plane with this exports the chain and checks it offline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from caisey.core.audit import GENESIS, Break, Broken, Head, Verifier, head_holds
from caisey.core.spoken import rfc3339
from caisey.storage.contract import Log

AT_ONCE: Final = 20_000
READ_AT_ONCE: Final = 2_000

_HEADS: Final = """
    SELECT sequence, digest, at_ms, signature FROM heads
    WHERE organization_id = ? AND sequence > ? AND sequence <= ? ORDER BY sequence
"""


class Place(NamedTuple):
    """How far it was checked: the last event and its digest, what is to be reached, how many events."""

    sequence: int
    digest: str
    target: int
    events: int


class Checked(NamedTuple):
    """What was found. `head` is the newest signed one that the chain reaches; `next` is None once all is checked."""

    place: Place
    head: Head | None
    broken: Break | None
    next: Place | None


def beginning(target: int) -> Place:
    """Before the first event."""
    return Place(0, GENESIS.hex(), target, 0)


async def check(log: Log, organization_id: str, keys: Sequence[bytes], place: Place) -> Checked:
    """The next piece of the chain of an organization."""
    public = [Ed25519PublicKey.from_public_bytes(key) for key in keys]
    end = min(place.target, place.sequence + AT_ONCE)
    heads = [_head(row) for row in await log.query(_HEADS, (organization_id, place.sequence, end))]
    head: Head | None = None
    while place.sequence < end:
        events = await log.read_organization(organization_id, place.sequence, min(READ_AT_ONCE, end - place.sequence))
        if not events:
            gone = Break(Broken.TAIL, place.sequence + 1, f"a signed head vouches for events up to {place.target}")
            return Checked(place, head, gone, None)
        mine = [one for one in heads if place.sequence < one.sequence <= events[-1].sequence]
        lines = _with_heads([event.to_public() for event in events], mine)
        found, broken = await asyncio.to_thread(_verify, lines, place, public)
        head = found or head
        if broken is not None:
            return Checked(place, head, broken, None)
        place = Place(events[-1].sequence, events[-1].digest, place.target, place.events + len(events))
    return Checked(place, head, None, place if place.sequence < place.target else None)


def _head(row: tuple[Any, ...]) -> Head:
    sequence, digest, at_ms, signature = row
    return Head(int(sequence), str(digest), rfc3339(int(at_ms)), str(signature))


def _with_heads(events: list[dict[str, Any]], heads: list[Head]) -> list[dict[str, Any]]:
    """Each head behind its event."""
    behind = {head.sequence: head for head in heads}
    lines: list[dict[str, Any]] = []
    for event in events:
        lines.append(event)
        if event["sequence"] in behind:
            lines.append(msgspec.to_builtins(behind[event["sequence"]]))
    return lines


def _verify(
    lines: list[dict[str, Any]], place: Place, keys: list[Ed25519PublicKey]
) -> tuple[Head | None, Break | None]:
    """In another thread: hashing and signatures."""
    verifier = Verifier(None, (place.sequence, place.digest))
    for line in lines:
        verifier.line(line)
        if "signature" in line:
            head = msgspec.convert(line, Head)
            if not any(head_holds(head, key) for key in keys):
                return None, Break(Broken.HEAD_SIGNATURE, head.sequence, "not signed by the control plane's key")
    report = verifier.finish()
    if report.broken is not None and report.broken.what is not Broken.UNSIGNED_TAIL:
        return report.head, report.broken
    return report.head, None
