"""Shapes by JSON Schema: every fault by place and type, never a value."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caisey.protocol import limits
from caisey.protocol.frames import Finished, ShapeFault
from caisey.protocol.mismatch import mismatches, type_of
from caisey.protocol.outline import OUTLINE_NODES, fingerprint, outline
from caisey.protocol.shapes import Checker

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": ["string", "null"], "maxLength": 3, "pattern": "^x"},
        "count": {"type": "integer", "minimum": 1, "maximum": 5},
        "action": {"enum": ["start", "stop"]},
        "list": {"type": "array", "items": {"type": "string"}, "maxItems": 1, "uniqueItems": True},
        "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "form": {
            "oneOf": [
                {"type": "object", "required": ["q"], "properties": {"q": {"type": "boolean"}}},
                {"type": "integer", "minimum": 10},
            ]
        },
        "fixed": {"const": 1},
        "nested": {"$ref": "#/$defs/nested"},
    },
    "required": ["action", "nested"],
    "additionalProperties": False,
    "$defs": {"nested": {"type": "object", "properties": {"a/b": {"type": "number"}}, "required": ["a/b"]}},
}
GOOD = {"action": "start", "nested": {"a/b": 0}}


def told(document: Any, schema: dict[str, Any] = SCHEMA, *, signed: bool = False) -> list[tuple[str, str, str]]:
    return [(fault.pointer, fault.expected, fault.found) for fault in Checker(schema, signed=signed).faults(document)]


def test_what_fits_has_no_faults() -> None:
    assert told(GOOD) == []
    assert Checker(SCHEMA).shape("arguments", GOOD) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": 7}, ("/name", "string or null", "integer")),
        ({"name": "xyzxyz"}, ("/name", "string of at most 3 characters", "string of 6 characters")),
        ({"name": "abc"}, ("/name", "string matching ^x", "string of 3 characters")),
        ({"count": 0}, ("/count", "number of at least 1", "integer")),
        ({"count": 1.5}, ("/count", "integer", "number")),
        ({"count": True}, ("/count", "integer", "boolean")),
        ({"action": "explode"}, ("/action", "one of start, stop", "string")),
        ({"list": [1]}, ("/list/0", "string", "integer")),
        ({"list": ["a", "b"]}, ("/list", "array of at most 1 items", "array of 2 items")),
        ({"either": 4}, ("/either", "string or null", "integer")),
        ({"form": {}}, ("/form/q", "boolean", "absent")),
        ({"form": 3}, ("/form", "number of at least 10", "integer")),
        ({"fixed": 2}, ("/fixed", "1", "integer")),
        ({"nested": {}}, ("/nested/a~1b", "number", "absent")),
        ({"nested": None}, ("/nested", "object", "null")),
        ({"a~b/c": {}}, ("/a~0b~1c", "no such field", "object")),
    ],
)
def test_each_fault(changes: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert told(GOOD | changes) == [expected]


def test_all_faults_at_once_in_the_order_of_their_places() -> None:
    assert told({"name": 7, "count": "x", "extra": 1}) == [
        ("/action", "one of start, stop", "absent"),
        ("/count", "integer", "string"),
        ("/extra", "no such field", "integer"),
        ("/name", "string or null", "integer"),
        ("/nested", "object", "absent"),
    ]


def test_a_choice_between_fields() -> None:
    schema = {"type": "object", "oneOf": [{"required": ["text"]}, {"required": ["data"]}]}
    assert told({}, schema) == [("", "one of the fields text, data", "object of 0 fields")]
    assert told({"text": 1, "data": 2}, schema) == [("", "exactly one of the allowed forms", "object of 2 fields")]
    assert told({"text": 1}, schema) == []


def test_a_document_of_another_type() -> None:
    assert told([]) == [("", "object", "array")]


@pytest.mark.parametrize("value", [1.0, 2.5, 2**53])
def test_what_cannot_be_signed_is_a_fault_of_arguments(value: float) -> None:
    assert told(GOOD | {"nested": {"a/b": value}}) == []
    assert [fault[0] for fault in told(GOOD | {"nested": {"a/b": value}}, signed=True)] == ["/nested/a~1b"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*SCHEMA["properties"], "other"]), VALUES) | VALUES)
def test_no_document_raises_and_no_value_is_told(document: Any) -> None:
    secret = "correct horse battery staple"
    if isinstance(document, dict):
        document = document | {"action": secret, "list": [secret, [secret]]}
    shape = Checker(SCHEMA, signed=True).shape("arguments", document)
    assert shape is not None
    assert shape.faults
    assert "staple" not in json.dumps([msgspec.to_builtins(shape.faults), shape.outline])


@given(VALUES.filter(lambda value: not (isinstance(value, float) and value.is_integer())))
def test_both_validators_agree_on_a_frame_part(document: Any) -> None:
    """The walk over msgspec types (runtime side) and JSON Schema (server side) find the same places.

    Except for `1.0`, an integer to JSON Schema and a fraction to the protocol.
    """
    finished = {"type": "finished", "attempt": document, "journal_sequence": document, "execution": document}
    by_schema = {fault[0] for fault in told(finished, msgspec.json.schema(Finished))}
    by_walk = {fault.pointer for fault in mismatches(finished, type_of(Finished))}
    assert by_schema == by_walk


def test_many_faults_are_bounded() -> None:
    schema = {"type": "array", "items": {"type": "string"}}
    assert len(told([1] * 10_000, schema)) == limits.SHAPE_ERRORS


def test_the_fingerprint_is_of_the_shape_alone() -> None:
    def of(document: Any, subject: str = "arguments") -> str:
        shape = Checker(SCHEMA).shape(subject, document)
        assert shape is not None
        return shape.fingerprint

    base = of(GOOD | {"list": [1]})
    assert of(GOOD | {"list": [22], "count": 2}) == base
    assert of(GOOD | {"list": [True]}) != base
    assert of(GOOD | {"list": [1]}, "result") != base
    assert of(GOOD | {"name": "xyzxyz"}) == of(GOOD | {"name": "xyzxyzxyz"})


def test_fingerprints_do_not_depend_on_order() -> None:
    faults = [ShapeFault(pointer=f"/{name}", expected="string", found="integer") for name in "abc"]
    assert fingerprint("x", faults) == fingerprint("x", reversed(faults))
    assert fingerprint("x", faults) == fingerprint("x", [*faults, *faults])


def test_the_outline_is_bounded_and_has_no_values() -> None:
    assert outline({"a": [{"b": "secret"}, 1], "c": None, "d": []}) == {
        "a": [{"b": "string"}],
        "c": "null",
        "d": "array",
    }
    wide = outline({str(number): number for number in range(100_000)})
    assert isinstance(wide, dict)
    assert len(wide) <= OUTLINE_NODES
    deep: Any = 1
    for _ in range(60):
        deep = {"x" * 1_000: [deep]}
    assert len(json.dumps(outline(deep))) < 4_000
