"""Members: the people of an organization, with their role and client groups.

Owns their life, and what they have chosen about the console. How a member signs in is not its business, but that they
are signed out when they are removed is.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from caisey.control.access import Principal
from caisey.control.directory import browser_sessions, client_groups, member_links
from caisey.control.directory.records import Member
from caisey.control.directory.sign_in_records import Keys, MemberSettings, Theme
from caisey.control.directory.store import Directory, Draft
from caisey.control.roles import GroupRoles, Role, may_everywhere, may_somewhere
from caisey.core import ids
from caisey.core.errors import Fault


class MemberChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; UNSET stays. `groups` None means every client group."""

    name: str | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    groups: tuple[str, ...] | UnsetType | None = UNSET
    group_roles: GroupRoles | UnsetType = UNSET


class SettingsChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to choose anew; UNSET stays."""

    theme: Theme | UnsetType = UNSET
    keys: Keys | UnsetType = UNSET
    zone: str | UnsetType = UNSET


def visible(directory: Directory, principal: Principal) -> list[Member]:
    """Members who reach no further than the principal's client groups, by name."""
    found = [member for member in directory.members.values() if _sees(principal, member)]
    return sorted(found, key=lambda member: (member.name.casefold(), member.member_id))


def find(directory: Directory, principal: Principal, member_id: str) -> Member:
    """Raises `resource.not_found`."""
    member = directory.members.get(member_id)
    if member is None or not _sees(principal, member):
        raise Fault("resource.not_found")
    return member


def create(
    directory: Directory,
    draft: Draft,
    principal: Principal,
    *,
    name: str,
    email: str,
    role: Role,
    groups: tuple[str, ...] | None,
    group_roles: GroupRoles | None = None,
) -> Member:
    """A new member. Raises `access.role_too_low` and `member.email_taken`."""
    if not may_somewhere(principal, role):
        raise Fault("access.role_too_low")
    email = email.casefold()
    if any(other.email == email for other in _present(directory, principal.organization_id)):
        raise Fault("member.email_taken")
    member = Member(
        member_id=draft.new_id(ids.USER),
        organization_id=principal.organization_id,
        name=name or email,
        email=email,
        role=role,
        client_groups=client_groups.checked(directory, principal, groups),
        created_at_ms=draft.at_ms,
        group_roles=dict(client_groups.checked_roles(directory, principal, group_roles or {}, {})),
    )
    _require_covered(principal, member)
    _note(draft, "member.created", member)
    return draft.save(member)


def add_first(directory: Directory, draft: Draft, *, name: str, email: str, role: Role) -> Member:
    """A member that nobody of the organization adds: somebody on its own machine did. Raises `member.email_taken`."""
    if any(other.email == email for other in _present(directory, draft.organization_id)):
        raise Fault("member.email_taken")
    member = Member(
        member_id=draft.new_id(ids.USER),
        organization_id=draft.organization_id,
        name=name,
        email=email,
        role=role,
        client_groups=None,
        created_at_ms=draft.at_ms,
    )
    _note(draft, "member.created", member)
    return draft.save(member)


def change(directory: Directory, draft: Draft, principal: Principal, member_id: str, wanted: MemberChange) -> Member:
    """Raises `access.role_too_low` where the member's role, before or after, is above the principal's in any client
    group, and `member.last_owner`."""
    member = find(directory, principal, member_id)
    role = member.role if wanted.role is UNSET else wanted.role
    _require_covered(principal, member)
    if not may_somewhere(principal, role):
        raise Fault("access.role_too_low")
    groups = member.client_groups
    if wanted.groups is not UNSET:
        groups = client_groups.checked(directory, principal, wanted.groups)
    roles = member.group_roles
    if wanted.group_roles is not UNSET:
        roles = dict(client_groups.checked_roles(directory, principal, wanted.group_roles, roles))
    name = member.name if wanted.name is UNSET else wanted.name
    changed = replace(member, name=name, role=role, client_groups=groups, group_roles=roles)
    _require_covered(principal, changed)
    if not may_everywhere(changed, Role.OWNER):
        _require_another_owner(directory, member)
    if changed != member:
        _note(draft, "member.updated", changed)
        draft.save(changed)
    return changed


def remove(directory: Directory, draft: Draft, principal: Principal, member_id: str) -> None:
    """Ends the membership at once, with its streams. Raises `access.role_too_low`, `member.last_owner`."""
    member = find(directory, principal, member_id)
    _require_covered(principal, member)
    _require_another_owner(directory, member)
    draft.note("member.removed", member_id=member_id)
    draft.save(replace(member, removed_at_ms=draft.at_ms))
    browser_sessions.end_all(directory, draft, member_id, "removed")
    member_links.end_all(directory, draft, member_id)


def sign_out(directory: Directory, draft: Draft, principal: Principal, member_id: str) -> None:
    """Every browser of the member is signed out. Raises `access.role_too_low`."""
    member = find(directory, principal, member_id)
    _require_covered(principal, member)
    browser_sessions.end_all(directory, draft, member_id, "ended_by_admin")


def _require_covered(principal: Principal, member: Member) -> None:
    """That the principal has, in every client group, at least the member's role. Raises `access.role_too_low`."""
    if not principal.covers(member):
        raise Fault("access.role_too_low")


def _require_another_owner(directory: Directory, member: Member) -> None:
    """That an owner of everything who can sign in remains without this one. Raises `member.last_owner`."""

    def leads(one: Member) -> bool:
        credential = directory.credentials.get(one.member_id)
        able = credential is not None and credential.password_hash is not None
        return able and may_everywhere(one, Role.OWNER)

    if leads(member) and not any(
        leads(other) for other in _present(directory, member.organization_id) if other.member_id != member.member_id
    ):
        raise Fault("member.last_owner")


def rename(draft: Draft, member: Member, name: str) -> Member:
    """A member's own name, changed by themselves."""
    if name == member.name:
        return member
    changed = replace(member, name=name)
    _note(draft, "member.updated", changed)
    return draft.save(changed)


def settings_of(directory: Directory, member: Member) -> MemberSettings:
    """What the member has chosen; the defaults where nothing was."""
    known = directory.member_settings.get(member.member_id)
    return known or MemberSettings(member_id=member.member_id, organization_id=member.organization_id)


def choose(directory: Directory, draft: Draft, member: Member, wanted: SettingsChange) -> MemberSettings:
    """What the member chooses. It concerns nobody else, so no event says so."""
    former = settings_of(directory, member)
    given = {name: getattr(wanted, name) for name in wanted.__struct_fields__ if getattr(wanted, name) is not UNSET}
    return draft.save(replace(former, **given))


def _present(directory: Directory, organization_id: str) -> list[Member]:
    everyone = directory.members.values()
    return [m for m in everyone if m.organization_id == organization_id and m.removed_at_ms is None]


def _sees(principal: Principal, member: Member) -> bool:
    if member.organization_id != principal.organization_id or member.removed_at_ms is not None:
        return False
    return principal.sees_reach_of(member)


def _note(draft: Draft, event_type: str, member: Member) -> None:
    groups = None if member.client_groups is None else list(member.client_groups)
    draft.note(
        event_type,
        member_id=member.member_id,
        name=member.name,
        email=member.email,
        role=member.role.value,
        client_groups=groups,
        group_roles=client_groups.said(member.group_roles),
    )
