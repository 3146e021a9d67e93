"""Who is let in, who is sent away, and what a hello says about the journal and the computer (PROTOCOL.md §2, §3)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from caisey.api import runtime_socket
from caisey.control.directory import runtimes
from caisey.control.keyring import Keyring
from caisey.core import events as e
from caisey.core.events import EvidenceNoted
from caisey.core.states import AttemptState, Effect, Kind
from caisey.protocol import limits
from caisey.storage.contract import Overloaded
from tests.control.failing_log import log_is_full, of_a_session, of_type
from tests.control.plane import ORGANIZATION, Plane
from tests.foreign.loop import LoopThread
from tests.foreign.recording import Seen
from tests.foreign.runtime import Runtime
from tests.foreign.wire import Keys, encode, fresh_id
from tests.foreign.work import Gate, acknowledges_only, answers, runs_until

UPGRADE = (
    b"GET /runtime/v1/connect HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
PROTOCOL_HEADER = b"Sec-WebSocket-Protocol: caisey.runtime.v1\r\n\r\n"


def closed(runtime: Runtime, since: int = 0) -> int:
    return int(runtime.recording.wait("closed", "note", since=since).frame["code"])


def rejected(runtime: Runtime, kind: str = "websocket") -> tuple[str, int]:
    since = runtime.recording.mark()
    runtime.connect(kind, wait=False)
    reject = runtime.saw("reject", since=since)
    assert reject.frame["hint"]
    return str(reject.frame["code"]), closed(runtime, since=since)


def change(plane: Plane, runtime: Runtime, **fields: object) -> None:
    async def changed() -> None:
        async with plane.directory.changing(ORGANIZATION, e.CONTROL_PLANE) as draft:
            draft.save(replace(plane.directory.runtimes[runtime.runtime_id], **fields))

    plane.run(changed())


def accept(plane: Plane, runtime: Runtime) -> None:
    change(plane, runtime, suspected_since_ms=None)


# -- identity ---


@pytest.mark.parametrize("kind", ["websocket", "longpoll"])
def test_an_unknown_key_is_not_let_in(runtime: Runtime, kind: str) -> None:
    runtime.manners.sign = Keys().sign
    runtime.manners.reconnect = False
    since = runtime.recording.mark()
    runtime.connect(kind, wait=False)
    assert runtime.saw("reject", since=since).frame["code"] == "handshake.signature_invalid"
    assert closed(runtime) == (4401 if kind == "websocket" else 410)


def test_a_compromised_runtime_is_closed_at_once_and_stays_out(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    change(plane, runtime, revoked_at_ms=1, compromised=True)
    assert closed(runtime) == 4403
    assert rejected(runtime) == ("runtime.revoked", 4403)


def test_a_revoked_runtime_may_still_report_what_it_finished(plane: Plane, runtime: Runtime) -> None:
    gate = Gate()
    runtime.script = runs_until(gate)
    runtime.connect()
    session = plane.session(runtime.endpoint_id)
    (call,) = plane.prompt(session)
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    change(plane, runtime, revoked_at_ms=1)
    since = runtime.recording.mark()
    runtime.drop_links()
    assert runtime.saw("welcome", since=since).frame["mode"] == "settle_only"
    (held,) = plane.prompt(session)
    gate.open()
    verdict = plane.ended(call).verdict
    assert verdict is not None
    assert verdict.kind is Kind.ANSWERED
    assert plane.attempt(held).state is AttemptState.HELD
    assert len(runtime.dispatches()) == 1


def test_the_same_runtime_may_be_let_in_again_after_a_restart(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    since = runtime.recording.mark()
    plane.restart()
    assert runtime.saw("welcome", since=since, timeout=20).frame["mode"] == "work"
    assert plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).review_needed) is False


# -- doors ---


def ask(plane: Plane, request: bytes, address: str = "127.0.0.1") -> socket.socket:
    line = socket.create_connection(("127.0.0.1", plane.port), timeout=10, source_address=(address, 0))
    line.sendall(request)
    return line


def test_the_subprotocol_is_needed(plane: Plane) -> None:
    with ask(plane, UPGRADE + b"\r\n") as line:
        assert line.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_unfinished_handshakes_are_bounded_per_address(plane: Plane, runtime: Runtime) -> None:
    address = "127.7.7.7"
    idle = [ask(plane, UPGRADE + PROTOCOL_HEADER, address) for _ in range(limits.UNFINISHED_HANDSHAKES_PER_ADDRESS)]
    try:
        assert all(line.recv(4096).startswith(b"HTTP/1.1 101 ") for line in idle)
        with ask(plane, UPGRADE + PROTOCOL_HEADER, address) as one_more:
            assert one_more.recv(4096).startswith(b"HTTP/1.1 429 ")
        runtime.connect()
        idle.pop().close()

        def let_in() -> bool:
            with ask(plane, UPGRADE + PROTOCOL_HEADER, address) as again:
                return again.recv(4096).startswith(b"HTTP/1.1 101 ")

        plane.until(let_in)
    finally:
        for line in idle:
            line.close()


def test_a_handshake_has_an_end(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_MS", 200)
    with ask(plane, UPGRADE + PROTOCOL_HEADER) as line:
        heard = b""
        while b"\x11\x31handshake.timeout" not in heard:  # the close frame: 4401 and its reason
            chunk = line.recv(4096)
            assert chunk
            heard += chunk
        assert b'"type":"reject"' in heard
    assert plane.call(lambda: plane.hub.fleet.size) == 0


def test_a_peer_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for it is bounded; nothing else is slowed down."""
    monkeypatch.setattr(runtime_socket, "OUTBOX_BYTES", 1_000)

    async def scenario() -> tuple[int, list[str]]:
        reads, begun = asyncio.Event(), asyncio.Event()
        sent: list[str] = []

        async def send(message: runtime_socket.Message) -> None:
            begun.set()
            await reads.wait()
            sent.append(message["type"])

        bridge = runtime_socket.SocketBridge(send)
        bridge.send(b"the first")
        await begun.wait()
        for _ in range(10):
            bridge.send(b"x" * 300)
        waiting = len(bridge._outbox or ())
        reads.set()
        await bridge.drained()
        bridge.send(b"too late")
        return waiting, sent

    waiting, sent = asyncio.run(scenario())
    assert waiting == 0
    assert sent == ["websocket.send", "websocket.close"]


def test_nobody_is_welcomed_before_it_is_written_down(
    plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overloaded(*_: object) -> None:
        raise Overloaded("full")

    with monkeypatch.context() as patched:
        patched.setattr(plane.log, "append", overloaded)
        runtime.manners.reconnect = False
        assert rejected(runtime) == ("server.overloaded", 1013)
        assert runtime.recording.select("welcome") == []
    runtime.connect()
    assert plane.rows("SELECT runtime_id, incarnation FROM runtime_lives") == [
        (runtime.runtime_id, runtime.incarnation)
    ]


def test_what_cannot_be_kept_is_not_confirmed_and_comes_again(
    plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log takes nothing more: the connection is closed, and the next one brings the same frames again."""
    gate = Gate()
    runtime.script = runs_until(gate)
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    since = runtime.recording.mark()
    with log_is_full(plane, monkeypatch, of_a_session):
        gate.open()
        assert closed(runtime, since=since) == 1013
    verdict = plane.ended(call).verdict
    assert verdict is not None
    assert verdict.kind is Kind.ANSWERED


# -- one key, one process ---


def test_the_next_life_replaces_the_former(plane: Plane, runtime: Runtime, new_runtime: Callable[..., Runtime]) -> None:
    runtime.connect()
    twin = runtime.clone()
    twin.begin_life()
    twin.connect()
    assert closed(runtime) == 4410
    assert plane.health(runtime.endpoint_id) == "healthy"
    assert len(plane.events("endpoint.health_changed")) == 1, "a change of lives is no change of health"
    twin.die()


def test_each_kind_of_bridge_is_there_once(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    runtime.connect("longpoll")
    twin = runtime.clone()
    twin.incarnation = runtime.incarnation
    twin.connect()
    assert closed(runtime) == 4410
    assert [link.bridge.kind for link in runtime.links] == ["longpoll"]
    bridges = plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).runtimes[0].bridges)
    assert bridges == ("websocket", "longpoll")
    twin.die()


def both_are_sent_away(one: Runtime, other: Runtime) -> None:
    def as_a_clone(seen: Seen) -> bool:
        return seen.frame.get("code") == 4409

    for runtime in (one, other):
        runtime.recording.wait("closed", "note", where=as_a_clone)


def test_two_that_live_with_one_key_wait_for_a_person(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    twin = runtime.clone()
    twin.connect(wait=False)
    both_are_sent_away(runtime, twin)
    assert [event["runtime_id"] for event in plane.events("runtime.clone_suspected")] == [runtime.runtime_id]
    assert plane.rows("SELECT type FROM attention") == [("runtime.clone_suspected",)]
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    assert rejected(runtime) == ("runtime.clone_suspected", 4409)
    assert plane.attempt(call).state is AttemptState.HELD
    accept(plane, runtime)
    runtime.begin_life(start_number=1)
    runtime.connect()
    plane.ended(call)
    assert twin.dispatches() == []


def test_a_former_that_is_connected_but_does_not_answer_was_set_back(plane: Plane, runtime: Runtime) -> None:
    """A frozen process, or a socket that nobody has closed: no answer to a `ping` within 2 s."""
    runtime.connect()
    runtime.manners.deaf = True
    twin = runtime.clone()
    twin.connect()
    assert closed(runtime) == 4410
    assert plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).review_needed)
    twin.die()


def test_a_start_number_that_is_not_higher_was_set_back(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    runtime.die()
    runtime.begin_life(start_number=runtime.start_number)
    runtime.connect()
    (event,) = plane.events("endpoint.journal_regressed")
    assert event["endpoint_id"] == runtime.endpoint_id
    assert plane.rows("SELECT type FROM attention") == [("endpoint.journal_regressed",)]


def test_another_fingerprint_is_another_computer(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    runtime.die()
    runtime.machine.machine_fingerprint = fresh_id("")[1:].rjust(64, "1")
    runtime.begin_life()
    assert rejected(runtime) == ("runtime.clone_suspected", 4409)
    assert rejected(runtime) == ("runtime.clone_suspected", 4409)
    accept(plane, runtime)
    runtime.connect()


def test_what_is_known_of_lives_survives_a_restart(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    former = runtime.clone()
    former.incarnation = runtime.incarnation
    runtime.restart()
    runtime.die()
    plane.restart()
    assert rejected(former) == ("runtime.clone_suspected", 4409)
    plane.restart()
    assert rejected(runtime) == ("runtime.clone_suspected", 4409)
    former.die()


def test_a_decision_survives_a_restart(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    twin = runtime.clone()
    twin.connect(wait=False)
    both_are_sent_away(runtime, twin)
    accept(plane, runtime)
    plane.restart()
    twin.connect()
    twin.die()


# -- one endpoint, one computer ---


def test_two_boot_ids_at_once_are_two_computers(plane: Plane, new_runtime: Callable[..., Runtime]) -> None:
    first = new_runtime()
    second = new_runtime(first.endpoint_id)
    second.machine.machine_fingerprint = first.machine.machine_fingerprint
    change(plane, second, machine_fingerprint=first.machine.machine_fingerprint)
    first.connect()
    second.connect()
    moved = plane.directory.runtimes[second.runtime_id].endpoint_id
    assert moved != first.endpoint_id
    assert plane.events("endpoint.split")[0]["endpoint_id"] == moved
    (call,) = plane.prompt(plane.session(moved))
    plane.ended(call)
    assert len(second.dispatches()) == 1
    assert plane.health(first.endpoint_id) == plane.health(moved) == "healthy"


def test_a_computer_that_restarted_is_still_one(plane: Plane, new_runtime: Callable[..., Runtime]) -> None:
    """The other runtime's connection of before the restart is still open, and nobody answers on it."""
    first = new_runtime()
    second = new_runtime(first.endpoint_id, machine=first.machine)
    first.connect()
    second.connect()
    first.manners.deaf = True
    second.restart(reboot=True)
    assert plane.directory.runtimes[second.runtime_id].endpoint_id == first.endpoint_id


def test_a_runtime_that_was_moved_still_speaks_for_what_it_was_given(
    plane: Plane, new_runtime: Callable[..., Runtime]
) -> None:
    first, second = new_runtime(), new_runtime()
    gate = Gate()
    second.script = runs_until(gate)
    second.connect()
    (call,) = plane.prompt(plane.session(second.endpoint_id))
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    change(plane, second, endpoint_id=first.endpoint_id)
    gate.open()
    plane.ended(call)
    second.saw("confirm", where=lambda seen: seen.about(call) and seen.frame["settled"])
    assert plane.health(first.endpoint_id) == "healthy"


# -- the journal ---


def set_back_behind_a_call(plane: Plane, runtime: Runtime) -> str:
    """It acknowledged a call and died; its journal is as it was before."""
    runtime.connect()
    before = runtime.journal.snapshot()
    runtime.script = acknowledges_only
    (call,) = plane.prompt(plane.session(runtime.endpoint_id), Effect.MUTATING)
    plane.until(lambda: plane.attempt(call).state is AttemptState.ACKNOWLEDGED)
    runtime.die()
    runtime.journal.set_back(before)
    return call


def test_a_journal_that_went_back_is_evidence_and_is_not_trusted(plane: Plane, runtime: Runtime) -> None:
    call = set_back_behind_a_call(plane, runtime)
    runtime.script = answers()
    runtime.restart()
    facts = plane.until(
        lambda: (
            [f for f in plane.attempt(call).facts if isinstance(f.event, EvidenceNoted)]
            if any(
                isinstance(f.event, EvidenceNoted) and f.event.fact == "journal_regressed"
                for f in plane.attempt(call).facts
            )
            else None
        )
    )
    assert facts
    view = plane.call(lambda: plane.hub.view_of(runtime.endpoint_id))
    assert view.review_needed
    assert not view.runtimes[0].trusted
    plane.restart()
    runtime.saw("welcome", since=runtime.recording.mark(), timeout=20)
    assert plane.call(lambda: plane.hub.view_of(runtime.endpoint_id)).review_needed
    plane.call(lambda: plane.hub.journal_reviewed(runtime.endpoint_id))
    assert not plane.call(lambda: plane.hub.view_of(runtime.endpoint_id)).review_needed
    plane.restart()
    assert not plane.call(lambda: plane.hub.view_of(runtime.endpoint_id)).review_needed
    assert len(plane.events("endpoint.journal_regressed")) == 1


WENT_BACK = of_type("endpoint.journal_regressed")


def test_a_journal_that_went_back_is_found_again_where_it_could_not_be_written_down(
    plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_back_behind_a_call(plane, runtime)
    runtime.begin_life()
    runtime.manners.reconnect = False
    with log_is_full(plane, monkeypatch, WENT_BACK):
        assert rejected(runtime) == ("server.overloaded", 1013)
    assert plane.events("endpoint.journal_regressed") == []
    runtime.connect()
    plane.until(lambda: plane.events("endpoint.journal_regressed"))
    assert plane.rows("SELECT type FROM attention WHERE type LIKE 'endpoint.%'") == [("endpoint.journal_regressed",)]
    assert plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).review_needed)


def test_a_word_that_shows_a_journal_set_back_reaches_a_person_though_the_log_failed(
    plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.connect()
    known = plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).runtimes[0].journal_id)
    with log_is_full(plane, monkeypatch, WENT_BACK) as tries:
        plane.call(lambda: plane.hub.mark_regressed(runtime.endpoint_id, known))
        assert plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).review_needed)
        plane.until(lambda: tries[0] > 1)
        assert plane.events("endpoint.journal_regressed") == []
    plane.until(lambda: plane.events("endpoint.journal_regressed"))
    assert plane.rows("SELECT type FROM attention") == [("endpoint.journal_regressed",)]


@pytest.fixture
def own_loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


def test_what_another_runtime_wrote_meanwhile_is_no_step_back(
    plane: Plane, new_runtime: Callable[..., Runtime], own_loop: LoopThread
) -> None:
    """The hello was made before the other's receipts came, and is judged by what was seen before its challenge."""
    first = new_runtime()
    second = Runtime(own_loop, plane.url, machine=first.machine, journal=first.journal)
    plane.enroll(second, first.endpoint_id)
    first.connect()
    session = plane.session(first.endpoint_id)
    (call,) = plane.prompt(session)
    plane.ended(call)
    written = first.journal.sequence

    def after_more_work(frame: dict[str, object]) -> dict[str, object]:
        first.recording.add("note", "hello_made", {})
        plane.until(lambda: plane.call(lambda: _mark(plane, first)) > written)
        return frame

    second.manners.sign = after_more_work
    second.connect(wait=False)
    first.recording.wait("hello_made", "note")
    plane.prompt(session)
    second.saw("welcome")
    assert not plane.call(lambda: plane.hub.view_of(first.endpoint_id)).review_needed
    second.die()


def _mark(plane: Plane, runtime: Runtime) -> int:
    return next(r for r in plane.hub.view_of(runtime.endpoint_id).runtimes).highest_sequence


# -- keys ---


def test_a_runtime_that_trusts_a_former_key_learns_the_new_one(plane: Plane, runtime: Runtime) -> None:
    former = plane.keyring.trusted_by(plane.keyring.current_public)
    plane.keyring = Keyring([Ed25519PrivateKey.generate(), former])
    plane.restart()
    runtime.connect()
    runtime.saw("keys")
    plane.until(lambda: encode(plane.keyring.current_public) in runtime.trusted)
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.ended(call)


def test_the_directory_suspects_a_runtime_once(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    plane.run(runtimes.suspect(plane.directory, runtime.runtime_id))
    plane.run(runtimes.suspect(plane.directory, runtime.runtime_id))
    assert len(plane.events("runtime.clone_suspected")) == 1
