"""Which client groups a member or a token reaches: the same fields on several forms.

Owns their reading and what they are filled with. Holds no page of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from caisey.control.roles import Role
from caisey.web.visit import Form, Visit

MOST_GROUPS: Final = 1_000
PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class Reach:
    """What the fields show: every group there is, those that are chosen, and whether all may be given."""

    groups: Sequence[dict[str, Any]]
    chosen: frozenset[str] | None
    all_allowed: bool

    @property
    def names(self) -> dict[str, str]:
        """Of each group by its id."""
        return {group["id"]: group["name"] for group in self.groups}


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


async def reach_of(visit: Visit, chosen: Sequence[str] | None) -> Reach:
    """The fields, filled."""
    groups = await everything(visit, "/client-groups")
    return Reach(groups, None if chosen is None else frozenset(chosen), visit.person.client_groups is None)


def chosen_in(form: Form) -> list[str] | None:
    """What a form chose; None for all."""
    return None if form.get("reach") == "all" else sorted(set(form.all("group")))


def roles_of(visit: Visit) -> list[tuple[str, bool]]:
    """Every role, the least first, with whether the person may give it."""
    return [(role.value, visit.person.may(role)) for role in Role]
