"""Ed25519 over canonical JSON: who said it, and that nothing was changed (PROTOCOL.md §1, §7).

Owns what is signed: `caisey-{type}-v1`, a newline, and the RFC 8785 form of the frame as received, without
`signature`, so that fields unknown to this version stay under the signature. Keys are arguments.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from caisey.core.canonical import canonical
from caisey.protocol import limits
from caisey.protocol.faults import unsignable
from caisey.protocol.frames import Pong, SignedFrame
from caisey.protocol.strict_json import survey

S = TypeVar("S", bound=SignedFrame)

SIGNATURE: Final = "signature"


def signed_bytes(frame_type: str, document: dict[str, Any]) -> bytes:
    """The bytes under the signature. Raises `ValueError` for what a signed frame may not hold (§1)."""
    unsigned = {key: value for key, value in document.items() if key != SIGNATURE}
    if not survey(unsigned).signable:
        first = next(unsignable(unsigned))
        raise ValueError(f"a signed frame holds no {first.found} at {first.pointer}")
    return f"caisey-{frame_type}-v1\n".encode() + canonical(unsigned)


def sign(frame: S, private_key: Ed25519PrivateKey) -> S:
    """The frame with its signature. Raises `ValueError` for fractions and integers beyond plus and minus 2^53-1."""
    document: dict[str, Any] = msgspec.to_builtins(frame)
    signature = private_key.sign(signed_bytes(document["type"], document))
    return msgspec.structs.replace(frame, signature=base64.b64encode(signature).decode())


def verify(document: dict[str, Any], frame_type: str, public_key: bytes) -> bool:
    """Whether `document`, a frame as received, carries a signature of that key over that type. Never raises."""
    signature = document.get(SIGNATURE)
    if not isinstance(signature, str):
        return False
    try:
        raw = base64.b64decode(signature, validate=True)
        if len(raw) != limits.SIGNATURE_BYTES or document.get("type") != frame_type:
            return False
        Ed25519PublicKey.from_public_bytes(public_key).verify(raw, signed_bytes(frame_type, document))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def pong_for(ping_id: str, nonce: bytes | None, private_key: Ed25519PrivateKey) -> Pong:
    """The answer to a `ping` (§7): with its nonce and signed where one was sent, else bare."""
    pong = Pong(id=ping_id, nonce=nonce)
    return pong if nonce is None else sign(pong, private_key)


def verify_pong(document: dict[str, Any], nonce: bytes, public_key: bytes) -> bool:
    """Whether a `pong` proves the key for exactly this nonce.

    The page can be read so that the nonce stands in the frame or only under its signature; both are taken, since the
    bytes that are signed are the same.
    """
    expected = base64.b64encode(nonce).decode()
    if document.get("nonce", expected) != expected:
        return False
    return verify({**document, "nonce": expected}, "pong", public_key)
