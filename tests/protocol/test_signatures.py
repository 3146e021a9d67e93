"""Signatures: fixed vectors that any other implementation can check, and everything that must break one."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.protocol import frames
from caisey.protocol.codec import Received, decode_from_control_plane, encode
from caisey.protocol.signatures import pong_for, sign, signed_bytes, verify, verify_pong
from tests.protocol.examples import FROM_CONTROL_PLANE, NONCE

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()

DISPATCH: dict[str, Any] = {
    "type": "dispatch",
    "runtime_id": "rtm_1",
    "incarnation": "inc_1",
    "journal_id": "jnl_1",
    "attempt": {"tool_call_id": "tcl_1", "number": 1},
    "consent": 1,
    "session_id": "ses_1",
    "tool": "shell",
    "tool_version": 1,
    "arguments": {"command": "printf 'gr\u00fc\u00df\\n\u2028\U0001f600'", "\U0001f600": 1, "\ufb33": 2},
    "effect": "mutating",
    "limits": {"time_ms": None, "output_bytes": 8388608, "start_within_ms": 900000},
    "issued_at_ms": 1764000000000,
    "x_unknown": [True, {"b": 2, "a": 1}],
}
CANONICAL = (
    'caisey-dispatch-v1\n{"arguments":{"command":"printf \'grüß\\\\n\u2028😀\'","😀":1,"\ufb33":2},'
    '"attempt":{"number":1,"tool_call_id":"tcl_1"},"consent":1,"effect":"mutating","incarnation":"inc_1",'
    '"issued_at_ms":1764000000000,"journal_id":"jnl_1",'
    '"limits":{"output_bytes":8388608,"start_within_ms":900000,"time_ms":null},"runtime_id":"rtm_1",'
    '"session_id":"ses_1","tool":"shell","tool_version":1,"type":"dispatch","x_unknown":[true,{"a":1,"b":2}]}'
)
SIGNATURE = "FuSbqrC7nWgPFhO17rgEVdqAICQ9U2FQc6MfZUQbjHNee62tcW0Us4zjcozWJiKotIZKzc4197bFtFJKVFLjDw=="


def test_the_public_key_of_the_vectors() -> None:
    assert PUBLIC.hex() == "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"


def test_the_signed_bytes_are_canonical() -> None:
    """Keys sort by UTF-16: U+1F600 comes before U+FB33, which no other order gives."""
    assert signed_bytes("dispatch", DISPATCH | {"signature": "left out"}).decode() == CANONICAL


def test_the_signature_vector() -> None:
    assert base64.b64encode(KEY.sign(CANONICAL.encode())).decode() == SIGNATURE
    assert verify(DISPATCH | {"signature": SIGNATURE}, "dispatch", PUBLIC)


def test_a_frame_is_verified_as_received_with_unknown_fields_and_any_spelling() -> None:
    received = decode_from_control_plane(json.dumps(DISPATCH | {"signature": SIGNATURE}, indent=1))
    assert isinstance(received, Received)
    assert verify(received.document, "dispatch", PUBLIC)


@pytest.mark.parametrize("path", [("consent",), ("x_unknown",), ("attempt", "number"), ("limits", "time_ms"), ("new",)])
def test_any_change_breaks_it(path: tuple[str, ...]) -> None:
    document = json.loads(json.dumps(DISPATCH | {"signature": SIGNATURE}))
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = 2
    assert not verify(document, "dispatch", PUBLIC)


def test_a_signature_of_one_type_is_none_of_another() -> None:
    document = DISPATCH | {"signature": SIGNATURE}
    assert not verify(document, "cancel", PUBLIC)
    assert not verify(document | {"type": "cancel"}, "cancel", PUBLIC)


@pytest.mark.parametrize(
    "signature", [None, 7, "", "!", "AAAA", SIGNATURE[:-4], SIGNATURE + "\n", base64.b64encode(bytes(64)).decode()]
)
def test_what_is_no_signature_is_refused(signature: object) -> None:
    assert not verify(DISPATCH | {"signature": signature}, "dispatch", PUBLIC)
    assert not verify(DISPATCH, "dispatch", PUBLIC)


@pytest.mark.parametrize("key", [OTHER, b"", b"short", bytes(32)])
def test_another_key_is_refused(key: bytes) -> None:
    assert not verify(DISPATCH | {"signature": SIGNATURE}, "dispatch", key)


@pytest.mark.parametrize("value", [0.5, 1.0, 2**53, -(2**53), [2**60], {"a": 1e300}])
def test_fractions_and_wide_integers_are_never_signed_nor_verified(value: object) -> None:
    with pytest.raises(ValueError, match="/x"):
        signed_bytes("dispatch", {"type": "dispatch", "x": value})
    assert not verify({"type": "dispatch", "x": value, "signature": SIGNATURE}, "dispatch", PUBLIC)


def test_the_widest_integers_are_signed() -> None:
    assert b"9007199254740991" in signed_bytes("dispatch", {"type": "dispatch", "x": 2**53 - 1})


@pytest.mark.parametrize("position", [1, 3, 4, 5, 7, 13])
def test_signed_frames_survive_the_wire(position: int) -> None:
    frame = FROM_CONTROL_PLANE[position]
    assert isinstance(frame, frames.SignedFrame)
    signed = sign(frame, KEY)
    received = decode_from_control_plane(encode(signed))
    assert isinstance(received, Received)
    assert received.frame == signed
    assert verify(received.document, str(type(frame).__struct_config__.tag), PUBLIC)


def test_a_pong_proves_its_nonce() -> None:
    pong = json.loads(encode(pong_for("p1", NONCE, KEY)))
    assert pong["nonce"] == base64.b64encode(NONCE).decode()
    assert verify_pong(pong, NONCE, PUBLIC)
    assert not verify_pong(pong, NONCE[::-1], PUBLIC)
    assert not verify_pong(pong, NONCE, OTHER)
    assert not verify_pong(pong | {"id": "p2"}, NONCE, PUBLIC)
    without_nonce_on_the_wire = {key: value for key, value in pong.items() if key != "nonce"}
    assert verify_pong(without_nonce_on_the_wire, NONCE, PUBLIC)
    assert not verify_pong(without_nonce_on_the_wire, NONCE[::-1], PUBLIC)


def test_a_pong_without_a_nonce_is_bare() -> None:
    assert json.loads(encode(pong_for("p1", None, KEY))) == {"type": "pong", "id": "p1"}
