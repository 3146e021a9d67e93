"""Client groups: one customer or environment each, the unit of policy and of access.

Owns their creation, their names, and how one is found by somebody who may see it.
"""

from __future__ import annotations

from msgspec.structs import replace

from caisey.control.access import Principal
from caisey.control.directory.records import ClientGroup
from caisey.control.directory.store import Directory, Draft
from caisey.control.roles import GroupRoles
from caisey.core import ids
from caisey.core.errors import Fault


def find(directory: Directory, principal: Principal, client_group_id: str) -> ClientGroup:
    """The client group, for somebody who may see it. Raises `resource.not_found`, `access.role_too_low`."""
    found = directory.client_groups.get(client_group_id)
    if found is None or found.organization_id != principal.organization_id:
        raise Fault("resource.not_found")
    principal.require_group(client_group_id)
    return found


def visible(directory: Directory, principal: Principal) -> list[ClientGroup]:
    """All that the principal may see, by name."""
    groups = directory.groups_of(principal.organization_id)
    return [group for group in groups if principal.sees_group(group.client_group_id)]


def create(directory: Directory, draft: Draft, principal: Principal, name: str) -> ClientGroup:
    """A new client group. Raises `access.group_limited` (the maker could not see it) or `client_group.name_taken`."""
    if not principal.everywhere:
        raise Fault("access.group_limited")
    _require_free(directory, principal, name)
    group = ClientGroup(
        client_group_id=draft.new_id(ids.CLIENT_GROUP),
        organization_id=principal.organization_id,
        name=name,
        created_at_ms=draft.at_ms,
    )
    draft.note("client_group.created", client_group_id=group.client_group_id, name=name)
    return draft.save(group)


def rename(directory: Directory, draft: Draft, principal: Principal, client_group_id: str, name: str) -> ClientGroup:
    """Another name. Raises `resource.not_found`, `client_group.name_taken`."""
    group = find(directory, principal, client_group_id)
    if name == group.name:
        return group
    _require_free(directory, principal, name, but=client_group_id)
    draft.note("client_group.renamed", client_group_id=client_group_id, name=name)
    return draft.save(replace(group, name=name))


def _require_free(directory: Directory, principal: Principal, name: str, but: str | None = None) -> None:
    """That no other group of the organization has this name, whatever its case."""
    for other in directory.groups_of(principal.organization_id):
        if other.client_group_id != but and other.name.casefold() == name.casefold():
            raise Fault("client_group.name_taken")


def checked(directory: Directory, principal: Principal, wanted: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Client groups to hand to a token or member: known, visible, and no more than the principal has.

    None asks for all. Raises `resource.not_found` for an unknown one, `access.group_limited` for all where the
    principal has not all.
    """
    if wanted is None:
        if not principal.everywhere:
            raise Fault("access.group_limited")
        return None
    return tuple(sorted({find(directory, principal, group_id).client_group_id for group_id in wanted}))


def checked_roles(directory: Directory, principal: Principal, wanted: GroupRoles, former: GroupRoles) -> GroupRoles:
    """Roles in client groups to hand to a token or member. Those that the principal may not decide about stay.

    Raises `resource.not_found`, `access.role_too_low` for a group where the principal may hand out nothing.
    """
    given = {find(directory, principal, group_id).client_group_id: role for group_id, role in wanted.items()}
    kept = {group_id: role for group_id, role in former.items() if not principal.sees_group(group_id)}
    return dict(sorted((kept | given).items()))


def said(roles: GroupRoles) -> dict[str, str]:
    """As an event names them."""
    return {group_id: "none" if role is None else role.value for group_id, role in roles.items()}
