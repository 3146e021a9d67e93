"""What the API shows of the caller's own account, as types.

Owns field names, as `documents` does. The secrets here are shown once by design: the key of a second factor while it is
being set up, recovery codes, and the text of a one-time link.
"""

from __future__ import annotations

from typing import Literal

from caisey.api.documents import Document
from caisey.api.group_roles import GroupRole
from caisey.control.directory.sign_in_records import Keys, LinkKind, Theme
from caisey.control.roles import Role


class OrganizationNamed(Document, frozen=True, kw_only=True):
    """Whose everything is."""

    id: str
    name: str


class Chosen(Document, frozen=True, kw_only=True):
    """What a member has chosen about the console. `zone` empty: that of the browser."""

    theme: Theme
    keys: Keys
    zone: str


class AccountShown(Document, frozen=True, kw_only=True):
    """What only a member has."""

    email: str
    settings: Chosen
    second_factor: bool
    recovery_codes_left: int
    password_set_at: str | None
    browser_session_id: str | None


class MeShown(Document, frozen=True, kw_only=True):
    """Who asks. `account` null: an API token."""

    kind: Literal["token", "user"]
    id: str
    name: str
    role: Role
    client_group_ids: list[str] | None
    group_roles: list[GroupRole]
    organization: OrganizationNamed
    account: AccountShown | None


class SecondFactorBegun(Document, frozen=True, kw_only=True):
    """The key of a second factor that counts once a code of it was given. Shown once: null when asked again."""

    secret: str | None
    uri: str | None
    secret_shown_once: bool = False


class RecoveryCodes(Document, frozen=True, kw_only=True):
    """Each is good once, in place of a code. Shown once: null when asked again."""

    codes: list[str] | None
    secret_shown_once: bool = False


class BrowserSessionShown(Document, frozen=True, kw_only=True):
    """One browser that the member is signed in with."""

    id: str
    address: str
    agent: str
    opened_at: str
    used_at: str
    ends_at: str
    present: bool


class MemberLinkMade(Document, frozen=True, kw_only=True):
    """A one-time link. Its text is shown once: `url` is null when asked again."""

    kind: LinkKind
    url: str | None
    expires_at: str
    clears_second_factor: bool
    secret_shown_once: bool = False


class PasskeyBegun(Document, frozen=True, kw_only=True):
    """What a browser needs to make a passkey; binary parts in base64url."""

    challenge: str
    rp_id: str
    user_id: str
    user_name: str
    display_name: str
    algorithms: list[int]
    exclude: list[str]


class PasskeyShown(Document, frozen=True, kw_only=True):
    """One passkey. `host` is the name of the console that it is for."""

    id: str
    name: str
    host: str
    created_at: str
    used_at: str | None
