"""Computers: found, shown, changed, joined, removed; how they come in."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from caisey.control.directory import endpoints as directory_endpoints
from tests.api.plane import TLS, Api, Plane, computer, shell

# -- showing and finding -------------------------------------------------------------------------------------------


def test_one_that_never_connected(api: Api) -> None:
    made = api.enroll(hostname="ACCT-09")
    shown = api.get(f"/endpoints/{made['endpoint_id']}")
    assert shown["name"] == shown["hostname"] == "ACCT-09"
    assert shown["health"] == "never_seen"
    assert shown["sendable"] == {"value": False, "reason": "never_seen", "proved_at": None}
    assert [runtime["id"] for runtime in shown["runtimes"]] == [made["runtime_id"]]
    assert shown["runtimes"][0]["bridges"] == []
    assert shown["facts"]["os"]["value"] == "linux"
    assert shown["facts"]["os"]["age_s"] >= 0
    assert shown["open_sessions"] == shown["held"] == 0


def test_open_sessions_and_held_are_counted(api: Api) -> None:
    endpoint = api.endpoint()
    session = api.session(endpoint)
    api.session(endpoint)
    api.prompt(session, shell(), shell())
    api.prompt(session, shell("x", effect="read_only"))
    shown = api.get(f"/endpoints/{endpoint}")
    assert (shown["open_sessions"], shown["held"]) == (2, 2)
    assert [e["held"] for e in api.get("/endpoints", limit=200)["items"] if e["id"] == endpoint] == [2]


def test_lists_come_in_pages(api: Api) -> None:
    group = api.group()
    token = api.enrollment_token("client_group", client_group_id=group, uses=7)
    made = {api.enroll(token, hostname=f"PC-{number % 3}")["endpoint_id"] for number in range(7)}
    found: list[str] = []
    cursor: dict[str, Any] = {}
    pages = 0
    while True:
        page = api.get("/endpoints", client_group=group, limit=3, **cursor)
        found += [endpoint["id"] for endpoint in page["items"]]
        pages += 1
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert pages == 3
    assert sorted(found) == sorted(made)
    assert len(found) == len(set(found))


def test_search(api: Api) -> None:
    unique = uuid.uuid4().hex[:10]
    group = api.group(f"Bakery {unique}g")
    endpoint = api.endpoint(group, hostname=f"till-{unique}n")
    api.patch(f"/endpoints/{endpoint}", {"tags": [f"env-{unique}t"]})
    api.session(endpoint, ticket=f"T-{unique}k")
    for word in ("g", "n", "t", "k"):
        found = api.get("/endpoints", q=f"{unique}{word}".upper())["items"]
        assert [one["id"] for one in found] == [endpoint], word
    assert api.get("/endpoints", q=f"{unique}zzz")["items"] == []
    assert [one["id"] for one in api.get("/endpoints", tag=f"env-{unique}t")["items"]] == [endpoint]
    assert [one["id"] for one in api.get("/endpoints", q=unique, health="never_seen")["items"]] == [endpoint]
    assert api.get("/endpoints", q=unique, health="healthy")["items"] == []


# -- changing ------------------------------------------------------------------------------------------------------


def test_name_tags_and_group(api: Api) -> None:
    first, second = api.group(), api.group()
    endpoint = api.endpoint(first)
    changed = api.patch(f"/endpoints/{endpoint}", {"name": "Front desk", "tags": ["b", "a", "a"]})
    assert (changed["name"], changed["tags"], changed["client_group_id"]) == ("Front desk", ["a", "b"], first)
    assert api.patch(f"/endpoints/{endpoint}", {"client_group_id": second})["client_group_id"] == second
    assert api.patch(f"/endpoints/{endpoint}", {"client_group_id": None})["client_group_id"] is None
    assert api.patch(f"/endpoints/{endpoint}", {})["name"] == "Front desk"
    assert api.refused("PATCH", f"/endpoints/{endpoint}", {"client_group_id": "grp_unknown"})[0] == 404


def test_removal_can_be_undone(api: Api) -> None:
    endpoint = api.endpoint()
    removing = api.delete(f"/endpoints/{endpoint}")
    assert removing["health"] == "removing"
    assert removing["sendable"]["value"] is False
    assert removing["removing"]["gone_at"] > removing["removing"]["since"]
    assert api.delete(f"/endpoints/{endpoint}")["removing"] == removing["removing"], "again does not begin it again"
    assert api.refused("POST", "/sessions", {"endpoint_id": endpoint})[:2] == (409, "endpoint.removing")
    assert api.get("/endpoints", health="removing", limit=200)["items"]
    undone = api.patch(f"/endpoints/{endpoint}", {"removing": False})
    assert undone["removing"] is None
    assert undone["health"] == "never_seen"
    assert api.session(endpoint)


def test_no_new_work_on_one_that_is_being_removed(api: Api) -> None:
    endpoint = api.endpoint()
    session = api.session(endpoint)
    api.delete(f"/endpoints/{endpoint}")
    body = {"tool_calls": [shell()]}
    assert api.refused("POST", f"/sessions/{session}/prompts", body)[:2] == (409, "endpoint.removing")


def test_it_is_gone_after_seven_days(new_plane: Callable[..., Plane], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_endpoints, "REMOVAL_MS", 0)
    plane = new_plane().start()
    made = plane.api().enroll()
    plane.api().delete(f"/endpoints/{made['endpoint_id']}")
    token = plane.token()
    plane.stop()
    api = new_plane().start().client(token)  # removals are ended at the start, and each minute
    path = f"/endpoints/{made['endpoint_id']}"
    assert any(api.http.get(path.lstrip("/")).status_code == 404 for _ in range(500))
    assert api.get("/endpoints")["items"] == []
    kinds = [event["type"] for event in api.get("/audit", limit=200)["items"]]
    assert kinds.count("endpoint.removed") == 1


# -- coming in -----------------------------------------------------------------------------------------------------


def test_the_same_question_gets_the_same_answer(api: Api) -> None:
    body = computer(api.enrollment_token())
    answers = [httpx.post(f"{api.url}/runtime/v1/enroll", json=body, trust_env=False, verify=TLS) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ({"uses": 1}, "enrollment.token_used_up"),
        ({"expires_in_s": 0.001}, "enrollment.token_expired"),
        (None, "enrollment.token_invalid"),
    ],
)
def test_a_token_has_an_end(api: Api, token: dict[str, Any] | None, code: str) -> None:
    if token is None:
        text = f"cse_{'A' * 32}.{'A' * 22}"
    else:
        text = api.enrollment_token(**token)
        if "uses" in token:
            api.enroll(text)
    answer = api.try_to_enroll(text)
    assert (answer.status_code, answer.json()["code"]) == (401, code)


def test_rotating_ends_the_old_text_at_once(api: Api) -> None:
    made = api.post("/enrollment-tokens", {"scope": "organization", "uses": 2})
    api.enroll(made["token"])
    rotated = api.post(f"/enrollment-tokens/{made['id']}/rotate")
    assert api.try_to_enroll(made["token"]).json()["code"] == "enrollment.token_invalid"
    assert [api.try_to_enroll(rotated["token"]).status_code for _ in range(3)] == [201, 201, 401]


def test_the_command_holds_the_token_and_the_address(plane: Plane, api: Api) -> None:
    made = api.post("/enrollment-tokens", {"scope": "organization"})
    for system in ("linux", "macos", "windows"):
        assert made["token"] in made["command"][system]
        assert plane.url in made["command"][system]


@pytest.mark.parametrize(
    "body",
    [
        {"scope": "client_group"},
        {"scope": "endpoint"},
        {"scope": "organization", "client_group_id": "grp_x"},
        {"scope": "organization", "uses": 0},
        {"scope": "organization", "expires_in_s": -1},
        {},
    ],
)
def test_a_scope_goes_with_its_id(api: Api, body: dict[str, Any]) -> None:
    status, code, problem = api.refused("POST", "/enrollment-tokens", body)
    assert (status, code) == (422, "request.invalid_shape")
    assert problem["errors"]


def test_a_token_of_one_endpoint_is_for_no_other_computer(api: Api) -> None:
    made = api.enroll()
    token = api.enrollment_token("endpoint", endpoint_id=made["endpoint_id"], uses=5)
    assert api.try_to_enroll(token).json()["code"] == "enrollment.token_invalid"


def test_enrollments_are_limited(new_plane: Callable[..., Plane]) -> None:
    api = new_plane().start().api()
    text = api.enrollment_token(uses=50)
    statuses = [api.try_to_enroll(text).status_code for _ in range(21)]
    assert statuses == [201] * 20 + [429]
    refused = api.try_to_enroll(text)
    assert refused.json()["code"] == "request.rate_limited"
    assert 0 < int(refused.headers["retry-after"]) <= 60


def alike(api: Api) -> tuple[dict[str, Any], dict[str, Any]]:
    machine = uuid.uuid4().hex * 2
    return api.enroll(machine_fingerprint=machine), api.enroll(machine_fingerprint=machine)


def shared_fingerprints(api: Api) -> set[str]:
    items = api.get("/attention", limit=200)["items"]
    return {item["endpoint_id"] for item in items if item["type"] == "endpoint.fingerprint_shared"}


def test_two_that_look_alike_may_be_joined(api: Api) -> None:
    first, second = alike(api)
    assert first["endpoint_id"] != second["endpoint_id"]
    assert second["endpoint_id"] in shared_fingerprints(api)
    assert api.get(f"/endpoints/{second['endpoint_id']}")["like_endpoint_id"] == first["endpoint_id"]
    joined = api.post(f"/endpoints/{first['endpoint_id']}/join", {"with": second["endpoint_id"]})
    assert joined["id"] == first["endpoint_id"]
    assert second["endpoint_id"] not in shared_fingerprints(api)
    shown = api.get(f"/endpoints/{first['endpoint_id']}")
    assert {runtime["id"] for runtime in shown["runtimes"]} == {first["runtime_id"], second["runtime_id"]}
    assert api.refused("GET", f"/endpoints/{second['endpoint_id']}")[0] == 404


def test_what_cannot_be_joined(api: Api) -> None:
    first, second = alike(api)
    path = f"/endpoints/{first['endpoint_id']}/join"
    other = api.enroll()
    for wrong in (first["endpoint_id"], other["endpoint_id"]):
        assert api.refused("POST", path, {"with": wrong})[:2] == (409, "endpoint.not_joinable")
    api.prompt(api.session(second["endpoint_id"]))
    assert api.refused("POST", path, {"with": second["endpoint_id"]})[:2] == (409, "endpoint.not_joinable")
    assert api.refused("POST", path, {"with": "ept_unknown"})[0] == 404


def test_a_person_decides_only_what_waits(api: Api) -> None:
    made = api.enroll()
    reason = {"reason": "looked"}
    accept = api.refused("POST", f"/runtimes/{made['runtime_id']}/accept", reason)
    assert accept[:2] == (409, "runtime.not_suspected")
    reviewed = api.refused("POST", f"/endpoints/{made['endpoint_id']}/journal-reviewed", reason)
    assert reviewed[:2] == (409, "endpoint.nothing_to_review")
    revoked = api.post(f"/runtimes/{made['runtime_id']}/revoke", {"reason": "stolen", "compromised": True})
    assert revoked["revoked_at"]
    assert revoked["compromised"]
    again = api.post(f"/runtimes/{made['runtime_id']}/revoke", {"reason": "no, only old"})
    assert again == revoked, "what is compromised stays so"
    events = api.get("/audit", limit=200, after=0)
    while events["next"]:
        events = api.get("/audit", limit=200, cursor=events["next"])
    said = [event["reason"] for event in events["items"] if event["type"] == "runtime.revoked"]
    assert said[-1:] == ["stolen"]


# -- policies ------------------------------------------------------------------------------------------------------


def test_each_level_overrides_the_wider_one(new_plane: Callable[..., Plane]) -> None:
    api = new_plane().start().api()
    group = api.group()
    endpoint = api.endpoint(group)
    tag = "production"
    api.patch(f"/endpoints/{endpoint}", {"tags": [tag]})
    levels = [
        ("organization", "/policy"),
        ("client_group", f"/client-groups/{group}/policy"),
        (f"tag:{tag}", f"/policies/tag?tag={tag}"),
        ("endpoint", f"/endpoints/{endpoint}/policy"),
    ]

    def said() -> tuple[Any, str]:
        field = api.get("/policies/effective", endpoint=endpoint)["ack_window_s"]
        return field["value"], field["from"]

    assert said() == (10.0, "default")
    for number, (origin, path) in enumerate(levels, 1):
        fields = {"ack_window_s": number + 0.5}
        assert api.put(path, fields) == fields
        assert api.get(path) == fields
        assert said() == (number + 0.5, origin)
    for origin, path in reversed(levels):
        assert said()[1] == origin
        assert api.put(path, {}) == {}
    assert said() == (10.0, "default")


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"ack_window_s": 0, "max_automatic": -1}, ["/ack_window_s", "/max_automatic"]),
        ({"ack_window_s": "10"}, ["/ack_window_s"]),
        ({"automatic_for": ["read_only", "everything"]}, ["/automatic_for/1"]),
        ({"when_unhealthy": "panic", "colour": "blue"}, ["/colour", "/when_unhealthy"]),
        ({"output_limit_bytes": 1.5}, ["/output_limit_bytes"]),
        ({"heartbeat_interval_s": 1e9}, ["/heartbeat_interval_s"]),
    ],
)
def test_a_policy_has_bounds(api: Api, fields: dict[str, Any], pointers: list[str]) -> None:
    status, code, problem = api.refused("PUT", "/policy", fields)
    assert (status, code) == (422, "request.invalid_shape")
    assert sorted({fault["pointer"] for fault in problem["errors"]}) == pointers


# -- what is stored ------------------------------------------------------------------------------------------------


def test_no_secret_is_stored(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane().start()
    api = plane.api()
    secrets = [
        api.post("/tokens", {"role": "viewer"}, key="one")["token"],
        api.enrollment_token(),
        plane.token(),
    ]
    plane.stop()
    dump = b""
    for path in plane.data_dir.iterdir():
        if path.is_file() and path.name != "control_plane.pem":
            dump += path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0, path
    with sqlite3.connect(plane.data_dir / "caisey.db") as connection:
        dump += "\n".join(connection.iterdump()).encode()
    connection.close()
    for secret in secrets:
        assert secret.encode() not in dump
        assert secret[4:].split(".")[0].encode() not in dump
