"""Who may do what: who asks, what they see, and the leases of open streams.

Owns `Principal` and its questions (which role is held where is `roles`'), and how long a stream may stay open. Which
role a route needs stands in the route table; which record an id means is for the directory. What one may not see
answers as what does not exist: a caller never learns which of the two it was.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from caisey.control.roles import Held, Role, covers, may_everywhere, may_in, places_of, role_in
from caisey.core.errors import Fault
from caisey.core.events import Actor

if TYPE_CHECKING:
    from caisey.control.clock import Times
    from caisey.control.directory.records import ApiToken, Member, Record
    from caisey.control.directory.store import Directory

TOKEN_PREFIX: Final = "cst_"  # noqa: S105  # how a token begins, not one
TOKEN_LENGTH: Final = 256
"""A longer text is no token; it is not even hashed."""


class Principal(msgspec.Struct, frozen=True):
    """Who asks, as far as access goes. `client_groups` None means every client group of the organization.

    `least` is the role that what they ask needs: everything that a principal "sees" is what they have that role for.
    """

    kind: str  # token, user
    id: str
    organization_id: str
    role: Role
    client_groups: frozenset[str] | None = None
    expires_at_ms: int | None = None
    browser_session_id: str | None = None  # of a member, which browser; its end ends the streams
    group_roles: dict[str, Role | None] = {}
    least: Role = Role.VIEWER

    @property
    def actor(self) -> Actor:
        """As the log names it."""
        return Actor(self.kind, self.id)

    def asking(self, least: Role) -> Principal:
        """The same one, who asks what needs this role."""
        return self if least is self.least else replace(self, least=least)

    @property
    def everywhere(self) -> bool:
        """Whether their role is enough in every client group, also in those made later."""
        return may_everywhere(self, self.least)

    def sees_group(self, client_group_id: str | None) -> bool:
        """Whether their role is enough for things of this client group (None: of none)."""
        return may_in(self, client_group_id, self.least)

    def require_group(self, client_group_id: str | None) -> None:
        """Raises `resource.not_found` where they have no role there, `access.role_too_low` where it is not enough."""
        if self.sees_group(client_group_id):
            return
        if role_in(self, client_group_id) is None:
            raise Fault("resource.not_found")
        raise Fault("access.role_too_low", f"This needs the role {self.least.value} in the client group.")

    def sees_reach_of(self, held: Held) -> bool:
        """Whether `held` reaches no further than where their role is enough."""
        if self.everywhere:
            return True
        places = places_of(held) | places_of(self)
        return all(role_in(held, place) is None or self.sees_group(place) for place in places)

    def covers(self, held: Held) -> bool:
        """Whether they have, where their role is enough, everything that `held` has: nobody decides about more."""
        return covers(self, held, self.least)


def token_digest(token: str) -> bytes:
    """What is stored of an API token. Its secret has 256 random bits, so no salt is needed."""
    return hashlib.sha256(token.encode()).digest()


_ENDING: Final = frozenset({"api_tokens", "members", "browser_sessions"})


class Lease:
    """An open stream's right to go on. `ended` is set within moments of the right being taken away."""

    __slots__ = ("ended", "principal")

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.ended = asyncio.Event()


class Access:
    """Authentication against the directory, and the leases that end when it changes."""

    def __init__(self, directory: Directory, clock: Times) -> None:
        self._directory = directory
        self._clock = clock
        self._leases: dict[str, set[Lease]] = {}
        directory.subscribe(self._changed)

    def authenticate(self, authorization: str | None) -> Principal:
        """The principal behind an `Authorization` header. Raises `auth.required` or `auth.token_invalid`."""
        if not authorization:
            raise Fault("auth.required")
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token.startswith(TOKEN_PREFIX):
            raise Fault("auth.required")
        if len(token) > TOKEN_LENGTH:
            raise Fault("auth.token_invalid")
        digest = token_digest(token)
        record = self._directory.token_by_digest.get(digest)
        if record is None or not hmac.compare_digest(record.digest, digest) or not self._valid(record):
            raise Fault("auth.token_invalid")
        return principal_of(record)

    @contextmanager
    def lease(self, principal: Principal) -> Iterator[Lease]:
        """A right to stream, for as long as the block runs or until it is taken away."""
        lease = Lease(principal)
        if not self._holds(principal):  # it was taken away between the question and its answer
            lease.ended.set()
        subjects = [one for one in (principal.id, principal.browser_session_id) if one is not None]
        for subject in subjects:
            self._leases.setdefault(subject, set()).add(lease)
        try:
            yield lease
        finally:
            for subject in subjects:
                mine = self._leases.get(subject, set())
                mine.discard(lease)
                if not mine:
                    self._leases.pop(subject, None)

    def end_all(self) -> None:
        """Every stream ends: the process is about to."""
        for leases in self._leases.values():
            for lease in leases:
                lease.ended.set()

    def seconds_left(self, principal: Principal) -> float | None:
        """Until the principal's own end, or None where it has none."""
        if principal.expires_at_ms is None:
            return None
        return max(0.0, (principal.expires_at_ms - self._clock.now_ms()) / 1000)

    def _holds(self, principal: Principal) -> bool:
        """Whether what the principal was found by is still as it was. One without a record has nothing to lose."""
        token = self._directory.tokens.get(principal.id)
        if token is not None:
            return token.revoked_at_ms is None
        member = self._directory.members.get(principal.id)
        if member is None or principal.browser_session_id is None:
            return True
        present = principal_of_member(member, principal.browser_session_id, 0)
        mine = self._directory.browser_sessions_of.get(member.member_id, {})
        same = present.asking(principal.least) == replace(principal, expires_at_ms=present.expires_at_ms)
        return member.removed_at_ms is None and same and principal.browser_session_id in mine

    def _valid(self, record: ApiToken) -> bool:
        if record.revoked_at_ms is not None:
            return False
        return record.expires_at_ms is None or record.expires_at_ms > self._clock.now_ms()

    def _changed(self, records: tuple[Record, ...]) -> None:
        """Whatever changed about a token, a member or a browser session ends its streams; what may go on connects
        again. What a member proves themselves with, and what they have chosen, does not."""
        for record in records:
            if record.TABLE in _ENDING:
                for lease in self._leases.get(record.key, ()):
                    lease.ended.set()


def principal_of(token: ApiToken) -> Principal:
    """What a token may do."""
    return Principal(
        kind="token",
        id=token.token_id,
        organization_id=token.organization_id,
        role=token.role,
        client_groups=None if token.client_groups is None else frozenset(token.client_groups),
        expires_at_ms=token.expires_at_ms,
        group_roles=token.group_roles,
    )


def principal_of_member(member: Member, browser_session_id: str, expires_at_ms: int) -> Principal:
    """What a member may do, in one of their browsers."""
    return Principal(
        kind="user",
        id=member.member_id,
        organization_id=member.organization_id,
        role=member.role,
        client_groups=None if member.client_groups is None else frozenset(member.client_groups),
        expires_at_ms=expires_at_ms,
        browser_session_id=browser_session_id,
        group_roles=member.group_roles,
    )
