"""`/tokens` and `/members`: who has a way in, and what each may do.

Owns the mapping; the rules are `directory.tokens`', `directory.members`' and `directory.member_links`'.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from caisey.api import group_roles
from caisey.api.account_documents import MemberLinkMade
from caisey.api.call import Answer, Call, Route
from caisey.api.documents import MemberShown, TokenMade, TokenShown
from caisey.api.fields import Email, Groups, Name, Title
from caisey.api.group_roles import NamedRoles
from caisey.api.pages import Page, PageQuery, page_in_memory
from caisey.api.routes.me import Password, require_hand
from caisey.api.times import at
from caisey.control.directory import browser_sessions, credentials, member_links, members, tokens
from caisey.control.directory.answered import Claim
from caisey.control.directory.records import ApiToken, Member
from caisey.control.directory.sign_in_records import BrowserSession, LinkKind
from caisey.control.directory.store import Draft
from caisey.control.roles import Role
from caisey.core.errors import Fault

ExpiresIn = Annotated[float, Meta(gt=0, le=3_660 * 86_400)]


class TokenBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`client_group_ids` absent or null: every client group. `client_groups` is another name for it.
    `group_roles`: another role in these groups, also in one that `client_group_ids` leaves out. `password`: of a member
    who asks and has not signed in within 10 minutes."""

    role: Role
    name: Title = ""
    client_group_ids: Groups | None = None
    client_groups: Groups | None = None
    group_roles: NamedRoles = ()
    expires_in_s: ExpiresIn | None = None
    password: Password | None = None


class MemberBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`client_group_ids` absent or null: every client group. `client_groups` is another name for it.
    `group_roles`: another role in these groups, also in one that `client_group_ids` leaves out."""

    email: Email
    role: Role
    name: Title = ""
    client_group_ids: Groups | None = None
    client_groups: Groups | None = None
    group_roles: NamedRoles = ()


class LinkBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`clear_second_factor`: the device is lost, so the link turns the second factor off too. `password`: as for a
    token, one's own."""

    clear_second_factor: bool = False
    password: Password | None = None


class MemberPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is absent stays. `group_roles` are replaced as a whole."""

    name: Name | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    client_group_ids: Groups | UnsetType | None = UNSET
    client_groups: Groups | UnsetType | None = UNSET
    group_roles: NamedRoles | UnsetType = UNSET


async def list_tokens(call: Call) -> Answer:
    found = tokens.visible(call.services.directory, call.principal)
    return Answer(page_in_memory(found, call.query, _token_order, lambda token: _token(call, token)))


async def create_token(call: Call, claim: Claim) -> Answer:
    body: TokenBody = call.body
    await require_hand(call, body.password)
    async with call.services.directory.changing(call.principal.organization_id, call.principal.actor) as draft:
        call = call.as_of_now()
        token, text = tokens.create(
            call.services.directory,
            draft,
            call.principal,
            role=body.role,
            name=body.name,
            groups=_groups(body),
            expires_in_s=body.expires_in_s,
            group_roles=group_roles.asked(body.group_roles),
        )
        made = TokenMade(**_fields(_token(call, token)), token=text)
        answer = Answer(made, 201, remembered=replace(made, token=None, secret_shown_once=True))
        draft.statements += claim.remember(answer.status, body=answer.for_repeats())
    return answer


def revoke_token(call: Call, draft: Draft) -> Answer:
    tokens.revoke(call.services.directory, draft, call.principal, call.path["token_id"])
    return Answer(status=204)


async def list_members(call: Call) -> Answer:
    found = members.visible(call.services.directory, call.principal)
    return Answer(page_in_memory(found, call.query, _member_order, lambda member: _member(call, member)))


def create_member(call: Call, draft: Draft) -> Answer:
    body: MemberBody = call.body
    member = members.create(
        call.services.directory,
        draft,
        call.principal,
        name=body.name,
        email=body.email,
        role=body.role,
        groups=_groups(body),
        group_roles=group_roles.asked(body.group_roles),
    )
    return Answer(_member(call, member), 201)


async def show_member(call: Call) -> Answer:
    return Answer(_member(call, members.find(call.services.directory, call.principal, call.path["member_id"])))


def change_member(call: Call, draft: Draft) -> Answer:
    body: MemberPatch = call.body
    groups = body.client_groups if body.client_group_ids is UNSET else body.client_group_ids
    roles = UNSET if body.group_roles is UNSET else group_roles.asked(body.group_roles)
    wanted = members.MemberChange(name=body.name, role=body.role, groups=groups, group_roles=roles)
    member = members.change(call.services.directory, draft, call.principal, call.path["member_id"], wanted)
    return Answer(_member(call, member))


async def make_member_link(call: Call, claim: Claim) -> Answer:
    """An invitation, or a reset for who had a password. Nobody resets a member whose role is above their own."""
    await require_hand(call, call.body.password)
    async with call.services.directory.changing(call.principal.organization_id, call.principal.actor) as draft:
        answer = _linked(call.as_of_now(), draft)
        draft.statements += claim.remember(answer.status, body=answer.for_repeats())
    return answer


def _linked(call: Call, draft: Draft) -> Answer:
    services = call.services
    member = members.find(services.directory, call.principal, call.path["member_id"])
    if not call.principal.covers(member):
        raise Fault("access.role_too_low")
    has_password = credentials.of(services.directory, member).password_hash is not None
    clears = bool(call.body.clear_second_factor)
    kind: LinkKind = "reset" if has_password else "invitation"
    link, text = member_links.make(services.directory, draft, kind, member, clears_totp=clears)
    made = MemberLinkMade(
        kind=link.kind,
        url=f"{_address(call)}{member_links.PATHS[kind]}{text}",
        expires_at=at(link.expires_at_ms),
        clears_second_factor=clears,
    )
    return Answer(made, 201, remembered=replace(made, url=None, secret_shown_once=True))


def _address(call: Call) -> str:
    """Where people reach the console: its public URL, else as it was reached now."""
    if call.services.public_url is not None:
        return call.services.public_url.rstrip("/")
    host = call.request.headers.get("host")
    return f"{call.request.url.scheme}://{host}" if call.services.origins.knows(host) else ""


def sign_member_out(call: Call, draft: Draft) -> Answer:
    members.sign_out(call.services.directory, draft, call.principal, call.path["member_id"])
    return Answer(status=204)


def remove_member(call: Call, draft: Draft) -> Answer:
    members.remove(call.services.directory, draft, call.principal, call.path["member_id"])
    return Answer(status=204)


def _groups(body: TokenBody | MemberBody) -> tuple[str, ...] | None:
    return body.client_groups if body.client_group_ids is None else body.client_group_ids


def _fields(shown: TokenShown) -> dict[str, Any]:
    return {name: getattr(shown, name) for name in shown.__struct_fields__}


def _token_order(token: ApiToken) -> tuple[int, str]:
    return (-token.created_at_ms, token.token_id)


def _token(call: Call, token: ApiToken) -> TokenShown:
    return TokenShown(
        id=token.token_id,
        name=token.name,
        role=token.role,
        client_group_ids=None if token.client_groups is None else list(token.client_groups),
        group_roles=group_roles.shown(call.principal, token.group_roles),
        created_at=at(token.created_at_ms),
        created_by=token.created_by,
        expires_at=at(token.expires_at_ms),
    )


def _member_order(member: Member) -> tuple[str, str]:
    return (member.name.casefold(), member.member_id)


def _member(call: Call, member: Member) -> MemberShown:
    credential = credentials.of(call.services.directory, member)
    used = [call.services.browsers.used_at_ms(one) for one in _browsers(call, member)]
    return MemberShown(
        id=member.member_id,
        name=member.name,
        email=member.email,
        role=member.role,
        client_group_ids=None if member.client_groups is None else list(member.client_groups),
        group_roles=group_roles.shown(call.principal, member.group_roles),
        created_at=at(member.created_at_ms),
        can_sign_in=credential.password_hash is not None,
        second_factor=credential.has_second_factor,
        last_used_at=at(max(used, default=None)),
    )


def _browsers(call: Call, member: Member) -> list[BrowserSession]:
    return browser_sessions.of_member(call.services.directory, member.member_id)


ROUTES: Final = (
    Route(
        method="GET",
        path="/tokens",
        role=Role.ADMIN,
        summary="API tokens, newest first",
        read=list_tokens,
        query=PageQuery,
        answers=Page[TokenShown],
    ),
    Route(
        method="POST",
        path="/tokens",
        role=Role.ADMIN,
        summary="Make an API token, at most with one's own role in each client group",
        work=create_token,
        body=TokenBody,
        status=201,
        answers=TokenMade,
    ),
    Route(
        method="DELETE",
        path="/tokens/{token_id}",
        role=Role.ADMIN,
        summary="Revoke an API token; its streams end",
        change=revoke_token,
        status=204,
    ),
    Route(
        method="GET",
        path="/members",
        role=Role.ADMIN,
        summary="Members, by name",
        read=list_members,
        query=PageQuery,
        answers=Page[MemberShown],
    ),
    Route(
        method="POST",
        path="/members",
        role=Role.ADMIN,
        summary="Add a member",
        change=create_member,
        body=MemberBody,
        status=201,
        answers=MemberShown,
    ),
    Route(
        method="GET",
        path="/members/{member_id}",
        role=Role.ADMIN,
        summary="One member",
        read=show_member,
        answers=MemberShown,
    ),
    Route(
        method="PATCH",
        path="/members/{member_id}",
        role=Role.ADMIN,
        summary="Change name, role, client groups or the roles in them",
        change=change_member,
        body=MemberPatch,
        answers=MemberShown,
    ),
    Route(
        method="POST",
        path="/members/{member_id}/link",
        role=Role.ADMIN,
        summary="A one-time link by which the member chooses a password: an invitation, or a reset",
        work=make_member_link,
        body=LinkBody,
        status=201,
        answers=MemberLinkMade,
    ),
    Route(
        method="POST",
        path="/members/{member_id}/sign-out",
        role=Role.ADMIN,
        summary="Sign every browser of a member out; their streams end",
        change=sign_member_out,
        status=204,
    ),
    Route(
        method="DELETE",
        path="/members/{member_id}",
        role=Role.ADMIN,
        summary="Remove a member",
        change=remove_member,
        status=204,
    ),
)
