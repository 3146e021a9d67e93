"""Sessions, prompts, actions, output, transcripts: what a technician does, over HTTP."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import pytest

from tests.api.plane import Api, Plane, shell

READ = {"effect": "read_only"}


@pytest.fixture
def session(api: Api) -> str:
    return api.session(api.endpoint())


def call_of(prompt: dict[str, Any], step: int = 1) -> str:
    return str(prompt["tool_calls"][step - 1]["id"])


def act(api: Api, prompt: dict[str, Any], action: str, *, key: str | None = None, **fields: Any) -> Any:
    """An action by someone who has just looked."""
    seen = api.get(f"/prompts/{prompt['id']}")["sequence"]
    body = {"action": action, "reason": "needed", "seen": seen, **fields}
    return api.post(f"/tool-calls/{call_of(prompt)}/actions", body, key=key)


# -- sessions ------------------------------------------------------------------------------------------------------


def test_opened_listed_changed(api: Api) -> None:
    ticket = uuid.uuid4().hex
    endpoint = api.endpoint()
    made = api.post("/sessions", {"endpoint_id": endpoint, "title": "Printer", "ticket": ticket})
    assert (made["title"], made["ticket"], made["state"], made["endpoint_id"]) == ("Printer", ticket, "open", endpoint)
    assert [one["id"] for one in api.get("/sessions", ticket=ticket)["items"]] == [made["id"]]
    assert [one["id"] for one in api.get("/sessions", endpoint_id=endpoint, state="open")["items"]] == [made["id"]]
    changed = api.patch(f"/sessions/{made['id']}", {"title": "Spooler", "owner": "somebody", "reason": "shift ends"})
    assert (changed["title"], changed["owner"], changed["ticket"]) == ("Spooler", "somebody", ticket)
    assert api.get(f"/sessions/{made['id']}")["title"] == "Spooler"
    assert api.get("/sessions", ticket=ticket)["items"][0]["title"] == "Spooler"


def test_the_list_is_newest_first_and_in_pages(api: Api) -> None:
    endpoint = api.endpoint()
    made = [api.session(endpoint) for _ in range(5)]
    found: list[str] = []
    cursor: dict[str, Any] = {}
    for _ in range(3):
        page = api.get("/sessions", endpoint=endpoint, limit=2, **cursor)
        found += [one["id"] for one in page["items"]]
        cursor = {"cursor": page["next"]}
    assert cursor == {"cursor": None}, "three pages are all"
    assert sorted(found) == sorted(made)
    times = [api.get(f"/sessions/{one}")["created_at"] for one in found]
    assert times == sorted(times, reverse=True)


def test_closing_asks_about_open_work(api: Api, session: str) -> None:
    prompt = api.prompt(session, shell(), shell("two"))
    path = f"/sessions/{session}/close"
    status, code, problem = api.refused("POST", path, {"outcome": "done"})
    assert (status, code) == (409, "session.open_work")
    opened = [one["tool_call_id"] for one in problem["open"]]
    assert opened == [call_of(prompt, 1), call_of(prompt, 2)]
    closed = api.post(path, {"outcome": "done", "verified": True, "drop": opened[:1], "keep": opened[1:]})
    assert closed["state"] == "closed"
    assert closed["closed"]["outcome"] == "done"
    assert api.refused("POST", path, {"outcome": "again"})[:2] == (409, "session.closed")
    body = {"tool_calls": [shell()]}
    assert api.refused("POST", f"/sessions/{session}/prompts", body)[:2] == (409, "session.closed")


# -- prompts -------------------------------------------------------------------------------------------------------


def test_a_prompt_is_what_was_asked(api: Api, session: str) -> None:
    calls = [
        shell("stop", effect="mutating"),
        shell("look", effect="read_only", limits={"time_ms": 5000, "output_bytes": 1000}),
        {"tool": "service", "arguments": {"name": "cups", "action": "status"}},
        {"tool": "service", "arguments": {"name": "cups", "action": "start"}},
        shell("unsaid"),
    ]
    prompt = api.prompt(session, *calls)
    shown = prompt["tool_calls"]
    assert [one["position"] for one in shown] == [1, 2, 3, 4, 5]
    assert [one["effect"] for one in shown] == ["mutating", "read_only", "read_only", "mutating", "mutating"]
    assert [one["arguments"] for one in shown] == [one["arguments"] for one in calls]
    assert shown[1]["limits"] == {"time_ms": 5000, "output_bytes": 1000}
    assert shown[0]["state"] == "running"
    assert shown[0]["attempts"][0]["state"] == "held"
    assert {one["state"] for one in shown[1:]} == {"pending"}
    assert api.get(f"/prompts/{prompt['id']}")["tool_calls"][0]["id"] == shown[0]["id"]


def test_all_faults_of_all_calls_are_named_and_nothing_is_sent(api: Api, session: str) -> None:
    calls = [
        shell("fine"),
        {"tool": "shell", "arguments": {"command": 7, "nonsense": True}},
        {"tool": "no_such_tool", "arguments": {}},
        {"tool": "shell"},
        {"tool": "shell", "arguments": {"command": "x"}, "effect": "harmless"},
        {"tool": "service", "arguments": {"name": "cups", "action": "explode"}, "limits": {"time_ms": 0}},
    ]
    status, code, problem = api.refused("POST", f"/sessions/{session}/prompts", {"tool_calls": calls})
    assert (status, code) == (422, "prompt.malformed_call")
    assert {fault["pointer"] for fault in problem["errors"]} == {
        "/tool_calls/1/arguments/command",
        "/tool_calls/1/arguments/nonsense",
        "/tool_calls/2/tool",
        "/tool_calls/3/arguments",
        "/tool_calls/4/effect",
        "/tool_calls/5/arguments/action",
        "/tool_calls/5/limits/time_ms",
    }
    assert api.get(f"/sessions/{session}")["prompts_total"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tool_calls": []},
        {"tool_calls": [shell()] * 51},
        {"tool_calls": None},
        {"tool_calls": [shell()], "text": "and words"},
        {"tool_calls": {}},
        {"text": ""},
    ],
)
def test_a_prompt_has_a_form(api: Api, session: str, body: dict[str, Any]) -> None:
    assert api.refused("POST", f"/sessions/{session}/prompts", body)[:2] == (422, "prompt.malformed_call")


def test_fifty_calls_are_welcome(api: Api, session: str) -> None:
    assert len(api.prompt(session, *[shell(**READ)] * 50)["tool_calls"]) == 50


def test_words_need_a_model(api: Api, session: str) -> None:
    refused = api.refused("POST", f"/sessions/{session}/prompts", {"text": "why does it not print?"})
    assert refused[:2] == (422, "prompt.model_not_configured")


def test_an_effect_may_be_raised_and_not_lowered(api: Api, session: str) -> None:
    look = {"tool": "processes", "arguments": {}}
    raised = api.prompt(session, {**look, "effect": "mutating"})
    assert raised["tool_calls"][0]["effect"] == "mutating"
    start = {"tool": "service", "arguments": {"name": "cups", "action": "start"}, "effect": "read_only"}
    refused = api.refused("POST", f"/sessions/{session}/prompts", {"tool_calls": [start]})
    assert refused[:2] == (422, "action.effect_lowered")
    assert api.prompt(session, shell(effect="read_only"))["tool_calls"][0]["effect"] == "read_only", "of shells it may"


# -- actions -------------------------------------------------------------------------------------------------------


def test_what_may_start_something_mutating_needs_a_key_and_eyes(api: Api, session: str) -> None:
    prompt = api.prompt(session, shell())
    path = f"/tool-calls/{call_of(prompt)}/actions"
    body = {"action": "release", "reason": "go", "seen": prompt["sequence"]}
    assert api.refused("POST", path, body)[:2] == (422, "idempotency.key_required")
    del body["seen"]
    assert api.refused("POST", path, body, key=uuid.uuid4().hex)[:2] == (422, "action.seen_required")


def test_a_stale_look_is_told_what_is_new(api: Api, session: str) -> None:
    prompt = api.prompt(session, shell())
    api.post(f"/tool-calls/{call_of(prompt)}/actions", {"action": "escalate", "to": "somebody", "reason": "help"})
    body = {"action": "release", "reason": "go", "seen": 1}
    status, code, problem = api.refused("POST", f"/tool-calls/{call_of(prompt)}/actions", body, key=uuid.uuid4().hex)
    assert (status, code) == (409, "action.stale")
    assert problem["new"]
    assert api.get(f"/prompts/{prompt['id']}/awareness")["seen"] == api.get(f"/prompts/{prompt['id']}")["sequence"]


def test_what_is_not_offered_says_what_is(api: Api, session: str) -> None:
    prompt = api.prompt(session, shell(**READ))
    path = f"/tool-calls/{call_of(prompt)}/actions"
    status, code, problem = api.refused("POST", path, {"action": "accept_partial", "seen": prompt["sequence"]})
    assert (status, code) == (409, "action.not_offered")
    assert "cancel" in problem["offered"]
    assert problem["why"]


def test_holding_releasing_adjusting_cancelling(api: Api, session: str) -> None:
    prompt = api.prompt(session, shell("one", **READ))
    held = act(api, prompt, "hold", expires_in_s=600)
    assert held["tool_calls"][0]["attempts"][0]["state"] == "held"
    adjusted = act(api, prompt, "adjust", arguments={"command": "two"})
    assert [one["arguments"]["command"] for one in adjusted["tool_calls"]] == ["one", "two"]
    assert adjusted["tool_calls"][1]["effect"] == "read_only", "editing does not change what was stated"
    newer = {**prompt, "tool_calls": adjusted["tool_calls"][1:]}
    cancelled = act(api, newer, "cancel")
    assert {one["state"] for one in cancelled["tool_calls"]} == {"ended"}
    assert cancelled["state"] == "ended"


def test_adjusted_arguments_are_checked(api: Api, session: str) -> None:
    prompt = api.prompt(session, shell(**READ))
    path = f"/tool-calls/{call_of(prompt)}/actions"
    body = {"action": "adjust", "arguments": {"command": 7}, "seen": prompt["sequence"]}
    status, code, problem = api.refused("POST", path, body)
    assert (status, code) == (422, "prompt.malformed_call")
    assert [fault["pointer"] for fault in problem["errors"]] == ["/arguments/command"]
    del body["arguments"]
    assert api.refused("POST", path, body)[:2] == (422, "request.invalid_shape")


def test_verify_sends_the_read_only_check(api: Api, session: str) -> None:
    prompt = api.prompt(session, {"tool": "service", "arguments": {"name": "cups", "action": "stop"}})
    answer = act(api, prompt, "verify")
    check = api.get(f"/prompts/{answer['check_prompt_id']}")
    assert check["origin"] == {"action": "verify", "tool_call_id": call_of(prompt)}
    sent = check["tool_calls"][0]
    assert (sent["tool"], sent["arguments"], sent["effect"]) == (
        "service",
        {"name": "cups", "action": "status"},
        "read_only",
    )


def test_a_runtime_of_another_computer_is_not_found(api: Api, session: str) -> None:
    prompt = api.prompt(session, shell(**READ))
    other = api.enroll()["runtime_id"]
    body = {"action": "reroute", "runtime_id": other, "seen": prompt["sequence"]}
    assert api.refused("POST", f"/tool-calls/{call_of(prompt)}/actions", body)[0] == 404


# -- output and transcripts ----------------------------------------------------------------------------------------


def test_output_of_what_wrote_nothing(api: Api, session: str) -> None:
    prompt = api.prompt(session, shell(**READ))
    answer = api.send("GET", f"/tool-calls/{call_of(prompt)}/output")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert api.refused("GET", f"/tool-calls/{call_of(prompt)}/output?attempt=9")[0] == 404


HOSTILE = "<script>alert(1)</script> **bold** `tick` [x](javascript:y) | & \u202e"


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_a_transcript_escapes_everything(api: Api, form: str) -> None:
    session = api.post("/sessions", {"endpoint_id": api.endpoint(), "title": HOSTILE, "ticket": HOSTILE})["id"]
    prompt = api.prompt(session, shell(HOSTILE, **READ))
    act(api, prompt, "escalate", to=HOSTILE)
    answer = api.send("GET", f"/sessions/{session}/transcript", params={"format": form})
    assert answer.status_code == 200
    assert "<script>" not in answer.text.replace("```", "") or form == "markdown"
    if form == "html":
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "<script" not in answer.text
        assert "&lt;script&gt;" in answer.text


def test_a_transcript_as_json_holds_everything(api: Api, session: str) -> None:
    prompt = api.prompt(session, shell(**READ))
    document = api.get(f"/sessions/{session}/transcript")
    assert document["session"]["id"] == session
    assert [one["id"] for one in document["prompts"]] == [prompt["id"]]
    assert [one["type"] for one in document["events"]][:2] == ["session.created", "prompt.accepted"]
    assert document["head"]["sequence"] >= document["events"][-1]["sequence"]
    assert document["head"]["signature"]


def test_events_come_after_and_in_pages(api: Api, session: str) -> None:
    api.prompt(session, shell(**READ))
    everything = api.get(f"/sessions/{session}/events", limit=200)["items"]
    sequences = [event["sequence"] for event in everything]
    assert sequences == sorted(sequences)
    for before, event in itertools.pairwise(everything):
        after = api.get(f"/sessions/{session}/events", after=before["sequence"], limit=1)["items"]
        assert after == [event]
    assert api.get(f"/sessions/{session}/events", after=sequences[-1])["items"] == []


def test_what_a_member_is_called_is_shown(plane: Plane, api: Api) -> None:
    made = api.post("/tokens", {"role": "technician", "name": "Night shift"})
    own = plane.client(made["token"])
    session = own.session(api.endpoint())
    own.prompt(session)
    assert "Night shift" in api.send("GET", f"/sessions/{session}/transcript?format=markdown").text
