"""Secrets that have to be read again (the keys of second factors), sealed before they are stored.

Owns the file `secret_box.key` in the data directory and the sealing (AES-256-GCM). Whoever has the database alone, or a
backup of it, cannot open them. Must never write an opened secret anywhere.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from caisey.control.key_file import write_private
from caisey.storage.contract import DataDirectoryUnsafe

NAME: Final = "secret_box.key"
_OTHERS: Final = 0o077
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class SecretBox:
    """See the module. `about` ties what is sealed to whom it is for: another's does not open."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, secret: bytes, about: str) -> bytes:
        """What may be stored."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, about.encode())

    def open(self, sealed: bytes, about: str) -> bytes | None:
        """The secret; None where the key is another one, or the bytes were changed."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
        except (InvalidTag, ValueError):
            return None


def load_or_make(data_dir: Path) -> SecretBox:
    """The box of a data directory whose lock the caller holds. Raises `DataDirectoryUnsafe`."""
    path = data_dir / NAME
    if not path.exists():
        write_private(path, secrets.token_bytes(_KEY_BYTES).hex().encode() + b"\n")
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & _OTHERS:
        raise DataDirectoryUnsafe(f"{path} can be read by others; run: chmod 600 {path}")
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise DataDirectoryUnsafe(f"{path} cannot be read as a key: {type(error).__name__}") from error
    if len(key) != _KEY_BYTES:
        raise DataDirectoryUnsafe(f"{path} holds no key of {_KEY_BYTES} bytes; put it back from a backup")
    return SecretBox(key)
