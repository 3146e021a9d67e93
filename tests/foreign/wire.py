"""Frames as PROTOCOL.md §1 writes them: JSON, base64, canonical form, signatures.

Written from the public page alone. Owns no socket and no state, and never imports the product.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Frame = dict[str, Any]
Attempt = tuple[str, int]

SUBPROTOCOL = "caisey.runtime.v1"
SIGNED_BY_CONTROL_PLANE = frozenset({"welcome", "dispatch", "cancel", "input", "keys"})
"""Always signed. `confirm` is signed where it carries `settled: true`."""
ADDRESSED = frozenset({"welcome", "dispatch", "cancel", "input", "confirm", "keys"})
"""Signed frames name the runtime and its incarnation."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def fresh_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def nonce() -> str:
    return encode(secrets.token_bytes(32))


def canonical_digest(value: Any) -> str:
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()


class NotAFrameError(ValueError):
    """What the control plane sent is not a frame at all."""


def _object(pairs: list[tuple[str, Any]]) -> Frame:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotAFrameError("duplicate key")
    return found


def parse(text: str | bytes) -> Frame:
    """One frame; refuses duplicate keys, lone surrogates and anything that is no object with a `type`."""
    frame = json.loads(text, object_pairs_hook=_object)
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise NotAFrameError("no object with a type")
    json.dumps(frame, ensure_ascii=False).encode()
    return frame


def dump(frame: Frame) -> str:
    return json.dumps(frame, separators=(",", ":"), ensure_ascii=False)


def signing_input(frame: Frame) -> bytes:
    bare = {name: value for name, value in frame.items() if name != "signature"}
    return f"caisey-{frame['type']}-v1\n".encode() + rfc8785.dumps(bare)


def signature_holds(frame: Frame, public_key: str) -> bool:
    try:
        signature = decode(frame["signature"])
        Ed25519PublicKey.from_public_bytes(decode(public_key)).verify(signature, signing_input(frame))
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return False
    return True


def attempt_of(frame: Frame) -> Attempt:
    attempt = frame["attempt"]
    return attempt["tool_call_id"], attempt["number"]


def named(attempt: Attempt) -> Frame:
    return {"tool_call_id": attempt[0], "number": attempt[1]}


def pin_of(control_plane_key: str) -> str:
    """What the end of an enrollment token says about the key that must answer it."""
    return base64.urlsafe_b64encode(hashlib.sha256(decode(control_plane_key)).digest()[:16]).rstrip(b"=").decode()


@dataclass
class Keys:
    """One Ed25519 pair."""

    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> str:
        return encode(self.private.public_key().public_bytes_raw())

    def sign(self, frame: Frame) -> Frame:
        return {**frame, "signature": encode(self.private.sign(signing_input(frame)))}


def stream_facts(written: bytes, *, truncated: bool = False) -> Frame:
    """What `execution.streams` says about one stream, over all the bytes that were written."""
    return {
        "bytes": len(written),
        "sha256": hashlib.sha256(written).hexdigest(),
        "blank": not written.strip(),
        "truncated": truncated,
    }
