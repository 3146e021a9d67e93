"""Signing in: a password, then a code, or a passkey; and what is done by those who have lost either.

Owns the order of the questions, that every refusal reads the same and takes as long, and how often may be tried. A
sign-in between password and code lives in memory for some minutes; a restart means typing the password again.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from typing import Final, NamedTuple

import structlog

from caisey.control import totp, webauthn
from caisey.control.browser_sessions import BrowserSessions
from caisey.control.challenges import Challenges
from caisey.control.clock import Times
from caisey.control.directory import credentials, passkeys
from caisey.control.directory.records import Member
from caisey.control.directory.sign_in_records import Credential
from caisey.control.directory.store import Directory
from caisey.control.passwords import Passwords
from caisey.control.secret_box import SecretBox
from caisey.control.throttle import Throttle, place_of
from caisey.core.errors import Fault
from caisey.core.events import Actor

logger = structlog.get_logger(__name__)

STEP_LIFE_MS: Final = 10 * 60_000
STEPS_KEPT: Final = 10_000
STEP_BYTES: Final = 32
EMAIL_LENGTH: Final = 254
NOTED_EVERY_MS: Final = 5 * 60_000
SIGN_IN_CHALLENGE: Final = "sign in"
AT_THE_DOOR: Final = Actor("control_plane", "sign_in")


class Half(NamedTuple):
    """The password was right; the code is awaited."""

    member_id: str
    ends_at_ms: int
    password_set_at_ms: int | None


class Came(NamedTuple):
    """What the password led to: `secret` is the cookie's, or `step` names the question for the code."""

    secret: str | None = None
    step: str | None = None


class PasskeyAnswer(NamedTuple):
    """What a browser sends of an authenticator's answer, each part in base64url."""

    credential_id: str
    challenge: str
    client_data: str
    authenticator_data: str
    signature: str


class SignIn:
    """See the module."""

    def __init__(
        self, directory: Directory, browsers: BrowserSessions, passwords: Passwords, box: SecretBox, times: Times
    ) -> None:
        self._directory = directory
        self._browsers = browsers
        self._passwords = passwords
        self._box = box
        self._times = times
        self._halves: OrderedDict[bytes, Half] = OrderedDict()
        self._by_address = Throttle(times, burst=20, every_ms=15_000)
        self._by_member = Throttle(times, burst=10, every_ms=30_000)
        self._by_code = Throttle(times, burst=5, every_ms=5 * 60_000)
        self._challenges = Challenges(times)
        self._refused: dict[str, tuple[int, int]] = {}
        self._noting: set[asyncio.Task[None]] = set()

    # -- the door ---------------------------------------------------------------------------------------------------

    async def with_password(self, email: str, password: str, *, address: str, agent: str) -> Came:
        """The first question. Raises `sign_in.refused`, `sign_in.too_often`, `server.overloaded`.

        Who is not known is refused with the same words after the same time, and counted the same.
        """
        email = email.strip().casefold()[:EMAIL_LENGTH]
        place = place_of(address)
        key = self._member_key(email, place)
        self._require((self._by_address, place), (self._by_member, key))
        self._by_address.spend(place)
        self._by_member.spend(key)
        member = await self._whose(email, password)
        if member is None:
            logger.info("sign_in.refused", address=place)
            self._remember_refusal(self._of_address(email), place)
            raise Fault("sign_in.refused")
        # Who has an account must not wipe out with it what they guessed of others' meanwhile. Where an address stands
        # in two organizations, the password of one was tried on the other too: that counts, whichever it was.
        if len(self._of_address(email)) == 1:
            self._by_address.give_back(place)
            self._by_member.forgive(key)
        return await self.proved(member, address=address, agent=agent)

    async def proved(self, member: Member, *, address: str, agent: str) -> Came:
        """The first question is answered, by a password or a one-time link: signed in, or the question for the code."""
        if credentials.of(self._directory, member).has_second_factor:
            return Came(step=self._half(member))
        return Came(secret=await self.open(member, address=address, agent=agent, second_factor=False))

    async def with_code(self, step: str, code: str, *, address: str, agent: str) -> str:
        """The second question; the cookie's secret. A code that was used is refused as a wrong one is.

        Raises `sign_in.refused`, `sign_in.too_often`.
        """
        half = self._halves.get(_digest(step))
        member = self._directory.members.get(half.member_id) if half else None
        if (
            half is None
            or half.ends_at_ms <= self._times.now_ms()
            or member is None
            or member.removed_at_ms is not None
            or credentials.of(self._directory, member).password_set_at_ms != half.password_set_at_ms
        ):
            raise Fault("sign_in.refused", "It took too long. Type your password again.", again=True)
        place = place_of(address)
        self._require((self._by_address, place), (self._by_code, member.member_id))
        self._by_address.spend(place)
        self._by_code.spend(member.member_id)
        try:
            await self._use_code(member, code)
        except Fault as fault:
            if fault.code == "sign_in.refused":  # somebody knows the password, and perhaps no more than that
                logger.info("sign_in.refused", address=place, why="the code does not fit")
                self._remember_refusal([member], place)
            raise
        self._by_address.give_back(place)
        self._by_code.forgive(member.member_id)
        self._halves.pop(_digest(step), None)
        return await self.open(member, address=address, agent=agent, second_factor=True)

    # -- passkeys ---------------------------------------------------------------------------------------------------

    def challenge(self, about: str) -> bytes:
        """Something to sign, for an authenticator."""
        return self._challenges.give(about)

    def require_challenge(self, challenge: bytes, about: str) -> None:
        """Raises `passkey.unfit` for one that was not given for this, is over, or came back before."""
        if not self._challenges.take(challenge, about):
            raise Fault("passkey.unfit")

    async def with_passkey(self, answer: PasskeyAnswer, *, rp_id: str, origin: str, address: str, agent: str) -> str:
        """The cookie's secret. A passkey is both factors: it is held, and whoever holds it proved who they are.

        Raises `sign_in.refused`, `sign_in.too_often`.
        """
        place = place_of(address)
        self._require((self._by_address, place))
        self._by_address.spend(place)
        try:
            passkey = self._directory.passkey_by_credential.get(webauthn.decoded(answer.credential_id))
            challenge = webauthn.decoded(answer.challenge)
            if passkey is None or passkey.rp_id != rp_id or not self._challenges.take(challenge, SIGN_IN_CHALLENGE):
                raise webauthn.Unfit("no such passkey, or a challenge that is over")
            count = webauthn.asserted(
                webauthn.Asked(challenge, rp_id, origin),
                passkey.public_key,
                client_data=answer.client_data,
                authenticator_data=answer.authenticator_data,
                signature=answer.signature,
            )
        except webauthn.Unfit as unfit:
            logger.info("sign_in.refused", address=place, why=str(unfit))
            raise Fault("sign_in.refused", "The passkey did not open it.") from None
        member = self._directory.members.get(passkey.member_id)
        if member is None or member.removed_at_ms is not None:
            raise Fault("sign_in.refused")
        async with self._directory.changing(member.organization_id, actor_of(member)) as draft:
            present = self._directory.passkey_by_credential.get(passkey.credential_id)
            if present is None or self._directory.members[member.member_id].removed_at_ms is not None:
                raise Fault("sign_in.refused")
            passkeys.use(draft, present, count)
            secret = self._browsers.open(draft, member, address=address, agent=agent, second_factor=True)
        self._by_address.give_back(place)
        return secret

    async def open(self, member: Member, *, address: str, agent: str, second_factor: bool) -> str:
        """Sign a browser in for a member who has proved themselves; the cookie's secret."""
        async with self._directory.changing(member.organization_id, actor_of(member)) as draft:
            present = self._directory.members.get(member.member_id)
            if present is None or present.removed_at_ms is not None:
                raise Fault("sign_in.refused")
            return self._browsers.open(draft, present, address=address, agent=agent, second_factor=second_factor)

    def is_half_way(self, step: str) -> bool:
        """Whether a code is still awaited for this step."""
        half = self._halves.get(_digest(step))
        return half is not None and half.ends_at_ms > self._times.now_ms()

    # -- what a member proves again ---------------------------------------------------------------------------------

    async def hash_of(self, password: str) -> str:
        """What may be stored of a new password. Raises `server.overloaded`."""
        return await self._passwords.hash(password)

    async def require_password(self, member: Member, password: str) -> None:
        """Before something that a borrowed browser must not do. Raises `password.wrong`, `sign_in.too_often`."""
        key = f"again {member.member_id}"
        self._require((self._by_member, key))
        self._by_member.spend(key)
        if not await self._passwords.verify(credentials.of(self._directory, member).password_hash, password):
            raise Fault("password.wrong")
        self._by_member.forgive(key)

    def new_second_factor(self, member: Member) -> tuple[bytes, bytes]:
        """A new key, and the same sealed."""
        secret = totp.new_secret()
        return secret, self._box.seal(secret, member.member_id)

    def secret_of(self, credential: Credential) -> bytes | None:
        """The key of a second factor; None where there is none, or the file that opens it is another one."""
        if credential.totp_sealed is None:
            return None
        return self._box.open(credential.totp_sealed, credential.member_id)

    def require_code(self, credential: Credential, code: str) -> int:
        """The step of a code that was typed to set a device up. Raises `totp.code_wrong`, `sign_in.too_often`."""
        key = f"set up {credential.member_id}"
        self._require((self._by_code, key))
        self._by_code.spend(key)
        secret = self.secret_of(credential)
        step = None if secret is None else totp.step_of(secret, code, self._times.now_ms(), after=0)
        if step is None:
            raise Fault("totp.code_wrong")
        self._by_code.forgive(key)
        return step

    # -- inside -----------------------------------------------------------------------------------------------------

    async def _whose(self, email: str, password: str) -> Member | None:
        """The member with this address and this password. One address may belong to several organizations."""
        hashes = [(m, credentials.of(self._directory, m).password_hash) for m in self._of_address(email)]
        named = [(m, known) for m, known in hashes if known is not None]
        if not named:
            await self._passwords.verify(None, password)
            return None
        for member, known in named:
            if await self._passwords.verify(known, password):
                await self._make_up_to_date(member, known, password)
                return member
        return None

    def _of_address(self, email: str) -> list[Member]:
        return [m for m in self._directory.members.values() if m.email == email and m.removed_at_ms is None]

    def _member_key(self, email: str, place: str) -> str:
        """Whose tries are counted together: all for one address, but those from where the member is signed in already.

        So a stranger who keeps guessing slows himself down, not the member at their usual place. An address in two
        organizations has no usual place: that of one would be a stranger's to the other.
        """
        key = hashlib.sha256(email.encode("utf-8", "replace")).hexdigest()
        found = self._of_address(email)
        for member in found if len(found) == 1 else ():
            for session in self._directory.browser_sessions_of.get(member.member_id, {}).values():
                if place_of(session.address) == place:
                    return f"{key} {place}"
        return key

    async def _make_up_to_date(self, member: Member, known: str, password: str) -> None:
        """A hash that was made with former parameters is made anew, now that the password is at hand."""
        if not self._passwords.is_outdated(known):
            return
        made = await self._passwords.hash(password)
        async with self._directory.changing(member.organization_id, actor_of(member)) as draft:
            credential = credentials.of(self._directory, member)
            if credential.password_hash == known:
                credentials.set_password(draft, credential, made)

    async def _use_code(self, member: Member, code: str) -> None:
        """Take the code, once and durably."""
        async with self._directory.changing(member.organization_id, actor_of(member)) as draft:
            credential = credentials.of(self._directory, member)
            secret = self.secret_of(credential)
            after = credential.totp_last_step
            step = None if secret is None else totp.step_of(secret, code, self._times.now_ms(), after=after)
            if step is not None:
                credentials.use_step(draft, credential, step)
            else:
                credentials.use_recovery_code(draft, credential, totp.recovery_digest(code))

    def _remember_refusal(self, members: list[Member], place: str) -> None:
        """Wrong passwords and codes of members stand in the audit log, with their number, once in a while.

        Nobody waits for that: who is known would be told apart by the time it takes.
        """
        now = self._times.now_ms()
        for member in members:
            tries, noted_at_ms = self._refused.get(member.member_id, (0, 0))
            self._refused[member.member_id] = (tries + 1, noted_at_ms)
            if now - noted_at_ms >= NOTED_EVERY_MS:
                self._refused[member.member_id] = (0, now)
                task = asyncio.ensure_future(self._note_refusal(member, place, tries + 1))
                self._noting.add(task)
                task.add_done_callback(self._noting.discard)

    async def _note_refusal(self, member: Member, place: str, tries: int) -> None:
        try:
            async with self._directory.changing(member.organization_id, AT_THE_DOOR) as draft:
                draft.note("member.sign_in_refused", member_id=member.member_id, address=place, tries=tries)
        except Fault as fault:
            logger.warning("sign_in.not_noted", code=fault.code)
            since, _ = self._refused.get(member.member_id, (0, 0))
            self._refused[member.member_id] = (since + tries, 0)  # the next one is noted at once, and counts these

    def _half(self, member: Member) -> str:
        step = secrets.token_urlsafe(STEP_BYTES)
        set_at_ms = credentials.of(self._directory, member).password_set_at_ms
        self._halves[_digest(step)] = Half(member.member_id, self._times.now_ms() + STEP_LIFE_MS, set_at_ms)
        if len(self._halves) > STEPS_KEPT:
            self._halves.popitem(last=False)
        return step

    def _require(self, *asked: tuple[Throttle, str]) -> None:
        wait = max(throttle.wait_s(key) for throttle, key in asked)
        if wait > 0:
            raise Fault("sign_in.too_often", f"Try again in {wait} s.", retry_after_s=wait)


def actor_of(member: Member) -> Actor:
    """As the log names a member."""
    return Actor("user", member.member_id)


def _digest(step: str) -> bytes:
    return hashlib.sha256(step.encode("utf-8", "replace")).digest()
