"""What an authenticator answers, checked (W3C Web Authentication, level 2, sections 7.1 and 7.2).

Owns the checks; pure, it reads no clock and keeps nothing. No attestation is asked for: who makes a passkey is signed
in, so what it is made with is theirs to choose. The public key comes as the browser itself spells it
(SubjectPublicKeyInfo), so that nothing of CBOR has to be read. Everything that does not fit is one fault, `Unfit`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from typing import Any, Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

ALGORITHMS: Final = (-7, -8, -257)
"""ES256, EdDSA, RS256 (COSE), in the order in which they are asked for."""
MIN_RSA_BITS: Final = 2048
CREDENTIAL_ID_BYTES: Final = 1023
PART_LENGTH: Final = 8 * 1024

_HEAD: Final = struct.Struct(">32sBI")
_PRESENT: Final = 0x01
_VERIFIED: Final = 0x04
_ATTESTED: Final = 0x40
_AAGUID_BYTES: Final = 16


class Unfit(Exception):
    """An answer that proves nothing; the text is for the log."""


class Asked(NamedTuple):
    """What was asked: of which host, from which page, with which challenge."""

    challenge: bytes
    rp_id: str
    origin: str


class Made(NamedTuple):
    """A new key, as it is to be stored."""

    credential_id: bytes
    public_key: bytes
    sign_count: int


class _ClientData(msgspec.Struct, frozen=True):
    """What the browser says that it did."""

    type: str
    challenge: str
    origin: str
    cross_origin: bool = msgspec.field(default=False, name="crossOrigin")


def registered(asked: Asked, *, client_data: str, authenticator_data: str, public_key: str) -> Made:
    """The key that was made. Raises `Unfit`."""
    _check_client(asked, decoded(client_data), "webauthn.create")
    data = decoded(authenticator_data)
    flags, count = _check_authenticator(asked, data)
    if not flags & _ATTESTED:
        raise Unfit("no credential in the authenticator's data")
    at = _HEAD.size + _AAGUID_BYTES
    length = int.from_bytes(data[at : at + 2])
    credential_id = data[at + 2 : at + 2 + length]
    if not 1 <= length <= CREDENTIAL_ID_BYTES or len(credential_id) != length:
        raise Unfit("the credential's id does not fit")
    key = decoded(public_key)
    _load(key)
    return Made(credential_id, key, count)


def asserted(asked: Asked, public_key: bytes, *, client_data: str, authenticator_data: str, signature: str) -> int:
    """The authenticator's count, where the signature is that of this key. Raises `Unfit`."""
    client = decoded(client_data)
    _check_client(asked, client, "webauthn.get")
    data = decoded(authenticator_data)
    _, count = _check_authenticator(asked, data)
    _verify(_load(public_key), decoded(signature), data + hashlib.sha256(client).digest())
    return count


def decoded(text: str) -> bytes:
    """Base64url without padding, within bounds. Raises `Unfit`."""
    if len(text) > PART_LENGTH or not text.isascii():
        raise Unfit("a part is too long, or no base64url")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise Unfit("a part is no base64url") from None


def encoded(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _check_client(asked: Asked, client: bytes, kind: str) -> None:
    try:
        said = msgspec.json.decode(client, type=_ClientData)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Unfit("the client data cannot be read") from None
    if said.type != kind or said.cross_origin or said.origin != asked.origin:
        raise Unfit("the client data are of another ceremony or page")
    if not hmac.compare_digest(said.challenge.encode("utf-8", "replace"), encoded(asked.challenge).encode()):
        raise Unfit("the challenge is another one")


def _check_authenticator(asked: Asked, data: bytes) -> tuple[int, int]:
    """Flags and count. The person was there, and proved to the authenticator who they are."""
    if len(data) < _HEAD.size:
        raise Unfit("the authenticator's data are too short")
    host, flags, count = _HEAD.unpack_from(data)
    if not hmac.compare_digest(host, hashlib.sha256(asked.rp_id.encode()).digest()):
        raise Unfit("the authenticator's data are for another host")
    if not (flags & _PRESENT and flags & _VERIFIED):
        raise Unfit("nobody was there, or nobody proved who they are")
    return flags, count


def _load(key: bytes) -> Any:
    try:
        found = load_der_public_key(key)
    except (ValueError, TypeError, NotImplementedError):
        raise Unfit("the public key cannot be read") from None
    if isinstance(found, ec.EllipticCurvePublicKey) and isinstance(found.curve, ec.SECP256R1):
        return found
    if isinstance(found, rsa.RSAPublicKey) and found.key_size >= MIN_RSA_BITS:
        return found
    if isinstance(found, ed25519.Ed25519PublicKey):
        return found
    raise Unfit("the public key is of a kind that was not asked for")


def _verify(key: Any, signature: bytes, data: bytes) -> None:
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        else:
            key.verify(signature, data)
    except InvalidSignature:
        raise Unfit("the signature is another key's") from None
