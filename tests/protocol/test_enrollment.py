"""Enrollment bodies and tokens, and the bodies of a poll."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caisey.protocol import longpoll
from caisey.protocol.bodies import BodyFault
from caisey.protocol.codec import Received, decode_from_runtime, encode
from caisey.protocol.enrollment import (
    EnrollmentAnswer,
    EnrollmentRequest,
    make_token,
    parse_token,
    read_answer,
    read_request,
    token_digest,
)
from caisey.protocol.longpoll import PollRequest, read_poll_answer, read_poll_request
from tests.protocol.examples import FROM_RUNTIME
from tests.protocol.nasty import NASTY

CONTROL_PLANE_KEY = bytes(range(32))
SECRET = bytes(range(24))
REQUEST: dict[str, Any] = {
    "token": make_token(SECRET, CONTROL_PLANE_KEY),
    "public_key": base64.b64encode(bytes(32)).decode(),
    "runtime_version": "0.1.0",
    "journal_id": "jnl_1",
    "endpoint": {
        "hostname": "ACCT-07",
        "os": "linux",
        "os_version": "Debian 12",
        "arch": "x86_64",
        "machine_fingerprint": "0" * 64,
        "boot_id": "b0071d00-0000-0000-0000-000000000000",
    },
}


def test_a_token_is_spelled_as_the_page_says() -> None:
    token = make_token(SECRET, CONTROL_PLANE_KEY)
    prefix, digest = token.split(".")
    assert prefix.startswith("cse_")
    assert base64.urlsafe_b64decode(digest + "==") == hashlib.sha256(CONTROL_PLANE_KEY).digest()[:16]
    parsed = parse_token(f" {token}\n")
    assert parsed is not None
    assert parsed.text == token
    assert parsed.names_key(CONTROL_PLANE_KEY)
    assert not parsed.names_key(bytes(32))
    assert token_digest(token) == hashlib.sha256(token.encode()).hexdigest()


def test_a_token_of_other_length_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="random bytes"):
        make_token(b"short", CONTROL_PLANE_KEY)


@pytest.mark.parametrize("text", ["", "cse_", "cst_" + "a" * 32 + "." + "a" * 22, "cse_x.y", "cse_" + "a" * 500])
def test_what_is_no_token(text: str) -> None:
    assert parse_token(text) is None


def test_the_request_round_trips() -> None:
    request = read_request(json.dumps(REQUEST | {"unknown": 1}).encode())
    assert isinstance(request, EnrollmentRequest)
    assert request.public_key == bytes(32)
    assert read_request(msgspec.json.encode(request)) == request


def test_every_fault_of_a_request_is_named() -> None:
    fault = read_request(json.dumps(REQUEST | {"public_key": "AAAA", "endpoint": {"hostname": 7}}).encode())
    assert isinstance(fault, BodyFault)
    assert fault.readable
    assert [error.pointer for error in fault.errors] == [
        "/public_key", "/endpoint/hostname", "/endpoint/os", "/endpoint/os_version", "/endpoint/arch",
        "/endpoint/machine_fingerprint", "/endpoint/boot_id",
    ]  # fmt: skip


@given(st.binary())
def test_no_body_raises(data: bytes) -> None:
    for read in (read_request, read_answer, longpoll.read_poll_request, longpoll.read_poll_answer):
        assert isinstance(read(data), BodyFault)


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b"x" * 70_000, b"\xff", b'{"token":"\\ud800"}'])
def test_hostile_bodies(data: bytes) -> None:
    assert isinstance(read_request(data), BodyFault)
    assert isinstance(longpoll.read_poll_request(data), BodyFault)


def test_the_answer_round_trips() -> None:
    answer = EnrollmentAnswer(
        runtime_id="rtm_1",
        endpoint_id="ept_1",
        organization="default",
        client_group=None,
        control_plane_key=CONTROL_PLANE_KEY,
    )
    encoded = msgspec.json.encode(answer)
    assert json.loads(encoded)["client_group"] is None
    assert read_answer(encoded) == answer


def test_a_poll_carries_frames_as_they_are() -> None:
    encoded = [encode(frame) for frame in FROM_RUNTIME]
    body = longpoll.PollRequest(connection=None, sequence=1, received=0, frames=longpoll.raw_frames(encoded))
    read = longpoll.read_poll_request(longpoll.encode_poll(body))
    assert isinstance(read, longpoll.PollRequest)
    assert [bytes(raw) for raw in read.frames] == encoded
    outcomes = [decode_from_runtime(bytes(raw)) for raw in read.frames]
    assert [outcome.frame for outcome in outcomes if isinstance(outcome, Received)] == FROM_RUNTIME


def test_one_bad_frame_spoils_no_other() -> None:
    body = (
        b'{"connection":"c","sequence":2,"received":1,"frames":[{"type":"leaving","reason":"drain"},{"a":1,"a":2},7]}'
    )
    read = longpoll.read_poll_request(body)
    assert isinstance(read, longpoll.PollRequest)
    outcomes = [decode_from_runtime(bytes(raw)) for raw in read.frames]
    assert [isinstance(outcome, Received) for outcome in outcomes] == [True, False, False]


def test_a_poll_that_does_not_fit_is_named() -> None:
    fault = longpoll.read_poll_request(b'{"connection":7,"frames":{}}')
    assert isinstance(fault, BodyFault)
    assert [error.pointer for error in fault.errors] == ["/connection", "/sequence", "/frames"]


@pytest.mark.parametrize("name", NASTY)
def test_no_nasty_frame_is_a_body_or_spoils_the_frames_beside_it(name: str) -> None:
    data = NASTY[name]
    assert isinstance(read_request(data), BodyFault)
    assert isinstance(read_poll_request(data), BodyFault)
    assert isinstance(read_poll_answer(data), BodyFault)
    good = b'{"type":"leaving","reason":"drain"}'
    body = b'{"connection":null,"sequence":1,"frames":[%s]}' % b",".join([good, data, good])
    read = read_poll_request(body)
    if isinstance(read, PollRequest):  # it was JSON of a kind: as a frame it is judged alone
        assert bytes(read.frames[0]) == bytes(read.frames[-1]) == good
