"""The control plane's own keys: the one that new runtimes learn, and former ones that some runtimes still trust.

Owns the choice of the key to sign with. Where keys are stored is not known here; a private key never leaves this object
except to sign.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.protocol.frames import Keys, TrustedKey
from caisey.protocol.signatures import sign


class Keyring:
    """`keys` begins with the current key; the others are from before a rotation."""

    def __init__(self, keys: Sequence[Ed25519PrivateKey]) -> None:
        if not keys:
            raise ValueError("a control plane has a key")
        self._by_public = {key.public_key().public_bytes_raw(): key for key in keys}
        self.current_public = keys[0].public_key().public_bytes_raw()

    @property
    def public_keys(self) -> tuple[bytes, ...]:
        """The current one first."""
        return tuple(self._by_public)

    def trusted_by(self, public_key: bytes) -> Ed25519PrivateKey:
        """The key whose signature a runtime accepts that trusts `public_key`, which is one of `public_keys`."""
        return self._by_public[public_key]

    def rotation(self, trusted: bytes, runtime_id: str, incarnation: str) -> Keys | None:
        """What to tell a runtime that still trusts a former key; None where it trusts the current one."""
        if trusted == self.current_public:
            return None
        keys = tuple(TrustedKey(key_id=_key_id(public), public_key=public) for public in self._by_public)
        frame = Keys(runtime_id=runtime_id, incarnation=incarnation, keys=keys)
        return sign(frame, self._by_public[trusted])


def _key_id(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()[:16]
