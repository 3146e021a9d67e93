"""The state directory: the runtime's key, who it is, its start number, and where its journal lies.

Owns every file there but the journal. Directories are 0700 and files 0600, or nothing starts. What is written is on
disk before it is used: the start number above all, which must never be used twice.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

KEY_BYTES: Final = 32
_PRIVATE_DIRECTORY: Final = 0o700
_PRIVATE_FILE: Final = 0o600


class StateError(Exception):
    """The state directory cannot be used. `code` is stable; the text says what to do."""

    def __init__(self, code: str, hint: str) -> None:
        super().__init__(hint)
        self.code = code
        self.hint = hint


class Enrolled(Struct, frozen=True, kw_only=True):
    """Who this runtime is, as the control plane answered. `control_plane_keys` are trusted; the first is the newest."""

    url: str
    runtime_id: str
    endpoint_id: str
    organization: str
    client_group: str | None
    control_plane_keys: tuple[bytes, ...]
    journal_dir: str | None = None
    insecure_http: bool = False


class StateDirectory:
    """One runtime's own directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # -- rights -------------------------------------------------------------------------------------------------------

    def make(self) -> None:
        """Make it, for its owner alone, or check the one that is there."""
        make_private(self.path)

    def check(self) -> None:
        """Refuse to go on where others may read the key. Raises `StateError`."""
        if not self.path.is_dir():
            raise StateError("state.missing", f"There is no state directory at {self.path}. Enroll first.")
        check_private(self.path)
        for path in (self._key, self._enrolled, self._start_number, self.lock):
            if path.exists():
                check_private(path)

    @property
    def _key(self) -> Path:
        return self.path / "key"

    @property
    def _enrolled(self) -> Path:
        return self.path / "runtime.json"

    @property
    def _start_number(self) -> Path:
        return self.path / "start_number"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def undo(self) -> Path:
        """Where tools keep what they replaced."""
        return self.path / "undo"

    def journal(self, enrolled: Enrolled | None, given: Path | None = None) -> Path:
        """The journal's directory: the one given now, else the one given at enrollment, else our own."""
        if given is not None:
            return given
        if enrolled is not None and enrolled.journal_dir is not None:
            return Path(enrolled.journal_dir)
        return self.path / "journal"

    # -- content ------------------------------------------------------------------------------------------------------

    def private_key(self) -> Ed25519PrivateKey:
        """The runtime's key. Raises `StateError` where there is none."""
        try:
            data = self._key.read_bytes()
        except FileNotFoundError as error:
            raise StateError("state.no_key", "This runtime has no key. Enroll it.") from error
        if len(data) != KEY_BYTES:
            raise StateError("state.key_damaged", "The runtime's key is damaged. Enroll it again in a new directory.")
        return Ed25519PrivateKey.from_private_bytes(data)

    def private_key_or_new(self, random: bytes) -> Ed25519PrivateKey:
        """The key, made of `random` where there is none yet: an enrollment that is tried again uses the same one."""
        if not self._key.exists():
            write_durably(self._key, Ed25519PrivateKey.from_private_bytes(random).private_bytes_raw())
        return self.private_key()

    def enrolled(self) -> Enrolled | None:
        """Who we are, or `None` before the enrollment."""
        try:
            data = self._enrolled.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return msgspec.json.decode(data, type=Enrolled)
        except (msgspec.DecodeError, ValueError) as error:
            raise StateError("state.damaged", f"{self._enrolled} cannot be read.") from error

    def keep(self, enrolled: Enrolled) -> None:
        write_durably(self._enrolled, msgspec.json.format(msgspec.json.encode(enrolled)))

    def start_number(self) -> int:
        """The number of the last start; 0 before the first."""
        try:
            return int(self._start_number.read_text())
        except FileNotFoundError:
            return 0
        except ValueError as error:
            raise StateError("state.damaged", f"{self._start_number} holds no number.") from error

    def next_start_number(self) -> int:
        """One more, on disk before it is returned."""
        number = self.start_number() + 1
        write_durably(self._start_number, str(number).encode())
        return number


def make_private(path: Path) -> None:
    """Make a directory with its parents, or check that the one that is there is private."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=_PRIVATE_DIRECTORY, exist_ok=True)
    check_private(path)


def check_private(path: Path) -> None:
    """Raise `StateError` where anybody but the owner could read or write it."""
    if sys.platform == "win32":
        return  # access lists of the parent decide there; the installer sets them
    found = path.lstat()
    if found.st_uid != os.geteuid():
        raise StateError("state.not_ours", f"{path} belongs to another user.")
    if stat.S_ISLNK(found.st_mode):
        raise StateError("state.link", f"{path} is a symbolic link.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        right = _PRIVATE_DIRECTORY if stat.S_ISDIR(found.st_mode) else _PRIVATE_FILE
        raise StateError("state.not_private", f"Others may read {path}. Set it to {right:04o} (chmod) and try again.")


def write_durably(path: Path, data: bytes) -> None:
    """Replace a private file as a whole; it is on disk when this returns."""
    part = path.with_name(path.name + ".part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE_FILE)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    part.replace(path)
    if sys.platform != "win32":
        fd = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
