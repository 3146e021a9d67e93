"""The handshake of both ends, without a socket (PROTOCOL.md §3).

Owns who may say what before work begins. `ControlPlaneHandshake` makes the challenge, checks the hello and signs the
welcome; `RuntimeHandshake` answers the challenge and checks the welcome. Nonces, times, keys and what a store knows of
a runtime are arguments; whether two hold one key (clones, restored images) is for the control plane to judge.

A step out of order by our own side raises `LocalProtocolError`; whatever the peer does wrong is a value.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.protocol import limits
from caisey.protocol.codec import Received
from caisey.protocol.faults import FrameFault, unexpected
from caisey.protocol.frames import Challenge, FromControlPlane, FromRuntime, Hello, Reject, Welcome
from caisey.protocol.signatures import sign, verify

T = TypeVar("T")


class LocalProtocolError(RuntimeError):
    """Our own side took a step that its state does not allow: a defect here, never the peer's doing."""


class RejectCode(StrEnum):
    """Why a handshake failed."""

    INVALID_HELLO = "handshake.invalid_hello"
    PROTOCOL_UNSUPPORTED = "handshake.protocol_unsupported"
    CHALLENGE_MISMATCH = "handshake.challenge_mismatch"
    KEY_UNKNOWN = "handshake.control_plane_key_unknown"
    RUNTIME_UNKNOWN = "handshake.runtime_unknown"
    SIGNATURE_INVALID = "handshake.signature_invalid"
    RUNTIME_REVOKED = "runtime.revoked"
    CLONE_SUSPECTED = "runtime.clone_suspected"
    WELCOME_INVALID = "handshake.welcome_invalid"


@dataclass(frozen=True, slots=True)
class Rejection:
    """The end of a handshake: what to tell the peer, and the WebSocket close code."""

    code: RejectCode
    hint: str
    close_code: int

    def frame(self) -> Reject:
        """The `reject` to send before closing."""
        return Reject(code=self.code.value, hint=self.hint)


_HINTS: Final[dict[RejectCode, tuple[int, str]]] = {
    RejectCode.INVALID_HELLO: (limits.CLOSE_IDENTITY, "Answer the challenge with one valid `hello`."),
    RejectCode.PROTOCOL_UNSUPPORTED: (limits.CLOSE_PROTOCOL, "Update the runtime: this protocol is not supported."),
    RejectCode.CHALLENGE_MISMATCH: (limits.CLOSE_IDENTITY, "Echo the nonce of this connection's challenge."),
    RejectCode.KEY_UNKNOWN: (limits.CLOSE_IDENTITY, "The runtime trusts another control plane. Enroll it here."),
    RejectCode.RUNTIME_UNKNOWN: (limits.CLOSE_IDENTITY, "The runtime is not enrolled here. Enroll it again."),
    RejectCode.SIGNATURE_INVALID: (limits.CLOSE_IDENTITY, "The hello is not signed with the runtime's enrolled key."),
    RejectCode.RUNTIME_REVOKED: (limits.CLOSE_REVOKED, "The runtime was revoked. Enroll it again with a new key."),
    RejectCode.CLONE_SUSPECTED: (limits.CLOSE_CLONE, "Two computers hold this key. A person has to decide."),
    RejectCode.WELCOME_INVALID: (limits.CLOSE_IDENTITY, "The welcome does not prove the trusted control plane."),
}


def rejection(code: RejectCode) -> Rejection:
    """The rejection for a code, with its hint and close code."""
    close_code, hint = _HINTS[code]
    return Rejection(code, hint, close_code)


class _State(StrEnum):
    NEW = "new"
    CHALLENGED = "challenged"
    HELLO_SEEN = "hello_seen"
    PROVED = "proved"
    WELCOMED = "welcomed"
    REJECTED = "rejected"


class _Steps:
    """Steps in their one order, each taken once."""

    _state = _State.NEW

    def _step(self, before: _State, after: _State) -> None:
        if self._state is not before:
            raise LocalProtocolError(f"this step needs the state {before}, not {self._state}")
        self._state = after


class ControlPlaneHandshake(_Steps):
    """One connection's handshake, seen from the control plane.

    `challenge` → `receive_hello` → (look the runtime up) → `prove` → `welcome`. Each step is taken once.
    `own_keys` are the public keys this control plane still signs with: more than one during a rotation.
    """

    def __init__(self, *, nonce: bytes, own_keys: Collection[bytes]) -> None:
        self._nonce = nonce
        self._own_keys = frozenset(own_keys)
        self._received: Received[Hello] | None = None

    @property
    def hello(self) -> Hello:
        """The hello, once it was seen. Before `prove` it is only a claim."""
        if self._received is None:
            raise LocalProtocolError("no hello was received yet")
        return self._received.frame

    def challenge(self, *, server_time_ms: int) -> Challenge:
        """The first frame of a connection."""
        self._step(_State.NEW, _State.CHALLENGED)
        return Challenge(nonce=self._nonce, server_time_ms=server_time_ms, protocols=limits.SUPPORTED_PROTOCOLS)

    def receive_hello(self, received: Received[FromRuntime] | FrameFault) -> Hello | Rejection:
        """Check what needs no store: the protocol, the echoed nonce, and that the runtime trusts this control plane."""
        self._step(_State.CHALLENGED, _State.HELLO_SEEN)
        if isinstance(received, FrameFault):
            return self._reject(self._unreadable(received))
        hello = received.frame
        if not isinstance(hello, Hello):
            return self._reject(RejectCode.INVALID_HELLO)
        if hello.protocol not in limits.SUPPORTED_PROTOCOLS:
            return self._reject(RejectCode.PROTOCOL_UNSUPPORTED)
        if not hmac.compare_digest(hello.challenge, self._nonce):
            return self._reject(RejectCode.CHALLENGE_MISMATCH)
        if hello.control_plane_key not in self._own_keys:
            return self._reject(RejectCode.KEY_UNKNOWN)
        self._received = Received(hello, received.data)
        return hello

    def prove(self, *, public_key: bytes | None, revoked: bool = False) -> Hello | Rejection:
        """Check the signature with the key that the store has for `hello.runtime_id`; `None`: it knows none.

        The signature is checked before anything else is told apart, so that nobody learns which runtimes are revoked.
        """
        self._step(_State.HELLO_SEEN, _State.PROVED)
        if public_key is None:
            return self._reject(RejectCode.RUNTIME_UNKNOWN)
        if self._received is None or not verify(self._received.document, "hello", public_key):
            return self._reject(RejectCode.SIGNATURE_INVALID)
        if revoked:
            return self._reject(RejectCode.RUNTIME_REVOKED)
        return self._received.frame

    def reject(self, code: RejectCode) -> Rejection:
        """End a handshake for a reason that the control plane found (a clone, a revocation)."""
        return self._reject(code)

    def welcome(self, frame: Welcome, private_key: Ed25519PrivateKey) -> Welcome:
        """Sign the welcome. `private_key` belongs to `hello.control_plane_key`; nonce and names are taken from it."""
        self._step(_State.PROVED, _State.WELCOMED)
        if private_key.public_key().public_bytes_raw() != self.hello.control_plane_key:
            raise LocalProtocolError("the welcome is signed with the key that the runtime trusts, and with no other")
        hello = self.hello
        if (frame.nonce, frame.runtime_id, frame.incarnation) != (hello.nonce, hello.runtime_id, hello.incarnation):
            raise LocalProtocolError("the welcome names the nonce, runtime and incarnation of the hello")
        return sign(frame, private_key)

    def _reject(self, code: RejectCode) -> Rejection:
        self._state = _State.REJECTED
        return rejection(code)

    @staticmethod
    def _unreadable(fault: FrameFault) -> RejectCode:
        """A hello of another protocol may look different: say that, not that its shape is wrong."""
        if fault.frame_type == "hello" and isinstance(fault.document, dict):
            protocol = fault.document.get("protocol")
            if type(protocol) is int and protocol not in limits.SUPPORTED_PROTOCOLS:
                return RejectCode.PROTOCOL_UNSUPPORTED
        return RejectCode.INVALID_HELLO


@dataclass(frozen=True, slots=True)
class Rejected:
    """The control plane sent a `reject`."""

    frame: Reject


class RuntimeHandshake(_Steps):
    """One connection's handshake, seen from the runtime.

    `receive_challenge` → `hello` → `receive_welcome`. Nothing else may be sent before the welcome was checked.
    `trusted_key` is the control plane key that this runtime wants the proof of, and that its hello names.
    """

    def __init__(self, *, nonce: bytes, runtime_id: str, incarnation: str, trusted_key: bytes) -> None:
        self._nonce = nonce
        self._runtime_id = runtime_id
        self._incarnation = incarnation
        self._trusted_key = trusted_key
        self._challenge: Challenge | None = None

    @property
    def nonce(self) -> bytes:
        """Its own nonce, which the welcome has to echo."""
        return self._nonce

    @property
    def complete(self) -> bool:
        """Whether the welcome was checked: only then may work frames be sent."""
        return self._state is _State.WELCOMED

    def receive_challenge(
        self, received: Received[FromControlPlane] | FrameFault
    ) -> Challenge | Rejection | FrameFault:
        """Take the first frame of the connection. Anything but a challenge ends it."""
        self._step(_State.NEW, _State.CHALLENGED)
        if isinstance(received, FrameFault):
            return self._end(received)
        if not isinstance(received.frame, Challenge):
            return self._end(unexpected(received.data))
        if limits.PROTOCOL_VERSION not in received.frame.protocols:
            return self._end(rejection(RejectCode.PROTOCOL_UNSUPPORTED))
        self._challenge = received.frame
        return received.frame

    def hello(self, frame: Hello, private_key: Ed25519PrivateKey) -> Hello:
        """Sign the hello. It echoes the challenge, and carries this handshake's nonce, names and trusted key."""
        self._step(_State.CHALLENGED, _State.HELLO_SEEN)
        expected = (self._challenge and self._challenge.nonce, self._nonce, self._runtime_id, self._incarnation)
        if (frame.challenge, frame.nonce, frame.runtime_id, frame.incarnation) != expected:
            raise LocalProtocolError("the hello carries the challenge, nonce, runtime and incarnation of its handshake")
        if frame.control_plane_key != self._trusted_key:
            raise LocalProtocolError("the hello names the control plane key that this handshake trusts")
        return sign(frame, private_key)

    def receive_welcome(
        self, received: Received[FromControlPlane] | FrameFault
    ) -> Welcome | Rejected | Rejection | FrameFault:
        """Check the proof: the nonce, the names and the signature of the trusted key. Before that nothing counts."""
        self._step(_State.HELLO_SEEN, _State.WELCOMED)
        if isinstance(received, FrameFault):
            return self._end(received)
        frame = received.frame
        if isinstance(frame, Reject):
            return self._end(Rejected(frame))
        if not isinstance(frame, Welcome):
            return self._end(unexpected(received.data))
        names_fit = (frame.runtime_id, frame.incarnation) == (self._runtime_id, self._incarnation)
        nonce_fits = hmac.compare_digest(frame.nonce, self._nonce)
        if not (names_fit and nonce_fits and verify(received.document, "welcome", self._trusted_key)):
            return self._end(rejection(RejectCode.WELCOME_INVALID))
        return frame

    def _end(self, outcome: T) -> T:
        self._state = _State.REJECTED
        return outcome
