"""What an authenticator answers: taken where everything fits, refused where one thing does not."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caisey.control import challenges
from caisey.control.challenges import Challenges
from caisey.control.origins import host_name
from caisey.control.webauthn import Asked, Unfit, asserted, decoded, encoded, registered
from tests.control.authenticator import ATTESTED, PRESENT, VERIFIED, Authenticator
from tests.control.test_directory import Now

KNOWN = Authenticator()
ASKED = Asked(os.urandom(64), "caisey.example", "https://caisey.example")

SIGNED = KNOWN.get(*ASKED)


@pytest.mark.parametrize("kind", ["es256", "eddsa", "rs256"])
def test_a_key_is_made_and_signs(kind: str) -> None:
    one = Authenticator(kind, count=5)
    made = registered(ASKED, **one.create(*ASKED))
    assert (made.credential_id, made.public_key, made.sign_count) == (one.credential_id, one.public_key, 5)
    assert asserted(ASKED, made.public_key, **one.get(*ASKED)) == 6


@pytest.mark.parametrize("kind", ["es384", "rs256 short"])
def test_kinds_that_were_not_asked_for(kind: str) -> None:
    with pytest.raises(Unfit, match="kind"):
        registered(ASKED, **Authenticator(kind).create(*ASKED))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (ASKED._replace(challenge=os.urandom(64)), "challenge"),
        (ASKED._replace(origin="https://evil.example"), "page"),
        (ASKED._replace(origin="http://caisey.example"), "page"),
        (ASKED._replace(rp_id="evil.example"), "host"),
    ],
)
def test_what_was_asked_elsewhere(asked: Asked, words: str) -> None:
    one = Authenticator()
    with pytest.raises(Unfit, match=words):
        registered(ASKED, **one.create(*asked))
    with pytest.raises(Unfit, match=words):
        asserted(ASKED, one.public_key, **one.get(*asked))


@pytest.mark.parametrize("flags", [0, PRESENT, VERIFIED])
def test_somebody_was_there_and_proved_who_they_are(flags: int) -> None:
    one = Authenticator()
    with pytest.raises(Unfit, match="nobody"):
        asserted(ASKED, one.public_key, **one.get(*ASKED, flags=flags))


def test_one_ceremony_is_not_another() -> None:
    one = Authenticator()
    made = one.create(*ASKED)
    with pytest.raises(Unfit, match="ceremony"):
        asserted(
            ASKED,
            one.public_key,
            client_data=made["client_data"],
            authenticator_data=made["authenticator_data"],
            signature="",
        )
    with pytest.raises(Unfit, match="ceremony"):
        registered(ASKED, **one.create(*ASKED, type="webauthn.get"))
    with pytest.raises(Unfit, match="ceremony"):
        registered(ASKED, **one.create(*ASKED, crossOrigin=True))


def test_another_key_signs_nothing() -> None:
    one, other = Authenticator(), Authenticator()
    with pytest.raises(Unfit, match="signature"):
        asserted(ASKED, other.public_key, **one.get(*ASKED))


@given(st.sampled_from(["client_data", "authenticator_data", "signature"]), st.data())
def test_no_changed_byte_passes(part: str, data: st.DataObject) -> None:
    raw = bytearray(decoded(SIGNED[part]))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Unfit):
        asserted(ASKED, KNOWN.public_key, **{**SIGNED, part: encoded(bytes(raw))})


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200))
def test_nonsense(first: str, second: str, third: str) -> None:
    with pytest.raises(Unfit):
        registered(ASKED, client_data=first, authenticator_data=second, public_key=third)
    with pytest.raises(Unfit):
        asserted(ASKED, b"no key", client_data=first, authenticator_data=second, signature=third)


@pytest.mark.parametrize("length", [0, 5, 36, 37, 53, 54, 55])
def test_data_that_are_cut_off(length: int) -> None:
    answer = KNOWN.create(*ASKED)
    data = decoded(answer["authenticator_data"])[:length]
    with pytest.raises(Unfit):
        registered(ASKED, **{**answer, "authenticator_data": encoded(data)})


def test_no_credential_in_the_data() -> None:
    answer = KNOWN.create(*ASKED)
    data = bytearray(decoded(answer["authenticator_data"]))
    data[32] &= ~ATTESTED
    with pytest.raises(Unfit, match="no credential"):
        registered(ASKED, **{**answer, "authenticator_data": encoded(bytes(data))})


@given(st.binary(max_size=300))
def test_base64url_goes_both_ways(data: bytes) -> None:
    assert decoded(encoded(data)) == data


def test_challenges_are_taken_once_for_what_they_were_given() -> None:
    clock = Now()
    mine = Challenges(clock)
    one = mine.give("usr_a")
    assert one != mine.give("usr_a")
    assert not mine.take(one, "usr_b")
    assert mine.take(one, "usr_a")
    assert not mine.take(one, "usr_a")
    late = mine.give("usr_a")
    clock.ms += challenges.LIFE_MS
    assert not mine.take(late, "usr_a")
    assert not Challenges(clock).take(mine.give("usr_a"), "usr_a"), "another process gave it"
    for changed in (b"", one[:-1], one[:-1] + bytes([one[-1] ^ 1]), bytes(challenges.LENGTH)):
        assert not mine.take(changed, "usr_a")


def test_what_came_back_is_forgotten_once_it_is_over() -> None:
    clock = Now()
    mine = Challenges(clock)
    for _ in range(50):
        assert mine.take(mine.give("x"), "x")
    assert len(mine._taken) == 50
    clock.ms += challenges.LIFE_MS
    assert mine.take(mine.give("x"), "x")
    assert len(mine._taken) == 1


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:8700", "localhost"),
        ("Caisey.Example", "caisey.example"),
        ("127.0.0.1:8700", None),
        ("[::1]:8700", None),
        ("", None),
        (None, None),
    ],
)
def test_passkeys_are_bound_to_names(host: str | None, name: str | None) -> None:
    assert host_name(host) == name
