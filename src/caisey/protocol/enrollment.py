"""Enrollment: the request, the answer, and the token that names the control plane's key (PROTOCOL.md §2).

Owns the wire form of `POST /runtime/v1/enroll` and the spelling of tokens. Never draws a secret and never stores one:
randomness is an argument, and what is stored is `token_digest`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final, NamedTuple

from msgspec import Struct

from caisey.protocol import limits
from caisey.protocol.bodies import BodyFault, read_body
from caisey.protocol.fields import Id, Key, Name, Token

TOKEN_SECRET_BYTES: Final = 24
_TOKEN: Final = re.compile(r"cse_([A-Za-z0-9_-]{16,128})\.([A-Za-z0-9_-]{22})")


class EnrollmentToken(NamedTuple):
    """A token that is spelled right; whether it is valid is for the control plane's store to say."""

    text: str
    key_digest: str

    def names_key(self, control_plane_key: bytes) -> bool:
        """Whether the token was made by the holder of that key. A runtime refuses any other (§2)."""
        return hmac.compare_digest(self.key_digest, key_digest(control_plane_key))


def key_digest(control_plane_key: bytes) -> str:
    """The second half of a token: base64url, unpadded, of the first 16 bytes of SHA-256 of the key."""
    digest = hashlib.sha256(control_plane_key).digest()[: limits.TOKEN_KEY_DIGEST_BYTES]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def make_token(secret: bytes, control_plane_key: bytes) -> str:
    """Spell a token. `secret` is `TOKEN_SECRET_BYTES` bytes from a cryptographic source."""
    if len(secret) != TOKEN_SECRET_BYTES:
        raise ValueError(f"a token takes {TOKEN_SECRET_BYTES} random bytes, not {len(secret)}")
    return f"cse_{base64.urlsafe_b64encode(secret).decode()}.{key_digest(control_plane_key)}"


def parse_token(text: str) -> EnrollmentToken | None:
    """Read a token that a person pasted; `None` where it is not spelled as one."""
    match = _TOKEN.fullmatch(text.strip())
    return None if match is None else EnrollmentToken(match[0], match[2])


def token_digest(token: str) -> str:
    """What is stored of a token: SHA-256 in hex. The secret half alone has 192 random bits, so no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


class EnrollingEndpoint(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The computer that asks. `practice` is an addition to version 1: it executes nothing and makes its answers up."""

    hostname: Name
    os: Name
    os_version: Name
    arch: Name
    machine_fingerprint: Id
    boot_id: Id
    practice: bool = False


class EnrollmentRequest(Struct, frozen=True, kw_only=True):
    """`POST /runtime/v1/enroll`."""

    token: Token
    public_key: Key
    runtime_version: Name
    journal_id: Id
    endpoint: EnrollingEndpoint


class EnrollmentAnswer(Struct, frozen=True, kw_only=True):
    """201: who the runtime is from now on."""

    runtime_id: Id
    endpoint_id: Id
    organization: Name
    client_group: Name | None
    control_plane_key: Key


def read_request(data: bytes) -> EnrollmentRequest | BodyFault:
    """Read an enrollment request. Never raises."""
    return read_body(data, EnrollmentRequest, limits.ENROLLMENT_BYTES)


def read_answer(data: bytes) -> EnrollmentAnswer | BodyFault:
    """Read the control plane's answer. Never raises; whether its key is the token's is for the caller to check."""
    return read_body(data, EnrollmentAnswer, limits.ENROLLMENT_BYTES)
