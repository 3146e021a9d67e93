"""Rights that end: with who gave them, with the password, at the very moment; and guesses that are not wiped out."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from caisey.control import joining, totp
from caisey.control.access import Access, Principal, principal_of_member
from caisey.control.browser_sessions import COOKIE, BrowserSessions
from caisey.control.directory import (
    browser_sessions,
    client_groups,
    credentials,
    member_links,
    members,
    organizations,
    tokens,
)
from caisey.control.directory.answered import AnsweredWrites
from caisey.control.directory.members import MemberChange
from caisey.control.directory.records import Member
from caisey.control.origins import Origins
from caisey.control.roles import Role
from caisey.control.sign_in import SignIn
from caisey.control.throttle import place_of
from caisey.core.errors import Fault
from caisey.storage.contract import Overloaded
from tests.control.test_directory import Place, run
from tests.control.test_entrance import GOOD, entrance, stored, with_password

OTHER = "quite another password"


async def one_more(place: Place, role: Role, *, groups: tuple[str, ...] | None = None, by: Principal) -> Member:
    email = f"{role}{len(place.directory.members)}@example.com"
    async with place.directory.changing(by.organization_id, by.actor) as draft:
        return members.create(place.directory, draft, by, name="N", email=email, role=role, groups=groups)


def as_principal(member: Member) -> Principal:
    return principal_of_member(member, "", 0)


async def link_for(place: Place, member: Member, by: Principal) -> str:
    async with place.directory.changing(by.organization_id, by.actor) as draft:
        return member_links.make(place.directory, draft, "reset", member)[1]


async def change(place: Place, member: Member, **wanted: object) -> None:
    async with place.directory.changing(member.organization_id, place.owner.actor) as draft:
        members.change(place.directory, draft, place.owner, member.member_id, MemberChange(**wanted))  # type: ignore[arg-type]


def good(place: Place, text: str) -> bool:
    try:
        return bool(joining.member_of(place.directory, text, place.clock.ms))
    except Fault as fault:
        if fault.code != "member_link.invalid":
            raise
        return False


@pytest.mark.parametrize(
    "what",
    [
        "nothing",
        "they rise",
        "they rise in a group",
        "they reach further",
        "they reach another group",
        "maker goes",
        "maker falls",
        "maker falls in a group",
        "maker reaches less",
    ],
)
def test_a_link_is_good_while_its_maker_may_still_make_it(tmp_path: Path, what: str) -> None:
    """Else an admin made a link for a technician, waited until they were owner, and was owner."""

    async def work(place: Place) -> None:
        owner = place.owner
        async with place.directory.changing(owner.organization_id, owner.actor) as draft:
            group = client_groups.create(place.directory, draft, owner, "Acme").client_group_id
        admin = await one_more(place, Role.ADMIN, groups=(group,), by=owner)
        member = await one_more(place, Role.TECHNICIAN, groups=(group,), by=owner)
        text = await link_for(place, member, as_principal(admin))
        assert good(place, text)
        match what:
            case "they rise":
                await change(place, member, role=Role.OWNER)
            case "they rise in a group":
                await change(place, admin, role=Role.TECHNICIAN, group_roles={group: Role.ADMIN})
                assert good(place, text), "admin there is admin there"
                await change(place, admin, group_roles={group: Role.TECHNICIAN})
                await change(place, member, group_roles={group: Role.ADMIN})
            case "they reach another group":
                async with place.directory.changing(owner.organization_id, owner.actor) as draft:
                    other = client_groups.create(place.directory, draft, owner, "Borealis").client_group_id
                await change(place, member, group_roles={other: Role.VIEWER})
            case "maker falls in a group":
                await change(place, admin, group_roles={group: Role.APPROVER})
            case "they reach further":
                await change(place, member, groups=None)
            case "maker goes":
                async with place.directory.changing(owner.organization_id, owner.actor) as draft:
                    members.remove(place.directory, draft, owner, admin.member_id)
            case "maker falls":
                await change(place, admin, role=Role.TECHNICIAN)
            case "maker reaches less":
                await change(place, admin, groups=())
            case _:
                await change(place, member, name="Renamed")
        assert good(place, text) is (what == "nothing")

    run(tmp_path, work)


def test_a_link_ends_with_the_token_that_made_it(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        owner = place.owner
        member = await one_more(place, Role.VIEWER, by=owner)
        async with place.directory.changing(owner.organization_id, owner.actor) as draft:
            token, _ = tokens.make(draft, role=Role.ADMIN, name="")
        text = await link_for(place, member, Principal("token", token.token_id, owner.organization_id, Role.ADMIN))
        assert good(place, text)
        async with place.directory.changing(owner.organization_id, owner.actor) as draft:
            tokens.revoke(place.directory, draft, owner, token.token_id)
        assert not good(place, text)

    run(tmp_path, work)


@pytest.mark.parametrize("kind", ["signed out", "removed", "another role", "token"])
def test_a_stream_that_begins_too_late_does_not_begin(tmp_path: Path, kind: str) -> None:
    """Who asks is found first and the stream opens a moment later; what ends between the two ends the stream."""

    async def work(place: Place) -> None:
        owner, access = place.owner, Access(place.directory, place.clock)
        browsers = BrowserSessions(place.directory, place.log, place.clock)
        member = await one_more(place, Role.TECHNICIAN, by=owner)
        async with place.directory.changing(owner.organization_id, owner.actor) as draft:
            secret = browsers.open(draft, member, address="::1", agent="", second_factor=False)
            token, text = tokens.make(draft, role=Role.VIEWER, name="")
        browser = browsers.find(f"{COOKIE}={secret}", active=True)
        assert browser is not None
        principal = access.authenticate(f"Bearer {text}") if kind == "token" else browser.principal
        with access.lease(principal) as lease:
            assert not lease.ended.is_set()
        async with place.directory.changing(owner.organization_id, owner.actor) as draft:
            match kind:
                case "token":
                    tokens.revoke(place.directory, draft, owner, token.token_id)
                case "removed":
                    members.remove(place.directory, draft, owner, member.member_id)
                case "another role":
                    members.change(place.directory, draft, owner, member.member_id, MemberChange(role=Role.VIEWER))
                case _:
                    browser_sessions.end_one(draft, browser.session, "signed_out")
        with access.lease(principal) as lease:
            assert lease.ended.is_set()

    run(tmp_path, work)


# -- guessing --------------------------------------------------------------------------------------------------------


async def refusals(sign_in: SignIn, email: str, times: int, address: str = "192.0.2.1") -> list[str]:
    found = []
    for _ in range(times):
        with pytest.raises(Fault) as caught:
            await sign_in.with_password(email, "wrong wrong wrong", address=address, agent="")
        found.append(caught.value.code)
    return found


def test_ones_own_password_does_not_wipe_out_what_was_guessed_of_others(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        sign_in = entrance(place, tmp_path)
        member = await one_more(place, Role.VIEWER, by=place.owner)
        await with_password(place, sign_in, member)
        for number in range(19):
            await refusals(sign_in, f"n{number}@example.com", 1)
            if number in (9, 18):
                assert (await sign_in.with_password(member.email, GOOD, address="192.0.2.1", agent="")).secret
        assert await refusals(sign_in, "last@example.com", 2) == ["sign_in.refused", "sign_in.too_often"]

    run(tmp_path, work)


def test_the_same_address_in_another_organization_does_not_either(tmp_path: Path) -> None:
    """Whoever runs an organization can add anybody's address there, with a password of their own."""

    async def work(place: Place) -> None:
        sign_in = entrance(place, tmp_path)
        member = await one_more(place, Role.OWNER, by=place.owner)
        await with_password(place, sign_in, member)
        other = await organizations.create(place.directory, "other")
        owner = Principal("token", "tok_x", other.organization_id, Role.OWNER)
        async with place.directory.changing(other.organization_id, owner.actor) as draft:
            theirs = members.create(
                place.directory, draft, owner, name="N", email=member.email, role=Role.VIEWER, groups=None
            )
        await with_password(place, sign_in, theirs, OTHER)
        assert await refusals(sign_in, member.email, 8, "198.51.100.1") == ["sign_in.refused"] * 8
        assert (await sign_in.with_password(member.email, OTHER, address="198.51.100.2", agent="")).secret
        assert await refusals(sign_in, member.email, 2, "198.51.100.3") == ["sign_in.refused", "sign_in.too_often"]

    run(tmp_path, work)


def test_a_password_that_opens_one_organization_is_a_guess_at_the_other(tmp_path: Path) -> None:
    """Else each guess, made the password of one's own organization first, was a sign-in that succeeded."""

    async def work(place: Place) -> None:
        sign_in = entrance(place, tmp_path)
        member = await one_more(place, Role.OWNER, by=place.owner)
        await with_password(place, sign_in, member)
        other = await organizations.create(place.directory, "other")
        owner = Principal("token", "tok_x", other.organization_id, Role.OWNER)
        async with place.directory.changing(other.organization_id, owner.actor) as draft:
            theirs = members.create(
                place.directory, draft, owner, name="N", email=member.email, role=Role.VIEWER, groups=None
            )
        for number in range(10):
            await with_password(place, sign_in, theirs, f"guess number {number}")
            address = f"198.51.100.{number // 5}"  # signed in there, as the other one
            assert (
                await sign_in.with_password(member.email, f"guess number {number}", address=address, agent="")
            ).secret
        assert await refusals(sign_in, member.email, 1, "198.51.100.0") == ["sign_in.too_often"]

    run(tmp_path, work)


async def two_factors(place: Place, sign_in: SignIn) -> tuple[Member, bytes]:
    member = await one_more(place, Role.OWNER, by=place.owner)
    await with_password(place, sign_in, member)
    secret, sealed = sign_in.new_second_factor(member)
    async with place.directory.changing(member.organization_id, place.owner.actor) as draft:
        begun = credentials.begin_second_factor(draft, credentials.of(place.directory, member), sealed)
    async with place.directory.changing(member.organization_id, place.owner.actor) as draft:
        credentials.enable_second_factor(draft, replace(begun), 1, ())
    return member, secret


def test_a_step_ends_with_the_password_that_led_to_it(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        sign_in = entrance(place, tmp_path)
        member, secret = await two_factors(place, sign_in)
        came = await sign_in.with_password(member.email, GOOD, address="::1", agent="")
        place.clock.ms += 1_000
        await with_password(place, sign_in, member, OTHER)
        with pytest.raises(Fault, match=r"sign_in\.refused"):
            await sign_in.with_code(
                came.step or "", totp.code_at(secret, place.clock.ms // totp.STEP_MS), address="::1", agent=""
            )

    run(tmp_path, work)


def test_wrong_codes_stand_in_the_audit_log_too(tmp_path: Path) -> None:
    """Whoever comes to the code knows the password."""

    async def work(place: Place) -> None:
        sign_in = entrance(place, tmp_path)
        member, _ = await two_factors(place, sign_in)
        came = await sign_in.with_password(member.email, GOOD, address="192.0.2.1", agent="")
        with pytest.raises(Fault, match=r"sign_in\.refused"):
            await sign_in.with_code(came.step or "", "none", address="192.0.2.1", agent="")
        async with asyncio.timeout(30):
            while True:
                events = await place.log.read_organization(member.organization_id, 0, 100)
                found = [one.payload for one in events if one.type == "member.sign_in_refused"]
                if found:
                    break
                await asyncio.sleep(0)
        assert found == [{"member_id": member.member_id, "address": "192.0.2.1", "tries": 1}]

    run(tmp_path, work)


def test_refusals_that_could_not_be_noted_are_counted_in_the_next_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(place: Place) -> None:
        sign_in = entrance(place, tmp_path)
        member, _ = await two_factors(place, sign_in)

        async def refused() -> None:
            with pytest.raises(Fault, match=r"sign_in\.refused"):
                await sign_in.with_password(member.email, "something else", address="192.0.2.1", agent="")
            await asyncio.gather(*sign_in._noting)

        def full(*_: object) -> None:
            raise Overloaded("full")

        with monkeypatch.context() as patched:
            patched.setattr(place.log, "append", full)
            await refused()
            await refused()
        await refused()
        events = await place.log.read_organization(member.organization_id, 0, 100)
        found = [one.payload for one in events if one.type == "member.sign_in_refused"]
        assert [one["tries"] for one in found] == [3]

    run(tmp_path, work)


def test_an_address_of_the_old_kind_is_a_place_of_its_own_however_it_is_spelled() -> None:
    assert place_of("::ffff:192.0.2.1") == place_of("192.0.2.1") != place_of("::ffff:192.0.2.2")


# -- origins ---------------------------------------------------------------------------------------------------------


def test_a_page_without_tls_is_not_ours_where_people_come_over_tls() -> None:
    public = Origins("https://caisey.example")
    assert not public.is_own("http", "caisey.example", "http://caisey.example", None)
    assert not public.is_own("http", "caisey.example:8700", "http://caisey.example:8700", None)
    assert public.is_own("http", "127.0.0.1:8700", "http://127.0.0.1:8700", None)


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "https://[x]:1", "http://\u2100.example"])
def test_what_is_no_origin(origin: str) -> None:
    assert not Origins(None).is_own("http", "127.0.0.1:8700", origin, None)


def test_nothing_that_was_typed_can_be_guessed_from_the_table_of_answers(tmp_path: Path) -> None:
    """Bodies hold passwords: a plain digest of one could be tried out a billion times a second."""

    async def work(place: Place) -> None:
        answered = AnsweredWrites(place.log.query_now, place.clock)
        body = b'[{"current":"a","new":"b"},{}]'
        async with answered.claim(("usr_x", "POST", "/me/password"), "k", body) as claim:
            await place.log.append([], claim.remember(204, body=b"")).committed
        assert hashlib.sha256(body).digest() not in stored(tmp_path)
        async with answered.claim(("usr_x", "POST", "/me/password"), "k", body) as claim:
            assert claim.answered is not None

    run(tmp_path, work)
