"""The field types that frames are made of, with their bounds (PROTOCOL.md §1, §9).

Owns the constraints that more than one frame shares. A constraint that a receiver must not trip over (a signature of
the wrong length is a bad signature, not a bad shape) is left loose here and checked by its owner.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from caisey.protocol import limits

# `$` of Python's `re` also matches before a last newline; the lookahead closes that, here and in JSON Schema alike.
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}(?!\n)$")]
Code = Annotated[str, Meta(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*(?!\n)$", max_length=limits.ID_LENGTH)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}(?!\n)$")]
Name = Annotated[str, Meta(min_length=1, max_length=limits.NAME_LENGTH)]
Text = Annotated[str, Meta(max_length=limits.TEXT_LENGTH)]
Secret = Annotated[str, Meta(min_length=1, max_length=limits.NAME_LENGTH)]
Token = Annotated[str, Meta(min_length=1, max_length=256)]

Integer = Annotated[int, Meta(ge=limits.MIN_INTEGER, le=limits.MAX_INTEGER)]
Count = Annotated[int, Meta(ge=0, le=limits.MAX_INTEGER)]
Ordinal = Annotated[int, Meta(ge=1, le=limits.MAX_INTEGER)]
TimeMs = Count
IntervalMs = Annotated[int, Meta(ge=1, le=limits.MAX_HEARTBEAT_INTERVAL_MS)]

Key = Annotated[bytes, Meta(min_length=limits.KEY_BYTES, max_length=limits.KEY_BYTES)]
Nonce = Annotated[bytes, Meta(min_length=limits.NONCE_BYTES, max_length=limits.NONCE_BYTES)]
Chunk = Annotated[bytes, Meta(max_length=limits.FRAME_BYTES)]
InputData = Annotated[bytes, Meta(max_length=limits.INPUT_BYTES)]
Signature = Annotated[str, Meta(max_length=limits.NAME_LENGTH)]

StreamName = Literal["stdout", "stderr", "result"]
BridgeKind = Literal["websocket", "longpoll"]
Effect = Literal["read_only", "idempotent", "mutating"]
EndedBy = Literal["itself", "time_limit", "cancel", "shutdown", "unknown"]
GapReason = Literal["limit", "spool_full", "lost"]
LeavingReason = Literal["sleep", "shutdown", "update", "drain"]
Mode = Literal["work", "settle_only"]
StatementState = Literal["never_received", "received", "started", "process_gone", "finished", "superseded", "closed"]
ClosedWhy = Literal["refused", "cancel", "withdrawn", "reconcile"]
