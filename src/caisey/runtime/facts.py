"""What this computer is, as enrollment and `hello` tell it.

Owns the machine fingerprint: a hash, so that no serial number leaves the computer, and the same for every runtime on
it. Reads, never writes.
"""

from __future__ import annotations

import getpass
import hashlib
import platform as python_platform
import socket
from typing import Final

from caisey.protocol.enrollment import EnrollingEndpoint
from caisey.runtime.platforms import Platform

OS_NAMES: Final = {"linux": "linux", "darwin": "macos", "windows": "windows"}


def machine_fingerprint(platform: Platform) -> str:
    """SHA-256 over the best fact that names this machine."""
    named = platform.machine_identity() or [f"hostname:{socket.gethostname()}"]
    return hashlib.sha256(f"caisey-machine-v1\n{named[0]}".encode()).hexdigest()


def endpoint(platform: Platform) -> EnrollingEndpoint:
    """This computer, for `POST /runtime/v1/enroll`."""
    return EnrollingEndpoint(
        hostname=(socket.gethostname() or "unknown")[:128],
        os=OS_NAMES[platform.name],
        os_version=(platform.os_version() or "unknown")[:128],
        arch=python_platform.machine() or "unknown",
        machine_fingerprint=machine_fingerprint(platform),
        boot_id=platform.boot_id(),
    )


def account() -> str | None:
    """Whom this process, and so every command, runs as. None where the system has no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
