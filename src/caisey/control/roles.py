"""Roles, and which of them somebody has in which client group.

Owns the order of roles and every question about them: of a member, a token, a principal or the person on a page. Who
asks, and whether they are who they say, is `access`'.

The role in a client group is the one named for that group, else the general role where its client groups reach.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final, Protocol


class Role(StrEnum):
    """What a token or a member may do. Each role may do all that the ones before it may."""

    VIEWER = "viewer"
    APPROVER = "approver"
    TECHNICIAN = "technician"
    ADMIN = "admin"
    OWNER = "owner"


RANK: Final[dict[Role, int]] = {role: rank for rank, role in enumerate(Role)}
"""The order of roles: viewer reads, approver also decides approvals, technician also works on computers, admin also
decides who and what there is, owner also decides who else is owner."""

GroupRoles = Mapping[str, Role | None]
"""The role named for a client group, by its id; None: no role there, whatever the general one is."""


class Held(Protocol):
    """What somebody has been given. `role` is the general one, in `client_groups` (None: in every one, and where
    there is none)."""

    @property
    def role(self) -> Role: ...
    @property
    def client_groups(self) -> Collection[str] | None: ...
    @property
    def group_roles(self) -> GroupRoles: ...


def role_in(held: Held, client_group_id: str | None) -> Role | None:
    """The role in a client group, or (None) where there is none; None where nothing there is visible."""
    if client_group_id is not None and client_group_id in held.group_roles:
        return held.group_roles[client_group_id]
    if held.client_groups is None or client_group_id in held.client_groups:
        return held.role
    return None


def may_in(held: Held, client_group_id: str | None, role: Role) -> bool:
    """Whether the role there is high enough."""
    mine = role_in(held, client_group_id)
    return mine is not None and RANK[mine] >= RANK[role]


def highest(held: Held) -> Role:
    """The highest role there is anywhere. The general one counts, however far it reaches."""
    return max((held.role, *(role for role in held.group_roles.values() if role is not None)), key=RANK.__getitem__)


def may_somewhere(held: Held, role: Role) -> bool:
    """Whether there is a place where the role is high enough."""
    return RANK[highest(held)] >= RANK[role]


def may_everywhere(held: Held, role: Role) -> bool:
    """Whether the role is high enough in general, for every client group, and is lower in none: only then may somebody
    decide what concerns all of them."""
    if held.client_groups is not None or RANK[held.role] < RANK[role]:
        return False
    return all(may_in(held, named, role) for named in held.group_roles)


def places_of(held: Held) -> set[str | None]:
    """The client groups that are named at all, and None, which stands for the computers without one. Every other
    group is as None is."""
    return {None, *held.group_roles, *(held.client_groups or ())}


def covers(held: Held, given: Held, least: Role) -> bool:
    """Whether everything that is given is held too, and with at least the role `least` wherever something is given:
    nobody hands out more than they have, nor where they may not hand out."""
    if RANK[highest(given)] > RANK[highest(held)]:
        return False
    for place in places_of(held) | places_of(given):
        role = role_in(given, place)
        if role is not None and not (may_in(held, place, role) and may_in(held, place, least)):
            return False
    return True


def reach(held: Held, least: Role) -> tuple[bool, list[str]]:
    """Where the role is at least that: (True, only these client groups) or (False, everywhere but in these)."""
    if held.client_groups is None and RANK[held.role] >= RANK[least]:
        return False, sorted(named for named in held.group_roles if not may_in(held, named, least))
    named_ones = (place for place in places_of(held) if place is not None)
    return True, sorted(named for named in named_ones if may_in(held, named, least))
