"""Who a practice runtime is: its key, its made-up computer and its numbers, in one private file.

Owns the state directory and the enrollment (PROTOCOL.md §2). Nothing is kept before the control plane has proved to be
the one that made the token. The start number is on disk before it is used.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import stat
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey import __version__
from caisey.protocol import limits
from caisey.protocol.bodies import BodyFault
from caisey.protocol.enrollment import (
    EnrollingEndpoint,
    EnrollmentAnswer,
    EnrollmentRequest,
    parse_token,
    read_answer,
)
from caisey.transport.addresses import InsecureAddressError, http_url
from caisey.transport.http import HttpConnection

ENROLL_PATH: Final = "/runtime/v1/enroll"
VERSION: Final = __version__
HOSTNAME: Final = "practice"
SYSTEM: Final = "Practice computer (nothing is executed)"
TIMEOUT_S: Final = 30.0
FILE: Final = "practice.json"


class PracticeError(Exception):
    """A practice runtime cannot be had. `code` is the control plane's or one of our own; the text says what to do."""

    def __init__(self, code: str, hint: str) -> None:
        super().__init__(f"{code}: {hint}")
        self.code = code
        self.hint = hint


class Identity(msgspec.Struct, kw_only=True):
    """What the file holds. `runtime_id` is empty before the enrollment."""

    private_key: bytes
    journal_id: str
    machine_fingerprint: str
    boot_id: str
    hostname: str = HOSTNAME
    start_number: int = 0
    url: str = ""
    insecure_http: bool = False
    runtime_id: str = ""
    endpoint_id: str = ""
    organization: str = ""
    client_group: str | None = None
    control_plane_keys: tuple[bytes, ...] = ()

    @property
    def key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.private_key)

    @property
    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes_raw()


class Home:
    """The state directory: the identity in one file, the journal in another. Private to its owner, or it is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise PracticeError("state.not_private", f"Others may read {path}. Set it to 0700 (chmod) and try again.")

    @property
    def journal(self) -> Path:
        return self.path / "journal.db"

    def identity(self) -> Identity | None:
        """Who lives here, if anybody does."""
        try:
            return msgspec.json.decode((self.path / FILE).read_bytes(), type=Identity)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, ValueError) as error:
            raise PracticeError("state.damaged", f"{self.path / FILE} cannot be read. Use a new directory.") from error

    def keep(self, identity: Identity) -> None:
        """Replace the file as a whole; it is on disk when this returns."""
        part = self.path / f"{FILE}.part"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(identity))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path / FILE)


def new_identity(hostname: str = HOSTNAME) -> Identity:
    """A new made-up computer with a key of its own."""
    return Identity(
        private_key=Ed25519PrivateKey.generate().private_bytes_raw(),
        journal_id=f"jrn_{secrets.token_hex(12)}",
        machine_fingerprint=secrets.token_hex(32),
        boot_id=f"boot_{secrets.token_hex(8)}",
        hostname=hostname,
    )


def enroll(
    home: Home,
    url: str,
    token: str,
    *,
    hostname: str = HOSTNAME,
    insecure_http: bool = False,
    same_computer: Identity | None = None,
) -> Identity:
    """Enroll with an ordinary token, and keep who it is. Safe to repeat. Blocking. Raises `PracticeError`.

    `same_computer`: another identity on the computer of which this is a further runtime, with a journal of its own.
    """
    parsed = parse_token(token)
    if parsed is None:
        raise PracticeError("enrollment.token_unreadable", "The token is not complete. Copy all of it.")
    identity = home.identity() or new_identity(hostname)
    if identity.runtime_id:
        raise PracticeError("enrollment.already_enrolled", f"{home.path} has a runtime already. Use another one.")
    if same_computer is not None:
        identity.machine_fingerprint = same_computer.machine_fingerprint
        identity.boot_id = same_computer.boot_id
    home.keep(identity)
    answer = _ask(url, parsed.text, identity, insecure_http)
    if not parsed.names_key(answer.control_plane_key):
        raise PracticeError(
            "enrollment.wrong_control_plane", "Another control plane answered than the one that made the token."
        )
    identity.url, identity.insecure_http = url, insecure_http
    identity.runtime_id, identity.endpoint_id = answer.runtime_id, answer.endpoint_id
    identity.organization, identity.client_group = answer.organization, answer.client_group
    identity.control_plane_keys = (answer.control_plane_key,)
    home.keep(identity)
    return identity


def _ask(url: str, token: str, identity: Identity, insecure_http: bool) -> EnrollmentAnswer:
    request = EnrollmentRequest(
        token=token,
        public_key=identity.public_key,
        runtime_version=VERSION,
        journal_id=identity.journal_id,
        endpoint=EnrollingEndpoint(
            hostname=identity.hostname,
            os="linux",
            os_version=SYSTEM,
            arch="practice",
            machine_fingerprint=identity.machine_fingerprint,
            boot_id=identity.boot_id,
            practice=True,
        ),
    )
    try:
        target = http_url(url, ENROLL_PATH, insecure_http=insecure_http)
        with contextlib.closing(
            HttpConnection(target, timeout_s=TIMEOUT_S, body_limit=limits.ENROLLMENT_BYTES)
        ) as line:
            answer = line.post(msgspec.json.encode(request))
    except InsecureAddressError as error:
        raise PracticeError("enrollment.address", str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise PracticeError("enrollment.unreachable", f"The control plane cannot be reached: {error}") from error
    if answer.status != http.client.CREATED:
        raise _refused(answer.status, answer.body)
    read = read_answer(answer.body)
    if isinstance(read, BodyFault):
        raise PracticeError("enrollment.unreadable", "The control plane's answer cannot be read.")
    return read


class _Fault(msgspec.Struct):
    code: str = "enrollment.failed"
    hint: str = ""


def _refused(status: int, body: bytes) -> PracticeError:
    try:
        fault = msgspec.json.decode(body, type=_Fault)
    except (msgspec.DecodeError, ValueError):
        fault = _Fault()
    return PracticeError(fault.code, fault.hint or f"The control plane answered {status}.")
