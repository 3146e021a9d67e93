"""The codec: every guard of PROTOCOL.md §1, §8 and §9, on hostile bytes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from caisey.protocol import limits
from caisey.protocol.codec import Received, decode_from_control_plane, decode_from_runtime, encode
from caisey.protocol.faults import FrameFault
from caisey.protocol.frames import Acknowledged, Output, Reference
from caisey.protocol.strict_json import depth_exceeds, doubled_key, numbers_in, survey, without_strings
from tests.protocol.examples import ATTEMPT, FROM_CONTROL_PLANE, FROM_RUNTIME
from tests.protocol.nasty import LARGE, SMALL, TAKEN, TOO_LARGE

ENCODED = [encode(frame) for frame in FROM_RUNTIME]
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=25,
)


def fault_of(data: bytes | str) -> FrameFault:
    outcome = decode_from_runtime(data)
    assert isinstance(outcome, FrameFault), outcome
    return outcome


def acknowledged(**changes: Any) -> bytes:
    document = json.loads(encode(Acknowledged(attempt=ATTEMPT, journal_sequence=1))) | changes
    return json.dumps(document).encode()


@pytest.mark.parametrize("name", SMALL)
def test_the_corpus(name: str) -> None:
    """Each file is one frame; its name starts with the code it must get."""
    expected = "frame." + name.split("-", maxsplit=1)[0]
    outcome = decode_from_runtime(SMALL[name])
    if expected == "frame.good":
        assert isinstance(outcome, Received), outcome
        return
    assert isinstance(outcome, FrameFault)
    assert outcome.code == expected
    assert outcome.errors
    if "-about" in name:
        assert outcome.about == Reference(tool_call_id="tcl_1", number=1)


@pytest.mark.parametrize("name", LARGE)
def test_what_is_large_is_a_fault_of_few_words(name: str) -> None:
    data = LARGE[name]
    outcome = decode_from_runtime(data)
    if name in TAKEN:
        assert isinstance(outcome, Received)
        return
    assert isinstance(outcome, FrameFault)
    assert (outcome.code == "frame.too_large") == (name in TOO_LARGE)
    assert 0 < sum(len(error.pointer) + len(error.expected) + len(error.found) for error in outcome.errors) < 65_536
    assert len(outcome.raw) <= 65_536


def test_a_field_without_a_name_has_no_bound_of_its_own() -> None:
    assert isinstance(decode_from_runtime(acknowledged(**{"": "x" * 300_000})), Received)


def _quickest(work: Callable[[], object]) -> float:
    def once() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return min(once() for _ in range(5))


@pytest.mark.parametrize("name", LARGE)
def test_no_frame_however_long_and_hostile_holds_everybody_up(name: str) -> None:
    """Measured against what Python's own parser takes for as many numbers; the worst takes nine times as long."""
    plain = b"[" + b"0," * (limits.MIB // 2 - 2) + b"0]"
    assert _quickest(lambda: decode_from_runtime(LARGE[name])) < 20 * _quickest(lambda: json.loads(plain))


@given(st.binary() | st.text().map(lambda text: text.encode()))
@example(b"")
@example(b"null")
@example(b"[" * 100_000)
@example(b"]" * 100_000)
@example(b"[]" * 100_000)
@example(b'{"type":"acknowledged"' * 1_000)
@example(b'{"a":' * 70 + b"1" + b"}" * 70)
def test_arbitrary_bytes_are_a_fault_and_never_an_exception(data: bytes) -> None:
    for decode in (decode_from_runtime, decode_from_control_plane):
        assert isinstance(decode(data), FrameFault)


@given(st.text(st.characters(), max_size=50))
def test_arbitrary_text_never_raises(text: str) -> None:
    assert isinstance(decode_from_runtime(text), FrameFault)


@given(st.sampled_from(ENCODED), st.data())
def test_a_damaged_frame_never_raises(frame: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(frame)))
    cut = data.draw(st.integers(0, 3))
    damaged = frame[:place] + data.draw(st.binary(max_size=4)) + frame[place + cut :]
    outcome = decode_from_runtime(damaged)
    if isinstance(outcome, FrameFault):
        assert outcome.errors
        assert outcome.raw == damaged[: limits.RAW_KEPT_BYTES]
        assert isinstance(decode_from_control_plane(encode(outcome.problem())), Received)


@given(st.sampled_from(ENCODED), st.data())
def test_any_value_in_any_place_is_taken_or_named(frame: bytes, data: st.DataObject) -> None:
    """Replace one value of a good frame: the answer is the frame, or faults at or below that place."""
    document = json.loads(frame)
    target, pointer = document, ""
    while True:
        key = data.draw(st.sampled_from(sorted(target)))
        pointer += f"/{key}"
        if not isinstance(target[key], dict) or not target[key] or data.draw(st.booleans()):
            break
        target = target[key]
    target[key] = data.draw(DOCUMENTS)
    outcome = decode_from_runtime(json.dumps(document))
    if isinstance(outcome, FrameFault):
        assert all(error.pointer.startswith(pointer) for error in outcome.errors)
        assert all(error.expected for error in outcome.errors)


@given(DOCUMENTS)
def test_faults_never_quote_values(value: Any) -> None:
    secret = "correct horse battery staple"
    fault = fault_of(
        json.dumps({"type": "finished", "attempt": secret, "execution": {"exit_code": secret}, "x": value})
    )
    told = json.dumps([[error.pointer, error.expected, error.found] for error in fault.errors]) + str(fault.outline)
    assert "staple" not in told


@pytest.mark.parametrize("where", ["top", "nested", "escaped", "unknown field"])
def test_a_duplicate_key_is_invalid_json(where: str) -> None:
    reference = '{"tool_call_id":"tcl_1","number":1}'
    frames = {
        "top": f'{{"type":"acknowledged","attempt":{reference},"journal_sequence":1,"journal_sequence":2}}',
        "nested": f'{{"type":"acknowledged","attempt":{reference[:-1]},"number":1}},"journal_sequence":1}}',
        "escaped": f'{{"type":"acknowledged","attempt":{reference},"journal_sequence":1,"journal_seq\\u0075ence":1}}',
        "unknown field": f'{{"type":"acknowledged","attempt":{reference},"journal_sequence":1,"x":[{{"a":1,"a":1}}]}}',
    }
    pointers = {"top": "/journal_sequence", "nested": "/attempt/number", "escaped": "/journal_sequence"}
    fault = fault_of(frames[where])
    assert fault.code == "frame.invalid_json"
    assert [error.pointer for error in fault.errors] == [pointers.get(where, "/x/0/a")]
    assert fault.about == Reference(tool_call_id="tcl_1", number=1)


def test_a_colon_or_an_escape_in_text_is_no_key() -> None:
    for text in ('a":1,"a', "a\\", '\\"', ":::", 'x\\\\":', "\u2028", "😀"):
        assert isinstance(decode_from_runtime(acknowledged(note=text, other=[text, {text: text}])), Received)


@pytest.mark.parametrize("lone", ["\\ud800", "\\udfff", "\\ud83dx", "\\ude00\\ud83d", "\\uD800"])
def test_a_lone_surrogate_is_invalid_json(lone: str) -> None:
    fault = fault_of(acknowledged(note="MARK").replace(b"MARK", lone.encode()))
    assert fault.code == "frame.invalid_json"
    assert [error.pointer for error in fault.errors] == ["/note"]
    key = fault_of(acknowledged(MARK=1).replace(b"MARK", lone.encode()))
    assert key.code == "frame.invalid_json"
    key.problem()


def test_a_surrogate_in_text_from_the_socket_is_a_fault() -> None:
    assert fault_of('{"type":"acknowledged","x":"\ud800"}').code == "frame.invalid_json"


def test_a_surrogate_pair_is_a_character() -> None:
    assert isinstance(decode_from_runtime(acknowledged(note="MARK").replace(b"MARK", b"\\ud83d\\ude00")), Received)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1.", "0x1"])
def test_what_json_has_no_number_for_is_invalid_json(number: str) -> None:
    assert fault_of(acknowledged(note="MARK").replace(b'"MARK"', number.encode())).code == "frame.invalid_json"


@pytest.mark.parametrize("digits", [str(2**63), str(-(2**63) - 1), "9" * 30, "9" * 5000])
def test_integers_beyond_64_bits_are_refused_everywhere(digits: str) -> None:
    for pointer, data in {
        "/note": acknowledged(note="MARK"),
        "/journal_sequence": acknowledged(journal_sequence="MARK"),
        "/attempt/number": acknowledged(attempt={"tool_call_id": "tcl_1", "number": "MARK"}),
    }.items():
        fault = fault_of(data.replace(b'"MARK"', digits.encode()))
        assert fault.code == "frame.invalid_shape"
        assert [error.pointer for error in fault.errors] == [pointer]
        assert digits not in str(fault.errors)


def test_the_widest_integers_pass() -> None:
    for number in (2**63 - 1, -(2**63)):
        assert isinstance(decode_from_runtime(acknowledged(note=number)), Received)


def test_numbers_beyond_a_double_are_refused() -> None:
    fault = fault_of(encode(FROM_RUNTIME[9]).replace(b"0.5", b"1e999"))
    assert [error.pointer for error in fault.errors] == ["/result/load"]


@pytest.mark.parametrize("number", ["0.5", "1.0", "1e3", str(2**53), str(-(2**53))])
def test_signed_frames_hold_no_fractions_and_no_integers_beyond_53_bits(number: str) -> None:
    hello = encode(FROM_RUNTIME[0]).replace(b'"type":"hello"', b'"type":"hello","x":[' + number.encode() + b"]")
    assert [error.pointer for error in fault_of(hello).errors] == ["/x/0"]
    dispatch = encode(FROM_CONTROL_PLANE[3]).replace(b'"command":', b'"n":' + number.encode() + b',"command":')
    fault = decode_from_control_plane(dispatch)
    assert isinstance(fault, FrameFault)
    assert [error.pointer for error in fault.errors] == ["/arguments/n"]


def test_fractions_in_unsigned_frames_pass() -> None:
    assert isinstance(decode_from_runtime(acknowledged(note=0.5)), Received)


def test_depth() -> None:
    def nested(depth: int) -> bytes:
        return acknowledged(note="MARK").replace(b'"MARK"', b"[" * (depth - 1) + b"]" * (depth - 1))

    assert isinstance(decode_from_runtime(nested(limits.JSON_DEPTH)), Received)
    assert fault_of(nested(limits.JSON_DEPTH + 1)).code == "frame.invalid_json"
    deep = fault_of(nested(100_000))
    assert deep.code == "frame.invalid_json"
    assert deep.about == ATTEMPT


def test_brackets_in_text_have_no_depth() -> None:
    assert isinstance(decode_from_runtime(acknowledged(note="[{" * 500)), Received)
    assert isinstance(decode_from_runtime(acknowledged(note=['\\"[[' * 100])), Received)


def _depth(document: Any) -> int:
    if isinstance(document, dict):
        return 1 + max(map(_depth, document.values()), default=0)
    if isinstance(document, list):
        return 1 + max(map(_depth, document), default=0)
    return 0


@given(DOCUMENTS, st.integers(0, 6), st.booleans())
def test_depth_and_keys_without_parsing_agree_with_parsing(document: Any, depth: int, ascii_only: bool) -> None:
    data = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    bare = without_strings(data)
    assert depth_exceeds(bare, depth) == (_depth(document) > depth)
    assert not doubled_key(document, bare)


@given(DOCUMENTS, st.text(max_size=3))
def test_a_key_that_stands_twice_is_seen_wherever_it_is(document: Any, key: str) -> None:
    name, inner = json.dumps(key), json.dumps(document)
    text = f'{{"a":[0,{{{name}:{inner},{name}:{inner}}}]}}'
    assert doubled_key(json.loads(text), without_strings(text.encode()))


NUMBERS = st.one_of(st.integers(), st.floats(), st.integers(2**53 - 3, 2**53 + 3), st.integers(2**63 - 3, 2**64))


@given(st.recursive(NUMBERS | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_what_the_text_says_of_numbers_agrees_with_the_values(document: Any) -> None:
    """It may ask for a walk in vain, and never lets a number pass that the walk would have found."""
    numbers, found = numbers_in(without_strings(json.dumps(document).encode())), survey(document)
    assert numbers.long or found.integers_fit
    assert not numbers.signable or found.signable


def test_size() -> None:
    chunk = encode(Output(attempt=ATTEMPT, stream="stdout", offset=0, data=b""))
    padded = chunk[:-1] + b',"x":"' + b"x" * (limits.FRAME_BYTES - len(chunk) - 7) + b'"}'
    assert len(padded) == limits.FRAME_BYTES
    assert isinstance(decode_from_runtime(padded), Received)

    fault = fault_of(padded[:-2] + b'x"}')
    assert (fault.code, fault.about, fault.frame_type) == ("frame.too_large", ATTEMPT, "output")
    assert fault.size == limits.FRAME_BYTES + 1
    assert len(fault.raw) == limits.RAW_KEPT_BYTES

    huge = fault_of(padded[:-2] + b"x" * limits.MESSAGE_BYTES + b'"}')
    assert (huge.code, huge.raw, huge.about) == ("frame.too_large", b"", None)


@pytest.mark.parametrize(
    ("place", "limit"), [("result", limits.INLINE_RESULT_BYTES), ("arguments", limits.ARGUMENTS_BYTES)]
)
def test_results_and_arguments_have_a_size_of_their_own(place: str, limit: int) -> None:
    frame = encode(FROM_RUNTIME[9] if place == "result" else FROM_CONTROL_PLANE[3])
    decode = decode_from_runtime if place == "result" else decode_from_control_plane

    def of(size: int) -> str:
        return json.dumps(json.loads(frame) | {place: {"x": "y" * (size - len('{"x":""}'))}})

    assert isinstance(decode(of(limit)), Received)
    outcome = decode(of(limit + 1))
    assert isinstance(outcome, FrameFault)
    assert [error.pointer for error in outcome.errors] == [f"/{place}"]


def test_invalid_utf8_is_found_also_where_a_decoder_skips() -> None:
    for data in (acknowledged(note="MARK"), acknowledged(MARK=1)):
        assert fault_of(data.replace(b"MARK", b"\xff")).code == "frame.invalid_json"


def test_all_faults_are_named() -> None:
    fault = fault_of(acknowledged(attempt={"tool_call_id": "a b", "number": "1"}, journal_sequence=None))
    assert [(error.pointer, error.expected, error.found) for error in fault.errors] == [
        ("/attempt/tool_call_id", "string matching ^[A-Za-z0-9_-]{1,64}$", "string of 3 characters"),
        ("/attempt/number", "integer", "string"),
        ("/journal_sequence", "integer", "null"),
    ]
    assert fault.code == "frame.invalid_shape"
    assert fault.about is None
    assert fault.frame_type == "acknowledged"


def test_a_newline_at_the_end_of_an_id_is_a_fault() -> None:
    assert fault_of(acknowledged(attempt={"tool_call_id": "tcl_1\n", "number": 1})).code == "frame.invalid_shape"


@pytest.mark.parametrize(
    ("data", "code", "pointer", "found"),
    [
        (b"[]", "frame.invalid_shape", "", "array"),
        (b"{}", "frame.invalid_shape", "/type", "absent"),
        (b'{"type":7}', "frame.invalid_shape", "/type", "integer"),
        (b'{"type":"absent"}', "frame.unexpected", "/type", "string"),
        (b'{"type":"telemetry","x":1}', "frame.unexpected", "/type", "string"),
        (b'{"type":"dispatch"}', "frame.unexpected", "/type", "string"),
    ],
)
def test_what_is_no_frame_of_this_direction(data: bytes, code: str, pointer: str, found: str) -> None:
    fault = fault_of(data)
    assert (fault.code, fault.errors[0].pointer, fault.errors[0].found) == (code, pointer, found)


def test_a_problem_is_never_answered() -> None:
    assert not fault_of(b'{"type":"problem","code":7}').answerable
    assert fault_of(b'{"type":"started"}').answerable


def test_the_same_fault_elsewhere_has_the_same_fingerprint() -> None:
    one = fault_of(acknowledged(attempt={"tool_call_id": "tcl_1", "number": "1"}))
    other = fault_of(acknowledged(attempt={"tool_call_id": "tcl_2", "number": "two"}, journal_sequence=99))
    different = fault_of(acknowledged(attempt={"tool_call_id": "tcl_1", "number": None}))
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != different.fingerprint


def test_a_million_faults_are_bounded() -> None:
    heartbeat = json.loads(ENCODED[15]) | {"in_flight": [0] * 200_000}
    fault = fault_of(json.dumps(heartbeat))
    assert len(fault.errors) == limits.SHAPE_ERRORS
    assert len(encode(fault.problem())) < limits.FRAME_BYTES
