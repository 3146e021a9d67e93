"""Enrollment: a token from a person becomes a runtime with a key of its own (PROTOCOL.md §2).

Owns the one request, and the check that the control plane is the one that the token was made by. Nothing is kept before
that is proved. Safe to repeat: the same key is offered again.
"""

from __future__ import annotations

import http.client
import secrets
from pathlib import Path
from typing import Final

import msgspec

from caisey import __version__
from caisey.protocol import limits
from caisey.protocol.bodies import BodyFault
from caisey.protocol.enrollment import EnrollmentAnswer, EnrollmentRequest, parse_token, read_answer
from caisey.runtime.facts import endpoint
from caisey.runtime.journal_folder import JournalFolder
from caisey.runtime.platforms import this_platform
from caisey.runtime.state import KEY_BYTES, Enrolled, StateDirectory
from caisey.transport.addresses import InsecureAddressError, http_url
from caisey.transport.http import Answer, HttpConnection

ENROLL_PATH: Final = "/runtime/v1/enroll"
TIMEOUT_S: Final = 30.0
_CREATED: Final = 201


class EnrollmentError(Exception):
    """The runtime was not enrolled. `code` is the control plane's, or one of our own; the text says what to do."""

    def __init__(self, code: str, hint: str) -> None:
        super().__init__(f"{code}: {hint}")
        self.code = code
        self.hint = hint


class _Fault(msgspec.Struct):
    code: str = "enrollment.failed"
    hint: str = ""
    title: str = ""


def enroll(
    url: str, token: str, state_dir: str | Path, journal_dir: str | Path | None = None, insecure_http: bool = False
) -> Enrolled:
    """Enroll this computer's runtime and keep who it is. Raises `EnrollmentError` or `StateError`."""
    parsed = parse_token(token)
    if parsed is None:
        raise EnrollmentError("enrollment.token_unreadable", "The token is not complete. Copy all of it.")
    try:
        target = http_url(url, ENROLL_PATH, insecure_http=insecure_http)
    except InsecureAddressError as error:
        raise EnrollmentError("enrollment.address", str(error)) from error
    state = StateDirectory(Path(state_dir).absolute())
    state.make()
    if state.enrolled() is not None:
        raise EnrollmentError("enrollment.already_enrolled", f"{state.path} has a runtime already. Use another one.")
    given = Path(journal_dir).absolute() if journal_dir is not None else None
    request = EnrollmentRequest(
        token=parsed.text,
        public_key=state.private_key_or_new(secrets.token_bytes(KEY_BYTES)).public_key().public_bytes_raw(),
        runtime_version=__version__,
        journal_id=JournalFolder(state.journal(None, given)).journal_id(),
        endpoint=endpoint(this_platform()),
    )
    answer = _post(target, msgspec.json.encode(request))
    if not parsed.names_key(answer.control_plane_key):
        raise EnrollmentError(
            "enrollment.wrong_control_plane", "Another control plane answered than the one that made the token."
        )
    enrolled = Enrolled(
        url=url,
        runtime_id=answer.runtime_id,
        endpoint_id=answer.endpoint_id,
        organization=answer.organization,
        client_group=answer.client_group,
        control_plane_keys=(answer.control_plane_key,),
        journal_dir=str(given) if given is not None else None,
        insecure_http=insecure_http,
    )
    state.keep(enrolled)
    return enrolled


def _post(target: str, body: bytes) -> EnrollmentAnswer:
    try:
        answer = HttpConnection(target, timeout_s=TIMEOUT_S, body_limit=limits.ENROLLMENT_BYTES).post(body)
    except (OSError, http.client.HTTPException) as error:
        raise EnrollmentError("enrollment.unreachable", f"The control plane cannot be reached: {error}") from error
    if answer.status != _CREATED:
        fault = _fault(answer)
        raise EnrollmentError(fault.code, fault.hint or fault.title or f"The control plane answered {answer.status}.")
    read = read_answer(answer.body)
    if isinstance(read, BodyFault):
        raise EnrollmentError("enrollment.unreadable", "The control plane's answer cannot be read.")
    return read


def _fault(answer: Answer) -> _Fault:
    try:
        return msgspec.json.decode(answer.body, type=_Fault)
    except (msgspec.DecodeError, ValueError):
        return _Fault()
