"""The cookie of the console: who a browser is, and for how long.

Owns the cookie's form, the two ends of a browser session (a week after it was opened, half a day after a person last
did something) and when it was last used. The secret in the cookie is stored as a digest only. Records and events are
`directory.browser_sessions`'.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from caisey.control.access import Principal, principal_of_member
from caisey.control.directory import browser_sessions, members
from caisey.control.directory.records import Member
from caisey.control.directory.sign_in_records import BrowserSession
from caisey.control.directory.store import Directory, Draft
from caisey.storage.contract import Overloaded

if TYPE_CHECKING:
    from caisey.control.clock import Times
    from caisey.storage.contract import Log

COOKIE: Final = "__Host-caisey"
SECRET_BYTES: Final = 32
SECRET_LENGTH: Final = 43
COOKIES_LENGTH: Final = 8 * 1024
LIFE_MS: Final = 7 * 86_400_000
IDLE_MS: Final = 12 * 3_600_000
WRITTEN_EVERY_MS: Final = 5 * 60_000

_USED: Final = "UPDATE browser_sessions SET used_at_ms = ? WHERE browser_session_id = ?"
_FORGET: Final = "DELETE FROM browser_sessions WHERE ends_at_ms <= ?"


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser that is signed in. `secret` is what its cookie holds; it is never stored or logged."""

    secret: str
    session: BrowserSession
    member: Member
    settings: Mapping[str, Any]
    principal: Principal


class BrowserSessions:
    """See the module."""

    def __init__(self, directory: Directory, log: Log, clock: Times) -> None:
        self._directory = directory
        self._log = log
        self._clock = clock
        self._used: dict[str, int] = {}

    def find(self, cookies: str | None, *, active: bool) -> Browser | None:
        """Who the browser with these cookies is; None where it is nobody any more.

        `active`: a person did this, so the half day begins anew.
        """
        secret = secret_in(cookies)
        if secret is None:
            return None
        digest = digest_of(secret)
        session = self._directory.browser_session_by_digest.get(digest)
        if session is None or not hmac.compare_digest(session.digest, digest):
            return None
        now = self._clock.now_ms()
        member = self._directory.members.get(session.member_id)
        if member is None or member.removed_at_ms is not None or self.end_of(session) <= now:
            return None
        if active:
            self._use(session, now)
        return Browser(secret, session, member, self._settings_of(member), self._principal(session, member))

    def open(self, draft: Draft, member: Member, *, address: str, agent: str, second_factor: bool) -> str:
        """Sign the browser in; the secret for its cookie."""
        secret = secrets.token_urlsafe(SECRET_BYTES)
        browser_sessions.open_one(
            draft,
            member,
            digest=digest_of(secret),
            address=address,
            agent=agent,
            life_ms=LIFE_MS,
            second_factor=second_factor,
        )
        return secret

    def used_at_ms(self, session: BrowserSession) -> int:
        """When a person last did something in it."""
        return max(session.used_at_ms, self._used.get(session.browser_session_id, 0))

    def end_of(self, session: BrowserSession) -> int:
        """When it ends if nothing more is done in it."""
        return min(session.ends_at_ms, self.used_at_ms(session) + IDLE_MS)

    def clean(self) -> tuple[str, tuple[int]]:
        """Forgets those that are over; what is returned does so in the tables."""
        now = self._clock.now_ms()
        for session in self._directory.forget_browser_sessions(now):
            self._used.pop(session.browser_session_id, None)
        return _FORGET, (now,)

    def _settings_of(self, member: Member) -> Mapping[str, Any]:
        chosen = members.settings_of(self._directory, member)
        return {"theme": chosen.theme, "keys": chosen.keys, "zone": chosen.zone}

    def _principal(self, session: BrowserSession, member: Member) -> Principal:
        return principal_of_member(member, session.browser_session_id, self.end_of(session))

    def _use(self, session: BrowserSession, now: int) -> None:
        former = self.used_at_ms(session)
        if now <= former:
            return
        self._used[session.browser_session_id] = now
        if now // WRITTEN_EVERY_MS > former // WRITTEN_EVERY_MS:
            self._write(session.browser_session_id, now)

    def _write(self, key: str, now: int) -> None:
        """Nobody waits for it: should it be lost, the half day ends some minutes early."""
        try:
            committed = self._log.append([], [(_USED, (now, key))]).committed
        except Overloaded:
            return
        committed.add_done_callback(lambda done: done.cancelled() or done.exception())


def secret_in(cookies: str | None) -> str | None:
    """The secret among the cookies of a request."""
    if not cookies or len(cookies) > COOKIES_LENGTH:
        return None
    for part in cookies.split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE and len(value) == SECRET_LENGTH and value.isascii():
            return value
    return None


def digest_of(secret: str) -> bytes:
    """What is stored of a secret of 256 random bits."""
    return hashlib.sha256(secret.encode()).digest()


def setting(secret: str) -> str:
    """The header that gives the cookie."""
    return f"{COOKIE}={secret}; Path=/; Max-Age={LIFE_MS // 1000}; Secure; HttpOnly; SameSite=Lax"


def clearing() -> str:
    """The header that takes it back."""
    return f"{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
