"""Enrollment tokens: made, rotated, deleted (PROTOCOL.md §2).

Owns their life and their reach. Only the digest is stored; the text is returned to whoever made it, once.
"""

from __future__ import annotations

import secrets
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from caisey.control.access import Principal
from caisey.control.directory import client_groups, endpoints
from caisey.control.directory.records import Endpoint, Enrollment, EnrollmentToken
from caisey.control.directory.store import Directory, Draft
from caisey.core import ids
from caisey.core.errors import Fault
from caisey.protocol.enrollment import TOKEN_SECRET_BYTES, make_token, token_digest

Scope = Literal["organization", "client_group", "endpoint"]
DEFAULT_USES: Final = 1
DEFAULT_EXPIRES_S: Final = 3600.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A token that somebody asks for; the caller has checked that the ids fit the scope."""

    scope: Scope
    client_group_id: str | None = None
    endpoint_id: str | None = None
    uses: int = DEFAULT_USES
    expires_in_s: float = DEFAULT_EXPIRES_S


def visible(directory: Directory, principal: Principal) -> list[EnrollmentToken]:
    """Tokens that are not deleted and whose reach the principal sees, newest first."""
    found = [token for token in directory.enrollment_tokens.values() if _sees(directory, principal, token)]
    return sorted(found, key=lambda token: (-token.created_at_ms, token.token_id))


def create(
    directory: Directory, draft: Draft, principal: Principal, wanted: Wanted, control_plane_key: bytes
) -> tuple[EnrollmentToken, str]:
    """A new token and its text. Raises `resource.not_found`, `access.group_limited`."""
    group_id: str | None = None
    endpoint_id: str | None = None
    match wanted.scope:
        case "organization":
            if not principal.everywhere:
                raise Fault("access.group_limited")
        case "client_group":
            group_id = client_groups.find(directory, principal, wanted.client_group_id or "").client_group_id
        case "endpoint":
            endpoint_id = endpoints.find(directory, principal, wanted.endpoint_id or "").endpoint_id
    text = make_token(secrets.token_bytes(TOKEN_SECRET_BYTES), control_plane_key)
    token = EnrollmentToken(
        token_id=draft.new_id(ids.TOKEN),
        organization_id=draft.organization_id,
        digest=token_digest(text),
        scope=wanted.scope,
        client_group_id=group_id,
        endpoint_id=endpoint_id,
        uses=wanted.uses,
        used=0,
        created_by=draft.actor.id,
        created_at_ms=draft.at_ms,
        expires_at_ms=draft.at_ms + int(wanted.expires_in_s * 1000),
    )
    draft.note(
        "enrollment_token.created",
        token_id=token.token_id,
        scope=token.scope,
        client_group_id=group_id,
        endpoint_id=endpoint_id,
        uses=token.uses,
        expires_at_ms=token.expires_at_ms,
    )
    return draft.save(token), text


def rotate(
    directory: Directory, draft: Draft, principal: Principal, token_id: str, control_plane_key: bytes
) -> tuple[EnrollmentToken, str]:
    """The same right under a new text: as many uses and as long a life as it was made with. The old text is over."""
    token = find(directory, principal, token_id)
    text = make_token(secrets.token_bytes(TOKEN_SECRET_BYTES), control_plane_key)
    life_ms = token.expires_at_ms - token.created_at_ms
    rotated = replace(
        token,
        digest=token_digest(text),
        used=0,
        created_at_ms=draft.at_ms,
        created_by=draft.actor.id,
        expires_at_ms=draft.at_ms + life_ms,
    )
    draft.note("enrollment_token.rotated", token_id=token_id, expires_at_ms=rotated.expires_at_ms)
    return draft.save(rotated), text


def delete(directory: Directory, draft: Draft, principal: Principal, token_id: str) -> None:
    """It is over at once."""
    token = find(directory, principal, token_id)
    draft.note("enrollment_token.deleted", token_id=token_id)
    draft.save(replace(token, deleted_at_ms=draft.at_ms))


def enrolled(
    directory: Directory, principal: Principal, token: EnrollmentToken, most: int
) -> list[tuple[Enrollment, Endpoint]]:
    """Who joined with the token's present text, newest first, as far as the principal sees where they are now."""
    if not token.used:
        return []
    found: list[tuple[Enrollment, Endpoint]] = []
    for (digest, _), enrollment in directory.enrollments.items():
        runtime = directory.runtimes.get(enrollment.runtime_id) if digest == token.digest else None
        endpoint = directory.endpoints.get(runtime.endpoint_id) if runtime is not None else None
        if endpoint is not None and endpoint.removed_at_ms is None and endpoints.sees(principal, endpoint):
            found.append((enrollment, endpoint))
    return sorted(found, key=lambda one: (-one[0].at_ms, one[0].runtime_id))[:most]


def find(directory: Directory, principal: Principal, token_id: str) -> EnrollmentToken:
    """The token, for somebody who sees its reach. Raises `resource.not_found`."""
    token = directory.enrollment_tokens.get(token_id)
    if token is None or not _sees(directory, principal, token):
        raise Fault("resource.not_found")
    return token


def _sees(directory: Directory, principal: Principal, token: EnrollmentToken) -> bool:
    if token.organization_id != principal.organization_id or token.deleted_at_ms is not None:
        return False
    if principal.everywhere:
        return True
    if token.endpoint_id is not None:
        endpoint = directory.endpoints.get(token.endpoint_id)
        return endpoint is not None and endpoints.sees(principal, endpoint)
    return token.client_group_id is not None and principal.sees_group(token.client_group_id)
