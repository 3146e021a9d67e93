"""What somebody might do when a request began counts for nothing once it is taken away; cursors that nobody gave."""

from __future__ import annotations

import base64
import json
import socket
import uuid
from urllib.parse import urlsplit

import pytest

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
