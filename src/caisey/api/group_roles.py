"""Roles per client group, as bodies and answers have them.

Owns the shape and its bounds. Whether somebody may give such a role is `directory.client_groups`' and `roles`' to say.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from caisey.api.fields import Id
from caisey.control.access import Principal
from caisey.control.roles import GroupRoles, Role
from caisey.core.errors import Fault

GroupRoleName = Literal["none", "viewer", "approver", "technician", "admin"]
"""An owner decides who else is owner: that is no matter of one client group."""


_NAMES: Final[dict[Role | None, GroupRoleName]] = {
    None: "none",
    Role.VIEWER: "viewer",
    Role.APPROVER: "approver",
    Role.TECHNICIAN: "technician",
    Role.ADMIN: "admin",
}


class GroupRole(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The role in one client group, in the place of the general one. `none`: nothing of that group is visible."""

    client_group_id: Id
    role: GroupRoleName


NamedRoles = Annotated[tuple[GroupRole, ...], Meta(max_length=1_000)]


def asked(named: NamedRoles) -> GroupRoles:
    """By the group's id. Raises `request.invalid_shape` where a group is named twice."""
    roles = {one.client_group_id: None if one.role == "none" else Role(one.role) for one in named}
    if len(roles) != len(named):
        raise Fault("request.invalid_shape", "group_roles: each client group at most once.")
    return roles


def shown(principal: Principal, roles: GroupRoles) -> list[GroupRole]:
    """Those in client groups that the reader sees."""
    return [
        GroupRole(client_group_id=group_id, role=_NAMES[role])
        for group_id, role in roles.items()
        if principal.sees_group(group_id)
    ]
