"""`/enrollment-tokens`: what to paste on a computer, so that it joins.

Owns the mapping; the life of a token is `directory.enrollment_tokens`'.
"""

from __future__ import annotations

import shlex
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from caisey.api.call import Answer, Call, Route
from caisey.api.documents import Command, Enrolled, EnrollmentTokenMade, EnrollmentTokenShown, EnrollmentTokenWhole
from caisey.api.fields import Id
from caisey.api.pages import Page, PageQuery, page_in_memory
from caisey.api.problem import shape_fault
from caisey.api.times import at
from caisey.control.directory import enrollment_tokens as tokens
from caisey.control.directory.records import EnrollmentToken
from caisey.control.directory.store import Draft
from caisey.control.roles import Role
from caisey.protocol.frames import ShapeFault

ENROLLED_SHOWN: Final = 200
STATE_DIR: Final = {"linux": "/var/lib/caisey", "macos": "/var/db/caisey"}


class EnrollmentTokenBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`client_group_id` goes with the scope `client_group`, `endpoint_id` with `endpoint`."""

    scope: Literal["organization", "client_group", "endpoint"]
    client_group_id: Id | None = None
    endpoint_id: Id | None = None
    uses: Annotated[int, Meta(ge=1, le=100_000)] = tokens.DEFAULT_USES
    expires_in_s: Annotated[float, Meta(gt=0, le=366 * 86_400)] = tokens.DEFAULT_EXPIRES_S


async def list_tokens(call: Call) -> Answer:
    now = call.services.clock.now_ms()
    found = tokens.visible(call.services.directory, call.principal)
    return Answer(page_in_memory(found, call.query, _order, lambda token: _shown(token, now)))


async def show(call: Call) -> Answer:
    """One token, and who joined with its present text."""
    directory, principal = call.services.directory, call.principal
    token = tokens.find(directory, principal, call.path["token_id"])
    shown = _shown(token, call.services.clock.now_ms())
    return Answer(
        EnrollmentTokenWhole(
            **{name: getattr(shown, name) for name in shown.__struct_fields__},
            enrolled=[
                Enrolled(
                    runtime_id=one.runtime_id, endpoint_id=endpoint.endpoint_id, name=endpoint.name, at=at(one.at_ms)
                )
                for one, endpoint in tokens.enrolled(directory, principal, token, ENROLLED_SHOWN)
            ],
        )
    )


def create(call: Call, draft: Draft) -> Answer:
    body: EnrollmentTokenBody = call.body
    _check_scope(body)
    wanted = tokens.Wanted(
        scope=body.scope,
        client_group_id=body.client_group_id,
        endpoint_id=body.endpoint_id,
        uses=body.uses,
        expires_in_s=body.expires_in_s,
    )
    services = call.services
    token, text = tokens.create(services.directory, draft, call.principal, wanted, services.control_plane_key)
    return _made(call, token, text, 201)


def rotate(call: Call, draft: Draft) -> Answer:
    services = call.services
    token_id = call.path["token_id"]
    token, text = tokens.rotate(services.directory, draft, call.principal, token_id, services.control_plane_key)
    return _made(call, token, text, 200)


def delete(call: Call, draft: Draft) -> Answer:
    tokens.delete(call.services.directory, draft, call.principal, call.path["token_id"])
    return Answer(status=204)


def _check_scope(body: EnrollmentTokenBody) -> None:
    """Each scope has exactly its own id."""
    faults = []
    for scope, name in (("client_group", "client_group_id"), ("endpoint", "endpoint_id")):
        given = getattr(body, name)
        if body.scope == scope and given is None:
            faults.append(ShapeFault(pointer=f"/{name}", expected="string", found="absent"))
        elif body.scope != scope and given is not None:
            faults.append(ShapeFault(pointer=f"/{name}", expected=f"absent with scope {body.scope}", found="string"))
    if faults:
        raise shape_fault("request.invalid_shape", faults)


def _made(call: Call, token: EnrollmentToken, text: str, status: int) -> Answer:
    made = EnrollmentTokenMade(
        id=token.token_id,
        token=text,
        command=_command(_url(call), text),
        practice_command=_practice(_url(call), text),
        scope=token.scope,
        client_group_id=token.client_group_id,
        endpoint_id=token.endpoint_id,
        uses=token.uses,
        expires_at=at(token.expires_at_ms),
    )
    return Answer(
        made, status, remembered=replace(made, token=None, command=None, practice_command=None, secret_shown_once=True)
    )


def _url(call: Call) -> str:
    """Where runtimes find this control plane: as it is set, else as the caller reached it."""
    if call.services.public_url is not None:
        return call.services.public_url
    url = call.request.base_url
    return str(url).rstrip("/")


def _command(url: str, token: str) -> Command:
    """The token goes in by stdin, so that no process list shows it; then the agent is made a service of the system."""

    def posix(state_dir: str) -> str:
        enroll = f"sudo caisey runtime enroll --url {shlex.quote(url)} --token - --state-dir {state_dir}"
        return f"printf %s {shlex.quote(token)} | {enroll} && sudo caisey runtime install --state-dir {state_dir}"

    quoted_url = "'" + url.replace("'", "''") + "'"
    state_dir = '"$env:ProgramData\\Caisey"'
    enroll = f"'{token}' | caisey runtime enroll --url {quoted_url} --token - --state-dir {state_dir}"
    windows = f"{enroll}; if ($?) {{ caisey runtime install --state-dir {state_dir} }}"
    return Command(linux=posix(STATE_DIR["linux"]), macos=posix(STATE_DIR["macos"]), windows=windows)


def _practice(url: str, token: str) -> str:
    """A practice computer in the foreground: it executes nothing, so it needs no rights."""
    start = f"caisey practice --url {shlex.quote(url)} --token - --state-dir ~/.caisey-practice"
    return f"printf %s {shlex.quote(token)} | {start}"


def _order(token: EnrollmentToken) -> tuple[int, str]:
    return (-token.created_at_ms, token.token_id)


def _shown(token: EnrollmentToken, now_ms: int) -> EnrollmentTokenShown:
    return EnrollmentTokenShown(
        id=token.token_id,
        scope=token.scope,
        client_group_id=token.client_group_id,
        endpoint_id=token.endpoint_id,
        uses=token.uses,
        used=token.used,
        created_at=at(token.created_at_ms),
        created_by=token.created_by,
        expires_at=at(token.expires_at_ms),
        expired=token.expires_at_ms <= now_ms,
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/enrollment-tokens",
        role=Role.ADMIN,
        summary="Enrollment tokens, newest first",
        read=list_tokens,
        query=PageQuery,
        answers=Page[EnrollmentTokenShown],
    ),
    Route(
        method="POST",
        path="/enrollment-tokens",
        role=Role.ADMIN,
        summary="Make an enrollment token",
        change=create,
        body=EnrollmentTokenBody,
        status=201,
        answers=EnrollmentTokenMade,
    ),
    Route(
        method="GET",
        path="/enrollment-tokens/{token_id}",
        role=Role.ADMIN,
        summary="One enrollment token, and who has joined with it",
        read=show,
        answers=EnrollmentTokenWhole,
    ),
    Route(
        method="POST",
        path="/enrollment-tokens/{token_id}/rotate",
        role=Role.ADMIN,
        summary="A new text for the same right; the old one is over",
        change=rotate,
        answers=EnrollmentTokenMade,
    ),
    Route(
        method="DELETE",
        path="/enrollment-tokens/{token_id}",
        role=Role.ADMIN,
        summary="End an enrollment token",
        change=delete,
        status=204,
    ),
)
