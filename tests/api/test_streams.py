"""Server-sent events: resumed where one was, nothing lost, nothing twice, ended with the right to read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from caisey.api import event_stream
from caisey.api.routes import events as events_routes
from tests.api.plane import TLS, Api, Plane, shell

CLOSED_WITHIN_S = 5.0
"""API.md: "Revoking a token or a role closes open streams within 5 s"."""


def take(events: Iterator[dict[str, Any]], until: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    found = []
    for event in events:
        found.append(event)
        if until(event):
            return found
    raise AssertionError(f"the stream ended after {len(found)} events")


def sequences(events: list[dict[str, Any]]) -> list[int]:
    return [event["id"] for event in events]


def logged(api: Api, session: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = api.get(f"/sessions/{session}/events", limit=3, **cursor)
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


def test_a_stream_is_the_log(api: Api) -> None:
    session = api.session(api.endpoint())
    api.prompt(session)
    log = logged(api, session)
    with api.stream(f"/sessions/{session}/stream") as events:
        shown = take(events, lambda event: event["id"] == log[-1]["sequence"])
    assert [event["data"] for event in shown] == log
    assert [(event["id"], event["event"]) for event in shown] == [(one["sequence"], one["type"]) for one in log]


def test_it_goes_on_after_the_last_event(api: Api) -> None:
    session = api.session(api.endpoint())
    api.prompt(session)
    log = logged(api, session)
    with api.stream(f"/sessions/{session}/stream", last=log[0]["sequence"]) as events:
        shown = take(events, lambda event: event["id"] == log[-1]["sequence"])
    assert sequences(shown) == [one["sequence"] for one in log[1:]]


def test_a_nudge_that_tells_of_more_than_is_read_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (event_stream, events_routes):
        monkeypatch.setattr(module, "NEWEST", 2)
    session = api.session(api.endpoint())
    with api.stream(f"/sessions/{session}/stream") as events:
        first = next(events)
        api.http.post(f"sessions/{session}/prompts", json={"tool_calls": [shell(), shell(), shell()]})
        api.prompt(session)
        log = logged(api, session)
        shown = [first, *take(events, lambda event: event["id"] == log[-1]["sequence"])]
    assert sequences(shown) == [one["sequence"] for one in log]


def test_what_happens_while_one_reads_comes_once_and_in_order(api: Api) -> None:
    """Readers come and go at every moment of a busy session; together each has seen everything once."""
    session = api.session(api.endpoint())
    done = threading.Event()

    def work() -> None:
        with httpx.Client(base_url=api.http.base_url, headers=api.http.headers, verify=TLS) as own:
            for _ in range(30):
                own.post(f"sessions/{session}/prompts", json={"tool_calls": [shell(), shell()]})
            own.post(f"sessions/{session}/close", json={"outcome": "done", "keep": kept(own, session)})
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    seen: list[int] = []
    last: int | None = None
    while True:
        with api.stream(f"/sessions/{session}/stream", last=last) as events:
            for count, event in enumerate(events, 1):
                seen.append(event["id"])
                last = event["id"]
                if event["event"] == "session.closed" or count == 7:
                    break
        if event["event"] == "session.closed":
            break
    thread.join(20)
    assert done.is_set()
    assert seen == [one["sequence"] for one in logged(api, session)]


def kept(http: httpx.Client, session: str) -> list[str]:
    prompts = http.get(f"sessions/{session}").json()["prompts"]
    return [call["id"] for prompt in prompts for call in prompt["tool_calls"]]


@pytest.mark.parametrize("path", ["/stream", "/sessions/{}/stream"])
def test_revoking_the_token_ends_the_stream(plane: Plane, api: Api, path: str) -> None:
    made = api.post("/tokens", {"role": "viewer"})
    session = api.session(api.endpoint())
    last = logged(api, session)[-1]["sequence"]
    reader = plane.client(made["token"])
    with reader.stream(path.format(session), last=last) as events:
        api.delete(f"/tokens/{made['id']}")
        began = time.monotonic()
        assert [event for event in events if event["id"] <= last] == []
        assert time.monotonic() - began < CLOSED_WITHIN_S
    assert reader.refused("GET", path.format(session))[:2] == (401, "auth.token_invalid")


def test_a_stream_ends_with_its_token(plane: Plane, api: Api) -> None:
    made = api.post("/tokens", {"role": "viewer", "expires_in_s": 1.0})
    with plane.client(made["token"]).stream("/stream") as events:
        assert all(event["id"] for event in events), "only its end ends it"


def test_the_organization_stream_shows_health_and_attention(plane: Plane, api: Api) -> None:
    with api.stream("/stream") as events:
        endpoint = api.endpoint()
        session = api.session(endpoint)
        prompt = api.prompt(session)
        call = prompt["tool_calls"][0]["id"]
        api.post(f"/tool-calls/{call}/actions", {"action": "escalate", "to": "somebody", "reason": "help"})
        shown = take(events, lambda event: event["event"] == "tool_call.escalated")
    kinds = [event["event"] for event in shown]
    assert "endpoint.enrolled" in kinds
    assert "attempt.held" in kinds
    assert "token.created" not in kinds, "who has a way in is no business of every reader"
    assert sequences(shown) == sorted(set(sequences(shown)))
    assert shown[-1]["data"]["payload"]["to"] == "somebody"


def test_the_organization_stream_shows_only_what_one_may_see(plane: Plane, api: Api) -> None:
    seen, hidden = api.group(), api.group()
    reader = plane.api("viewer", "default", (seen,))
    with reader.stream("/stream") as events:
        other = api.session(api.endpoint(hidden))
        api.prompt(other)
        ours = api.session(api.endpoint(seen))
        api.prompt(ours)
        shown = take(events, lambda event: event["event"] == "attempt.held")
    assert {event["data"]["session_id"] for event in shown} <= {ours, None}
    endpoints = {event["data"]["payload"].get("endpoint_id") for event in shown} - {None}
    assert endpoints == {api.get(f"/sessions/{ours}")["endpoint_id"]}


@pytest.mark.parametrize("last", ["one", "-1", "1.5", "9" * 30])
def test_a_last_event_id_is_a_sequence(api: Api, last: str) -> None:
    answer = api.send("GET", "/stream", headers={"Last-Event-ID": last})
    assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid_header")


def test_a_quiet_stream_says_that_it_lives(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "BEAT_S", 0.05)
    with api.http.stream("GET", "stream", timeout=5) as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if "beat" in line).startswith(":")


def test_many_streams_end_with_the_process(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane().start()
    api = plane.api()
    ended: list[int] = []
    opened = threading.Barrier(6)

    def read() -> None:
        with (
            httpx.Client(base_url=api.http.base_url, headers=api.http.headers, verify=TLS) as own,
            own.stream("GET", "stream", timeout=20) as answer,
        ):
            opened.wait(10)
            ended.append(sum(1 for _ in answer.iter_lines()))

    threads = [threading.Thread(target=read) for _ in range(5)]
    for thread in threads:
        thread.start()
    opened.wait(10)
    plane.stop()
    for thread in threads:
        thread.join(10)
    assert len(ended) == 5
