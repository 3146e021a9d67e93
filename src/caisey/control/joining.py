"""What a one-time link leads to: the first owner, a member's first password, a new one after the old was lost.

Owns that a link and what it does are one transaction: it cannot be used twice, nor be used up for nothing.
"""

from __future__ import annotations

import re
from typing import Final

from caisey.control.directory import browser_sessions, credentials, member_links, passkeys
from caisey.control.directory.members import add_first
from caisey.control.directory.records import Member
from caisey.control.directory.sign_in_records import MemberLink
from caisey.control.directory.store import Directory
from caisey.control.passwords import check
from caisey.control.roles import Role
from caisey.control.sign_in import SignIn
from caisey.core.errors import Fault
from caisey.core.events import Actor

BY_LINK: Final = Actor("control_plane", "member_link")
NAME_LENGTH: Final = 128
EMAIL_LENGTH: Final = 254
_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+")


async def set_up(
    directory: Directory, sign_in: SignIn, text: str, *, now_ms: int, name: str, email: str, password: str
) -> Member:
    """The first owner of an organization, from the link that was printed on its own machine.

    Raises `member_link.invalid`, `request.invalid_shape`, `password.too_weak`, `member.email_taken`.
    """
    link = member_links.find(directory, text, now_ms)
    if link.kind != "set_up":
        raise Fault("member_link.invalid")
    name, email = " ".join(name.split()), email.strip().casefold()
    if not name.isprintable() or not 1 <= len(name) <= NAME_LENGTH:
        raise Fault("request.invalid_shape", "Your name: one line, at most 128 characters.", field="name")
    if len(email) > EMAIL_LENGTH or _EMAIL.fullmatch(email) is None:
        raise Fault("request.invalid_shape", "That is not an e-mail address.", field="email")
    check(password, of=(email, email.partition("@")[0], name))
    made = await sign_in.hash_of(password)
    async with directory.changing(link.organization_id, BY_LINK) as draft:
        link = member_links.find(directory, text, now_ms)
        member = add_first(directory, draft, name=name, email=email, role=Role.OWNER)
        credentials.set_password(draft, credentials.of(directory, member), made)
        member_links.use(draft, link)
    return member


async def choose_password(directory: Directory, sign_in: SignIn, text: str, *, now_ms: int, password: str) -> Member:
    """A member's password, from an invitation or a reset. Every browser of theirs is signed out, and their passkeys
    are over: whoever had made one for themselves has no way in any more.

    Raises `member_link.invalid`, `password.too_weak`.
    """
    member = member_of(directory, text, now_ms)
    check(password, of=(member.email, member.email.partition("@")[0], member.name))
    made = await sign_in.hash_of(password)
    async with directory.changing(member.organization_id, BY_LINK) as draft:
        link, member = member_links.find(directory, text, now_ms), member_of(directory, text, now_ms)
        credential = credentials.set_password(draft, credentials.of(directory, member), made)
        if link.clears_totp:
            credentials.disable_second_factor(draft, credential)
        browser_sessions.end_all(directory, draft, member.member_id, "reset")
        passkeys.remove_all(directory, draft, member.member_id)
        member_links.use(draft, link)
    return member


def member_of(directory: Directory, text: str, now_ms: int) -> Member:
    """Whose invitation or reset it is. Raises `member_link.invalid`."""
    link: MemberLink = member_links.find(directory, text, now_ms)
    if link.member_id is None:
        raise Fault("member_link.invalid")
    return directory.members[link.member_id]


def nobody_can_sign_in(directory: Directory, organization_id: str | None = None) -> bool:
    """Whether no member (of this organization) has a password yet: the first run."""
    return not any(
        credential.password_hash is not None
        and (organization_id is None or credential.organization_id == organization_id)
        and directory.members[credential.member_id].removed_at_ms is None
        for credential in directory.credentials.values()
    )
