"""Calls whose arguments do not fit, on record: nothing was sent (RECOVERY.md §2 `malformed_call`, §8).

Owns what is written of one: an event for the audit, a line of the ledger, the raw bytes apart. Must never repair
arguments, and never let a value into a shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from caisey.control.ledger import Ledger, Subject
from caisey.core.events import Actor
from caisey.protocol import limits
from caisey.protocol.frames import ShapeFault
from caisey.protocol.outline import fingerprint, outline
from caisey.protocol.shapes import Shape
from caisey.storage.contract import Entry, Write

SIDE: Final = "call"
BODY: Final = "prompt"
"""Stands for the tool where none is named."""

_KEEP: Final = (
    "INSERT OR REPLACE INTO shape_bytes (organization_id, endpoint_id, fingerprint, at_ms, raw) VALUES (?, ?, ?, ?, ?)"
)


class MalformedCall(msgspec.Struct, frozen=True):
    """One call that did not fit, or the body around the calls."""

    tool: str
    tool_version: int
    shape: Shape
    document: Any


def of_body(document: Any, faults: Sequence[ShapeFault]) -> MalformedCall:
    """Faults of the body itself."""
    return MalformedCall(BODY, 0, Shape(tuple(faults), outline(document), fingerprint(BODY, faults)), document)


def record(
    ledger: Ledger, subject: Subject, found: Sequence[MalformedCall], *, session_id: str, actor: Actor, now_ms: int
) -> tuple[list[Entry], list[Write]]:
    """The events and statements for what was found in one request."""
    entries: list[Entry] = []
    writes: list[Write] = []
    for one in found:
        about = subject._replace(tool=one.tool, tool_version=one.tool_version)
        writes.append(ledger.count(SIDE, about, one.shape, now_ms))
        raw = msgspec.json.encode(one.document)[: limits.RAW_KEPT_BYTES]
        kept = (subject.organization_id, subject.endpoint_id, one.shape.fingerprint, now_ms, raw)
        writes.append((_KEEP, kept))
        payload = {
            "session_id": session_id,
            "endpoint_id": subject.endpoint_id,
            "tool": one.tool,
            "tool_version": one.tool_version,
            "fingerprint": one.shape.fingerprint,
            "errors": [msgspec.to_builtins(fault) for fault in one.shape.faults],
        }
        entries.append(Entry(subject.organization_id, None, "prompt.malformed_call", now_ms, actor, None, payload))
    return entries, writes
