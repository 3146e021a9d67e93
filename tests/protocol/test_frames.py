"""The frames: all of PROTOCOL.md, in the right direction, unchanged by a round trip."""

from __future__ import annotations

import json
from typing import get_args

import msgspec
import pytest

from caisey.protocol import codec, frames
from caisey.protocol.codec import Received, decode_from_control_plane, decode_from_runtime, encode
from caisey.protocol.faults import FRAME_TYPES, FrameFault
from caisey.protocol.frames import FromControlPlane, FromRuntime
from tests.protocol.examples import ATTEMPT, EXECUTION, FROM_CONTROL_PLANE, FROM_RUNTIME

RUNTIME_TYPES = {
    "hello", "acknowledged", "started", "output", "gap", "progress", "input_accepted", "finished", "refused",
    "statement", "heartbeat", "leaving", "pong", "problem",
}  # fmt: skip
CONTROL_PLANE_TYPES = {
    "challenge", "welcome", "reject", "dispatch", "cancel", "input", "reconcile", "confirm", "heartbeat_ack", "cadence",
    "ping", "keys", "problem",
}  # fmt: skip


def tags(union: object) -> set[str]:
    return {kind.__struct_config__.tag for kind in get_args(union)}


def test_every_type_of_the_page_stands_in_its_direction() -> None:
    assert tags(FromRuntime) == RUNTIME_TYPES
    assert tags(FromControlPlane) == CONTROL_PLANE_TYPES
    assert set(FRAME_TYPES) == RUNTIME_TYPES | CONTROL_PLANE_TYPES


def test_every_frame_has_an_example() -> None:
    assert {type(frame) for frame in FROM_RUNTIME} == set(get_args(FromRuntime))
    assert {type(frame) for frame in FROM_CONTROL_PLANE} == set(get_args(FromControlPlane))


@pytest.mark.parametrize("frame", FROM_RUNTIME, ids=lambda frame: type(frame).__name__)
def test_runtime_frames_round_trip(frame: FromRuntime) -> None:
    received = decode_from_runtime(encode(frame))
    assert isinstance(received, Received), received
    assert received.frame == frame


@pytest.mark.parametrize("frame", FROM_CONTROL_PLANE, ids=lambda frame: type(frame).__name__)
def test_control_plane_frames_round_trip(frame: FromControlPlane) -> None:
    received = decode_from_control_plane(encode(frame))
    assert isinstance(received, Received), received
    assert received.frame == frame


@pytest.mark.parametrize("frame", FROM_RUNTIME, ids=lambda frame: type(frame).__name__)
def test_another_spelling_of_the_same_frame_is_the_same_frame(frame: FromRuntime) -> None:
    """A foreign runtime orders, indents and escapes as it likes, and adds fields of its own."""
    document = json.loads(encode(frame))
    foreign = dict(reversed(document.items())) | {"x_added": {"deep": [1, "ü", None]}}
    for spelled in (json.dumps(foreign, indent=2), json.dumps(foreign, ensure_ascii=False).encode()):
        received = decode_from_runtime(spelled)
        assert isinstance(received, Received), received
        assert received.frame == frame
        assert received.document["x_added"] == {"deep": [1, "ü", None]}


@pytest.mark.parametrize("frame", FROM_CONTROL_PLANE, ids=lambda frame: type(frame).__name__)
def test_a_frame_of_the_other_direction_is_unexpected(frame: FromControlPlane) -> None:
    fault = decode_from_runtime(encode(frame))
    if isinstance(frame, frames.Problem):
        assert isinstance(fault, Received)
    else:
        assert isinstance(fault, FrameFault)
        assert fault.code == "frame.unexpected"


def test_what_a_foreign_reader_relies_on_is_always_said() -> None:
    finished = json.loads(encode(frames.Finished(attempt=ATTEMPT, journal_sequence=1, execution=EXECUTION)))
    assert finished["changes"] == []
    assert "result" not in finished
    assert finished["execution"]["signal"] is None
    dispatch = next(frame for frame in FROM_CONTROL_PLANE if isinstance(frame, frames.Dispatch))
    assert json.loads(encode(dispatch))["limits"]["time_ms"] is None
    assert json.loads(encode(frames.Problem(code="journal.full"))) == {
        "type": "problem", "code": "journal.full", "errors": [], "about": None,
    }  # fmt: skip
    progress = json.loads(encode(frames.Progress(attempt=ATTEMPT)))
    assert progress["waiting_for_input"] is None


def test_a_result_of_null_is_a_result() -> None:
    without = frames.Finished(attempt=ATTEMPT, journal_sequence=1, execution=EXECUTION)
    null = frames.Finished(attempt=ATTEMPT, journal_sequence=1, execution=EXECUTION, result=None)
    assert without.result is msgspec.UNSET
    assert json.loads(encode(null))["result"] is None


def test_the_page_examples_are_read() -> None:
    """The JSON of PROTOCOL.md §4, with its dots filled in."""
    dispatch = (
        '{"type":"dispatch","runtime_id":"r","incarnation":"i","journal_id":"j",'
        '"attempt":{"tool_call_id":"t","number":1},"consent":1,"session_id":"s","tool":"shell","tool_version":1,'
        '"arguments":{"command":"systemctl stop cups"},"effect":"mutating",'
        '"limits":{"time_ms":null,"output_bytes":8388608,"start_within_ms":900000},"issued_at_ms":1,"signature":"x"}'
    )
    assert isinstance(decode_from_control_plane(dispatch), Received)
    heartbeat = (
        '{"type":"heartbeat","sequence":1,"time_ms":1,"monotonic_ms":1,"interval_ms":15000,"journal_sequence":1,'
        '"accepting":true,"in_flight":[{"tool_call_id":"t","number":1}],"load":{"cpu_percent":1,"rss_bytes":1},'
        '"slept_ms":0}'
    )
    assert isinstance(decode_from_runtime(heartbeat), Received)


@pytest.mark.parametrize("typed", [True, False])
def test_statements_inside_a_hello_may_leave_out_their_type(typed: bool) -> None:
    hello = json.loads(encode(FROM_RUNTIME[0]))
    if not typed:
        del hello["statements"][0]["type"]
    received = codec.decode_from_runtime(json.dumps(hello))
    assert isinstance(received, Received)
    assert received.frame == FROM_RUNTIME[0]


def test_a_signature_of_any_form_is_no_fault_of_shape() -> None:
    """It is answered with `dispatch.signature`, so the frame must be readable (§4)."""
    cancel = json.loads(encode(FROM_CONTROL_PLANE[4]))
    for signature in ("", "!!", "short"):
        assert isinstance(decode_from_control_plane(json.dumps(cancel | {"signature": signature})), Received)
    del cancel["signature"]
    assert isinstance(decode_from_control_plane(json.dumps(cancel)), Received)
