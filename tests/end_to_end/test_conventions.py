"""API.md, conventions: problem documents, cursor lists, ids, idempotency, 404, times, OpenAPI, the root."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.end_to_end.client import Api, problem_of, shell
from tests.end_to_end.fleet import Desk
from tests.end_to_end.server import Server, until
from tests.foreign.work import answers

PATHS = [
    "/enrollment-tokens", "/enrollment-tokens/{}/rotate", "/enrollment-tokens/{}", "/tokens", "/tokens/{}", "/members",
    "/endpoints", "/endpoints/{}", "/endpoints/{}/join", "/endpoints/{}/journal-reviewed", "/runtimes/{}/accept",
    "/runtimes/{}/revoke", "/client-groups", "/policy", "/client-groups/{}/policy", "/endpoints/{}/policy",
    "/policies/effective", "/sessions", "/sessions/{}", "/sessions/{}/close", "/sessions/{}/prompts", "/prompts/{}",
    "/tool-calls/{}/output", "/tool-calls/{}/actions", "/prompts/{}/awareness", "/sessions/{}/events",
    "/sessions/{}/stream", "/stream", "/sessions/{}/transcript", "/tools", "/tools/{}/{}", "/attention",
    "/reports/shapes", "/reports/recovery", "/audit", "/audit/export",
]  # fmt: skip
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_health_and_readiness(server: Server) -> None:
    """API.md: `GET /healthz` `/readyz` `/metrics` (at the root)."""
    for path in ("/healthz", "/readyz"):
        assert httpx.get(server.url + path, trust_env=False).status_code == 200


def test_metrics_hold_no_names(server: Server, desk: Desk) -> None:
    """API.md: "metrics: loopback or token, no names in labels"."""
    desk.answered()
    page = httpx.get(server.url + "/metrics", trust_env=False)
    assert page.status_code == 200
    assert "caisey" in page.text
    for name in (desk.runtime.machine.hostname, desk.endpoint_id, desk.session_id):
        assert name not in page.text


def test_openapi_is_there_and_names_the_least_role(api: Api, server: Server) -> None:
    """API.md: "OpenAPI 3.1 at `/api/v1/openapi.json`, generated from the code, each route with its least role"."""
    document = api.get("/openapi.json")
    assert document["openapi"].startswith("3.1")
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in ("get", "post", "put", "patch", "delete") and "/api/v1" in path
    ]
    assert len(operations) > 30
    roles = {"owner", "admin", "technician", "approver", "viewer"}
    without = [(p, m) for p, m, o in operations if o.get("x-role") not in roles and "openapi" not in p]
    assert without == []
    served = {re.sub(r"\{[^}]*\}", "{}", path.removeprefix("/api/v1")) for path in document["paths"]}
    assert [path for path in PATHS if path not in served] == []


@pytest.mark.parametrize("token", [None, "cst_nonsense", "Basic eA==", "cse_x.y"])
def test_without_a_token_there_is_nothing(server: Server, token: str | None) -> None:
    """API.md: `Authorization: Bearer cst_…`."""
    stranger = Api(server.url, token)
    status, _ = stranger.problem("GET", "/endpoints")
    assert status == 401
    stranger.close()


def test_what_does_not_exist_is_a_404_problem(api: Api) -> None:
    """API.md: "An id that one may not see answers exactly as one that does not exist: 404"."""
    for path in (
        "/endpoints/ept_00000000000000000000000000",
        "/sessions/ses_00000000000000000000000000",
        "/prompts/pmt_00000000000000000000000000",
        "/endpoints/nonsense",
        "/no-such-thing",
        "/tools/levitate/1",
    ):
        status, _ = api.problem("GET", path)
        assert status == 404, path


def test_a_wrong_method_is_a_problem(api: Api) -> None:
    """API.md: "Faults are RFC 9457 problem details"; "no bare 500"."""
    status, _ = api.problem("DELETE", "/sessions")
    assert status == 405


def test_lists_are_pages(api: Api, desk: Desk) -> None:
    """API.md: "`?cursor=&limit=` (default 50, at most 200) → {`items`, `next`}"."""
    made = {api.open_session(desk.endpoint_id, f"page {n}") for n in range(7)}
    found: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = api.get("/sessions", limit=3, **cursor)
        assert set(page) >= {"items", "next"}
        assert len(page["items"]) <= 3
        found += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert len(found) == len(set(found))
    assert made <= set(found)


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": -1}, {"limit": "x"}, {"limit": 201}, {"cursor": "forged"}])
def test_a_bad_page_is_refused_or_bounded(api: Api, query: dict[str, Any]) -> None:
    """API.md: "at most 200"."""
    answer = api.send("GET", "/endpoints", params=query)
    if answer.status_code == 200:
        assert query.get("limit") == 201, "only a limit that is too high may be lowered in silence"
        assert len(answer.json()["items"]) <= 200
    else:
        assert problem_of(answer)[0] in (400, 422)


@pytest.mark.parametrize("path", ["/endpoints", "/sessions", "/tokens", "/members", "/enrollment-tokens", "/tools"])
def test_every_list_has_the_same_form(api: Api, desk: Desk, path: str) -> None:
    """API.md, lists."""
    page = api.get(path, limit=1)
    assert isinstance(page["items"], list)
    assert len(page["items"]) <= 1
    assert page["next"] is None or isinstance(page["next"], str)


def test_times_are_utc_with_milliseconds(desk: Desk) -> None:
    """API.md: "Times are RFC 3339 UTC with milliseconds"."""
    prompt = desk.answered()
    for fact in prompt["tool_calls"][0]["attempts"][0]["evidence"]:
        assert TIME.fullmatch(fact["at"]), fact
    for event in desk.api.events(desk.session_id):
        assert TIME.fullmatch(event["at"]), event


def test_ids_have_their_prefix(desk: Desk) -> None:
    """API.md: "Ids have a prefix"."""
    prompt = desk.answered()
    assert desk.endpoint_id.startswith("ept_")
    assert desk.session_id.startswith("ses_")
    assert prompt["id"].startswith("pmt_")
    assert prompt["tool_calls"][0]["id"].startswith("tcl_")
    assert desk.runtime.runtime_id.startswith("rtm_")


def test_the_same_key_and_body_is_done_once(desk: Desk) -> None:
    """API.md: "the same body gets the first answer again …, another body `409 idempotency.mismatch`"."""
    path, body = f"/sessions/{desk.session_id}/prompts", {"tool_calls": [shell("once", "mutating")]}
    first = desk.api.send("POST", path, body, key="k1")
    again = desk.api.send("POST", path, body, key="k1")
    assert first.status_code == again.status_code == 202
    assert first.json()["id"] == again.json()["id"]
    status, problem = desk.api.problem("POST", path, {"tool_calls": [shell("twice")]}, key="k1")
    assert (status, problem["code"]) == (409, "idempotency.mismatch")
    desk.api.wait_verdict(first.json(), ("answered", "yes"))
    assert len(desk.runtime.dispatches()) == 1


def test_many_at_once_with_one_key_are_one(desk: Desk) -> None:
    """API.md, idempotency, where the first answer is not there yet."""
    path, body = f"/sessions/{desk.session_id}/prompts", {"tool_calls": [shell("once", "mutating")]}
    answers_: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers_.append(desk.api.send("POST", path, body, key="at-once")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    accepted = {a.json()["id"] for a in answers_ if a.status_code == 202}
    assert len(accepted) == 1
    assert all(a.status_code in (202, 409, 425) for a in answers_)
    desk.runtime.heartbeats_pass(3)
    assert len(desk.runtime.dispatches()) == 1


def test_a_repeated_secret_is_null(api: Api) -> None:
    """API.md: "(a secret in it as null, `secret_shown_once: true`)"."""
    body = {"scope": "organization"}
    first = api.post("/enrollment-tokens", body, key="secret")
    again = api.post("/enrollment-tokens", body, key="secret")
    assert first["token"]
    assert again["id"] == first["id"]
    assert again["token"] is None
    assert again["secret_shown_once"] is True


def test_keys_belong_to_an_actor(desk: Desk, person: Callable[..., Api]) -> None:
    """API.md: "per actor, method and path"."""
    path, body = f"/sessions/{desk.session_id}/prompts", {"tool_calls": [shell()]}
    mine = desk.api.post(path, body, key="common")
    theirs = person("technician", who="the other").post(path, body, key="common")
    assert mine["id"] != theirs["id"]


def test_an_endpoint_can_be_found(api: Api, desk: Desk) -> None:
    """API.md: `q`: "name, signed-in user, address, serial, client group, tag, ticket"."""
    name = f"WS-{desk.endpoint_id[-6:]}"
    api.write("PATCH", f"/endpoints/{desk.endpoint_id}", {"name": name, "tags": ["reception"]})
    for query in ({"q": name}, {"q": name.lower()}, {"tag": "reception"}, {"health": "healthy"}):
        found = [e["id"] for e in api.get("/endpoints", limit=200, **query)["items"]]
        assert desk.endpoint_id in found, query
    assert desk.endpoint_id not in [e["id"] for e in api.get("/endpoints", q="nobody-has-this")["items"]]
    session = api.open_session(desk.endpoint_id, ticket=f"T{desk.endpoint_id[-6:]}")
    assert session
    assert desk.endpoint_id in [e["id"] for e in api.get("/endpoints", q=f"T{desk.endpoint_id[-6:]}")["items"]]


def test_removing_can_be_undone(api: Api, desk: Desk) -> None:
    """API.md: `DELETE` (removing, gone after 7 days, undo before)."""
    api.write("DELETE", f"/endpoints/{desk.endpoint_id}")
    assert api.get(f"/endpoints/{desk.endpoint_id}")["health"] == "removing"


def test_tools_are_described(api: Api) -> None:
    """API.md: `arguments_schema`, `result_schema`, `effect` or `effect_by_call`, platforms."""
    names = {tool["name"] for tool in api.get("/tools", limit=200)["items"]}
    wanted = {"shell", "powershell", "osascript", "service", "processes", "system_info", "disk_usage", "file_read"}
    assert wanted | {"file_write", "event_log", "network"} <= names
    for name in sorted(names):
        tool = api.get(f"/tools/{name}/1")
        assert tool["arguments_schema"]["type"] == "object"
        assert "result_schema" in tool
        assert tool.get("effect") in ("read_only", "idempotent", "mutating") or tool.get("effect_by_call")
        assert tool["platforms"]


def test_the_health_of_an_endpoint(desk: Desk) -> None:
    """API.md: `health`, `sendable` {`value`, `reason`, `proved_at`}, `runtimes[]`, `open_sessions`, `held`, `facts`."""
    desk.runtime.script = answers()
    desk.answered()
    shown = until(
        lambda: next((e for e in [desk.api.get(f"/endpoints/{desk.endpoint_id}")] if e["health"] == "healthy"), None),
        within=20,
        what="healthy",
    )
    assert shown["sendable"]["value"] is True
    assert TIME.fullmatch(shown["sendable"]["proved_at"])
    runtime = shown["runtimes"][0]
    assert runtime["id"] == desk.runtime.runtime_id
    assert runtime["incarnation"] == desk.runtime.incarnation
    assert runtime["boot_id"] == desk.runtime.machine.boot_id
    assert "websocket" in str(runtime["bridges"])
    assert shown["open_sessions"]
    assert not shown["held"]
