"""One request, as far as a page is concerned.

Owns `Visit`, `Person` and `Form`. Nothing here decides who asks; that is done before a page is called (`app.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from litestar import Request

from caisey.control import roles
from caisey.control.roles import GroupRoles, Role
from caisey.core.errors import Fault

if TYPE_CHECKING:
    from caisey.web.inside import Inside
    from caisey.web.services import ConsoleServices

MAX_FIELDS: Final = 2_000

AnyRequest = Request[Any, Any, Any]


class Form:
    """The fields of a form, in the order in which they came. Absent is the same as empty."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._pairs = tuple(pairs)

    @classmethod
    def of(cls, body: bytes) -> Form:
        """From `application/x-www-form-urlencoded`. Raises `request.invalid_shape`."""
        try:
            text = body.decode("ascii")
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
        except ValueError:  # also UnicodeDecodeError
            raise Fault("request.invalid_shape", "The form is not URL-encoded UTF-8.") from None
        # A browser sends line ends of a text field as CR LF, whatever the person's machine uses.
        return cls([(name, value.replace("\r\n", "\n")) for name, value in pairs])

    def get(self, name: str, default: str = "") -> str:
        """The last value of a field: a checkbox overrules the hidden field before it."""
        return next((value for field, value in reversed(self._pairs) if field == name), default)

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a field."""
        return tuple(value for field, value in self._pairs if field == name)

    def has(self, name: str) -> bool:
        """Whether the field is there at all: a checkbox that is off is not."""
        return any(field == name for field, _ in self._pairs)

    def number(self, name: str) -> int | None:
        """A whole number, or None where there is none."""
        text = self.get(name).strip()
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None

    @property
    def names(self) -> frozenset[str]:
        """The fields that are there."""
        return frozenset(field for field, _ in self._pairs)

    @property
    def key(self) -> str | None:
        """The hidden `key`: becomes the Idempotency-Key, so that a doubled press is one request."""
        return self.get("key") or None

    @property
    def seen(self) -> int | None:
        """The hidden `seen`: the sequence that the person has read up to."""
        return self.number("seen")


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in. `role` counts in `client_groups` (None: every one), but where `group_roles` names another;
    `settings`: theme, keys, zone."""

    member_id: str
    name: str
    email: str
    role: Role
    client_groups: frozenset[str] | None
    browser_session_id: str
    settings: Mapping[str, Any]
    browser_zone: str = ""
    group_roles: GroupRoles = field(default_factory=dict)

    @property
    def zone(self) -> str:
        """The zone to say times in: the chosen one, else that of the browser; empty where neither is known."""
        return str(self.settings.get("zone") or self.browser_zone)

    # The API decides; these only say which pages there are and which buttons can be pressed.

    def may(self, role: Role) -> bool:
        """Whether the role is high enough anywhere."""
        return roles.may_somewhere(self, role)

    def may_in(self, role: Role, *client_group_ids: str | None) -> bool:
        """Whether the role is high enough in each of these client groups (None: where there is none)."""
        return all(roles.may_in(self, one, role) for one in client_group_ids)

    def may_work_on(self, session: Mapping[str, Any], endpoint: Mapping[str, Any] | None) -> bool:
        """Whether they may work on a session: where it is, and where its computer is now."""
        places = {one["client_group_id"] for one in (session, endpoint) if one is not None}
        return self.may_in(Role.TECHNICIAN, *places)

    def may_everywhere(self, role: Role) -> bool:
        """Whether the role is high enough in every client group."""
        return roles.may_everywhere(self, role)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a signed-in person. `fragment`: our own script asks for a part of the page only."""

    request: AnyRequest
    person: Person
    inside: Inside
    csrf: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Form
    fragment: bool
    now_ms: int


@dataclass(frozen=True, slots=True)
class Doorstep:
    """One request of somebody who is not signed in, or need not be."""

    request: AnyRequest
    services: ConsoleServices
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Form
    address: str
    now_ms: int
