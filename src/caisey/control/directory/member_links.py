"""One-time links: the first owner's, invitations, resets.

Owns their life: made, used once, ended by a newer one or after a day, and good only as long as whoever made it may
still make it. Only a digest is stored; the text is returned to whoever made it, once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from msgspec.structs import replace

from caisey.control.access import Principal, principal_of, principal_of_member
from caisey.control.directory.records import Member
from caisey.control.directory.sign_in_records import LinkKind, MemberLink
from caisey.control.directory.store import Directory, Draft
from caisey.control.roles import Role, may_somewhere
from caisey.core import ids
from caisey.core.errors import Fault

SECRET_BYTES: Final = 32
LIFE_MS: Final = 86_400_000
TEXT_LENGTH: Final = 64

PATHS: Final[dict[LinkKind, str]] = {"set_up": "/set-up/", "invitation": "/join/", "reset": "/reset/"}
"""Where in the console a link leads."""


def make(
    directory: Directory, draft: Draft, kind: LinkKind, member: Member | None = None, *, clears_totp: bool = False
) -> tuple[MemberLink, str]:
    """A new link of the draft's organization and its text; former ones for the same are over."""
    text = secrets.token_urlsafe(SECRET_BYTES)
    member_id = None if member is None else member.member_id
    end_all(directory, draft, member_id)
    link = MemberLink(
        link_id=draft.new_id(ids.TOKEN),
        organization_id=draft.organization_id,
        digest=_digest(text),
        kind=kind,
        member_id=member_id,
        clears_totp=clears_totp,
        created_by=draft.actor.id,
        created_at_ms=draft.at_ms,
        expires_at_ms=draft.at_ms + LIFE_MS,
    )
    draft.note(
        "member_link.made",
        link_id=link.link_id,
        kind=kind,
        member_id=member_id,
        clears_totp=clears_totp,
        expires_at_ms=link.expires_at_ms,
    )
    return draft.save(link), text


def find(directory: Directory, text: str, now_ms: int) -> MemberLink:
    """The link that is still good. Raises `member_link.invalid`, one answer for unknown, used, late and not vouched for
    any more."""
    digest = _digest(text) if len(text) <= TEXT_LENGTH else b""
    link = directory.member_link_by_digest.get(digest)
    if link is None or not hmac.compare_digest(link.digest, digest) or link.expires_at_ms <= now_ms:
        raise Fault("member_link.invalid")
    if link.member_id is not None:
        member = directory.members.get(link.member_id)
        if member is None or member.removed_at_ms is not None or not _vouched(directory, link, member):
            raise Fault("member_link.invalid")
    return link


def _vouched(directory: Directory, link: MemberLink, member: Member) -> bool:
    """Whether who made the link might make it now: they may have gone, and the member may have risen above them."""
    maker = _present(directory, link.created_by)
    return maker is not None and maker.asking(Role.ADMIN).covers(member) and may_somewhere(maker, Role.ADMIN)


def _present(directory: Directory, maker_id: str) -> Principal | None:
    maker, token = directory.members.get(maker_id), directory.tokens.get(maker_id)
    if maker is not None and maker.removed_at_ms is None:
        return principal_of_member(maker, "", 0)
    return principal_of(token) if token is not None and token.revoked_at_ms is None else None


def use(draft: Draft, link: MemberLink) -> None:
    """It was used: it never works again."""
    draft.note("member_link.used", link_id=link.link_id, kind=link.kind, member_id=link.member_id)
    draft.save(replace(link, ended_at_ms=draft.at_ms))


def end_all(directory: Directory, draft: Draft, member_id: str | None) -> None:
    """Those of a member, or (None) those that make the first owner, are over."""
    for link in list(directory.member_link_by_digest.values()):
        if link.organization_id == draft.organization_id and link.member_id == member_id:
            draft.save(replace(link, ended_at_ms=draft.at_ms))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
