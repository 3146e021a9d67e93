"""Passkeys as records: made, used, removed.

Owns the changes and their events; what an authenticator answers is checked by `control.webauthn`.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from caisey.control.directory.records import Member
from caisey.control.directory.sign_in_records import Passkey
from caisey.control.directory.store import Directory, Draft
from caisey.control.webauthn import Made
from caisey.core import ids
from caisey.core.errors import Fault

MOST: Final = 20
"""Of one member."""


def of_member(directory: Directory, member_id: str) -> list[Passkey]:
    """Those that were not removed, the oldest first."""
    found = directory.passkeys_of.get(member_id, {}).values()
    return sorted(found, key=lambda passkey: (passkey.created_at_ms, passkey.passkey_id))


def add(directory: Directory, draft: Draft, member: Member, made: Made, *, rp_id: str, name: str) -> Passkey:
    """One more. Raises `passkey.known` for a key that stands here already, `passkey.too_many`."""
    if made.credential_id in directory.passkey_by_credential:
        raise Fault("passkey.known")
    if len(of_member(directory, member.member_id)) >= MOST:
        raise Fault("passkey.too_many")
    passkey = Passkey(
        passkey_id=draft.new_id(ids.PASSKEY),
        organization_id=member.organization_id,
        member_id=member.member_id,
        credential_id=made.credential_id,
        public_key=made.public_key,
        sign_count=made.sign_count,
        rp_id=rp_id,
        name=name,
        created_at_ms=draft.at_ms,
    )
    draft.note("member.passkey_added", member_id=member.member_id, passkey_id=passkey.passkey_id, name=name)
    return draft.save(passkey)


def use(draft: Draft, passkey: Passkey, sign_count: int) -> None:
    """It signed. Raises `sign_in.refused` where its count went back: then two hold the key."""
    if (passkey.sign_count or sign_count) and sign_count <= passkey.sign_count:
        raise Fault("sign_in.refused")
    draft.save(replace(passkey, sign_count=sign_count, used_at_ms=draft.at_ms))


def remove(draft: Draft, passkey: Passkey) -> None:
    """It opens nothing any more."""
    draft.note("member.passkey_removed", member_id=passkey.member_id, passkey_id=passkey.passkey_id)
    draft.save(replace(passkey, removed_at_ms=draft.at_ms))


def remove_all(directory: Directory, draft: Draft, member_id: str) -> None:
    """All of a member's."""
    for passkey in of_member(directory, member_id):
        remove(draft, passkey)
