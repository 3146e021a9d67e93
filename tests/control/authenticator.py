"""An authenticator in software: makes key pairs, signs, and can be made to lie in each part."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from caisey.control.webauthn import encoded

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


class Authenticator:
    """One passkey."""

    def __init__(self, kind: str = "es256", *, count: int = 0) -> None:
        self.credential_id = os.urandom(32)
        self.count = count
        self.key: Any = {
            "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
            "eddsa": ed25519.Ed25519PrivateKey.generate,
            "rs256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "rs256 short": lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024),  # noqa: S505
        }[kind]()

    @property
    def public_key(self) -> bytes:
        return bytes(self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def client_data(self, kind: str, challenge: bytes, origin: str, **changes: Any) -> bytes:
        said = {"type": kind, "challenge": encoded(challenge), "origin": origin, "crossOrigin": False, **changes}
        return json.dumps(said).encode()

    def data(self, rp_id: str, *, flags: int = PRESENT | VERIFIED, attested: bytes = b"") -> bytes:
        return hashlib.sha256(rp_id.encode()).digest() + struct.pack(">BI", flags, self.count) + attested

    def create(self, challenge: bytes, rp_id: str, origin: str, **changes: Any) -> dict[str, str]:
        """The parts that a browser sends of a new passkey."""
        attested = bytes(16) + struct.pack(">H", len(self.credential_id)) + self.credential_id + b"\xa0"
        data = self.data(rp_id, flags=PRESENT | VERIFIED | ATTESTED, attested=attested)
        return {
            "client_data": encoded(self.client_data("webauthn.create", challenge, origin, **changes)),
            "authenticator_data": encoded(data),
            "public_key": encoded(self.public_key),
        }

    def get(self, challenge: bytes, rp_id: str, origin: str, *, flags: int = PRESENT | VERIFIED) -> dict[str, str]:
        """The parts that a browser sends of a signature."""
        self.count += 1 if self.count else 0
        client = self.client_data("webauthn.get", challenge, origin)
        data = self.data(rp_id, flags=flags)
        return {
            "client_data": encoded(client),
            "authenticator_data": encoded(data),
            "signature": encoded(self.sign(data + hashlib.sha256(client).digest())),
        }

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(data, ec.ECDSA(hashes.SHA256()))
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return bytes(self.key.sign(data))
