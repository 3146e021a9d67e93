"""What somebody might do when a request began counts for nothing once it is taken away; cursors that nobody gave."""

from __future__ import annotations

import base64
import json
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from caisey.control.directory.store import Directory, Draft
from caisey.control.roles import Role
from caisey.core.events import CONTROL_PLANE, Actor
from tests.api.plane import Api, Plane

ANSWERED_WITHIN_S = 20.0


@pytest.mark.parametrize("keyed", [False, True])
def test_a_body_that_comes_slowly_is_judged_when_it_is_there(plane: Plane, api: Api, keyed: bool) -> None:
    """Else somebody holds requests open, is removed, and ends them: a token, a link, a new member."""
    made = api.post("/tokens", {"role": "admin"})
    name = uuid.uuid4().hex
    body = json.dumps({"name": name}).encode()
    head = (
        "POST /api/v1/client-groups HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
        f"Authorization: Bearer {made['token']}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    )
    head += f"Idempotency-Key: {name}\r\n\r\n" if keyed else "\r\n"
    address = urlsplit(plane.url)
    with socket.create_connection((address.hostname, address.port), timeout=ANSWERED_WITHIN_S) as line:
        line.sendall(head.encode())
        assert line.recv(1024).startswith(b"HTTP/1.1 100 ")  # who asks was found, and the body is waited for
        api.delete(f"/tokens/{made['id']}")
        line.sendall(body)
        answer = b""
        while part := line.recv(65536):
            answer += part
    assert b"auth.token_invalid" in answer
    assert name not in {group["name"] for group in api.get("/client-groups", limit=200)["items"]}


def _taken_away_first(monkeypatch: pytest.MonkeyPatch, token_id: str, **left: Any) -> None:
    """As if another change, which takes away what the token may do, stood before its own in the queue."""
    changing = Directory.changing

    @asynccontextmanager
    async def behind_another(directory: Directory, organization_id: str, actor: Actor) -> AsyncIterator[Draft]:
        if actor.id == token_id:
            async with changing(directory, organization_id, CONTROL_PLANE) as draft:
                draft.save(msgspec.structs.replace(directory.tokens[token_id], **left))
        async with changing(directory, organization_id, actor) as draft:
            yield draft

    monkeypatch.setattr(Directory, "changing", behind_another)


QUEUED = [
    ("POST", "/tokens", {"role": "admin"}),
    ("POST", "/members", {"role": "admin", "email": "late@example.com"}),
    ("POST", "/members/{member}/link", {}),
    ("PATCH", "/members/{member}", {"role": "admin"}),
    ("DELETE", "/members/{member}", None),
    ("PATCH", "/endpoints/{endpoint}", {"name": "theirs"}),
    ("POST", "/enrollment-tokens", {"scope": "organization"}),
    ("POST", "/attention/{attention}/take", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), QUEUED, ids=[f"{method} {path}" for method, path, _ in QUEUED])
@pytest.mark.parametrize("how", ["revoked", "role", "role in a group"])
def test_a_change_that_waits_for_its_turn_is_judged_when_it_is_its_turn(
    api: Api, plane: Plane, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any, how: str
) -> None:
    """Else who is being made less, and asks at the same moment, still makes a token of what they were."""
    group = api.group()
    machine = {"machine_fingerprint": uuid.uuid4().hex * 2}
    token = api.enrollment_token("client_group", client_group_id=group, uses=2)
    endpoint, twin = (api.enroll(token, **machine)["endpoint_id"] for _ in range(2))
    invited = {"role": "viewer", "email": f"{uuid.uuid4().hex}@example.com", "client_group_ids": [group]}
    places = {
        "member": api.post("/members", invited)["id"],
        "endpoint": endpoint,
        "attention": f"endpoint.fingerprint_shared:{twin}",
    }
    made = api.post("/tokens", {"role": "admin"})
    left: dict[str, dict[str, Any]] = {
        "revoked": {"revoked_at_ms": 1},
        "role": {"role": Role.VIEWER},
        "role in a group": {"group_roles": {group: Role.VIEWER}},
    }
    newest = api.get("/attention", limit=1)["sequence"]
    _taken_away_first(monkeypatch, made["id"], **left[how])
    refused = plane.client(made["token"]).refused(method, path.format(**places), body)[:2]
    monkeypatch.undo()
    assert refused[0] in ((401,) if how == "revoked" else (403, 404)), refused
    logged = api.get("/audit", after=newest, limit=200)["items"]
    assert [event["type"] for event in logged if event["actor"]["id"] == made["id"]] == []


CURSORS = [
    ("/attention", [2**64, 1, 1, "x"]),
    ("/work", [-(2**80), ""]),
    ("/sessions", [10**300, "ses_x"]),
    ("/audit", [2**63]),
    ("/audit/search", [2**63]),
    ("/audit/verify", [2**70, "x", 1, 1]),
    ("/reports/recovery", [2**63]),
    ("/tokens", [2**63, "x"]),
]


@pytest.mark.parametrize(("path", "place"), CURSORS, ids=[path for path, _ in CURSORS])
def test_a_cursor_with_a_number_that_no_table_holds(api: Api, path: str, place: list[object]) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")
    assert api.refused("GET", f"{path}?cursor={cursor}")[:2] == (422, "request.invalid_query")
