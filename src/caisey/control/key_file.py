"""The control plane's keys on disk: made at the first start, private to the owner.

Owns the file `control_plane.pem` in the data directory: Ed25519 private keys as PEM, the current one first, former ones
behind it. Must never be readable by others, never be half written, and never be replaced by itself.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.control.keyring import Keyring
from caisey.storage.contract import DataDirectoryUnsafe

NAME: Final = "control_plane.pem"
_MODE: Final = 0o600
_OTHERS: Final = 0o077
_BLOCK: Final = re.compile(rb"-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----\n?", re.DOTALL)


def load_or_make(data_dir: Path) -> Keyring:
    """The keys of a data directory whose lock the caller holds. Raises `DataDirectoryUnsafe`."""
    path = data_dir / NAME
    if not path.exists():
        write_private(path, _pem(Ed25519PrivateKey.generate()))
    found = path.stat()
    if stat.S_IMODE(found.st_mode) & _OTHERS:
        raise DataDirectoryUnsafe(f"{path} can be read by others; run: chmod 600 {path}")
    return Keyring(_read(path))


def _read(path: Path) -> list[Ed25519PrivateKey]:
    keys: list[Ed25519PrivateKey] = []
    try:
        for block in _BLOCK.findall(path.read_bytes()):
            key = serialization.load_pem_private_key(block, password=None)
            if isinstance(key, Ed25519PrivateKey):
                keys.append(key)
    except (OSError, ValueError, TypeError) as error:
        raise DataDirectoryUnsafe(f"{path} cannot be read as Ed25519 keys: {type(error).__name__}") from error
    if not keys:
        raise DataDirectoryUnsafe(f"{path} holds no Ed25519 key; put it back from a backup")
    return keys


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_private(path: Path, data: bytes) -> None:
    """Whole or not at all: a control plane that forgets its key is refused by every runtime."""
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    unfinished.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
