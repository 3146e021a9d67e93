"""PROTOCOL.md §1 `longpoll` and both bridges at once; §7: heartbeats, proofs, cadence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.end_to_end import views
from tests.end_to_end.client import Api, shell
from tests.end_to_end.fleet import Desk, Fleet
from tests.end_to_end.server import until
from tests.foreign.bridges import BridgeClosedError, LongPollBridge
from tests.foreign.runtime import Runtime
from tests.foreign.wire import Frame
from tests.foreign.work import Gate, answers, runs_until, silent


@pytest.fixture
def polling(api: Api, fleet: Fleet) -> Desk:
    """A desk whose runtime polls."""
    return Desk(api, fleet, fleet.runtime(connect="longpoll"))


def bridge_of(runtime: Runtime) -> LongPollBridge:
    bridge = runtime.links[-1].bridge
    assert isinstance(bridge, LongPollBridge)
    return bridge


def test_work_goes_over_longpoll(polling: Desk) -> None:
    """§1: "for networks that break WebSockets": the same frames, the same verdicts."""
    for number in range(3):
        prompt = polling.answered(shell(f"echo {number}"))
        assert polling.api.output(views.call(prompt)["id"]) == b"ok\n"
    shown = polling.api.get(f"/endpoints/{polling.endpoint_id}")["runtimes"][0]["bridges"]
    assert "longpoll" in str(shown)


def test_a_dispatch_ends_a_waiting_poll_at_once(polling: Desk) -> None:
    """§1: "at once if there are frames, else after at most 25 s"."""
    polling.answered()
    prompt = polling.ask()
    polling.api.wait_verdict(prompt, ("answered", "yes"), within=20)


def test_a_lost_answer_is_given_again(polling: Desk) -> None:
    """§1: "the same number gets the same answer again"; nothing is lost, nothing is done twice."""
    bridge = bridge_of(polling.runtime)
    bridge.lose_answers = 3
    bridge.repeat_polls = 3
    prompt = polling.answered(shell("once", "mutating"))
    assert len(polling.runtime.dispatches()) == 1
    assert len(views.attempts(prompt)) == 1
    until(lambda: len(bridge.repeated) >= 3, within=60, what="polls were repeated")
    for first, again in bridge.repeated:
        assert first == again


def by_hand(polling: Desk, body: Frame) -> Any:
    """One poll that the bridge did not make: the answer, or its refusal."""
    return polling.runtime.later(bridge_of(polling.runtime).post(json.dumps(body)))


def test_the_connection_is_a_secret(polling: Desk, api: Api) -> None:
    """§1: "`connection` is a secret (128 random bits or more, kept as a hash, never logged or shown)"."""
    polling.answered()
    connection = bridge_of(polling.runtime).connection
    assert connection is not None
    assert len(connection) >= 22
    shown = str(api.get(f"/endpoints/{polling.endpoint_id}")) + str(api.events(polling.session_id))
    assert connection not in shown


@pytest.mark.parametrize(
    "body",
    [
        {"connection": "guessed-0000000000000000000000", "sequence": 5, "received": 0, "frames": []},
        {"connection": 7, "sequence": "x", "received": None, "frames": {}},
        {"connection": None, "sequence": 1, "received": 0},
        [],
    ],
)
def test_a_poll_that_is_none(polling: Desk, body: Any) -> None:
    """§1: a guessed connection gets nothing; a malformed poll is refused, the bridge goes on."""
    status, answer = 200, None
    try:
        answer = by_hand(polling, body)
    except BridgeClosedError as refused:
        status = refused.code
    if answer is None:
        assert 400 <= status < 500
    else:
        assert [f["type"] for f in answer["frames"]] in ([], ["challenge"], ["problem"], ["reject"])
        assert not isinstance(body, dict) or answer["connection"] != body["connection"]
    polling.answered()


def test_both_bridges_at_once(desk: Desk) -> None:
    """§1: "A runtime may keep both open; the control plane chooses and records its choice"."""
    since = desk.runtime.recording.mark()
    desk.runtime.connect("longpoll")
    assert desk.runtime.recording.select("closed", "note", since=since) == []
    prompt = desk.answered()
    assert len(desk.runtime.dispatches()) == 1
    assert "websocket" in str(views.last(prompt)["evidence"]) or "longpoll" in str(views.last(prompt)["evidence"])


def test_one_of_two_bridges_may_go(desk: Desk) -> None:
    """§4 `lost`: the runtime is not lost while one of its bridges lives."""
    gate = Gate()
    desk.runtime.connect("longpoll")
    prompt = desk.api.wait_state(desk.ask(script=runs_until(gate)), "started")
    desk.runtime.links[0].bridge.abort()
    prompt = desk.nothing_more_happens(prompt)
    assert views.last(prompt)["state"] == "started"
    gate.open()
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_the_long_poll_of_a_dead_runtime_is_silence(polling: Desk) -> None:
    """§4 of RECOVERY.md holds for both bridges: two heartbeats, then `lost`, then the verdict."""
    polling.policy(max_automatic=0, automatic_for=[], reconcile_window_s=1.0)
    prompt = polling.api.wait_state(polling.ask(shell("x", "mutating"), script=runs_until(Gate())), "started")
    polling.runtime.die()
    polling.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"))


def test_heartbeats_are_answered_in_order(desk: Desk) -> None:
    """§7: `heartbeat_ack` {`sequence`, `server_time_ms`}."""
    desk.runtime.heartbeats_pass(4)
    sequences = [s.frame["sequence"] for s in desk.runtime.recording.select("heartbeat_ack")]
    assert sequences == list(range(1, len(sequences) + 1))


def test_the_interval_of_the_policy_is_told(desk: Desk) -> None:
    """§3 `welcome.heartbeat_interval_ms`; §7 `cadence`: "shorter while a session is open on the endpoint"."""
    told = [desk.runtime.saw("welcome").frame["heartbeat_interval_ms"]]
    told += [s.frame["heartbeat_interval_ms"] for s in desk.runtime.recording.select("cadence")]
    assert all(0 < interval <= 500 for interval in told), told


def test_it_is_judged_by_the_interval_it_states(desk: Desk) -> None:
    """§7: "It is judged by the interval it states"."""

    def slow(frame: Frame) -> Frame:
        return {**frame, "interval_ms": 60_000}

    desk.runtime.manners.heartbeat = slow
    desk.runtime.heartbeats_pass(1)
    desk.runtime.manners.heartbeats = False
    other = desk.fleet.runtime()
    other.heartbeats_pass(6)
    assert desk.api.get(f"/endpoints/{desk.endpoint_id}")["health"] == "healthy"


def test_the_proof_is_asked_for_when_it_is_old(desk: Desk) -> None:
    """§7 `ping`: "the RPC proof before a dispatch when the last proof is older than one interval"."""
    desk.runtime.heartbeats_pass(4)
    since = desk.runtime.recording.mark()
    prompt = desk.ask(script=silent)
    sent = desk.runtime.saw("dispatch", since=since)
    pings = [s for s in desk.runtime.recording.select("ping") if sent.at - s.at < 2.5 and s.at < sent.at]
    assert pings, "dispatched on an old proof"
    assert views.call(prompt)["id"]
    shown = desk.api.get(f"/endpoints/{desk.endpoint_id}")
    assert shown["sendable"]["proved_at"]
    assert shown["runtimes"][0]["last_proof_at"]


def test_a_closed_socket_is_seen_within_a_second_or_two(desk: Desk) -> None:
    """DESIGN: "runtime killed → technician sees it: 1 s (closed socket), 2 heartbeats (silence)"."""
    desk.runtime.drop_links(stay_away=True)
    until(
        lambda: desk.api.get(f"/endpoints/{desk.endpoint_id}")["health"] in ("offline", "unhealthy"),
        within=15,
        what="the endpoint is shown as away",
    )


def test_the_facts_of_an_endpoint_stay_when_it_is_offline(desk: Desk) -> None:
    """API.md `facts` "(…, with their age; also when offline)"."""
    desk.runtime.drop_links(stay_away=True)
    shown = desk.api.get(f"/endpoints/{desk.endpoint_id}")
    assert "facts" in shown
    assert shown["runtimes"][0]["boot_id"] == desk.runtime.machine.boot_id
    assert shown["runtimes"][0]["incarnation"] == desk.runtime.incarnation


def test_many_prompts_in_flight_at_one_runtime(desk: Desk) -> None:
    """DESIGN: "50 prompts in flight at one real runtime: none dropped"."""
    desk.runtime.script = answers()
    prompts = [desk.ask(shell(f"echo {n}")) for n in range(50)]
    for prompt in prompts:
        desk.api.wait_verdict(prompt, ("answered", "yes"), within=40)
    assert len(desk.runtime.dispatches()) == 50
