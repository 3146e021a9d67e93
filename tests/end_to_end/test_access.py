"""API.md: organizations, client groups, roles; RECOVERY.md §9, 8: nothing crosses an organization or a group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.end_to_end import views
from tests.end_to_end.client import Api, problem_of, shell
from tests.end_to_end.fleet import Desk
from tests.end_to_end.server import Server, until


@pytest.fixture(scope="module")
def stranger(server: Server) -> Iterator[Api]:
    """The owner of another organization."""
    server.organization("elsewhere")
    api = Api(server.url, server.token("owner", "elsewhere"))
    yield api
    api.close()


def reads(desk: Desk, prompt: dict[str, Any]) -> list[str]:
    call_id = views.call(prompt)["id"]
    return [
        f"/endpoints/{desk.endpoint_id}",
        f"/endpoints/{desk.endpoint_id}/policy",
        f"/policies/effective?endpoint={desk.endpoint_id}",
        f"/sessions/{desk.session_id}",
        f"/sessions/{desk.session_id}/events",
        f"/sessions/{desk.session_id}/stream",
        f"/sessions/{desk.session_id}/transcript?format=json",
        f"/sessions/{desk.session_id}/transcript?format=html",
        f"/prompts/{prompt['id']}",
        f"/prompts/{prompt['id']}/awareness",
        f"/tool-calls/{call_id}/output?attempt=1&stream=stdout",
    ]


def writes(desk: Desk, prompt: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    call_id = views.call(prompt)["id"]
    return [
        ("PATCH", f"/endpoints/{desk.endpoint_id}", {"name": "taken"}),
        ("DELETE", f"/endpoints/{desk.endpoint_id}", {}),
        ("PUT", f"/endpoints/{desk.endpoint_id}/policy", {"max_automatic": 0}),
        ("POST", f"/endpoints/{desk.endpoint_id}/journal-reviewed", {"reason": "x"}),
        ("POST", f"/endpoints/{desk.endpoint_id}/join", {"with": desk.endpoint_id}),
        ("POST", f"/runtimes/{desk.runtime.runtime_id}/revoke", {"reason": "x", "compromised": True}),
        ("POST", f"/runtimes/{desk.runtime.runtime_id}/accept", {"reason": "x"}),
        ("POST", "/sessions", {"endpoint_id": desk.endpoint_id, "title": "x"}),
        ("POST", f"/sessions/{desk.session_id}/prompts", {"tool_calls": [shell()]}),
        ("POST", f"/sessions/{desk.session_id}/close", {"outcome": "x", "verified": False}),
        ("PATCH", f"/sessions/{desk.session_id}", {"title": "taken"}),
        ("POST", f"/tool-calls/{call_id}/actions", {"action": "escalate", "reason": "x", "seen": 1}),
        ("POST", "/enrollment-tokens", {"scope": "endpoint", "endpoint_id": desk.endpoint_id}),
    ]


def absent(text: str, desk: Desk, prompt: dict[str, Any]) -> str:
    """The same request about things that do not exist."""
    for real in (desk.endpoint_id, desk.session_id, desk.runtime.runtime_id, prompt["id"], views.call(prompt)["id"]):
        text = text.replace(real, f"{real[:4]}{'0' * (len(real) - 4)}")
    return text


def comparable(answer: httpx.Response) -> dict[str, Any]:
    return {k: v for k, v in answer.json().items() if k not in ("instance", "request_id", "trace_id")}


def test_nothing_is_seen_from_another_organization(desk: Desk, stranger: Api) -> None:
    """§9, 8; API.md: "An id that one may not see answers exactly as one that does not exist: 404"."""
    prompt = desk.answered()
    for path in reads(desk, prompt):
        answer = stranger.send("GET", path)
        assert problem_of(answer)[0] == 404, path
        missing = stranger.send("GET", absent(path, desk, prompt))
        assert comparable(answer) == comparable(missing), path


def test_nothing_is_changed_from_another_organization(desk: Desk, stranger: Api) -> None:
    """§9, 8, for writes."""
    prompt = desk.answered()
    for method, path, body in writes(desk, prompt):
        answer = stranger.send(method, path, body)
        assert problem_of(answer)[0] in (404, 422), (method, path, answer.status_code)
    desk.answered()


def test_lists_of_another_organization_are_empty(desk: Desk, stranger: Api) -> None:
    """§1: "organization: one tenant. Nothing crosses it"."""
    desk.answered()
    for path in ("/endpoints", "/sessions", "/attention", "/client-groups", "/enrollment-tokens"):
        assert stranger.get(path)["items"] == [], path
    assert desk.endpoint_id not in str(stranger.get("/reports/shapes")) + str(stranger.get("/reports/recovery"))
    export = stranger.send("GET", "/audit/export").text
    assert desk.endpoint_id not in export
    assert desk.session_id not in export


LEAST: dict[str, tuple[str, str, dict[str, Any]]] = {
    "viewer": ("GET", "/endpoints", {}),
    "technician": ("POST", "/sessions", {}),
    "admin": ("POST", "/enrollment-tokens", {"scope": "organization"}),
}
ORDER = ["viewer", "technician", "admin", "owner"]


@pytest.mark.parametrize("role", ["viewer", "technician", "admin", "owner", "approver"])
def test_a_role_may_do_what_it_is_for(desk: Desk, person: Callable[..., Api], role: str) -> None:
    """API.md roles: `owner`, `admin`, `technician`, `approver`, `viewer`."""
    someone = person(role)
    for least, (method, path, body) in LEAST.items():
        sent = {"endpoint_id": desk.endpoint_id, "title": "mine"} if path == "/sessions" else body
        answer = someone.send(method, path, sent if method != "GET" else None)
        if role == "approver":
            assert answer.is_success or answer.status_code == 403, (role, path, answer.status_code)
        elif ORDER.index(role) >= ORDER.index(least):
            assert answer.is_success, (role, path, answer.status_code, answer.text)
        else:
            assert problem_of(answer)[0] == 403, (role, path)


def test_a_viewer_starts_nothing(desk: Desk, person: Callable[..., Api]) -> None:
    """API.md: a viewer reads."""
    prompt = desk.answered()
    viewer = person("viewer")
    assert viewer.prompt(prompt["id"])["id"] == prompt["id"]
    status, _ = viewer.problem("POST", f"/sessions/{desk.session_id}/prompts", {"tool_calls": [shell()]})
    assert status == 403
    assert problem_of(viewer.try_to_act(prompt, "escalate", to="owner"))[0] == 403
    assert len(desk.runtime.dispatches()) == 1


def test_only_the_mighty_change_policy_and_tokens(person: Callable[..., Api]) -> None:
    """API.md roles; each route has its least role."""
    technician = person("technician")
    for method, path, body in (
        ("PUT", "/policy", {"max_automatic": 5}),
        ("POST", "/tokens", {"role": "owner"}),
        ("GET", "/audit/export", None),
        ("POST", "/members", {"email": "x@example.org", "role": "owner"}),
    ):
        assert technician.problem(method, path, body)[0] == 403, path


def new_token(api: Api, role: str, groups: list[str] | None = None) -> dict[str, Any]:
    """`POST /tokens`: "organization, role, client groups, expiry". Field names as the published schema has them."""
    document = api.get("/openapi.json")
    path = next(p for p in document["paths"] if p.endswith("/tokens") and "enrollment" not in p)
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    known = schema["properties"]
    body: dict[str, Any] = {"role": role}
    if groups is not None:
        body[next((n for n in ("client_groups", "client_group_ids") if n in known), "client_groups")] = groups
    for name in schema.get("required", ()):
        body.setdefault(name, 3600 if name.startswith("expires") else "limited")
    return dict(api.post("/tokens", body))


def test_a_token_with_client_groups_sees_only_them(api: Api, server: Server, desk: Desk) -> None:
    """§9, 8: "nothing of a client group from a member without access to it"."""
    inside, outside = (api.post("/client-groups", {"name": name})["id"] for name in ("Inside", "Outside"))
    group_field = next(f for f in ("client_group_id", "group", "client_group") if patch_group(desk, f, outside))
    assert group_field
    limited = Api(server.url, new_token(api, "technician", [inside])["token"])
    prompt = desk.answered()
    for path in reads(desk, prompt):
        assert problem_of(limited.send("GET", path))[0] == 404, path
    assert limited.get("/endpoints")["items"] == []
    assert limited.get("/sessions")["items"] == []
    assert limited.problem("GET", "/audit/export")[0] == 403
    patch_group(desk, group_field, inside)
    assert limited.get(f"/endpoints/{desk.endpoint_id}")["id"] == desk.endpoint_id
    limited.close()


def patch_group(desk: Desk, field: str, group_id: str) -> bool:
    """API.md: `PATCH` (name, tags, group): whether the field is called so."""
    answer = desk.api.send("PATCH", f"/endpoints/{desk.endpoint_id}", {field: group_id})
    return answer.is_success


def test_a_deleted_token_ends_open_streams(api: Api, server: Server, desk: Desk) -> None:
    """API.md: "Revoking a token or a role closes open streams within 5 s"."""
    made = new_token(api, "viewer")
    guest = Api(server.url, made["token"])
    with guest.http.stream("GET", f"/sessions/{desk.session_id}/stream", timeout=httpx.Timeout(8.0)) as stream:
        assert stream.status_code == 200
        api.write("DELETE", f"/tokens/{made['id']}")
        deadline = time.monotonic() + 8.0
        for _ in stream.iter_lines():
            assert time.monotonic() < deadline, "the stream of a revoked token goes on"
    assert guest.problem("GET", "/endpoints")[0] == 401
    guest.close()


def test_a_token_is_shown_once_and_listed_without_its_secret(api: Api) -> None:
    """API.md: "only a hash is stored"."""
    made = new_token(api, "viewer")
    assert made["token"].startswith("cst_")
    listed = str(api.get("/tokens", limit=200))
    assert made["id"] in listed
    assert made["token"] not in listed


def test_the_command_line_on_the_machine_needs_no_login(server: Server) -> None:
    """API.md, last section: "need no login, only the data directory: through a 0600 socket there while the server
    runs"."""
    made = server.organization("by-hand")
    assert "by-hand" in str(made)
    token = server.token("owner", "by-hand")
    assert token.startswith("cst_")
    api = Api(server.url, token)
    until(lambda: api.get("/endpoints")["items"] == [], within=20, what="the new organization is empty")
    api.close()
    loose = [p.name for p in server.data_dir.rglob("*") if p.stat().st_mode & 0o077]
    assert loose == [], "files that others on the machine may read"
