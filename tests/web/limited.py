"""People who see some client groups only: the same ones in every test, moved to the test's own group.

Signing somebody in takes as long as a password hash does; changing what they see takes a request.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.api.plane import Api
from tests.web.visitor import Visitor

Limited = Callable[..., Visitor]


class People:
    """`people(role, group)`: somebody of that role who sees this group; `which` tells two of one role apart."""

    def __init__(self, api: Api, person: Callable[..., Visitor]) -> None:
        self._api = api
        self._person = person
        self._known: dict[tuple[str, str], Visitor] = {}

    def __call__(self, role: str, *groups: str, which: str = "") -> Visitor:
        key = (role, which)
        if key not in self._known:
            self._known[key] = self._person(role, (), fresh=True)
        found = self._known[key]
        self._api.patch(f"/members/{found.member_id}", {"client_group_ids": list(groups)})
        return found
