"""Which client groups a member or a token reaches, and in which role: the same fields on several forms.

Owns their reading and what they are filled with. Holds no page of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from caisey.control.roles import GroupRoles, Role, covers
from caisey.web.visit import Form, Visit

MOST_GROUPS: Final = 1_000
PAGE: Final = 200
NAMED: Final = "in."
"""How the name of a field begins that names a role for a client group; empty: as in general."""
NO_ROLE: Final = "none"


@dataclass(frozen=True, slots=True)
class Reach:
    """What the fields show: the groups that may be given, those that are chosen, whether all may be given, the roles
    named for a group, and the names of every group in sight."""

    groups: Sequence[dict[str, Any]]
    chosen: frozenset[str] | None
    all_allowed: bool
    named: Mapping[str, str]
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Given:
    """What a member or a token has, from its document."""

    role: Role
    client_groups: frozenset[str] | None
    group_roles: GroupRoles


async def everything(visit: Visit, path: str, most: int = MOST_GROUPS) -> list[dict[str, Any]]:
    """The items of a list of the API, page by page."""
    items: list[dict[str, Any]] = []
    cursor = None
    while len(items) < most:
        found = await visit.inside.get(path, limit=PAGE, cursor=cursor)
        items += found["items"]
        cursor = found["next"]
        if cursor is None:
            break
    return items


async def reach_of(visit: Visit, chosen: Sequence[str] | None, group_roles: Sequence[Mapping[str, str]] = ()) -> Reach:
    """The fields, filled."""
    groups = await everything(visit, "/client-groups")
    return Reach(
        groups=[group for group in groups if visit.person.may_in(Role.ADMIN, group["id"])],
        chosen=None if chosen is None else frozenset(chosen),
        all_allowed=visit.person.may_everywhere(Role.ADMIN),
        named={one["client_group_id"]: one["role"] for one in group_roles},
        names={group["id"]: group["name"] for group in groups},
    )


def may_change(visit: Visit, document: Mapping[str, Any]) -> bool:
    """Whether the person has, in every client group, what this member has."""
    groups = document["client_group_ids"]
    named = {one["client_group_id"]: one["role"] for one in document["group_roles"]}
    given = Given(
        Role(document["role"]),
        None if groups is None else frozenset(groups),
        {group_id: None if role == NO_ROLE else Role(role) for group_id, role in named.items()},
    )
    return covers(visit.person, given, Role.ADMIN)


def named_in(form: Form, former: Sequence[Mapping[str, str]] = ()) -> list[dict[str, str]]:
    """The roles that a form names for client groups; a group that it has no field for keeps what it had."""
    fields = {name.removeprefix(NAMED): form.get(name) for name in form.names if name.startswith(NAMED)}
    kept = {one["client_group_id"]: one["role"] for one in former if one["client_group_id"] not in fields}
    chosen = kept | {group_id: role for group_id, role in fields.items() if role}
    return [{"client_group_id": group_id, "role": role} for group_id, role in sorted(chosen.items())]


def chosen_in(form: Form) -> list[str] | None:
    """What a form chose; None for all."""
    return None if form.get("reach") == "all" else sorted(set(form.all("group")))


def roles_of(visit: Visit) -> list[tuple[str, bool]]:
    """Every role, the least first, with whether the person may give it."""
    return [(role.value, visit.person.may(role)) for role in Role]
