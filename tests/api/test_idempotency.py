"""`Idempotency-Key`: the same request twice is done once, also at the same time, also after a restart."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from caisey.api.services import Services
from tests.api.plane import Api, Plane, shell


def key() -> str:
    return uuid.uuid4().hex


def test_the_same_body_gets_the_first_answer_again(api: Api) -> None:
    name, same = key(), key()
    first = api.send("POST", "/client-groups", {"name": name}, key=same)
    again = api.send("POST", "/client-groups", {"name": name}, key=same)
    assert (first.status_code, first.content) == (again.status_code, again.content) == (201, first.content)


def test_another_order_and_other_blanks_are_the_same_body(api: Api) -> None:
    same = key()
    headers = {"Content-Type": "application/json"}
    bodies = (b'{"scope":"organization","uses":3}', b'{ "uses" : 3,\n"scope": "organization" }')
    first, again = (api.send("POST", "/enrollment-tokens", content=b, key=same, headers=headers) for b in bodies)
    assert first.json()["id"] == again.json()["id"]


def test_another_body_is_refused(api: Api) -> None:
    same = key()
    api.post("/client-groups", {"name": key()}, key=same)
    assert api.refused("POST", "/client-groups", {"name": key()}, key=same)[:2] == (409, "idempotency.mismatch")


@pytest.mark.parametrize(
    ("path", "body"), [("/tokens", {"role": "viewer"}), ("/enrollment-tokens", {"scope": "organization"})]
)
def test_a_secret_is_shown_once(api: Api, path: str, body: dict[str, Any]) -> None:
    same = key()
    first = api.post(path, body, key=same)
    again = api.post(path, body, key=same)
    assert first["token"]
    assert again["token"] is None
    assert again["secret_shown_once"] is True
    assert again["id"] == first["id"]
    assert first["token"] not in str(again)


def test_a_key_belongs_to_its_actor_its_method_and_its_path(plane: Plane, api: Api) -> None:
    same, body = key(), {"scope": "organization"}
    first = api.post("/enrollment-tokens", body, key=same)
    other = plane.api("admin").post("/enrollment-tokens", body, key=same)
    assert first["id"] != other["id"]
    policy = {"max_automatic": 1}
    group = api.group()
    assert api.put(f"/client-groups/{group}/policy", policy, key=same) == policy
    assert api.put(f"/client-groups/{api.group()}/policy", policy, key=same) == policy


def test_a_refusal_before_anything_was_done_uses_no_key_up(api: Api) -> None:
    same, name = key(), key()
    api.post("/client-groups", {"name": name})
    assert api.refused("POST", "/client-groups", {"name": name}, key=same)[0] == 409
    assert api.post("/client-groups", {"name": key()}, key=same)["id"]


@pytest.mark.parametrize("bad", ["", "x" * 256, "two words", "tab\there"])
def test_a_key_has_a_form(api: Api, bad: str) -> None:
    answer = api.send("POST", "/client-groups", {"name": key()}, headers={"Idempotency-Key": bad})
    assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid_header")


def test_a_prompt_is_accepted_once(api: Api) -> None:
    session = api.session(api.endpoint())
    path, body, same = f"/sessions/{session}/prompts", {"tool_calls": [shell()]}, key()
    first = api.send("POST", path, body, key=same)
    again = api.send("POST", path, body, key=same)
    assert first.status_code == again.status_code == 202
    assert first.content == again.content
    assert api.get(f"/sessions/{session}")["prompts_total"] == 1


def test_an_action_is_done_once_and_answered_alike(api: Api) -> None:
    """Also where things go on meanwhile: the first answer is what is told again, not the present state."""
    prompt = api.prompt(api.session(api.endpoint()), shell("one", effect="read_only"))
    path = f"/tool-calls/{prompt['tool_calls'][0]['id']}/actions"
    body = {"action": "escalate", "to": "somebody", "reason": "help"}
    answers: dict[str, bytes] = {}
    for same in (key() for _ in range(20)):  # the body is kept a moment after the action is durable: nobody sees it
        first = api.send("POST", path, body, key=same)
        assert first.status_code == 202
        answers[same] = first.content
        assert api.send("POST", path, body, key=same).content == first.content
    api.post(path, {"action": "cancel", "reason": "enough"})
    assert [api.send("POST", path, body, key=same).content for same in answers] == list(answers.values())


def test_a_malformed_call_is_recorded_once(api: Api) -> None:
    endpoint = api.endpoint()
    path, same = f"/sessions/{api.session(endpoint)}/prompts", key()
    body = {"tool_calls": [{"tool": "shell", "arguments": {"command": 7}}]}
    first, again = (api.send("POST", path, body, key=same) for _ in range(2))
    assert first.status_code == again.status_code == 422
    assert first.content == again.content
    lines = api.get("/reports/shapes", group_by="endpoint", limit=200)["items"]
    assert [line["count"] for line in lines if line["group"]["endpoint_id"] == endpoint] == [1]


def test_many_at_the_same_time_do_it_once(api: Api) -> None:
    session = api.session(api.endpoint())
    path, body, same = f"/sessions/{session}/prompts", {"tool_calls": [shell()]}, key()
    answers: list[httpx.Response] = []
    gate = threading.Barrier(8)

    def ask() -> None:
        with httpx.Client(base_url=api.http.base_url, headers=api.http.headers, trust_env=False) as own:
            gate.wait(10)
            answers.append(own.post(path.lstrip("/"), json=body, headers={"Idempotency-Key": same}, timeout=20))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [answer.status_code for answer in answers] == [202] * 8
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert api.get(f"/sessions/{session}")["prompts_total"] == 1


def test_the_answers_survive_a_restart(new_plane: Callable[..., Plane]) -> None:
    first_life = new_plane().start()
    same, body = key(), {"scope": "organization"}
    api = first_life.api()
    token = first_life.token()
    made = api.post("/enrollment-tokens", body, key=same)
    session = api.session(api.endpoint())
    prompt = api.post(f"/sessions/{session}/prompts", {"tool_calls": [shell()]}, key=same)
    first_life.stop()
    api = new_plane().start().client(token)
    assert api.post("/enrollment-tokens", body, key=same)["id"] == made["id"]
    assert api.post(f"/sessions/{session}/prompts", {"tool_calls": [shell()]}, key=same) == prompt


def test_a_crash_between_commit_and_answer_loses_nothing(
    new_plane: Callable[..., Plane], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is in the transaction of the prompt; only the body of the answer was not written any more."""
    monkeypatch.setattr(Services, "kept", lambda self, claim, answer: answer)
    api = new_plane().start().api()
    session = api.session(api.endpoint())
    path, body, same = f"/sessions/{session}/prompts", {"tool_calls": [shell()]}, key()
    first = api.post(path, body, key=same)
    again = api.post(path, body, key=same)
    assert again["id"] == first["id"]
    assert [call["id"] for call in again["tool_calls"]] == [call["id"] for call in first["tool_calls"]]
    opened = api.post("/sessions", {"endpoint_id": first["endpoint_id"]}, key=same)
    assert api.post("/sessions", {"endpoint_id": first["endpoint_id"]}, key=same)["id"] == opened["id"]
    assert api.get(f"/sessions/{session}")["prompts_total"] == 1
