"""API.md: "No stack trace, no bare 500": every published route gets every kind of nonsense."""

from __future__ import annotations

import re
import socket
from typing import Any

import httpx
import pytest

from tests.end_to_end import views
from tests.end_to_end.client import Api, problem_of, shell
from tests.end_to_end.fleet import Desk
from tests.end_to_end.server import Server

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "null": b"null",
    "an array": b"[]",
    "a number": b"1e999",
    "a string": b'"x"',
    "empty object": b"{}",
    "unknown fields": b'{"__proto__":1,"admin":true}',
    "a key twice": b'{"title":"a","title":"b"}',
    "a lone surrogate": b'{"title":"\\ud800"}',
    "a NUL": b'{"title":"a\\u0000b","name":"a\\u0000b","reason":"\\u0000"}',
    "invalid UTF-8": b'{"title":"\xff"}',
    "deep": b'{"a":' * 2000 + b"1" + b"}" * 2000,
    "very deep": b"[" * 200_000,
    "a huge integer": b'{"uses":' + b"9" * 400 + b',"limit":' + b"9" * 400 + b"}",
    "negative": b'{"uses":-1,"expires_in_s":-1,"seen":-1}',
    "wrong types": b'{"title":[],"name":{},"role":7,"scope":null,"endpoint_id":1,"tool_calls":"x","action":[]}',
}
SKIPPED = re.compile(r"/stream$|/audit/export$")


def operations(api: Api) -> list[tuple[str, str]]:
    document = api.get("/openapi.json")
    return [
        (method.upper(), path)
        for path, methods in sorted(document["paths"].items())
        for method in sorted(methods)
        if method in ("get", "post", "put", "patch", "delete") and "/api/v1/" in path and not SKIPPED.search(path)
    ]


def filled(path: str, value: str) -> str:
    return re.sub(r"\{[^}]*\}", value, path.removeprefix("/api/v1"))


def is_no_crash(answer: httpx.Response, what: object) -> None:
    """Refused with a problem document, or, where the nonsense happens to be fine, accepted."""
    assert answer.status_code < 500, (what, answer.status_code, answer.text)
    if answer.status_code >= 400:
        problem_of(answer)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_every_write_refuses_nonsense(api: Api, body: bytes) -> None:
    """Every POST, PUT and PATCH of the published document."""
    for method, path in operations(api):
        if method not in ("POST", "PUT", "PATCH"):
            continue
        answer = api.http.request(
            method,
            filled(path, "x"),
            content=body,
            headers={"Content-Type": "application/json", "Idempotency-Key": path},
        )
        is_no_crash(answer, (method, path))


@pytest.mark.parametrize("value", ["x", "%00", "..%2f..", "a" * 3000, "%F0%9F%92%A9", "ept_" + "0" * 26, "'%22;--"])
def test_every_path_refuses_a_strange_id(api: Api, value: str) -> None:
    """API.md: "An id that one may not see answers exactly as one that does not exist: 404"."""
    for method, path in operations(api):
        if "{" not in path or method == "DELETE":
            continue
        body: dict[str, Any] | None = {} if method != "GET" else None
        answer = api.send(method, filled(path, value), body)
        is_no_crash(answer, (method, path))
        assert answer.status_code >= 400, (method, path)


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "x"}, {"limit": "-1"}, {"limit": "1e9"}, {"cursor": "\0"}, {"cursor": "x" * 5000}, {"after": "x"},
        {"after": "-1"}, {"after": "9" * 40}, {"from": "yesterday"}, {"to": "x", "group_by": "colour"},
        {"health": "splendid"}, {"q": "%" * 500}, {"endpoint": "x"}, {"attempt": "0", "stream": "x", "offset": "-1"},
    ],
    ids=str,
)  # fmt: skip
def test_every_read_refuses_a_strange_query(api: Api, desk: Desk, query: dict[str, str]) -> None:
    """Every GET of the published document, with real ids where there are some."""
    prompt = desk.answered()
    real = {
        "/endpoints/": desk.endpoint_id,
        "/sessions/": desk.session_id,
        "/prompts/": prompt["id"],
        "/tool-calls/": views.call(prompt)["id"],
    }
    for method, path in operations(api):
        if method == "GET":
            value = next((v for prefix, v in real.items() if prefix in path), "x")
            is_no_crash(api.send("GET", filled(path, value), params=query), (path, query))


def test_a_body_that_is_too_large(api: Api, desk: Desk) -> None:
    """PROTOCOL §9: "arguments 256 KiB"; a body has a bound."""
    call = shell("x" * 300_000)
    answer = api.send("POST", f"/sessions/{desk.session_id}/prompts", {"tool_calls": [call]})
    assert problem_of(answer)[0] in (413, 422)
    answer = api.http.post(f"/sessions/{desk.session_id}/prompts", content=b'{"text":"' + b"x" * 30_000_000 + b'"}')
    assert problem_of(answer)[0] in (413, 422)
    desk.answered()


def test_another_content_type(api: Api, desk: Desk) -> None:
    """API.md: "JSON, UTF-8"."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml", "application/json;charset=x"):
        answer = api.http.post("/sessions", content=b"<x/>", headers={"Content-Type": kind})
        assert problem_of(answer)[0] in (400, 415, 422), kind


@pytest.mark.parametrize(
    ("calls", "pointers"),
    [
        ([], {""}),
        ([shell() for _ in range(51)], {""}),
        ([{"tool": "shell", "arguments": {"command": 1}}, {"tool": "shell", "arguments": {}}], {"/0/", "/1/"}),
        ([{"tool": "shell", "arguments": []}], {"/0/arguments"}),
        ([{"tool": "shell", "arguments": {"command": "x"}, "effect": "harmless"}], {"/0/effect"}),
        ([{"tool": "shell", "arguments": {"command": "x"}, "limits": {"time_ms": "long"}}], {"/0/limits"}),
        ([{"arguments": {}}], {"/0"}),
    ],
)
def test_all_faults_of_a_prompt_are_named(api: Api, desk: Desk, calls: list[Any], pointers: set[str]) -> None:
    """API.md: "for shape faults **all** of them: `errors: [{pointer, expected, found}]`"; 1 to 50 calls."""
    status, problem = api.problem("POST", f"/sessions/{desk.session_id}/prompts", {"tool_calls": calls})
    assert status == 422
    named = [fault["pointer"] for fault in problem["errors"]]
    for pointer in pointers:
        assert any(pointer in p for p in named), (pointer, named)
    desk.runtime.heartbeats_pass(1)
    assert desk.runtime.dispatches() == []


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": "x", "tool_calls": [shell()]}, {"text": 7}])
def test_words_or_calls_and_not_both(api: Api, desk: Desk, body: dict[str, Any]) -> None:
    """API.md: "{`text`} or {`tool_calls`}"."""
    status, _ = api.problem("POST", f"/sessions/{desk.session_id}/prompts", body)
    assert status in (400, 409, 422)


@pytest.mark.parametrize(
    "body",
    [
        {"action": "levitate", "reason": "x", "seen": 1},
        {"action": "retry", "seen": 1},
        {"action": "retry", "reason": "x", "seen": "newest"},
        {"action": "retry", "reason": "x", "seen": 10**30},
        {"reason": "x"},
        {"action": "retry", "reason": "x" * 1_000_000, "seen": 1},
    ],
)
def test_a_bad_action(api: Api, desk: Desk, body: dict[str, Any]) -> None:
    """API.md `POST /tool-calls/{id}/actions`: nothing happens."""
    prompt = desk.answered()
    answer = api.send("POST", f"/tool-calls/{views.call(prompt)['id']}/actions", body)
    assert problem_of(answer)[0] in (400, 409, 413, 422)
    desk.runtime.heartbeats_pass(1)
    assert len(desk.runtime.dispatches()) == 1


def test_a_caller_may_only_raise_the_effect(api: Api, desk: Desk) -> None:
    """RECOVERY §1 effect: "A caller may only raise it, except for tools whose definition says `effect_by_call`"."""
    tools = [api.get(f"/tools/{tool['name']}/1") for tool in api.get("/tools", limit=200)["items"]]
    fixed = next(t for t in tools if t.get("effect") == "mutating" and not t.get("effect_by_call"))
    assert fixed
    call = {"tool": fixed["name"], "arguments": sample(fixed["arguments_schema"]), "effect": "read_only"}
    answer = api.send("POST", f"/sessions/{desk.session_id}/prompts", {"tool_calls": [call]})
    if answer.status_code == 202:
        assert views.call(answer.json())["effect"] == "mutating"
    else:
        assert problem_of(answer)[0] == 422


def sample(schema: dict[str, Any]) -> dict[str, Any]:
    """The least arguments that a schema takes."""
    values: dict[str, Any] = {
        "string": "/tmp/x",
        "integer": 1,
        "number": 1,
        "boolean": False,
        "array": [],
        "object": {},
    }
    found = {}
    for name in schema.get("required", ()):
        wanted = schema["properties"][name]
        kind = wanted.get("type", "string")
        found[name] = wanted["enum"][0] if "enum" in wanted else values[kind if isinstance(kind, str) else kind[0]]
    return found


def test_raw_nonsense_at_the_socket_blocks_nobody(server: Server, desk: Desk) -> None:
    """RECOVERY §9, 7, below HTTP."""
    lines = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    for number, line in enumerate(lines):
        line.sendall([b"\x00\xff" * 50, b"GET / HTTP/9.9\r\n\r\n", b"POST /api/v1/sessions HTTP/1.1\r\n"][number % 3])
    desk.answered()
    for line in lines:
        line.close()
