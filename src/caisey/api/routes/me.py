"""`/me`: who asks, and what members do about their own account.

Owns the mapping; the rules are `control.sign_in`'s and `directory.credentials`'. What could be done with a browser left
open (another password, no second factor) asks for the password again.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from caisey.api import group_roles
from caisey.api.account_documents import (
    AccountShown,
    BrowserSessionShown,
    Chosen,
    MeShown,
    OrganizationNamed,
    RecoveryCodes,
    SecondFactorBegun,
)
from caisey.api.call import Answer, Call, Route
from caisey.api.fields import Name
from caisey.api.pages import Page, PageQuery, page_in_memory
from caisey.api.times import at
from caisey.control import totp
from caisey.control.directory import browser_sessions, credentials, members
from caisey.control.directory.answered import Claim
from caisey.control.directory.records import Member
from caisey.control.directory.sign_in_records import BrowserSession, Keys, Theme
from caisey.control.directory.store import Draft
from caisey.control.passwords import MAX_LENGTH, check
from caisey.control.roles import Role
from caisey.core.errors import Fault

JUST_NOW_MS: Final = 10 * 60_000

Password = Annotated[str, Meta(min_length=1, max_length=MAX_LENGTH)]
Code = Annotated[str, Meta(min_length=1, max_length=64)]
Zone = Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9_+/-]*$(?!\n)")]


class MePatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is absent stays. `zone`: an IANA name, or empty for that of the browser."""

    name: Name | UnsetType = UNSET
    theme: Theme | UnsetType = UNSET
    keys: Keys | UnsetType = UNSET
    zone: Zone | UnsetType = UNSET


class PasswordBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The present one, and the one from now on."""

    current: Password
    new: Password


class AgainBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One's password once more."""

    password: Password


class BeginBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One's password once more; not needed within 10 minutes of signing in with it."""

    password: Password | None = None


class CodeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the authenticator shows now."""

    code: Code


async def show(call: Call) -> Answer:
    return Answer(_me(call))


def change(call: Call, draft: Draft) -> Answer:
    body: MePatch = call.body
    member = member_of(call)
    if body.name is not UNSET:
        member = members.rename(draft, member, body.name)
    chosen = members.SettingsChange(theme=body.theme, keys=body.keys, zone=body.zone)
    settings = members.settings_of(call.services.directory, member)
    if chosen != members.SettingsChange():
        settings = members.choose(call.services.directory, draft, member, chosen)
    shown = _me(call, member)
    account = shown.account
    assert account is not None
    said = Chosen(theme=settings.theme, keys=settings.keys, zone=settings.zone)
    return Answer(replace(shown, name=member.name, account=replace(account, settings=said)))


async def change_password(call: Call, claim: Claim) -> Answer:
    """Every other browser of the member is signed out."""
    body: PasswordBody = call.body
    services, member = call.services, member_of(call)
    await services.sign_in.require_password(member, body.current)
    check(body.new, of=(member.email, member.email.partition("@")[0], member.name))
    made = await services.sign_in.hash_of(body.new)
    async with services.directory.changing(member.organization_id, call.principal.actor) as draft:
        credentials.set_password(draft, credentials.of(services.directory, member), made)
        own = call.principal.browser_session_id
        browser_sessions.end_all(services.directory, draft, member.member_id, "password_changed", but=own)
        draft.statements += claim.remember(204, body=b"")
    return Answer(status=204)


async def begin_second_factor(call: Call, claim: Claim) -> Answer:
    services, member = call.services, member_of(call)
    await require_lately(call, member, call.body.password)
    secret, sealed = services.sign_in.new_second_factor(member)
    begun = SecondFactorBegun(secret=totp.spelled(secret), uri=totp.address(secret, member.email))
    answer = Answer(begun, 201, remembered=SecondFactorBegun(secret=None, uri=None, secret_shown_once=True))
    async with services.directory.changing(member.organization_id, call.principal.actor) as draft:
        credentials.begin_second_factor(draft, credentials.of(services.directory, member), sealed)
        draft.statements += claim.remember(answer.status, body=answer.for_repeats())
    return answer


async def confirm_second_factor(call: Call, claim: Claim) -> Answer:
    services, member = call.services, member_of(call)
    answer, codes = _codes()
    async with services.directory.changing(member.organization_id, call.principal.actor) as draft:
        credential = credentials.of(services.directory, member)
        if credential.has_second_factor:
            raise Fault("totp.already_on")
        if credential.totp_sealed is None:
            raise Fault("totp.not_begun")
        step = services.sign_in.require_code(credential, call.body.code)
        credentials.enable_second_factor(draft, credential, step, codes)
        draft.statements += claim.remember(answer.status, body=answer.for_repeats())
    return answer


async def end_second_factor(call: Call, claim: Claim) -> Answer:
    services, member = call.services, member_of(call)
    await services.sign_in.require_password(member, call.body.password)
    async with services.directory.changing(member.organization_id, call.principal.actor) as draft:
        credential = credentials.of(services.directory, member)
        if not credential.has_second_factor:
            raise Fault("totp.not_on")
        credentials.disable_second_factor(draft, credential)
        draft.statements += claim.remember(204, body=b"")
    return Answer(status=204)


async def make_recovery_codes(call: Call, claim: Claim) -> Answer:
    services, member = call.services, member_of(call)
    await services.sign_in.require_password(member, call.body.password)
    answer, codes = _codes()
    async with services.directory.changing(member.organization_id, call.principal.actor) as draft:
        credentials.new_recovery_codes(draft, credentials.of(services.directory, member), codes)
        draft.statements += claim.remember(answer.status, body=answer.for_repeats())
    return answer


async def list_browser_sessions(call: Call) -> Answer:
    member = member_of(call)
    found = browser_sessions.of_member(call.services.directory, member.member_id)
    return Answer(page_in_memory(found, call.query, _session_order, lambda session: _session(call, session)))


def end_browser_session(call: Call, draft: Draft) -> Answer:
    member = member_of(call)
    mine = call.services.directory.browser_sessions_of.get(member.member_id, {})
    session = mine.get(call.path["browser_session_id"])
    if session is None:
        raise Fault("resource.not_found")
    own = session.browser_session_id == call.principal.browser_session_id
    browser_sessions.end_one(draft, session, "signed_out" if own else "ended_by_member")
    return Answer(status=204)


def end_other_browser_sessions(call: Call, draft: Draft) -> Answer:
    member = member_of(call)
    own = call.principal.browser_session_id
    browser_sessions.end_all(call.services.directory, draft, member.member_id, "ended_by_member", but=own)
    return Answer(status=204)


def member_of(call: Call) -> Member:
    """The member who asks. Raises `me.no_member` for a token."""
    member = call.services.directory.members.get(call.principal.id) if call.principal.kind == "user" else None
    if member is None:
        raise Fault("me.no_member")
    return member


async def require_lately(call: Call, member: Member, password: str | None) -> None:
    """Their password once more, unless they signed in some minutes ago. Raises `password.needed`, `password.wrong`."""
    if password is not None:
        await call.services.sign_in.require_password(member, password)
    elif not _signed_in_just_now(call, member):
        raise Fault("password.needed")


async def require_hand(call: Call, password: str | None) -> None:
    """Before a way in is given out: of a member `require_lately`, so that a browser left open does not outlive itself
    in a token or a link. Who asks by token has no password."""
    if call.principal.kind == "user":
        await require_lately(call, member_of(call), password)


def _signed_in_just_now(call: Call, member: Member) -> bool:
    mine = call.services.directory.browser_sessions_of.get(member.member_id, {})
    session = mine.get(call.principal.browser_session_id or "")
    return session is not None and call.services.clock.now_ms() - session.opened_at_ms < JUST_NOW_MS


def _codes() -> tuple[Answer, tuple[str, ...]]:
    codes = totp.new_recovery_codes()
    once = RecoveryCodes(codes=None, secret_shown_once=True)
    return Answer(RecoveryCodes(codes=list(codes)), 201, remembered=once), codes


def _me(call: Call, member: Member | None = None) -> MeShown:
    principal, directory = call.principal, call.services.directory
    organization = directory.organizations[principal.organization_id]
    if principal.kind == "user":
        member = member or member_of(call)
        name = member.name
    else:
        name = directory.tokens[principal.id].name
    return MeShown(
        kind="user" if member else "token",
        id=principal.id,
        name=name,
        role=principal.role,
        client_group_ids=None if principal.client_groups is None else sorted(principal.client_groups),
        group_roles=group_roles.shown(principal, principal.group_roles),
        organization=OrganizationNamed(id=organization.organization_id, name=organization.name),
        account=None if member is None else _account(call, member),
    )


def _account(call: Call, member: Member) -> AccountShown:
    credential = credentials.of(call.services.directory, member)
    settings = members.settings_of(call.services.directory, member)
    return AccountShown(
        email=member.email,
        settings=Chosen(theme=settings.theme, keys=settings.keys, zone=settings.zone),
        second_factor=credential.has_second_factor,
        recovery_codes_left=len(credential.recovery_digests),
        password_set_at=at(credential.password_set_at_ms),
        browser_session_id=call.principal.browser_session_id,
    )


def _session_order(session: BrowserSession) -> tuple[int, str]:
    return (-session.opened_at_ms, session.browser_session_id)


def _session(call: Call, session: BrowserSession) -> BrowserSessionShown:
    browsers = call.services.browsers
    return BrowserSessionShown(
        id=session.browser_session_id,
        address=session.address,
        agent=session.agent,
        opened_at=at(session.opened_at_ms),
        used_at=at(browsers.used_at_ms(session)),
        ends_at=at(browsers.end_of(session)),
        present=session.browser_session_id == call.principal.browser_session_id,
    )


ROUTES: Final = (
    Route(method="GET", path="/me", role=Role.VIEWER, summary="Who asks", read=show, answers=MeShown),
    Route(
        method="PATCH",
        path="/me",
        role=Role.VIEWER,
        summary="Change one's own name, theme, shortcuts or zone",
        change=change,
        body=MePatch,
        answers=MeShown,
    ),
    Route(
        method="POST",
        path="/me/password",
        role=Role.VIEWER,
        summary="Change one's own password; one's other browsers are signed out",
        work=change_password,
        body=PasswordBody,
        status=204,
    ),
    Route(
        method="POST",
        path="/me/second-factor",
        role=Role.VIEWER,
        summary="Begin to set up a second factor; its key is shown once",
        work=begin_second_factor,
        body=BeginBody,
        status=201,
        answers=SecondFactorBegun,
    ),
    Route(
        method="POST",
        path="/me/second-factor/confirm",
        role=Role.VIEWER,
        summary="Turn the second factor on with its first code; recovery codes are shown once",
        work=confirm_second_factor,
        body=CodeBody,
        status=201,
        answers=RecoveryCodes,
    ),
    Route(
        method="POST",
        path="/me/second-factor/off",
        role=Role.VIEWER,
        summary="Turn the second factor off",
        work=end_second_factor,
        body=AgainBody,
        status=204,
    ),
    Route(
        method="POST",
        path="/me/recovery-codes",
        role=Role.VIEWER,
        summary="New recovery codes, shown once; the former ones are over",
        work=make_recovery_codes,
        body=AgainBody,
        status=201,
        answers=RecoveryCodes,
    ),
    Route(
        method="GET",
        path="/me/browser-sessions",
        role=Role.VIEWER,
        summary="The browsers one is signed in with, newest first",
        read=list_browser_sessions,
        query=PageQuery,
        answers=Page[BrowserSessionShown],
    ),
    Route(
        method="DELETE",
        path="/me/browser-sessions/{browser_session_id}",
        role=Role.VIEWER,
        summary="Sign one browser out; its streams end",
        change=end_browser_session,
        status=204,
    ),
    Route(
        method="POST",
        path="/me/browser-sessions/end-others",
        role=Role.VIEWER,
        summary="Sign every other browser out",
        change=end_other_browser_sessions,
        status=204,
    ),
)
