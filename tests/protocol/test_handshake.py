"""The handshake of both ends: against each other, against every wrong answer, and out of order."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.protocol import frames
from caisey.protocol.codec import Received, decode_from_control_plane, decode_from_runtime, encode
from caisey.protocol.faults import FrameFault
from caisey.protocol.handshake import (
    ControlPlaneHandshake,
    LocalProtocolError,
    RejectCode,
    Rejected,
    Rejection,
    RuntimeHandshake,
)
from caisey.protocol.signatures import sign
from tests.protocol.examples import FROM_RUNTIME, SHA
from tests.protocol.nasty import NASTY

CONTROL_PLANE = Ed25519PrivateKey.from_private_bytes(b"c" * 32)
FORMER_KEY = Ed25519PrivateKey.from_private_bytes(b"f" * 32)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
RUNTIME = Ed25519PrivateKey.from_private_bytes(b"r" * 32)
NONCE = b"n" * 32
RUNTIME_NONCE = b"m" * 32


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def hello(**changes: Any) -> frames.Hello:
    return msgspec.structs.replace(
        frames.Hello(
            protocol=1,
            challenge=NONCE,
            nonce=RUNTIME_NONCE,
            control_plane_key=public(CONTROL_PLANE),
            runtime_id="rtm_1",
            incarnation="inc_1",
            start_number=1,
            boot_id="boot",
            journal_id="jnl",
            journal_sequence=0,
            machine_fingerprint=SHA,
            runtime_version="0.1.0",
            bridge="websocket",
            time_ms=1,
            tools=(),
            statements=(),
            more=False,
        ),
        **changes,
    )


def welcome(**changes: Any) -> frames.Welcome:
    return msgspec.structs.replace(
        frames.Welcome(
            connection="c1",
            mode="work",
            heartbeat_interval_ms=15_000,
            output_chunk_bytes=65_536,
            confirm=(),
            nonce=RUNTIME_NONCE,
            runtime_id="rtm_1",
            incarnation="inc_1",
        ),
        **changes,
    )


def server(*keys: Ed25519PrivateKey) -> ControlPlaneHandshake:
    handshake = ControlPlaneHandshake(nonce=NONCE, own_keys={public(key) for key in keys or (CONTROL_PLANE,)})
    handshake.challenge(server_time_ms=1)
    return handshake


def client() -> RuntimeHandshake:
    handshake = RuntimeHandshake(
        nonce=RUNTIME_NONCE, runtime_id="rtm_1", incarnation="inc_1", trusted_key=public(CONTROL_PLANE)
    )
    challenge = frames.Challenge(nonce=NONCE, server_time_ms=1, protocols=(1, 2))
    assert handshake.receive_challenge(decode_from_control_plane(encode(challenge))) == challenge
    handshake.hello(hello(), RUNTIME)
    return handshake


def test_both_ends_meet() -> None:
    control_plane = ControlPlaneHandshake(nonce=NONCE, own_keys={public(CONTROL_PLANE)})
    runtime = RuntimeHandshake(
        nonce=RUNTIME_NONCE, runtime_id="rtm_1", incarnation="inc_1", trusted_key=public(CONTROL_PLANE)
    )
    challenge = control_plane.challenge(server_time_ms=1)
    assert runtime.receive_challenge(decode_from_control_plane(encode(challenge))) == challenge
    said = runtime.hello(hello(), RUNTIME)
    assert control_plane.receive_hello(decode_from_runtime(encode(said))) == said
    assert control_plane.prove(public_key=public(RUNTIME)) == said
    answer = control_plane.welcome(welcome(), CONTROL_PLANE)
    assert not runtime.complete
    assert runtime.receive_welcome(decode_from_control_plane(encode(answer))) == answer
    assert runtime.complete


@pytest.mark.parametrize(
    ("changes", "code", "close_code"),
    [
        ({"protocol": 2}, RejectCode.PROTOCOL_UNSUPPORTED, 4426),
        ({"challenge": RUNTIME_NONCE}, RejectCode.CHALLENGE_MISMATCH, 4401),
        ({"control_plane_key": public(STRANGER)}, RejectCode.KEY_UNKNOWN, 4401),
    ],
)
def test_a_hello_that_is_refused_at_once(changes: dict[str, Any], code: RejectCode, close_code: int) -> None:
    outcome = server().receive_hello(decode_from_runtime(encode(sign(hello(**changes), RUNTIME))))
    assert isinstance(outcome, Rejection)
    assert (outcome.code, outcome.close_code) == (code, close_code)
    assert outcome.frame() == frames.Reject(code=code.value, hint=outcome.hint)


def test_a_hello_of_another_protocol_is_told_so_whatever_its_shape() -> None:
    outcome = server().receive_hello(decode_from_runtime('{"type":"hello","protocol":2,"whatever":[]}'))
    assert isinstance(outcome, Rejection)
    assert outcome.code is RejectCode.PROTOCOL_UNSUPPORTED


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"type":"hello"}', b'{"type":"hello","protocol":1}', b'{"type":"leaving","reason":"drain"}']
)
def test_anything_but_a_hello_is_refused(data: bytes) -> None:
    outcome = server().receive_hello(decode_from_runtime(data))
    assert isinstance(outcome, Rejection)
    assert (outcome.code, outcome.close_code) == (RejectCode.INVALID_HELLO, 4401)


@pytest.mark.parametrize("name", NASTY)
def test_no_nasty_frame_lets_anybody_in(name: str) -> None:
    outcome = server().receive_hello(decode_from_runtime(NASTY[name]))
    assert isinstance(outcome, Rejection)
    assert outcome.close_code in (4401, 4426)


@pytest.mark.parametrize("name", NASTY)
def test_no_nasty_frame_is_taken_for_a_control_plane(name: str) -> None:
    received = decode_from_control_plane(NASTY[name])
    fresh = RuntimeHandshake(
        nonce=RUNTIME_NONCE, runtime_id="rtm_1", incarnation="inc_1", trusted_key=public(CONTROL_PLANE)
    )
    assert not isinstance(fresh.receive_challenge(received), frames.Challenge)
    greeted = client()
    assert not isinstance(greeted.receive_welcome(received), frames.Welcome)
    assert not greeted.complete


def proved(signed: frames.Hello, **known: Any) -> frames.Hello | Rejection:
    handshake = server()
    assert isinstance(handshake.receive_hello(decode_from_runtime(encode(signed))), frames.Hello)
    return handshake.prove(**known)


def test_the_signature_decides_who_it_is() -> None:
    signed = sign(hello(), RUNTIME)
    for outcome, code, close_code in (
        (proved(signed, public_key=None), RejectCode.RUNTIME_UNKNOWN, 4401),
        (proved(signed, public_key=public(STRANGER)), RejectCode.SIGNATURE_INVALID, 4401),
        (proved(hello(), public_key=public(RUNTIME)), RejectCode.SIGNATURE_INVALID, 4401),
        (proved(sign(hello(), STRANGER), public_key=public(RUNTIME), revoked=True), RejectCode.SIGNATURE_INVALID, 4401),
        (proved(signed, public_key=public(RUNTIME), revoked=True), RejectCode.RUNTIME_REVOKED, 4403),
    ):
        assert isinstance(outcome, Rejection)
        assert (outcome.code, outcome.close_code) == (code, close_code)


def test_a_replayed_hello_does_not_echo_the_new_challenge() -> None:
    captured = encode(sign(hello(), RUNTIME))
    fresh = ControlPlaneHandshake(nonce=b"x" * 32, own_keys={public(CONTROL_PLANE)})
    fresh.challenge(server_time_ms=2)
    outcome = fresh.receive_hello(decode_from_runtime(captured))
    assert isinstance(outcome, Rejection)
    assert outcome.code is RejectCode.CHALLENGE_MISMATCH


def test_fields_unknown_to_us_are_under_the_signature() -> None:
    document = json.loads(encode(sign(hello(), RUNTIME))) | {"x_added": 1}
    handshake = server()
    handshake.receive_hello(decode_from_runtime(json.dumps(document)))
    assert isinstance(handshake.prove(public_key=public(RUNTIME)), Rejection)


def test_a_runtime_that_trusts_a_former_key_is_welcomed_with_it() -> None:
    handshake = server(CONTROL_PLANE, FORMER_KEY)
    signed = sign(hello(control_plane_key=public(FORMER_KEY)), RUNTIME)
    handshake.receive_hello(decode_from_runtime(encode(signed)))
    handshake.prove(public_key=public(RUNTIME))
    with pytest.raises(LocalProtocolError, match="key"):
        handshake.welcome(welcome(), CONTROL_PLANE)


@pytest.mark.parametrize(
    "answer",
    [
        welcome(),
        sign(welcome(), STRANGER),
        sign(welcome(nonce=NONCE), CONTROL_PLANE),
        sign(welcome(runtime_id="rtm_2"), CONTROL_PLANE),
        sign(welcome(incarnation="inc_2"), CONTROL_PLANE),
        msgspec.structs.replace(sign(welcome(), CONTROL_PLANE), mode="settle_only"),
    ],
    ids=["unsigned", "stranger", "other nonce", "other runtime", "other incarnation", "changed"],
)
def test_a_welcome_that_proves_nothing_is_refused(answer: frames.Welcome) -> None:
    runtime = client()
    outcome = runtime.receive_welcome(decode_from_control_plane(encode(answer)))
    assert isinstance(outcome, Rejection)
    assert outcome.code is RejectCode.WELCOME_INVALID
    assert not runtime.complete


def test_a_reject_and_anything_else_before_the_welcome() -> None:
    reject = frames.Reject(code="runtime.revoked", hint="Gone.")
    assert client().receive_welcome(decode_from_control_plane(encode(reject))) == Rejected(reject)
    for data in (b"nonsense", encode(frames.Cadence(heartbeat_interval_ms=1)), encode(FROM_RUNTIME[1])):
        runtime = client()
        outcome = runtime.receive_welcome(decode_from_control_plane(data))
        assert isinstance(outcome, FrameFault)
        assert not runtime.complete


def test_the_first_frame_must_be_a_challenge_that_we_can_answer() -> None:
    def first(data: bytes) -> object:
        handshake = RuntimeHandshake(nonce=NONCE, runtime_id="r", incarnation="i", trusted_key=public(CONTROL_PLANE))
        return handshake.receive_challenge(decode_from_control_plane(data))

    assert isinstance(first(b"{}"), FrameFault)
    assert isinstance(first(encode(frames.Ping(id="p"))), FrameFault)
    other = first(encode(frames.Challenge(nonce=NONCE, server_time_ms=1, protocols=(2,))))
    assert isinstance(other, Rejection)
    assert other.close_code == 4426


def test_steps_out_of_order_are_our_own_fault() -> None:
    handshake = ControlPlaneHandshake(nonce=NONCE, own_keys={public(CONTROL_PLANE)})
    received = decode_from_runtime(encode(sign(hello(), RUNTIME)))
    assert isinstance(received, Received)
    with pytest.raises(LocalProtocolError):
        handshake.receive_hello(received)
    with pytest.raises(LocalProtocolError):
        _ = handshake.hello
    handshake.challenge(server_time_ms=1)
    with pytest.raises(LocalProtocolError):
        handshake.challenge(server_time_ms=1)
    with pytest.raises(LocalProtocolError):
        handshake.welcome(welcome(), CONTROL_PLANE)
    handshake.receive_hello(received)
    with pytest.raises(LocalProtocolError):
        handshake.receive_hello(received)
    handshake.reject(RejectCode.CLONE_SUSPECTED)
    with pytest.raises(LocalProtocolError):
        handshake.prove(public_key=public(RUNTIME))


def test_a_runtime_says_only_what_its_handshake_knows() -> None:
    for changes in ({"challenge": RUNTIME_NONCE}, {"nonce": NONCE}, {"runtime_id": "x"}, {"control_plane_key": NONCE}):
        handshake = RuntimeHandshake(
            nonce=RUNTIME_NONCE, runtime_id="rtm_1", incarnation="inc_1", trusted_key=public(CONTROL_PLANE)
        )
        challenge = frames.Challenge(nonce=NONCE, server_time_ms=1, protocols=(1,))
        handshake.receive_challenge(decode_from_control_plane(encode(challenge)))
        with pytest.raises(LocalProtocolError):
            handshake.hello(hello(**changes), RUNTIME)
