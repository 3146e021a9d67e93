"""API tokens: made, shown once, revoked.

Owns their life. Only the digest of a token is stored; the text is returned to whoever made it, once.
"""

from __future__ import annotations

import secrets
from typing import Final

from msgspec.structs import replace

from caisey.control import access
from caisey.control.access import Principal
from caisey.control.directory import client_groups
from caisey.control.directory.records import ApiToken
from caisey.control.directory.store import Directory, Draft
from caisey.control.roles import GroupRoles, Role, may_somewhere
from caisey.core import ids
from caisey.core.errors import Fault

SECRET_BYTES: Final = 32


def visible(directory: Directory, principal: Principal) -> list[ApiToken]:
    """Tokens that are not revoked and reach no further than the principal's client groups, newest first."""
    found = [token for token in directory.tokens.values() if _sees(principal, token)]
    return sorted(found, key=lambda token: (-token.created_at_ms, token.token_id))


def create(
    directory: Directory,
    draft: Draft,
    principal: Principal,
    *,
    role: Role,
    name: str,
    groups: tuple[str, ...] | None,
    expires_in_s: float | None,
    group_roles: GroupRoles | None = None,
) -> tuple[ApiToken, str]:
    """A new token and its text. Raises `access.role_too_low` where it would outrank its maker, in any client group."""
    if not may_somewhere(principal, role):
        raise Fault("access.role_too_low")
    token, text = make(
        draft,
        role=role,
        name=name,
        groups=client_groups.checked(directory, principal, groups),
        expires_in_s=expires_in_s,
        group_roles=client_groups.checked_roles(directory, principal, group_roles or {}, {}),
    )
    if not principal.covers(token):
        raise Fault("access.role_too_low")
    return token, text


def make(
    draft: Draft,
    *,
    role: Role,
    name: str,
    groups: tuple[str, ...] | None = None,
    expires_in_s: float | None = None,
    group_roles: GroupRoles | None = None,
) -> tuple[ApiToken, str]:
    """A new token of the draft's organization and its text. The caller has checked who asks."""
    text = access.TOKEN_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    token = ApiToken(
        token_id=draft.new_id(ids.TOKEN),
        organization_id=draft.organization_id,
        digest=access.token_digest(text),
        name=name,
        role=role,
        client_groups=groups,
        created_by=draft.actor.id,
        created_at_ms=draft.at_ms,
        expires_at_ms=None if expires_in_s is None else draft.at_ms + int(expires_in_s * 1000),
        group_roles=dict(group_roles or {}),
    )
    draft.note(
        "token.created",
        token_id=token.token_id,
        name=name,
        role=role.value,
        client_groups=None if groups is None else list(groups),
        group_roles=client_groups.said(token.group_roles),
        expires_at_ms=token.expires_at_ms,
    )
    return draft.save(token), text


def revoke(directory: Directory, draft: Draft, principal: Principal, token_id: str) -> None:
    """Ends it at once, with its streams. Raises `resource.not_found`, `access.role_too_low`."""
    token = directory.tokens.get(token_id)
    if token is None or not _sees(principal, token):
        raise Fault("resource.not_found")
    if not principal.covers(token):
        raise Fault("access.role_too_low")
    draft.note("token.revoked", token_id=token_id)
    draft.save(replace(token, revoked_at_ms=draft.at_ms))


def _sees(principal: Principal, token: ApiToken) -> bool:
    if token.organization_id != principal.organization_id or token.revoked_at_ms is not None:
        return False
    return principal.sees_reach_of(token)
