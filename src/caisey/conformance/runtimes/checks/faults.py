"""Frames that are none, or not for this runtime (PROTOCOL.md §1, §4, §8)."""

from __future__ import annotations

import base64
import secrets
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.conformance.runtimes.form import Check
from caisey.conformance.runtimes.link import Failed, Link
from caisey.conformance.runtimes.subject import Subject, about, quiet
from caisey.protocol import limits
from caisey.protocol.codec import encode
from caisey.protocol.frames import Finished, Keys, Ping, Pong, Problem, Statement, TrustedKey
from caisey.protocol.signatures import sign, signed_bytes

GROUP: Final = "Bad frames"


async def _problem(link: Link, data: bytes, *codes: str) -> Problem:
    """A `problem` with one of these codes, and the connection stays open."""
    mark = link.mark()
    await link.send_bytes(data)
    said = await link.wait(Problem, since=mark, what=f"`problem` {' or '.join(codes)}")
    if said.code not in codes:
        raise Failed(f"`problem` {' or '.join(codes)}", said.code)
    await _still_there(link)
    return said


async def _still_there(link: Link) -> None:
    ping, mark = f"ping_{secrets.token_hex(4)}", link.mark()
    await link.send(Ping(id=ping))
    await link.wait(Pong, lambda pong: pong.id == ping, since=mark, what="the connection open, and a `pong`")


async def unknown_type(subject: Subject) -> None:
    await _problem(await subject.link(), b'{"type":"of_a_later_version","more":1}', "frame.unexpected")


async def no_json(subject: Subject) -> None:
    link = await subject.link()
    await _problem(link, b"no json {", "frame.invalid_json")
    await _problem(link, b'{"type":"ping","id":"a","id":"b"}', "frame.invalid_json")
    deep = b'{"type":"ping","id":"a","more":' + b"[" * 80 + b"]" * 80 + b"}"
    await _problem(link, deep, "frame.invalid_json")


async def wrong_shape(subject: Subject) -> None:
    """Named by its place, and never with a value."""
    secret = "value_that_must_not_be_shown"  # noqa: S105  # made up
    frame = {"type": "ping", "id": {secret: secret}}
    said = await _problem(await subject.link(), msgspec.json.encode(frame), "frame.invalid_shape")
    if not any(error.pointer == "/id" for error in said.errors):
        raise Failed("the fault at /id", str([error.pointer for error in said.errors]))
    if any(secret in error.found for error in said.errors):
        raise Failed("`found` is a type or a length", "a value")


async def too_long(subject: Subject) -> None:
    frame = {"type": "ping", "id": "a", "more": "x" * (limits.FRAME_BYTES + 1000)}
    await _problem(await subject.link(), msgspec.json.encode(frame), "frame.too_large")


async def a_problem_is_not_answered(subject: Subject) -> None:
    link = await subject.link()
    mark = link.mark()
    await link.send(Problem(code="frame.not_yours"))
    await link.send_bytes(b'{"type":"problem","code":7}')
    await _still_there(link)
    if link.said(Problem, since=mark):
        raise Failed("no answer to a `problem`", "a `problem`")


async def unknown_fields_count(subject: Subject) -> None:
    """They are ignored, and stay under the signature."""
    link = await subject.link()
    subject.needs_shell(link)
    call, key = subject.new_call(), subject.plane.key
    frame: dict[str, Any] = msgspec.to_builtins(link.dispatch_frame(call))
    frame["of_a_later_version"] = {"kept": [1, 2, None]}
    signature = base64.b64encode(key.sign(signed_bytes("dispatch", frame))).decode()
    await link.send_bytes(msgspec.json.encode({**frame, "signature": signature}))
    await link.wait(Finished, about(call), what="`finished` of a dispatch with a field of a later version")


async def wrong_signature(subject: Subject) -> None:
    """Changed, signed by a stranger, or not at all: a problem, and nothing is journalled."""
    link = await subject.link()
    call, count = subject.new_call(), subject.counter()
    frame = link.dispatch_frame(call, command=f"echo >> '{count}'")
    signed: dict[str, Any] = msgspec.to_builtins(link.signed(frame))
    forged = msgspec.json.encode({**signed, "consent": 2})
    for data in (forged, encode(sign(frame, Ed25519PrivateKey.generate())), encode(frame)):
        said = await _problem(link, data, "dispatch.signature")
        if said.about is not None and said.about != frame.attempt:
            raise Failed("a `problem` about that attempt", str(said.about))
    await _nothing_is_known(subject, link, call)
    if count.exists():
        raise Failed("nothing ran", "it ran")


async def misaddressed(subject: Subject) -> None:
    link = await subject.link()
    call = subject.new_call()
    others: list[dict[str, Any]] = [
        {"runtime_id": "rtm_other"}, {"incarnation": "another"}, {"journal_id": "jrn_other"},
    ]  # fmt: skip
    for changes in others:
        await _problem(link, encode(link.signed(link.dispatch_frame(call, **changes))), "dispatch.misaddressed")
    await _nothing_is_known(subject, link, call)


async def _nothing_is_known(subject: Subject, link: Link, call: str) -> None:
    mark = link.mark()
    await link.reconcile(call)
    said = await link.wait(Statement, about(call), since=mark)
    if said.state not in ("never_received", "closed"):
        raise Failed("never_received: nothing was journalled", said.state)


async def takes_new_keys(subject: Subject) -> None:
    """A rotation, signed by a key that is trusted; one that is signed by a stranger is not taken."""
    link = await subject.link()
    subject.needs_shell(link)
    plane, former = subject.plane, subject.plane.key
    fresh = Ed25519PrivateKey.generate()
    me: dict[str, Any] = {"runtime_id": link.hello.runtime_id, "incarnation": link.hello.incarnation}
    named = tuple(
        TrustedKey(key_id=name, public_key=key.public_key().public_bytes_raw())
        for name, key in (("new", fresh), ("former", former))
    )
    await _problem(link, encode(sign(Keys(**me, keys=named[:1]), fresh)), "dispatch.signature")
    await link.send(sign(Keys(**me, keys=named), former))
    link.sign_with(fresh)
    call = subject.new_call()
    try:
        await subject.ran(link, call)
    finally:
        # Back to the former one: the rest of the checks, and a later run, use it.
        await link.send(sign(Keys(**me, keys=(named[1],)), fresh))
        link.sign_with(former)
        await quiet(0.2)
    again = subject.new_call()
    await subject.ran(link, again)
    assert plane.key is former


CHECKS: Final = (
    Check("answers an unknown type with a problem", GROUP, "PROTOCOL §1, §8 frame.unexpected", unknown_type),
    Check("tells what is no JSON", GROUP, "PROTOCOL §1, §8, §9 frame.invalid_json", no_json),
    Check("tells a wrong shape by its place", GROUP, "PROTOCOL §8 frame.invalid_shape", wrong_shape),
    Check("tells a frame that is too long", GROUP, "PROTOCOL §9 frame.too_large", too_long),
    Check("answers no problem", GROUP, "PROTOCOL §8", a_problem_is_not_answered),
    Check("ignores unknown fields under the signature", GROUP, "PROTOCOL §1", unknown_fields_count),
    Check("refuses a wrong signature", GROUP, "PROTOCOL §4 dispatch.signature", wrong_signature),
    Check("refuses what is meant for another", GROUP, "PROTOCOL §4 dispatch.misaddressed", misaddressed),
    Check("takes new keys from a trusted one", GROUP, "PROTOCOL §7 keys", takes_new_keys),
)
