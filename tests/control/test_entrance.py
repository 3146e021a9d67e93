"""The parts of signing in, one by one: codes, passwords, counting, sealing, form tokens, origins, browser sessions."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from caisey.control import browser_sessions, csrf, passwords, secret_box, totp
from caisey.control.browser_sessions import IDLE_MS, LIFE_MS, BrowserSessions
from caisey.control.directory import browser_sessions as records
from caisey.control.directory import credentials, members
from caisey.control.directory.records import Member
from caisey.control.origins import Origins
from caisey.control.passwords import Passwords
from caisey.control.sign_in import STEP_LIFE_MS, SignIn
from caisey.control.throttle import Throttle, place_of
from caisey.core.errors import Fault
from caisey.storage.contract import DataDirectoryUnsafe
from tests.control.test_directory import Now, Place, run

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
RFC_SECRET = b"12345678901234567890"
GOOD = "correct horse battery"


# -- codes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_s", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_rfc(at_s: int, code: str) -> None:
    """RFC 6238, appendix B, the SHA-1 column; the last six of its eight digits."""
    assert totp.code_at(RFC_SECRET, at_s * 1000 // totp.STEP_MS) == code
    assert totp.step_of(RFC_SECRET, code, at_s * 1000, after=0) == at_s * 1000 // totp.STEP_MS


@given(st.binary(min_size=20, max_size=20), st.integers(10, 2**40), st.integers(-5, 5))
def test_a_code_is_good_around_its_step_and_never_again(secret: bytes, step: int, away: int) -> None:
    code = totp.code_at(secret, step)
    at_ms = (step + away) * totp.STEP_MS
    found = totp.step_of(secret, code, at_ms, after=0)
    if abs(away) <= totp.WINDOW:
        assert found is not None
        assert totp.step_of(secret, code, at_ms, after=step + totp.WINDOW) is None
    spaced = f"{code[:3]} {code[3:]}"
    assert totp.step_of(secret, spaced, at_ms, after=0) == found


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "12345x", "\uff11\uff12\uff13\uff14\uff15\uff16", "-12345", "+1 345", "\x00" * 6]
)
def test_what_is_no_code(code: str) -> None:
    assert totp.step_of(RFC_SECRET, code, 59_000, after=0) is None


def test_recovery_codes() -> None:
    codes = totp.new_recovery_codes()
    assert len(set(codes)) == totp.RECOVERY_CODES
    for code in codes:
        typed = f" {code.lower().replace('-', ' ')} "
        assert totp.recovery_digest(typed) == totp.recovery_digest(code)
        assert code.replace("-", "") not in totp.recovery_digest(code)
    assert len({totp.recovery_digest(code) for code in codes}) == len(codes)


# -- passwords -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "a" * 40,
        "abababababab",
        "caiseycaisey",
        "Password1234",
        "ada@example.com",
        "AdaLovelace!",
        "x" * 300,
    ],
)
def test_weak_passwords(password: str) -> None:
    with pytest.raises(Fault, match=r"password\.too_weak"):
        passwords.check(password, of=("ada@example.com", "ada", "AdaLovelace"))


@pytest.mark.parametrize(
    "password", [GOOD, "lang und mit Umläuten ä", "四十二は答えですかそうですね", "ada likes long walks at night"]
)
def test_good_passwords(password: str) -> None:
    passwords.check(password, of=("ada@example.com", "ada", "Ada"))


def test_hashes() -> None:
    async def work() -> None:
        keeper = Passwords(CHEAP)
        composed, decomposed = "caf\u00e9 au lait please", "cafe\u0301 au lait please"
        known = await keeper.hash(composed)
        assert "café" not in known
        assert await keeper.verify(known, decomposed)
        assert not await keeper.verify(known, composed + " ")
        assert not await keeper.verify(None, composed)
        assert not await keeper.verify("no hash at all", composed)
        assert not await keeper.verify(known, "x" * 10_000)
        assert not keeper.is_outdated(known)
        assert Passwords().is_outdated(known)
        keeper.close()

    asyncio.run(work())


def test_only_so_many_hashes_wait() -> None:
    async def work() -> None:
        keeper = Passwords(CHEAP)
        many = [keeper.verify(None, "x" * 12) for _ in range(passwords.AT_ONCE + passwords.MAY_WAIT + 5)]
        answers = await asyncio.gather(*many, return_exceptions=True)
        refused = [one for one in answers if isinstance(one, Fault)]
        assert [one.code for one in refused] == ["server.overloaded"] * 5
        assert answers.count(False) == passwords.AT_ONCE + passwords.MAY_WAIT
        keeper.close()

    asyncio.run(work())


# -- counting --------------------------------------------------------------------------------------------------------


class Still(Now):
    """Both times are moved by the test."""

    def monotonic_ms(self) -> int:
        return self.ms


def test_the_throttle_fills_slowly_and_forgives() -> None:
    clock = Still()
    throttle = Throttle(clock, burst=3, every_ms=10_000)
    for _ in range(3):
        assert throttle.wait_s("a") == 0
        throttle.spend("a")
    assert throttle.wait_s("a") == 10
    assert throttle.wait_s("b") == 0
    clock.ms += 9_001
    assert throttle.wait_s("a") == 1
    clock.ms += 999
    assert throttle.wait_s("a") == 0
    throttle.spend("a")
    assert throttle.wait_s("a") == 10
    throttle.forgive("a")
    assert throttle.wait_s("a") == 0


@given(st.lists(st.integers(0, 60_000), max_size=60))
def test_no_more_tries_than_the_bucket_holds(pauses: list[int]) -> None:
    clock = Still()
    throttle = Throttle(clock, burst=5, every_ms=10_000)
    began, made = clock.ms, 0
    for pause in pauses:
        clock.ms += pause
        if throttle.wait_s("a") == 0:
            throttle.spend("a")
            made += 1
    assert made <= 5 + (clock.ms - began) / 10_000


def test_the_throttle_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caisey.control.throttle.KEPT", 10)
    throttle = Throttle(Still(), burst=1, every_ms=10_000)
    for number in range(30):
        throttle.spend(str(number))
    assert throttle.wait_s("29") > 0
    assert throttle.wait_s("0") == 0


def test_places() -> None:
    assert place_of("192.0.2.7") == "192.0.2.7"
    assert place_of("2001:db8:1:2:3::4") == place_of("2001:db8:1:2:ffff::9") != place_of("2001:db8:1:3::4")
    assert place_of("") == place_of("unix") == "unknown"


# -- sealing, form tokens, origins -----------------------------------------------------------------------------------


def test_the_box_opens_only_what_it_sealed(tmp_path: Path) -> None:
    box = secret_box.load_or_make(tmp_path)
    sealed = box.seal(b"key", "usr_a")
    assert b"key" not in sealed
    assert secret_box.load_or_make(tmp_path).open(sealed, "usr_a") == b"key"
    assert box.open(sealed, "usr_b") is None
    for place in range(len(sealed)):
        changed = bytes([*sealed[:place], sealed[place] ^ 1, *sealed[place + 1 :]])
        assert box.open(changed, "usr_a") is None
    assert box.open(b"", "usr_a") is None
    path = tmp_path / secret_box.NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(DataDirectoryUnsafe):
        secret_box.load_or_make(tmp_path)
    path.chmod(0o600)
    path.write_text("nonsense")
    with pytest.raises(DataDirectoryUnsafe):
        secret_box.load_or_make(tmp_path)


@given(st.text(max_size=50), st.text(max_size=50))
def test_form_tokens_fit_their_secret_alone(secret: str, other: str) -> None:
    token = csrf.token_for(secret)
    assert token != csrf.token_for(secret)
    assert csrf.fits(secret, token)
    assert csrf.fits(other, token) == (secret == other)


@given(st.text(max_size=100))
def test_what_is_no_form_token(text: str) -> None:
    assert not csrf.fits("secret", text)
    assert not csrf.fits("secret", None)
    assert not csrf.fits("secret", text.ljust(88, "A")[:88])


PUBLIC = Origins("https://caisey.example")
LOCAL = Origins(None)


@pytest.mark.parametrize(
    ("origins", "host", "known"),
    [
        (LOCAL, "127.0.0.1:8700", True),
        (LOCAL, "localhost:8700", True),
        (LOCAL, "[::1]:8700", True),
        (LOCAL, "127.9.9.9", True),
        (LOCAL, "caisey.example", False),
        (PUBLIC, "caisey.example", True),
        (PUBLIC, "CAISEY.example:443", True),
        (PUBLIC, "evil.example", False),
        (PUBLIC, "caisey.example.evil.example", False),
        (PUBLIC, "caisey.example@evil.example", False),
        (PUBLIC, "", False),
        (PUBLIC, None, False),
        (PUBLIC, "a" * 300, False),
        (PUBLIC, "127.0.0.1:99999", False),
        (PUBLIC, "127.0.0.1.nip.example", False),
    ],
)
def test_hosts(origins: Origins, host: str | None, known: bool) -> None:
    assert origins.knows(host) is known


@pytest.mark.parametrize(
    ("origin", "site", "own"),
    [
        ("http://127.0.0.1:8700", None, True),
        ("http://127.0.0.1:8700", "same-origin", True),
        (None, "same-origin", True),
        (None, None, False),
        ("null", None, False),
        ("http://127.0.0.1:8701", None, False),
        ("http://localhost:8700", None, False),
        ("http://127.0.0.1:8700", "cross-site", False),
        ("http://127.0.0.1:8700", "same-site", False),
        ("http://127.0.0.1:8700", "none", False),
        ("https://evil.example", None, False),
        ("http://127.0.0.1:8700.evil.example", None, False),
        ("file://127.0.0.1:8700", None, False),
        ("http://127.0.0.1:999999", None, False),
        ("", None, False),
    ],
)
def test_origins(origin: str | None, site: str | None, own: bool) -> None:
    assert LOCAL.is_own("http", "127.0.0.1:8700", origin, site) is own


def test_origins_behind_a_proxy_that_ends_tls() -> None:
    assert PUBLIC.is_own("http", "caisey.example", "https://caisey.example", "same-origin")
    assert PUBLIC.is_own("https", "caisey.example", "https://caisey.example", None)
    assert not PUBLIC.is_own("http", "caisey.example", "https://caisey.example:8443", None)
    assert not PUBLIC.is_own("https", "caisey.example", "http://caisey.example", None)


def test_where_secrets_may_be_typed() -> None:
    assert PUBLIC.safe_for_secrets("https", "caisey.example")
    assert LOCAL.safe_for_secrets("http", "localhost:8700")
    # Behind a proxy that ends TLS the browser says how it came.
    assert PUBLIC.safe_for_secrets("http", "caisey.example")
    assert PUBLIC.safe_for_secrets("http", "caisey.example", "https://caisey.example")
    assert not PUBLIC.safe_for_secrets("http", "caisey.example", "http://caisey.example")
    assert not PUBLIC.safe_for_secrets("http", "other.example", "https://other.example")
    assert not Origins("http://caisey.example").safe_for_secrets("http", "caisey.example")


# -- browser sessions and signing in ---------------------------------------------------------------------------------


async def member_of(place: Place, email: str = "ada@example.com") -> Member:
    async with place.directory.changing(place.owner.organization_id, place.owner.actor) as draft:
        return members.create(
            place.directory, draft, place.owner, name="Ada", email=email, role=place.owner.role, groups=None
        )


def stored(tmp_path: Path) -> bytes:
    """Every byte of the database."""
    return b"".join(path.read_bytes() for path in tmp_path.glob("*.db*"))


def entrance(place: Place, tmp_path: Path) -> SignIn:
    browsers = BrowserSessions(place.directory, place.log, place.clock)
    box = secret_box.load_or_make(tmp_path)
    return SignIn(place.directory, browsers, Passwords(CHEAP), box, place.clock)


async def with_password(place: Place, sign_in: SignIn, member: Member, password: str = GOOD) -> None:
    made = await sign_in.hash_of(password)
    async with place.directory.changing(member.organization_id, place.owner.actor) as draft:
        credentials.set_password(draft, credentials.of(place.directory, member), made)


def test_a_browser_session_ends_by_itself(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        browsers = BrowserSessions(place.directory, place.log, place.clock)
        member = await member_of(place)
        async with place.directory.changing(member.organization_id, place.owner.actor) as draft:
            secret = browsers.open(draft, member, address="::1", agent="x\n" * 500, second_factor=False)
        cookie = f"a=b; {browser_sessions.COOKIE}={secret}; c=d"
        began = place.clock.ms
        found = browsers.find(cookie, active=True)
        assert found is not None
        assert (found.principal.id, found.principal.kind) == (member.member_id, "user")
        assert found.principal.expires_at_ms == began + IDLE_MS
        assert "\n" not in found.session.agent
        # What scripts do by themselves keeps nobody signed in; what a person does, does.
        place.clock.ms = began + IDLE_MS - 1
        assert browsers.find(cookie, active=False) is not None
        place.clock.ms = began + IDLE_MS
        assert browsers.find(cookie, active=False) is None
        place.clock.ms = began + IDLE_MS - 1
        assert browsers.find(cookie, active=True) is not None
        place.clock.ms = began + 2 * IDLE_MS - 2
        assert browsers.find(cookie, active=False) is not None
        # A restart remembers, within minutes, when it was last used.
        await place.log.append([], []).committed
        again = BrowserSessions(await place.again(), place.log, place.clock)
        assert again.find(cookie, active=False) is not None
        # A week after it was opened it ends, however much it is used.
        assert browsers.find(cookie, active=True) is not None
        while place.clock.ms < began + LIFE_MS - IDLE_MS:
            place.clock.ms += IDLE_MS - 1
            assert browsers.find(cookie, active=True) is not None
        place.clock.ms = began + LIFE_MS - 1
        assert browsers.find(cookie, active=True) is not None
        place.clock.ms = began + LIFE_MS
        assert browsers.find(cookie, active=True) is None
        assert records.of_member(place.directory, member.member_id)
        await place.log.append([], [browsers.clean()]).committed
        assert records.of_member(place.directory, member.member_id) == []
        assert (await place.again()).browser_sessions_of == {}

    run(tmp_path, work)


@pytest.mark.parametrize(
    "cookies", [None, "", "x", browser_sessions.COOKIE, f"{browser_sessions.COOKIE}=", "a=" + "b" * 9000, "é=1", ";;="]
)
def test_what_is_no_cookie_of_ours(cookies: str | None) -> None:
    assert browser_sessions.secret_in(cookies) is None


def test_only_a_digest_of_the_cookie_is_stored(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        browsers = BrowserSessions(place.directory, place.log, place.clock)
        member = await member_of(place)
        async with place.directory.changing(member.organization_id, place.owner.actor) as draft:
            secret = browsers.open(draft, member, address="::1", agent="", second_factor=False)
        await place.log.append([], []).committed
        data = stored(tmp_path)
        assert member.member_id.encode() in data
        assert secret.encode() not in data

    run(tmp_path, work)


def test_a_second_factor_from_its_set_up_to_its_codes(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        sign_in = entrance(place, tmp_path)
        member = await member_of(place)
        await with_password(place, sign_in, member)
        secret, sealed = sign_in.new_second_factor(member)
        async with place.directory.changing(member.organization_id, place.owner.actor) as draft:
            credential = credentials.begin_second_factor(draft, credentials.of(place.directory, member), sealed)
        # Until a code of it was given it does not count.
        came = await sign_in.with_password("ADA@example.com ", GOOD, address="::1", agent="")
        assert came.secret is not None
        step = sign_in.require_code(credential, totp.code_at(secret, place.clock.ms // totp.STEP_MS))
        codes = totp.new_recovery_codes()
        async with place.directory.changing(member.organization_id, place.owner.actor) as draft:
            credentials.enable_second_factor(draft, credentials.of(place.directory, member), step, codes)
        data = stored(tmp_path)
        assert secret not in data
        assert not any(code.encode() in data for code in codes)

        async def half() -> str:
            came = await sign_in.with_password(member.email, GOOD, address="::1", agent="")
            assert came.secret is None
            assert came.step is not None
            return came.step

        async def code(step: str, code: str) -> str:
            return await sign_in.with_code(step, code, address="::1", agent="")

        # The code that turned it on is used up; the next one is good once; an earlier one is not any more.
        now = place.clock.ms // totp.STEP_MS
        waiting = await half()
        with pytest.raises(Fault, match=r"sign_in\.refused"):
            await code(waiting, totp.code_at(secret, now))
        assert await code(waiting, totp.code_at(secret, now + 1))
        with pytest.raises(Fault, match=r"sign_in\.refused"):
            await code(waiting, totp.code_at(secret, now + 1))  # the step between the two questions is over as well
        waiting = await half()
        for used in (now - 1, now, now + 1):
            with pytest.raises(Fault, match=r"sign_in\.refused"):
                await code(waiting, totp.code_at(secret, used))
        place.clock.ms += 10 * 60_000
        waiting = await half()
        assert await code(waiting, codes[0].lower())
        place.clock.ms += 10 * 60_000
        waiting = await half()
        with pytest.raises(Fault, match=r"sign_in\.refused"):
            await code(waiting, codes[0])
        place.clock.ms += STEP_LIFE_MS
        with pytest.raises(Fault, match="too long"):
            await code(waiting, codes[1])
        # A restart forgets who stands half way, and no code that was used.
        again = SignIn(
            await place.again(),
            BrowserSessions(place.directory, place.log, place.clock),
            Passwords(CHEAP),
            secret_box.load_or_make(tmp_path),
            place.clock,
        )
        came = await again.with_password(member.email, GOOD, address="::1", agent="")
        assert came.step is not None
        with pytest.raises(Fault, match=r"sign_in\.refused"):
            await again.with_code(came.step, codes[0], address="::1", agent="")

    run(tmp_path, work)


def test_guessing_is_slow_for_known_and_unknown_alike(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        sign_in = entrance(place, tmp_path)
        await with_password(place, sign_in, await member_of(place))

        async def tries(email: str, address: str) -> list[str]:
            found = []
            for _ in range(12):
                try:
                    await sign_in.with_password(email, "wrong wrong wrong", address=address, agent="")
                except Fault as fault:
                    found.append((fault.code, fault.title, fault.detail, fault.extra))
            return [repr(one) for one in found]

        assert await tries("ada@example.com", "192.0.2.1") == await tries("nobody@example.com", "192.0.2.2")
        # Ten from anywhere for one member; the right password waits too, and then works.
        with pytest.raises(Fault, match=r"sign_in\.too_often"):
            await sign_in.with_password("ada@example.com", GOOD, address="192.0.2.3", agent="")
        # Twenty from one address for anybody.
        codes = []
        for number in range(22):
            try:
                await sign_in.with_password(f"n{number}@example.com", "x", address="192.0.2.9", agent="")
            except Fault as fault:
                codes.append(fault.code)
        assert codes == ["sign_in.refused"] * 20 + ["sign_in.too_often"] * 2

    run(tmp_path, work)


def test_a_guessing_stranger_does_not_lock_the_member_out(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        sign_in = entrance(place, tmp_path)
        member = await member_of(place)
        await with_password(place, sign_in, member)
        await sign_in.with_password(member.email, GOOD, address="192.0.2.1", agent="")
        for number in range(30):
            with pytest.raises(Fault):
                await sign_in.with_password(member.email, "wrong", address=f"198.51.100.{number}", agent="")
        with pytest.raises(Fault, match=r"sign_in\.too_often"):
            await sign_in.with_password(member.email, GOOD, address="192.0.2.77", agent="")
        assert (await sign_in.with_password(member.email, GOOD, address="192.0.2.1", agent="")).secret

    run(tmp_path, work)


def test_one_address_in_two_organizations(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        from caisey.control.access import Principal
        from caisey.control.directory import organizations

        sign_in = entrance(place, tmp_path)
        first = await member_of(place)
        other = await organizations.create(place.directory, "other")
        owner = Principal("token", "tok_x", other.organization_id, place.owner.role)
        async with place.directory.changing(other.organization_id, owner.actor) as draft:
            second = members.create(
                place.directory, draft, owner, name="Ada", email=first.email, role=owner.role, groups=None
            )
        await with_password(place, sign_in, first, GOOD)
        await with_password(place, sign_in, second, "quite another password")
        browsers = BrowserSessions(place.directory, place.log, place.clock)
        for member, password in ((first, GOOD), (second, "quite another password")):
            came = await sign_in.with_password(first.email, password, address="::1", agent="")
            found = browsers.find(f"{browser_sessions.COOKIE}={came.secret}", active=False)
            assert found is not None
            assert found.member == member

    run(tmp_path, work)


def test_an_old_hash_is_made_anew_at_sign_in(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        old = entrance(place, tmp_path)
        member = await member_of(place)
        await with_password(place, old, member)
        before = place.directory.credentials[member.member_id].password_hash
        dearer = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
        sign_in = SignIn(
            place.directory,
            BrowserSessions(place.directory, place.log, place.clock),
            Passwords(dearer),
            secret_box.load_or_make(tmp_path),
            place.clock,
        )
        await sign_in.with_password(member.email, GOOD, address="::1", agent="")
        after = place.directory.credentials[member.member_id].password_hash
        assert before != after
        assert after is not None
        assert dearer.verify(after, GOOD)

    run(tmp_path, work)
