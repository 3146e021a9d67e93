"""The fast spelling and the reference spelling are the same bytes, and what has none is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from caisey.core.canonical import MAX_INTEGER, canonical

integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
plain_keys = st.text(st.characters(max_codepoint=127))
any_text = st.text()


def nested(
    leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[str], arrays: type[list[Any]] | type[tuple[Any, ...]] = list
) -> st.SearchStrategy[Any]:
    return st.recursive(leaves, lambda inner: st.lists(inner).map(arrays) | st.dictionaries(keys, inner), max_leaves=20)


plain_leaves = st.none() | st.booleans() | integers | any_text
plain = nested(plain_leaves, plain_keys) | nested(plain_leaves, plain_keys, tuple)
fractions = st.floats(allow_nan=False, allow_infinity=False).filter(lambda f: not MAX_INTEGER < abs(f) < 1e21)
anything = nested(st.none() | st.booleans() | integers | any_text | fractions, any_text)


@given(plain)
def test_the_fast_path_agrees_with_the_reference(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(anything)
def test_everything_json_agrees_with_the_reference_and_reads_back(value: Any) -> None:
    spelled = canonical(value)
    assert spelled == rfc8785.dumps(value)
    assert json.loads(spelled) == value


@given(anything)
def test_what_was_read_back_is_spelled_the_same(value: Any) -> None:
    assert canonical(json.loads(canonical(value))) == canonical(value)


def test_every_character_is_escaped_as_the_reference_does() -> None:
    for start in range(0, 0x110000, 0x400):
        block = "".join(chr(point) for point in range(start, start + 0x400) if not 0xD800 <= point <= 0xDFFF)
        assert canonical(block) == rfc8785.dumps(block)


def test_keys_beyond_the_basic_plane_sort_by_utf_16() -> None:
    assert canonical({"\uffee": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\uffee":1}'.encode()


@pytest.mark.parametrize(
    "value",
    [
        MAX_INTEGER + 1,
        -MAX_INTEGER - 1,
        10**30,
        1e17,
        {"a": -1e20},
        [1, {"a": 2**53}],
        float("nan"),
        float("inf"),
        [None, float("nan")],
        "\ud800",
        {"\ud800": 1},
        {1: 2},
        b"bytes",
        {1, 2},
        object(),
    ],
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        canonical(value)


def test_nesting_without_end_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(200_000):
        deep = [deep]
    with pytest.raises(ValueError, match="RecursionError"):
        canonical(deep)
