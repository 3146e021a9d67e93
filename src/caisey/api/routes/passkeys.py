"""`/me/passkeys`: what members sign in with instead of a password.

Owns the mapping. What an authenticator answers is checked by `control.webauthn`; the host that a passkey is for, and
the page it was made on, are those of the request.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from caisey.api.account_documents import PasskeyBegun, PasskeyShown
from caisey.api.call import Answer, Call, Route
from caisey.api.fields import Name
from caisey.api.pages import Page, PageQuery, page_in_memory
from caisey.api.routes.me import BeginBody, member_of, require_lately
from caisey.api.times import at
from caisey.control import webauthn
from caisey.control.directory import passkeys
from caisey.control.directory.answered import Claim
from caisey.control.directory.sign_in_records import Passkey
from caisey.control.directory.store import Draft
from caisey.control.origins import host_name
from caisey.control.roles import Role
from caisey.control.webauthn import Asked
from caisey.core.errors import Fault

Part = Annotated[str, Meta(min_length=1, max_length=webauthn.PART_LENGTH, pattern=r"^[A-Za-z0-9_-]+$(?!\n)")]


class PasskeyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the browser got from the authenticator, each part in base64url without padding."""

    name: Name
    challenge: Part
    client_data: Part
    authenticator_data: Part
    public_key: Part


async def list_all(call: Call) -> Answer:
    found = passkeys.of_member(call.services.directory, member_of(call).member_id)
    return Answer(page_in_memory(found, call.query, lambda one: (one.created_at_ms, one.passkey_id), _shown))


async def begin(call: Call, claim: Claim) -> Answer:
    """A challenge to make one with. Nothing is stored, so nothing is remembered for a repeat."""
    member = member_of(call)
    rp_id = _host(call)
    await require_lately(call, member, call.body.password)
    mine = passkeys.of_member(call.services.directory, member.member_id)
    return Answer(
        PasskeyBegun(
            challenge=webauthn.encoded(call.services.sign_in.challenge(member.member_id)),
            rp_id=rp_id,
            user_id=webauthn.encoded(member.member_id.encode()),
            user_name=member.email,
            display_name=member.name,
            algorithms=list(webauthn.ALGORITHMS),
            exclude=[webauthn.encoded(one.credential_id) for one in mine],
        )
    )


def add(call: Call, draft: Draft) -> Answer:
    body: PasskeyBody = call.body
    member, rp_id = member_of(call), _host(call)
    origin = call.request.headers.get("origin", "")
    try:
        challenge = webauthn.decoded(body.challenge)
        call.services.sign_in.require_challenge(challenge, member.member_id)
        made = webauthn.registered(
            Asked(challenge, rp_id, origin),
            client_data=body.client_data,
            authenticator_data=body.authenticator_data,
            public_key=body.public_key,
        )
    except webauthn.Unfit as unfit:
        raise Fault("passkey.unfit", f"{unfit}.".capitalize()) from None
    passkey = passkeys.add(call.services.directory, draft, member, made, rp_id=rp_id, name=body.name)
    return Answer(_shown(passkey), 201)


def remove(call: Call, draft: Draft) -> Answer:
    mine = call.services.directory.passkeys_of.get(member_of(call).member_id, {})
    passkey = mine.get(call.path["passkey_id"])
    if passkey is None:
        raise Fault("resource.not_found")
    passkeys.remove(draft, passkey)
    return Answer(status=204)


def _host(call: Call) -> str:
    """The name that the console is reached by. Raises `passkey.needs_name` for an address."""
    name = host_name(call.request.headers.get("host"))
    if name is None:
        raise Fault("passkey.needs_name")
    return name


def _shown(passkey: Passkey) -> PasskeyShown:
    return PasskeyShown(
        id=passkey.passkey_id,
        name=passkey.name,
        host=passkey.rp_id,
        created_at=at(passkey.created_at_ms),
        used_at=at(passkey.used_at_ms),
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/me/passkeys",
        role=Role.VIEWER,
        summary="One's passkeys, oldest first",
        read=list_all,
        query=PageQuery,
        answers=Page[PasskeyShown],
    ),
    Route(
        method="POST",
        path="/me/passkeys/challenge",
        role=Role.VIEWER,
        summary="What a browser needs to make a passkey",
        work=begin,
        body=BeginBody,
        answers=PasskeyBegun,
    ),
    Route(
        method="POST",
        path="/me/passkeys",
        role=Role.VIEWER,
        summary="Keep a passkey that was made",
        change=add,
        body=PasskeyBody,
        status=201,
        answers=PasskeyShown,
    ),
    Route(
        method="DELETE",
        path="/me/passkeys/{passkey_id}",
        role=Role.VIEWER,
        summary="Remove a passkey",
        change=remove,
        status=204,
    ),
)
