"""Attention, the ledger of shapes, the audit chain, and what stands at the root."""

from __future__ import annotations

import base64
import io
import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from caisey.core import audit
from tests.api.plane import TLS, Api, Plane, shell

# -- attention and the ledger --------------------------------------------------------------------------------------


def test_attention_comes_in_pages_most_urgent_first(api: Api) -> None:
    machine = uuid.uuid4().hex * 2
    for _ in range(4):
        api.enroll(machine_fingerprint=machine)
    items: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = api.get("/attention", limit=2, **cursor)
        items += page["items"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert len(items) >= 3
    assert items[0]["type"] == "endpoint.fingerprint_shared"
    fields = {"type", "label", "since", "due_at", "owner", "session_id", "prompt_id", "tool_call_id", "endpoint_id"}
    assert fields | {"client_group_id", "reason", "id", "first_action", "snoozed"} <= set(items[0])
    assert items[0]["reason"], "it says why it stands there"
    assert len({json.dumps(item) for item in items}) == len(items)


def malformed(api: Api, group: str, value: Any = 7) -> str:
    """A malformed call on a computer of its own."""
    endpoint = api.endpoint(group)
    body = {"tool_calls": [{"tool": "shell", "arguments": {"command": value}}]}
    assert api.refused("POST", f"/sessions/{api.session(endpoint)}/prompts", body)[0] == 422
    return endpoint


def test_the_same_shape_on_three_endpoints_points_at_the_tool(plane: Plane, api: Api) -> None:
    group = api.group()
    reader = plane.api("viewer", "default", (group,))
    made = [malformed(api, group) for _ in range(2)]
    line = reader.get("/reports/shapes")["items"][0]
    assert (line["count"], line["endpoints"], line["likelier_cause"]) == (2, 2, "unclear")
    made.append(malformed(api, group))
    for group_by in ("fingerprint", "tool", "client_group", "runtime_version"):
        report = reader.get("/reports/shapes", group_by=group_by)
        assert [(one["count"], one["likelier_cause"]) for one in report["items"]] == [(3, "tool")], group_by
        assert "3 endpoints" in report["items"][0]["why"]
    by_endpoint = reader.get("/reports/shapes", group_by="endpoint", limit=200)["items"]
    assert {one["group"]["endpoint_id"] for one in by_endpoint} == set(made)
    shape = reader.get("/reports/shapes")["items"][0]["shapes"][0]
    assert shape["errors"] == [{"pointer": "/arguments/command", "expected": "string", "found": "integer"}]
    assert shape["outline"] == {"command": "integer"}


def test_several_shapes_on_one_endpoint_point_at_it(plane: Plane, api: Api) -> None:
    group = api.group()
    session = api.session(malformed(api, group))
    body = {"tool_calls": [{"tool": "processes", "arguments": {"limit": "ten"}}]}
    assert api.refused("POST", f"/sessions/{session}/prompts", body)[0] == 422
    report = plane.api("viewer", "default", (group,)).get("/reports/shapes")
    assert {line["likelier_cause"] for line in report["items"]} == {"endpoint"}


def test_the_ledger_has_a_span(plane: Plane, api: Api) -> None:
    group = api.group()
    malformed(api, group)
    reader = plane.api("viewer", "default", (group,))
    assert reader.get("/reports/shapes", **{"from": "2020-01-01", "to": "2020-02-01"})["items"] == []
    assert len(reader.get("/reports/shapes", **{"from": "2020-01-01T00:00:00Z"})["items"]) == 1
    assert reader.get("/reports/recovery")["items"] == []


# -- the audit chain -----------------------------------------------------------------------------------------------


def exported(api: Api) -> list[bytes]:
    answer = api.send("GET", "/audit/export")
    assert answer.headers["content-type"].startswith("application/jsonl")
    return answer.content.splitlines(keepends=True)


def key_of(api: Api) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(api.get("/audit/key")["public_key"]))


def test_an_export_verifies_offline(new_plane: Callable[..., Plane]) -> None:
    api = new_plane().start().api()
    api.prompt(api.session(api.endpoint()), shell("one", limits={"time_ms": 5000}), shell("two"))
    api.put("/policy", {"ack_window_s": 1.25, "automatic_for": []})
    lines = exported(api)
    report = audit.verify_file(io.BytesIO(b"".join(lines)), key_of(api))
    assert report.ok, report
    assert report.signatures_checked
    assert report.events == len(lines) - 1
    assert json.loads(lines[-1]).keys() == {"sequence", "digest", "at", "signature"}
    assert exported(api) == lines, "nothing has changed, so no new head is signed"


@pytest.mark.parametrize("place", [0, 3, -2])
def test_a_changed_line_is_found(new_plane: Callable[..., Plane], place: int) -> None:
    api = new_plane().start().api()
    api.prompt(api.session(api.endpoint()))
    lines = exported(api)
    event = json.loads(lines[place])
    event["actor"]["id"] = "somebody_else"
    lines[place] = json.dumps(event).encode() + b"\n"
    assert not audit.verify_file(io.BytesIO(b"".join(lines)), key_of(api)).ok


def test_the_list_is_the_export(plane: Plane, api: Api) -> None:
    lines = [json.loads(line) for line in exported(api)][:-1]
    listed: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = api.get("/audit", limit=200, **cursor)
        listed += page["items"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert listed[: len(lines)] == lines
    assert [event["sequence"] for event in listed] == list(range(1, len(listed) + 1))
    assert {event["organization_id"] for event in listed} == {listed[0]["organization_id"]}


def test_organizations_have_chains_of_their_own(plane: Plane) -> None:
    name = f"another {uuid.uuid4().hex}"
    plane.organization(name)
    api = plane.api("owner", name)
    lines = exported(api)
    assert audit.verify_file(io.BytesIO(b"".join(lines)), key_of(api)).ok
    assert json.loads(lines[0])["sequence"] == 1


# -- at the root ---------------------------------------------------------------------------------------------------


def test_health(plane: Plane) -> None:
    for path in ("/healthz", "/readyz"):
        answer = httpx.get(plane.url + path, trust_env=False, verify=TLS)
        assert (answer.status_code, set(answer.json())) == (200, {"status"})


def test_metrics_have_figures_and_no_names(plane: Plane, api: Api) -> None:
    endpoint = api.endpoint(hostname="VERY-PRIVATE-NAME")
    api.prompt(api.session(endpoint, ticket="T-4711"))
    answer = httpx.get(f"{plane.url}/metrics", trust_env=False, verify=TLS)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in answer.text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) .+|[a-z_]+(\{([a-z]+="[^"]*",?)*\})? [0-9.e+-]+', line), line
    assert 'caisey_http_requests_total{method="POST",route="/api/v1/sessions",status="201"}' in answer.text
    for name in (endpoint, "VERY-PRIVATE-NAME", "T-4711", "default", "tok_"):
        assert name not in answer.text


def test_metrics_behind_a_proxy_need_a_token(plane: Plane) -> None:
    headers = {"X-Forwarded-For": "203.0.113.9"}
    hidden = httpx.get(f"{plane.url}/metrics", headers=headers, trust_env=False, verify=TLS)
    assert (hidden.status_code, hidden.json()["code"]) == (401, "auth.required")
    headers["Authorization"] = f"Bearer {plane.token('viewer')}"
    assert httpx.get(f"{plane.url}/metrics", headers=headers, trust_env=False, verify=TLS).status_code == 200
