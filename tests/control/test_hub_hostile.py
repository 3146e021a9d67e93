"""No bytes of a runtime crash the control plane or block another session (RECOVERY.md §9, 7)."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caisey.core.policy import PolicyFields
from caisey.core.states import AttemptState, Kind
from caisey.protocol import limits
from tests.control.plane import Plane
from tests.foreign.bridges import BridgeClosedError, WebSocketBridge
from tests.foreign.loop import LoopThread
from tests.foreign.runtime import Runtime
from tests.foreign.work import Gate, runs_until
from tests.protocol.nasty import NASTY, is_text

KINDS = [
    *("acknowledged", "started", "output", "gap", "progress", "input_accepted", "finished", "refused", "statement"),
    *("heartbeat", "leaving", "pong", "problem", "hello", "challenge", "welcome", "dispatch", "cancel", "dance"),
]
EDGES: list[Any] = [
    0,
    1,
    -1,
    2**31,
    2**53,
    2**63 - 1,
    2**63,
    -(2**63),
    1e308,
    0.5,
    True,
    None,
    "",
    "\x00",
    "é" * 40,
    [],
    {},
]
ANY = st.sampled_from(EDGES) | st.text(max_size=20) | st.integers(-5, 2**64)
STREAMS = st.sampled_from(["stdout", "stderr", "result", "elsewhere"])
INVALID_UTF8 = "Invalid UTF-8 sequence received from client."
"""The transport's own word; it has closed that connection."""
OFFSETS = st.sampled_from([0, 1, 7, 2**40, 2**63 - 1, -1])


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    patch = pytest.MonkeyPatch()
    patch.setattr(limits, "FAULTS_PER_MINUTE", 1_000_000)  # it may go on for as long as the test wants
    # No heartbeats meanwhile: the foreign runtime draws their jitter from `random`, which Hypothesis watches.
    policy = PolicyFields(heartbeat_interval_s=3600.0)
    plane = Plane(tmp_path_factory.mktemp("plane"), Ed25519PrivateKey.generate(), policy=policy)
    yield plane
    plane.stop()
    patch.undo()


@pytest.fixture(scope="module")
def hostile(plane: Plane, loop: LoopThread) -> Iterator[tuple[Runtime, str]]:
    """A runtime with one running attempt that is really its own."""
    runtime = plane.enroll(Runtime(loop, plane.url))
    runtime.script = runs_until(Gate(), stdout=b"")
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    yield runtime, call
    runtime.die()


@pytest.fixture(scope="module")
def bystander(plane: Plane, loop: LoopThread) -> Iterator[tuple[Runtime, str]]:
    """Another computer, on which somebody works."""
    runtime = plane.enroll(Runtime(loop, plane.url)).connect()
    yield runtime, plane.session(runtime.endpoint_id)
    runtime.die()


@st.composite
def frames(draw: st.DrawFn) -> dict[str, Any]:
    """Frames near to right ones: right names, odd values."""
    frame: dict[str, Any] = {"type": draw(st.sampled_from(KINDS)), "attempt": {"tool_call_id": "MINE", "number": 1}}
    odd = {
        "journal_sequence": st.integers(0, 50) | ANY,
        "stream": STREAMS,
        "offset": OFFSETS,
        "length": OFFSETS,
        "why": st.sampled_from(["limit", "lost", "cancel", "reconcile", "?"]),
        "data": st.sampled_from(["", "AAAA", "AAAAAAAA", "A", 7]),
        "state": st.sampled_from(
            ["never_received", "received", "started", "process_gone", "finished", "superseded", "closed", "?"]
        ),
        "sequence": st.integers(1, 5) | ANY,
        "pid": ANY,
        "process_key": ANY,
        "cpu_ms": ANY,
        "bytes": st.dictionaries(STREAMS, ANY, max_size=3),
        "in_flight": st.lists(st.just({"tool_call_id": "MINE", "number": 1}) | ANY, max_size=3),
        "interval_ms": st.sampled_from([1, 300, 2**31, 0, "x"]),
        "time_ms": st.sampled_from([0, 1, 2**63 - 1]),
        "monotonic_ms": st.sampled_from([0, 1, 2**63 - 1]),
        "accepting": st.booleans(),
        "slept_ms": st.sampled_from([0, 1, 2**63 - 1]),
        "execution": ANY | st.dictionaries(st.sampled_from(["exit_code", "ended_by", "streams"]), ANY, max_size=3),
        "answers": st.sampled_from([{"tool_call_id": "MINE", "number": n} for n in (1, 2, 2**63 - 1)]),
        "owner": ANY,
        "journal_id": st.just("JOURNAL"),
        "reason": st.sampled_from(["sleep", "drain", "?"]),
        "code": st.sampled_from(["runtime.busy", "journal.full", "?"]),
        "id": ANY,
    }
    for name in draw(st.sets(st.sampled_from(sorted(odd)), max_size=9)):
        frame[name] = draw(odd[name])
    if draw(st.booleans()):
        frame["attempt"] = draw(st.sampled_from([{"tool_call_id": "MINE", "number": 2**63 - 1}, ANY_ATTEMPT, 7, None]))
    return frame


ANY_ATTEMPT = {"tool_call_id": "tcl_00000000000000000000000000", "number": 1}
RIGHT = [
    {"type": "output", "stream": "stdout", "offset": 2**63 - 2, "data": "AAAA"},
    {"type": "gap", "stream": "stdout", "offset": 2**63 - 1, "length": 2**63 - 1, "why": "lost"},
    {"type": "gap", "stream": "stdout", "offset": 0, "length": 0, "why": "lost"},
    {"type": "output", "stream": "stdout", "offset": 0, "data": ""},
    {"type": "heartbeat", "sequence": 2**63 - 1, "time_ms": 2**63 - 1, "monotonic_ms": 2**63 - 1, "interval_ms": 1,
     "journal_sequence": 2**63 - 1, "accepting": True, "in_flight": [], "slept_ms": 2**63 - 1},
    {"type": "acknowledged", "journal_sequence": 2**63 - 1},
    {"type": "progress", "cpu_ms": 2**63 - 1, "bytes": {"stdout": 2**63 - 1}},
]  # fmt: skip


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    sent=st.lists(
        frames() | st.sampled_from(RIGHT).map(lambda f: {"attempt": {"tool_call_id": "MINE", "number": 1}, **f}),
        min_size=1,
        max_size=12,
    )
)
def test_odd_frames_harm_nobody(
    plane: Plane, hostile: tuple[Runtime, str], bystander: tuple[Runtime, str], sent: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    runtime, call = hostile
    for frame in sent:
        text = json.dumps(frame).replace('"MINE"', json.dumps(call))
        runtime.say(text.replace('"JOURNAL"', json.dumps(runtime.journal.journal_id)))
    unharmed(plane, bystander, caplog)
    assert len(runtime.links) == 1, "for single faults no connection is closed"


def unharmed(plane: Plane, bystander: tuple[Runtime, str], caplog: pytest.LogCaptureFixture) -> None:
    """Somebody else's work goes on, and the control plane has no complaint."""
    (asked,) = plane.prompt(bystander[1])
    verdict = plane.ended(asked).verdict
    assert verdict is not None
    assert verdict.kind is Kind.ANSWERED
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert not [record for record in errors if not record.getMessage().startswith(INVALID_UTF8)]
    assert plane.log.health().failures == 0, "an event that cannot be sealed fails everybody's commit"
    assert plane.call(lambda: all(not task.done() for task in plane._tasks))


def test_every_nasty_frame_on_a_live_connection(
    plane: Plane, hostile: tuple[Runtime, str], bystander: tuple[Runtime, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Also about an attempt that is its own."""
    runtime, call = hostile
    for data in NASTY.values():
        if is_text(data):
            small = len(data) < limits.FRAME_BYTES  # a longer id would make the largest too long for the transport
            runtime.say(data.replace(b'"tcl_1"', json.dumps(call).encode()) if small else data)
    unharmed(plane, bystander, caplog)
    assert len(runtime.links) == 1


async def thrown(url: str, data: bytes) -> BridgeClosedError:
    """A stranger says this instead of a hello; what the control plane makes of it."""
    bridge = WebSocketBridge(url, "127.0.0.1")
    await bridge.open()
    challenge = json.loads(str(await bridge.receive()))
    assert challenge["type"] == "challenge"
    try:
        await bridge.send(data)
        while True:
            assert json.loads(str(await bridge.receive()))["type"] == "reject"
    except BridgeClosedError as closed:
        return closed


def test_every_nasty_frame_instead_of_a_hello(
    plane: Plane, loop: LoopThread, bystander: tuple[Runtime, str], caplog: pytest.LogCaptureFixture
) -> None:
    for name, data in NASTY.items():
        closed = loop.run(thrown(plane.url, data))
        assert closed.code in ((4401, 4426) if is_text(data) else (1007,)), name
    unharmed(plane, bystander, caplog)


def test_more_than_a_message_may_have_ends_the_connection_alone(
    plane: Plane, loop: LoopThread, bystander: tuple[Runtime, str], caplog: pytest.LogCaptureFixture
) -> None:
    closed = loop.run(thrown(plane.url, b" " * (limits.MESSAGE_BYTES + 1)))
    assert closed.code == 1009
    unharmed(plane, bystander, caplog)


def test_every_nasty_frame_as_a_poll(
    plane: Plane, bystander: tuple[Runtime, str], caplog: pytest.LogCaptureFixture
) -> None:
    line = http.client.HTTPConnection("127.0.0.1", plane.port, timeout=40)
    with contextlib.closing(line):
        for name, data in NASTY.items():
            line.request("POST", "/runtime/v1/poll", data, {"Content-Type": "application/json"})
            answer = line.getresponse()
            problem = json.loads(answer.read())
            assert 400 <= answer.status < 500, name
            assert answer.getheader("content-type") == "application/problem+json"
            assert problem["code"] in ("request.invalid_json", "request.invalid_shape", "request.too_large"), name
    unharmed(plane, bystander, caplog)


def test_statements_about_nothing_wait_for_the_log_like_everything_else(
    plane: Plane, hostile: tuple[Runtime, str]
) -> None:
    """They are evidence and are kept; a flood of them must not fill the queue that everybody's prompts stand in."""
    runtime, _ = hostile
    live = plane.hub.fleet.runtimes[runtime.runtime_id].best
    assert live is not None
    strange = {
        "type": "statement",
        "state": "process_gone",
        "journal_id": runtime.journal.journal_id,
        "journal_sequence": runtime.journal.sequence,
    }

    def flood() -> int:
        """All in one turn of the loop, as a socket would never hand them over."""
        for number in range(500):
            about = {"tool_call_id": f"tcl_strange{number}", "number": 1}
            if plane.hub.receive(live, json.dumps({**strange, "attempt": about})) is not None:
                return number
        return 500

    assert plane.call(flood) < 100
    plane.until(lambda: live.under_way == 0)
    assert plane.call(flood) < 100, "and it is heard again once they are durable"
    plane.until(lambda: live.under_way == 0)
