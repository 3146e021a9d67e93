"""What is checked before anything is journalled, and what is answered to frames that are none."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.protocol.codec import encode
from caisey.protocol.frames import Keys, Ping, Pong, Problem, TrustedKey
from caisey.protocol.signatures import sign, signed_bytes, verify_pong
from tests.runtime.conftest import Story, awaited
from tests.runtime.endpoint import Endpoint, endpoint
from tests.runtime.plane import Link, control_plane

Live = Callable[[Story], None]


async def nothing_was_journalled(link: Link, call: str = "tcl_1") -> None:
    await link.reconcile((call, 1, 1))
    assert (await link.statement(call)).state == "never_received"


@pytest.mark.parametrize(
    "changes", [{"runtime_id": "rtm_2"}, {"incarnation": "another"}, {"journal_id": "jrn_of_another"}]
)
def test_what_is_meant_for_another_is_a_problem(live: Live, changes: dict[str, Any]) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", **changes)
        assert (await link.wait_for(Problem)).code == "dispatch.misaddressed"
        await nothing_was_journalled(link)

    live(story)


def test_a_signature_that_does_not_fit_is_a_problem(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        signed = sign(link.dispatch_frame("tcl_1"), link.plane.key)
        forged = json.loads(encode(signed))
        forged["arguments"]["command"] = "false"
        stranger = sign(link.dispatch_frame("tcl_1"), Ed25519PrivateKey.generate())
        unsigned = link.dispatch_frame("tcl_1")
        for frame in (json.dumps(forged).encode(), encode(stranger), encode(unsigned)):
            await link.connection.send(frame, text=True)
            assert (await link.wait_for(Problem)).code == "dispatch.signature"
        await nothing_was_journalled(link)

    live(story)


def test_a_field_of_a_later_version_stays_under_the_signature(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        frame = json.loads(encode(link.dispatch_frame("tcl_1")))
        frame["of_a_later_version"] = {"kept": [1, 2]}
        signature = link.plane.key.sign(signed_bytes("dispatch", frame))
        frame["signature"] = base64.b64encode(signature).decode()
        await link.connection.send(json.dumps(frame), text=True)
        await link.finished("tcl_1")

    live(story)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no json", "frame.invalid_json"),
        ('{"type":"ping","id":"a","id":"b"}', "frame.invalid_json"),
        ('{"type":"ping"}', "frame.invalid_shape"),
        ('{"type":"of_a_later_version"}', "frame.unexpected"),
        ('{"type":"challenge","nonce":"' + "A" * 43 + '=","server_time_ms":1,"protocols":[1]}', "frame.unexpected"),
    ],
)
def test_what_cannot_be_read_is_told(live: Live, text: str, code: str) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.connection.send(text)
        assert (await link.wait_for(Problem)).code == code
        await link.dispatch("tcl_1")
        await link.finished("tcl_1")

    live(story)


def test_a_problem_is_never_answered(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.send(Problem(code="frame.not_yours"))
        await link.connection.send('{"type":"problem","code":7}')
        await link.send(Ping(id="ping_1"))
        await link.wait_for(Pong)
        assert not link.said(Problem)

    live(story)


def test_a_ping_with_a_nonce_proves_the_key(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        nonce = b"n" * 32
        await link.send(Ping(id="ping_1", nonce=nonce))
        pong = await link.wait_for(Pong)
        document: dict[str, Any] = msgspec.to_builtins(pong)
        assert verify_pong(document, nonce, endpoint.plane.runtimes["rtm_1"])
        assert not verify_pong(document, b"m" * 32, endpoint.plane.runtimes["rtm_1"])

    live(story)


def test_a_rotation_of_keys_outlives_the_runtime(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        plane = endpoint.plane
        former, plane.key = plane.key, Ed25519PrivateKey.generate()
        public = plane.key.public_key().public_bytes_raw()
        rotation = Keys(
            runtime_id=link.hello.runtime_id,
            incarnation=link.hello.incarnation,
            keys=(TrustedKey(key_id="new", public_key=public),),
        )
        await link.send(sign(rotation, Ed25519PrivateKey.generate()))
        assert (await link.wait_for(Problem)).code == "dispatch.signature"
        await link.send(sign(rotation, former))
        await link.dispatch("tcl_1")
        await link.finished("tcl_1")
        link = await endpoint.restart()
        assert link.hello.control_plane_key == public
        await link.send(sign(link.dispatch_frame("tcl_2"), former))
        assert (await link.wait_for(Problem)).code == "dispatch.signature"

    live(story)


@awaited
async def test_settle_only_takes_no_work(tmp_path: Any) -> None:
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        link = await made.connect()
        await link.dispatch("tcl_1")
        await link.finished("tcl_1")
        plane.mode = "settle_only"
        link = await made.restart()
        await link.finished("tcl_1")
        await link.dispatch("tcl_2")
        assert (await link.wait_for(Problem)).code == "frame.unexpected"
        await link.confirm("tcl_1")
        await link.heard_all()
        await nothing_was_journalled(link, "tcl_2")
        link = await made.restart()
        assert link.hello_statement("tcl_1") is None
