"""Ids are spelled one way, use every bit they promise, and are recognized only in that spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caisey.core import ids

randoms = st.binary(min_size=ids.RANDOM_BYTES, max_size=ids.RANDOM_BYTES)
prefixes = st.sampled_from(sorted(ids.PREFIXES))


@given(prefixes, randoms)
def test_an_id_is_recognized_by_its_own_prefix_only(prefix: str, random: bytes) -> None:
    spelled = ids.new_id(prefix, random)
    assert len(spelled) == 4 + ids.BODY_LENGTH
    assert [other for other in sorted(ids.PREFIXES) if ids.is_id(spelled, other)] == [prefix]


@given(randoms, st.integers(0, 129))
def test_each_of_the_130_bits_counts(random: bytes, bit: int) -> None:
    flipped = (int.from_bytes(random) ^ 1 << bit + 6).to_bytes(ids.RANDOM_BYTES)
    assert ids.new_id("ses", random) != ids.new_id("ses", flipped)


def test_the_spelling_is_fixed() -> None:
    assert ids.new_id("org", bytes(17)) == "org_" + "0" * 26
    assert ids.new_id("org", b"\xff" * 17) == "org_" + "z" * 26
    assert ids.new_id("tcl", bytes(range(17))) == "tcl_000g40r40m30e209185gr38e1w"


@given(prefixes, randoms, st.integers(0, 29), st.characters(codec="utf-8"))
def test_another_spelling_is_no_id(prefix: str, random: bytes, place: int, character: str) -> None:
    spelled = ids.new_id(prefix, random)
    changed = spelled[:place] + character + spelled[place + 1 :]
    legal = character in ids.ALPHABET if place > 3 else spelled[place] == character
    assert ids.is_id(changed, prefix) == legal


@pytest.mark.parametrize("value", [None, 7, b"ses_" + b"0" * 26, "", "ses_", "ses_" + "0" * 25, "ses_" + "0" * 27])
def test_what_is_no_id_at_all(value: object) -> None:
    assert not ids.is_id(value, "ses")


def test_a_wrong_call_is_refused() -> None:
    with pytest.raises(ValueError, match="prefix"):
        ids.new_id("xyz", bytes(17))
    with pytest.raises(ValueError, match="17 random bytes"):
        ids.new_id("ses", bytes(16))
