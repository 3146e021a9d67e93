"""PROTOCOL.md §3: who may connect, which incarnation counts, clones."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.end_to_end import views
from tests.end_to_end.client import shell
from tests.end_to_end.fleet import Desk, Fleet
from tests.end_to_end.server import until
from tests.foreign.recording import Seen
from tests.foreign.runtime import Runtime
from tests.foreign.wire import Frame, Keys, encode, fresh_id
from tests.foreign.work import Gate, runs_until


def closed(runtime: Runtime, since: int = 0) -> int:
    return int(runtime.recording.wait("closed", "note", since=since).frame["code"])


def rejected(runtime: Runtime) -> tuple[str, int]:
    """The code of the `reject`, and that of the close after it."""
    runtime.connect(wait=False)
    reject = runtime.saw("reject")
    assert reject.frame["hint"]
    return str(reject.frame["code"]), closed(runtime, since=reject.index)


def ready(fleet: Fleet) -> Runtime:
    """Enrolled, never connected."""
    runtime = fleet.runtime(connect=None)
    runtime.manners.reconnect = False
    return runtime


def of_another_key(frame: Frame) -> Frame:
    return Keys().sign(frame)


def test_the_challenge_comes_first_and_the_welcome_is_checked(desk: Desk) -> None:
    """§3: the order; every field and signature is checked by the runtime itself, which finds no fault."""
    kinds = [s.type for s in desk.runtime.recording.entries if s.direction != "note"][:3]
    assert kinds == ["challenge", "hello", "welcome"]
    welcome = desk.runtime.saw("welcome").frame
    assert welcome["mode"] == "work"
    assert desk.runtime.saw("challenge").frame["protocols"] == [1]


@pytest.mark.parametrize(
    ("sign", "close"),
    [
        (of_another_key, 4401),
        (lambda f: {**f, "signature": encode(b"\0" * 64)}, 4401),
        (lambda f: {**f, "runtime_id": "rtm_00000000000000000000000000"}, 4401),
    ],
    ids=["another key", "zeros", "another runtime"],
)
def test_a_false_identity(fleet: Fleet, sign: Any, close: int) -> None:
    """§3: `reject` "and close 4401 (identity)"."""
    runtime = ready(fleet)
    runtime.manners.sign = sign
    assert rejected(runtime)[1] == close


@pytest.mark.parametrize("field", ["challenge", "control_plane_key"])
def test_a_hello_for_another_challenge_or_control_plane(fleet: Fleet, field: str) -> None:
    """§3: the hello is signed over this challenge and this control plane's key."""
    runtime = ready(fleet)
    runtime.manners.hello = lambda f: {**f, field: Keys().public}
    assert rejected(runtime)[1] == 4401


def test_another_protocol(fleet: Fleet) -> None:
    """§3: "4426 (protocol)"."""
    runtime = ready(fleet)
    runtime.manners.hello = lambda f: {**f, "protocol": 2}
    assert rejected(runtime)[1] == 4426


@pytest.mark.parametrize("change", [{"incarnation": 7}, {"start_number": "one"}, {"statements": {}}, {"boot_id": None}])
def test_a_malformed_hello_is_no_welcome(fleet: Fleet, change: Frame) -> None:
    """§8: the shape is told; nothing is welcomed."""
    runtime = ready(fleet)
    runtime.manners.hello = lambda f: {**f, **change}
    runtime.connect(wait=False)
    runtime.recording.wait("closed", "note", timeout=15)
    assert runtime.recording.select("welcome") == []
    assert runtime.recording.select("problem") or runtime.recording.select("reject")


def test_unknown_fields_stay_under_the_signature(fleet: Fleet) -> None:
    """§1: "Unknown fields are ignored (but stay under signatures)"."""
    runtime = ready(fleet)
    runtime.manners.hello = lambda f: {**f, "colour": "blue", "nested": {"a": [1, None, True]}}
    runtime.connect()


def test_frames_before_the_hello_are_not_heard(fleet: Fleet, desk: Desk) -> None:
    """§3, 2: the first word of a runtime is its hello."""
    runtime = ready(fleet)
    runtime.manners.sign = lambda _: {"type": "heartbeat", "sequence": 1}
    runtime.connect(wait=False)
    runtime.recording.wait("closed", "note", timeout=15)
    assert runtime.recording.select("welcome") == []


def test_a_new_incarnation_replaces_the_former(desk: Desk) -> None:
    """§3: "an incarnation never seen and a higher `start_number` replaces the former: its bridges close with 4410"."""
    former = desk.runtime
    twin = former.clone()
    desk.fleet.runtimes.append(twin)
    twin.begin_life()
    twin.connect()
    assert closed(former) == 4410
    desk.runtime = twin
    desk.answered()
    assert former.dispatches() == []


def test_a_second_connection_of_the_same_incarnation_replaces_the_first(desk: Desk) -> None:
    """§3: "A second connection of the same incarnation and bridge kind replaces the first (4410)"."""
    twin = desk.runtime.clone()
    desk.fleet.runtimes.append(twin)
    twin.incarnation = desk.runtime.incarnation
    twin.connect()
    assert closed(desk.runtime) == 4410


def suspected(desk: Desk) -> None:
    until(
        lambda: any(
            i["type"] == "runtime.clone_suspected" and i["endpoint_id"] == desk.endpoint_id
            for i in desk.api.get("/attention", limit=200)["items"]
        ),
        within=15,
        what="attention `runtime.clone_suspected`",
    )


def is_closed_as_a_clone(runtime: Runtime) -> None:
    def two_hold_it(seen: Seen) -> bool:
        return bool(seen.frame.get("code") == 4409)

    runtime.recording.wait("closed", "note", where=two_hold_it, timeout=15)


def test_two_that_live_with_one_key_are_both_closed(desk: Desk) -> None:
    """§3: a never-seen incarnation with a `start_number` not higher, while the former answers: "two hold the key: both
    are closed with 4409, nothing is dispatched, attention `runtime.clone_suspected`, and a person decides"."""
    twin = desk.runtime.clone()
    desk.fleet.runtimes.append(twin)
    twin.connect(wait=False)
    is_closed_as_a_clone(twin)
    is_closed_as_a_clone(desk.runtime)
    suspected(desk)
    prompt = desk.ask(shell("x", "mutating"))
    desk.api.wait_state(prompt, "held", "queued")
    assert desk.runtime.dispatches() + twin.dispatches() == []
    desk.api.post(f"/runtimes/{desk.runtime.runtime_id}/accept", {"reason": "the copy is deleted"})
    desk.runtime.begin_life()
    desk.runtime.connect()
    prompt = desk.api.wait(prompt, lambda p: views.last(p)["state"] in ("held", "ended"))
    if views.last(prompt)["state"] == "held":
        desk.api.try_to_act(prompt, "release")
    desk.api.wait_verdict(prompt, ("answered", "yes"), within=20)


def test_another_fingerprint_is_a_clone(desk: Desk) -> None:
    """§3: "Otherwise, and with another `machine_fingerprint`, … two hold the key"."""
    desk.runtime.die()
    desk.runtime.machine.machine_fingerprint = fresh_id("")[1:].rjust(64, "1")
    desk.runtime.begin_life()
    desk.runtime.connect(wait=False)
    is_closed_as_a_clone(desk.runtime)
    suspected(desk)


def test_a_replaced_incarnation_that_comes_back_is_a_clone(desk: Desk) -> None:
    """§3: "or when a replaced incarnation passes a new challenge"."""
    former = desk.runtime
    twin = former.clone()
    desk.fleet.runtimes.append(twin)
    twin.begin_life()
    twin.connect()
    assert closed(former) == 4410
    former.connect(wait=False)
    is_closed_as_a_clone(twin)
    suspected(desk)


def test_a_revoked_runtime(desk: Desk) -> None:
    """§3: "4403 (revoked as compromised)"; API.md `POST /runtimes/{id}/revoke` {`reason`, `compromised`}."""
    body = {"reason": "stolen", "compromised": True}
    desk.api.post(f"/runtimes/{desk.runtime.runtime_id}/revoke", body)
    assert closed(desk.runtime) == 4403
    since = desk.runtime.recording.mark()
    desk.runtime.connect(wait=False)
    assert closed(desk.runtime, since=since) == 4403
    prompt = desk.ask()
    desk.api.wait(prompt, lambda p: views.last(p)["state"] in ("held", "ended", None))
    assert desk.runtime.dispatches() == []


def test_removing_an_endpoint_takes_finished_work_only(desk: Desk) -> None:
    """§3: "`mode: "settle_only"` (version too old, endpoint removed): finished work is still taken, nothing is
    dispatched"."""
    gate = Gate()
    prompt = desk.api.wait_state(desk.ask(script=runs_until(gate)), "started")
    desk.runtime.drop_links(stay_away=True)
    desk.api.write("DELETE", f"/endpoints/{desk.endpoint_id}")
    assert desk.api.get(f"/endpoints/{desk.endpoint_id}")["health"] == "removing"
    gate.open()
    since = desk.runtime.recording.mark()
    desk.runtime.connect()
    assert desk.runtime.saw("welcome", since=since).frame["mode"] == "settle_only"
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_two_boot_ids_at_once_are_two_computers(desk: Desk) -> None:
    """§2: "Runtimes of one endpoint that are live together show one `boot_id`; if not, they are two computers: the
    later one is split off, with attention"."""
    second = desk.fleet.sibling(desk.runtime, shared_journal=False, connect=False)
    first_boot = desk.runtime.machine.boot_id
    second.manners.hello = lambda f: {**f, "boot_id": f"other-{first_boot}"[:60]}
    second.connect(wait=False)

    def split() -> bool:
        shown = desk.api.get(f"/endpoints/{desk.endpoint_id}")["runtimes"]
        return second.runtime_id not in [r["id"] for r in shown]

    until(split, within=10, what="the later one is split off")
    desk.answered()


def test_many_unfinished_handshakes_blocks_nobody(fleet: Fleet, desk: Desk) -> None:
    """§9: "handshake 10 s … 64 unfinished handshakes per address": others still come in."""
    address, port = "127.9.9.9", int(desk.api.root.rpartition(":")[2])
    idle = [socket.create_connection(("127.0.0.1", port), source_address=(address, 0)) for _ in range(80)]
    try:
        upgrade = (
            b"GET /runtime/v1/connect HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: caisey.runtime.v1\r\n\r\n"
        )
        for line in idle:
            line.sendall(upgrade)
        other = Desk(desk.api, fleet, fleet.runtime())
        other.answered()
    finally:
        for line in idle:
            line.close()
