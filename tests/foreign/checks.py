"""What PROTOCOL.md asks of every frame of a control plane. Returns faults as text; decides nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.foreign.wire import ADDRESSED, SIGNED_BY_CONTROL_PLANE, Frame, decode, signature_holds

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SAFE = 2**53 - 1
_WHOLE = int
_TEXT = str

FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "challenge": {"nonce": _TEXT, "server_time_ms": _WHOLE, "protocols": list},
    "welcome": {
        "connection": _TEXT,
        "mode": _TEXT,
        "heartbeat_interval_ms": _WHOLE,
        "output_chunk_bytes": _WHOLE,
        "confirm": list,
        "nonce": _TEXT,
        "runtime_id": _TEXT,
        "incarnation": _TEXT,
    },
    "reject": {"code": _TEXT, "hint": _TEXT},
    "dispatch": {
        "runtime_id": _TEXT,
        "incarnation": _TEXT,
        "journal_id": _TEXT,
        "attempt": dict,
        "consent": _WHOLE,
        "session_id": _TEXT,
        "tool": _TEXT,
        "tool_version": _WHOLE,
        "arguments": dict,
        "effect": _TEXT,
        "limits": dict,
        "issued_at_ms": _WHOLE,
    },
    "cancel": {"attempt": dict, "consent": _WHOLE},
    "input": {"attempt": dict, "sequence": _WHOLE, "data": _TEXT, "close": bool, "sensitive": bool},
    "confirm": {"attempt": dict, "settled": bool},
    "reconcile": {"attempts": list},
    "heartbeat_ack": {"sequence": _WHOLE, "server_time_ms": _WHOLE},
    "cadence": {"heartbeat_interval_ms": _WHOLE},
    "ping": {"id": (str, int)},
    "keys": {"keys": list},
    "problem": {"code": _TEXT},
}
PROBLEMS = frozenset(
    {
        "frame.invalid_json",
        "frame.invalid_shape",
        "frame.too_large",
        "frame.unexpected",
        "frame.not_yours",
        "dispatch.signature",
        "dispatch.misaddressed",
        "dispatch.changed",
        "journal.full",
    }
)


def is_signed(frame: Frame) -> bool:
    return frame["type"] in SIGNED_BY_CONTROL_PLANE or (frame["type"] == "confirm" and frame.get("settled") is True)


def is_addressed(frame: Frame) -> bool:
    return is_signed(frame) and frame["type"] in ADDRESSED


def signature_fault(frame: Frame, trusted: list[str]) -> str | None:
    if is_signed(frame) and not any(signature_holds(frame, key) for key in trusted):
        return f"{frame['type']}: no signature of a trusted key"
    return None


def address_fault(frame: Frame, runtime_id: str, incarnation: str) -> str | None:
    if not is_addressed(frame):
        return None
    if (frame.get("runtime_id"), frame.get("incarnation")) != (runtime_id, incarnation):
        return f"{frame['type']}: addressed to {frame.get('runtime_id')!r} {frame.get('incarnation')!r}"
    return None


def shape_faults(frame: Frame) -> Iterator[str]:
    kind = frame["type"]
    fields = FIELDS.get(kind)
    if fields is None:
        yield f"{kind}: not a frame of version 1"
        return
    for name, wanted in fields.items():
        value = frame.get(name)
        if not isinstance(value, wanted) or (wanted is _WHOLE and isinstance(value, bool)):
            yield f"{kind}: /{name} is {type(value).__name__}"
    if is_signed(frame):
        yield from _unsafe_numbers(kind, frame)
    if isinstance(frame.get("attempt"), dict):
        yield from _attempt_faults(kind, frame["attempt"])
    for attempt in frame.get("attempts") or ():
        yield from _attempt_faults(kind, attempt)
        if not isinstance(attempt.get("consent"), int):
            yield f"{kind}: an attempt without its consent"
    if kind == "challenge" and len(decode(str(frame.get("nonce")))) != 32:
        yield "challenge: the nonce has not 32 bytes"
    if kind == "welcome" and frame.get("mode") not in ("work", "settle_only"):
        yield f"welcome: mode {frame.get('mode')!r}"
    if kind == "problem" and frame.get("code") not in PROBLEMS:
        yield f"problem: code {frame.get('code')!r}"
    if kind == "dispatch":
        yield from _dispatch_faults(frame)


def _dispatch_faults(frame: Frame) -> Iterator[str]:
    if frame.get("effect") not in ("read_only", "idempotent", "mutating"):
        yield f"dispatch: effect {frame.get('effect')!r}"
    limits = frame.get("limits")
    for name in ("time_ms", "output_bytes", "start_within_ms"):
        value = limits.get(name) if isinstance(limits, dict) else None
        if value is not None and (not isinstance(value, int) or value <= 0):
            yield f"dispatch: /limits/{name} is {value!r}"
    if frame.get("effect") == "mutating" and isinstance(limits, dict) and limits.get("start_within_ms") is None:
        yield "dispatch: a mutating call without start_within_ms"


def _attempt_faults(kind: str, attempt: Frame) -> Iterator[str]:
    if not _ID.fullmatch(str(attempt.get("tool_call_id"))):
        yield f"{kind}: tool_call_id {attempt.get('tool_call_id')!r}"
    number = attempt.get("number")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        yield f"{kind}: number {number!r}"


def _unsafe_numbers(kind: str, value: Any) -> Iterator[str]:
    if isinstance(value, float):
        yield f"{kind}: a fraction in a signed frame"
    elif isinstance(value, int) and abs(value) > _SAFE:
        yield f"{kind}: an integer beyond 2^53-1 in a signed frame"
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _unsafe_numbers(kind, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _unsafe_numbers(kind, inner)
