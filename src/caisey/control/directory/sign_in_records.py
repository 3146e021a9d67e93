"""The rows of how members get in, as values.

Owns the record types of `storage/schema/sign_in.sql` and `passkeys.sql`; how a value becomes a row is `records`'. Must
never hold a secret: what somebody could get in with stands here as a digest, a password hash, or sealed.
"""

from __future__ import annotations

from typing import Final, Literal

from caisey.control.directory.records import Columns, Record

Theme = Literal["auto", "light", "dark"]
Keys = Literal["on", "off", "alt"]
LinkKind = Literal["set_up", "invitation", "reset"]


class Credential(Record, frozen=True, kw_only=True):
    """What a member proves themselves with."""

    TABLE = "credentials"
    KEY = ("member_id",)

    member_id: str
    organization_id: str
    password_hash: str | None = None
    password_set_at_ms: int | None = None
    totp_sealed: bytes | None = None
    totp_enabled_at_ms: int | None = None
    totp_last_step: int = 0
    recovery_digests: tuple[str, ...] = ()

    @property
    def has_second_factor(self) -> bool:
        """Whether a code is asked for after the password."""
        return self.totp_sealed is not None and self.totp_enabled_at_ms is not None


class BrowserSession(Record, frozen=True, kw_only=True):
    """One browser that somebody is signed in with."""

    TABLE = "browser_sessions"
    KEY = ("browser_session_id",)

    browser_session_id: str
    organization_id: str
    member_id: str
    digest: bytes
    address: str
    agent: str
    opened_at_ms: int
    used_at_ms: int
    ends_at_ms: int
    ended_at_ms: int | None = None


class MemberLink(Record, frozen=True, kw_only=True):
    """A way in that works once."""

    TABLE = "member_links"
    KEY = ("link_id",)

    link_id: str
    organization_id: str
    digest: bytes
    kind: LinkKind
    member_id: str | None
    clears_totp: bool = False
    created_by: str
    created_at_ms: int
    expires_at_ms: int
    ended_at_ms: int | None = None


class MemberSettings(Record, frozen=True, kw_only=True):
    """What a member has chosen about the console."""

    TABLE = "member_settings"
    KEY = ("member_id",)

    member_id: str
    organization_id: str
    theme: Theme = "auto"
    keys: Keys = "on"
    zone: str = ""


class Passkey(Record, frozen=True, kw_only=True):
    """A key pair whose private half never leaves an authenticator."""

    TABLE = "passkeys"
    KEY = ("passkey_id",)

    passkey_id: str
    organization_id: str
    member_id: str
    credential_id: bytes
    public_key: bytes
    sign_count: int
    rp_id: str
    name: str
    created_at_ms: int
    used_at_ms: int | None = None
    removed_at_ms: int | None = None


KINDS: Final[tuple[type[Record], ...]] = (Credential, BrowserSession, MemberLink, MemberSettings, Passkey)
COLUMNS: Final[dict[type[Record], Columns]] = {kind: Columns.of(kind) for kind in KINDS}
