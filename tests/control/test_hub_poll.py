"""Polls as a bridge: each taken once, each answered once, nothing lost (PROTOCOL.md §1)."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from caisey.api import runtime_poll
from caisey.core.states import AttemptState
from tests.control.plane import Plane
from tests.foreign.bridges import LongPollBridge
from tests.foreign.runtime import Runtime
from tests.foreign.wire import Frame
from tests.foreign.work import Gate, runs_until


def post(plane: Plane, body: Any, method: str = "POST") -> tuple[int, Any]:
    line = http.client.HTTPConnection("127.0.0.1", plane.port, timeout=40)
    try:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        line.request(method, "/runtime/v1/poll", text, {"Content-Type": "application/json"})
        response = line.getresponse()
        raw = response.read()
        return response.status, json.loads(raw) if raw else None
    finally:
        line.close()


def begin(plane: Plane, sequence: int = 1) -> Any:
    status, answer = post(plane, {"connection": None, "sequence": sequence, "received": 0, "frames": []})
    assert status == 200
    return answer


def go_on(answer: Any, sequence: int, *frames: Frame, received: int | None = None) -> Frame:
    heard = answer["sequence"] if received is None else received
    return {"connection": answer["connection"], "sequence": sequence, "received": heard, "frames": list(frames)}


def bridge_of(runtime: Runtime) -> LongPollBridge:
    bridge = runtime.links[-1].bridge
    assert isinstance(bridge, LongPollBridge)
    return bridge


def let_in(plane: Plane, runtime: Runtime, answer: Any, sequence: int) -> Any:
    """The second poll carries the hello; its answer the welcome."""
    (challenge,) = answer["frames"]
    hello = runtime.hello("longpoll", challenge["nonce"], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    status, welcomed = post(plane, go_on(answer, sequence, hello))
    assert (status, welcomed["frames"][0]["type"]) == (200, "welcome")
    assert welcomed["frames"][0]["connection"] == welcomed["connection"] == answer["connection"]
    return welcomed


def heartbeat(sequence: int, interval_ms: int = 15_000) -> Frame:
    return {
        "type": "heartbeat",
        "sequence": sequence,
        "time_ms": 1,
        "monotonic_ms": 1,
        "interval_ms": interval_ms,
        "journal_sequence": 0,
        "accepting": True,
        "in_flight": [],
    }


def acks(answer: Any) -> list[int]:
    return [frame["sequence"] for frame in answer["frames"] if frame["type"] == "heartbeat_ack"]


def test_the_first_answer_is_the_challenge(plane: Plane) -> None:
    answer = begin(plane, 7)
    assert [frame["type"] for frame in answer["frames"]] == ["challenge"]
    assert (answer["sequence"], answer["received"]) == (7, 7)
    assert len(answer["connection"]) >= 22
    assert begin(plane)["connection"] != answer["connection"]


def test_the_same_number_gets_the_same_answer(plane: Plane, runtime: Runtime) -> None:
    first = begin(plane)
    welcomed = let_in(plane, runtime, first, 2)
    poll = go_on(welcomed, 3, heartbeat(1))
    status, answer = post(plane, poll)
    assert (status, acks(answer)) == (200, [1])
    assert post(plane, poll) == (200, answer)
    assert post(plane, go_on(answer, 4, heartbeat(2)))[1]["sequence"] == 4
    assert post(plane, poll) == (200, answer)


def test_what_was_not_received_is_sent_again(plane: Plane, runtime: Runtime) -> None:
    welcomed = let_in(plane, runtime, begin(plane), 2)
    _, lost = post(plane, go_on(welcomed, 3, heartbeat(1)))
    assert acks(lost) == [1]
    _, answer = post(plane, go_on(welcomed, 4, heartbeat(2), received=2))
    assert acks(answer)[:1] == [1], "the answer to 3 was lost on its way"
    _, answer = post(plane, go_on(answer, 5, heartbeat(3)))
    assert 1 not in acks(answer)


def test_a_poll_that_overtook_another_is_taken_after_it(plane: Plane, runtime: Runtime) -> None:
    welcomed = let_in(plane, runtime, begin(plane), 2)

    with ThreadPoolExecutor() as pool:
        later = pool.submit(post, plane, go_on(welcomed, 4, heartbeat(2)))
        plane.until(lambda: plane.call(lambda: _early(plane)))
        answers = [post(plane, go_on(welcomed, 3, heartbeat(1))), later.result()]
    assert [status for status, _ in answers] == [200, 200]
    assert [ack for _, answer in answers for ack in acks(answer)] in ([1, 2], [1, 1, 2])


def _waiting(plane: Plane) -> bool:
    return any(bridge.waiting is not None for bridge in plane.poll._bridges.values())


def _early(plane: Plane) -> bool:
    return any(bridge.early for bridge in plane.poll._bridges.values())


def test_a_poll_that_never_comes_holds_nobody_up(
    plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_poll, "OUT_OF_ORDER_S", 0.05)
    welcomed = let_in(plane, runtime, begin(plane), 2)
    status, answer = post(plane, go_on(welcomed, 9, heartbeat(5)))
    assert (status, acks(answer), answer["received"]) == (200, [5], 9)
    status, late = post(plane, go_on(welcomed, 5, heartbeat(3)))
    assert (status, late["frames"], late["sequence"]) == (200, [], 5), "its frames are taken, the answer is empty"
    _, answer = post(plane, go_on(answer, 10, heartbeat(6)))
    assert acks(answer) in ([3, 6], [3])


def test_a_new_poll_ends_a_waiting_one_at_once(plane: Plane, runtime: Runtime) -> None:
    runtime.connect("longpoll")
    runtime.heartbeats_pass(4)
    bridge = plane.call(lambda: next(iter(plane.poll._bridges.values())))
    assert plane.call(lambda: bridge.last) >= 4


def test_an_answer_may_be_asked_for_again_while_it_is_waited_for(plane: Plane, runtime: Runtime) -> None:
    """The same number twice at once: both get the same answer."""
    welcomed = let_in(plane, runtime, begin(plane), 2)
    poll = go_on(welcomed, 3)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(post, plane, poll)
        plane.until(lambda: plane.call(lambda: _waiting(plane)))
        again = post(plane, poll)
        assert again == first.result()
    assert again[0] == 200


def test_a_guessed_connection_is_nothing(plane: Plane) -> None:
    status, problem = post(plane, {"connection": "guessed", "sequence": 1, "received": 0, "frames": []})
    assert (status, problem["code"]) == (410, "connection.ended")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "request.invalid_json"),
        ([], 422, "request.invalid_shape"),
        ({"connection": 7, "sequence": "x", "received": None, "frames": {}}, 422, "request.invalid_shape"),
        (b" " * (4 * 1024 * 1024 + 1), 413, "request.too_large"),
    ],
    ids=["json", "array", "shape", "size"],
)
def test_a_body_that_is_no_poll(plane: Plane, body: Any, status: int, code: str) -> None:
    answered, problem = post(plane, body)
    assert (answered, problem["code"]) == (status, code)


def test_another_method(plane: Plane) -> None:
    assert post(plane, b"", "GET")[0] == 405


def test_one_broken_frame_spoils_no_other(plane: Plane, runtime: Runtime) -> None:
    welcomed = let_in(plane, runtime, begin(plane), 2)
    _, answer = post(plane, go_on(welcomed, 3, {"type": "leaving", "reason": 7}, heartbeat(1)))
    frames = list(answer["frames"])
    if not acks(answer):
        frames += post(plane, go_on(answer, 4))[1]["frames"]
    assert {frame["type"] for frame in frames} >= {"problem", "heartbeat_ack"}


def test_a_bridge_that_nobody_polls_is_closed(plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_poll, "AWAY_MS", 300)
    welcomed = let_in(plane, runtime, begin(plane), 2)
    assert plane.health(runtime.endpoint_id) == "healthy"
    plane.until(lambda: plane.health(runtime.endpoint_id) == "offline")
    status, problem = post(plane, go_on(welcomed, 3))
    assert (status, problem["code"]) == (410, "connection.ended")
    assert plane.call(lambda: plane.poll._bridges) == {}


def test_a_runtime_that_was_killed_while_it_waited_is_noticed(
    plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_poll, "BROKEN_OFF_MS", 100)
    welcomed = let_in(plane, runtime, begin(plane), 2)
    line = http.client.HTTPConnection("127.0.0.1", plane.port)
    line.request("POST", "/runtime/v1/poll", json.dumps(go_on(welcomed, 3)), {"Content-Type": "application/json"})
    plane.until(lambda: plane.call(lambda: _waiting(plane)))
    line.close()
    plane.until(lambda: plane.health(runtime.endpoint_id) == "offline")


def test_a_refused_hello_is_told_before_the_end(plane: Plane, runtime: Runtime) -> None:
    answer = begin(plane)
    hello = runtime.hello("longpoll", answer["frames"][0]["nonce"], answer["frames"][0]["nonce"])
    status, said = post(plane, go_on(answer, 2, {**hello, "signature": ""}))
    assert (status, [frame["type"] for frame in said["frames"]]) == (200, ["reject"])
    status, problem = post(plane, go_on(said, 3))
    assert (status, problem["code"], problem["close_code"]) == (410, "connection.ended", 4401)


def test_lost_answers_cost_no_work(plane: Plane, runtime: Runtime) -> None:
    gate = Gate()
    runtime.script = runs_until(gate)
    runtime.connect("longpoll")
    bridge_of(runtime).lose_answers = 5
    bridge_of(runtime).repeat_polls = 5
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    gate.open()
    plane.ended(call)
    assert all(first == again for first, again in bridge_of(runtime).repeated)
    assert len(plane.tool_call(call).attempts) == 1
