"""Whatever is sent to whichever route: a 4xx with a code, all faults at once, and nothing of a value."""

from __future__ import annotations

import json
import socket
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest

from caisey.api.call import Route
from caisey.api.table import ROUTES
from caisey.core.errors import CODES
from caisey.protocol import limits
from tests.api.plane import Api, Plane, check_problem

WRITES = [route for route in ROUTES if route.body is not None]
JSON = {"Content-Type": "application/json"}
SECRET = "never-show-this-value"

UNREADABLE: dict[str, bytes] = {
    "not JSON": b"{nonsense",
    "cut off": b'{"a":',
    "two documents": b"{}{}",
    "not UTF-8": b'{"a":"\xff\xfe"}',
    "a key twice": b'{"a":1,"a":2}',
    "a key twice, deep": b'{"a":{"b":[{"c":1,"c":1}]}}',
    "a lone surrogate": b'{"a":"\\ud800"}',
    "very deep": b"[" * 100_000 + b"]" * 100_000,
    "deep": b'{"a":' * 80 + b"1" + b"}" * 80,
    "a huge integer": b'{"a":' + b"9" * 5000 + b"}",
    "NaN": b'{"a":NaN}',
}
MISSHAPEN: dict[str, bytes] = {
    "a list": b"[]",
    "null": b"null",
    "a number": b"7",
    "a string": b'"words"',
    "an unknown field": json.dumps({"no_such_field": SECRET}).encode(),
}


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture(scope="module")
def paths(plane: Plane) -> dict[str, str]:
    """Ids of things that exist, so that nothing but the body is wrong."""
    api = plane.api()
    token, machine = api.enrollment_token(uses=2), uuid.uuid4().hex * 2
    made = api.enroll(token, machine_fingerprint=machine)
    twin = api.enroll(token, machine_fingerprint=machine)
    session = api.session(made["endpoint_id"])
    prompt = api.prompt(session)
    return {
        "attention_id": f"endpoint.fingerprint_shared:{twin['endpoint_id']}",
        "endpoint_id": made["endpoint_id"],
        "runtime_id": made["runtime_id"],
        "session_id": session,
        "tool_call_id": prompt["tool_calls"][0]["id"],
        "client_group_id": api.group(),
        "member_id": api.post("/members", {"email": "bad-input@example.com", "role": "viewer"})["id"],
    }


def path_of(route: Route, ids: dict[str, str]) -> str:
    path = route.path
    for name in route.parameters:
        path = path.replace(f"{{{name}}}", ids[name])
    return f"{path}?tag=production" if route.path == "/policies/tag" else path


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
@pytest.mark.parametrize("route", WRITES, ids=named)
def test_an_unreadable_body(api: Api, paths: dict[str, str], route: Route, body: bytes) -> None:
    answer = api.send(route.method, path_of(route, paths), content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid_json")


@pytest.mark.parametrize("route", WRITES, ids=named)
def test_a_body_of_more_arrays_than_anybody_needs(api: Api, paths: dict[str, str], route: Route) -> None:
    """Each costs a parser what a hundred bytes of text cost; and all wait while one body is read."""
    body = b'{"x":[' + b"[]," * limits.JSON_CONTAINERS + b"0]}"
    answer = api.send(route.method, path_of(route, paths), content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")


@pytest.mark.parametrize("body", MISSHAPEN.values(), ids=MISSHAPEN.keys())
@pytest.mark.parametrize("route", WRITES, ids=named)
def test_a_body_that_does_not_fit(api: Api, paths: dict[str, str], route: Route, body: bytes) -> None:
    answer = api.send(route.method, path_of(route, paths), content=body, headers=JSON)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, route.shape_code)
    assert problem["errors"]
    assert SECRET not in answer.text


@pytest.mark.parametrize("route", WRITES, ids=named)
def test_every_field_of_a_wrong_type_is_named(api: Api, paths: dict[str, str], route: Route) -> None:
    """All faults, not the first: each field gets a value that no field of the API takes."""
    assert route.body is not None
    fields = route.body.__struct_encode_fields__
    wrong = {name: [[SECRET]] for name in fields}
    answer = api.send(route.method, path_of(route, paths), wrong)
    assert answer.status_code == 422
    pointers = {fault["pointer"] for fault in answer.json()["errors"]}
    assert [name for name in wrong if not any(p.startswith(f"/{name}") for p in pointers)] == []
    assert SECRET not in answer.text


@pytest.mark.parametrize("route", WRITES, ids=named)
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_says_that_it_is_json(api: Api, paths: dict[str, str], route: Route, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    answer = api.send(route.method, path_of(route, paths), content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "request.unsupported_media_type")


@pytest.mark.parametrize("route", WRITES, ids=named)
def test_a_body_has_a_size(api: Api, paths: dict[str, str], route: Route) -> None:
    too_much = (route.body_bytes or 1024 * 1024) + 1
    answer = api.send(route.method, path_of(route, paths), content=b" " * too_much, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")


def test_a_body_without_an_announced_size_is_bounded_too(api: Api) -> None:
    def parts() -> Any:
        for _ in range(40):
            yield b" " * 65536

    answer = api.http.post("client-groups", content=parts(), headers=JSON)
    check_problem(answer)
    assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")


@pytest.mark.parametrize("route", ROUTES, ids=named)
@pytest.mark.parametrize("text", ["0", "x" * 200, "%00", "%F0%9F%92%A9", "a%2Fb", "'%22;--", "ept_" + "0" * 26])
def test_a_strange_id(api: Api, route: Route, text: str) -> None:
    if not route.parameters or route.endless:
        return
    ids = dict.fromkeys(route.parameters, text)
    answer = api.send(route.method, path_of(route, ids), {} if route.body is not None else None)
    # Of one's own account nothing is looked up for a token, which has none.
    own = (409,) if route.path.startswith("/me/") else ()
    assert answer.status_code in (404, 405, 422, *own), (answer.status_code, answer.text)


QUERIES = [route for route in ROUTES if route.query.__struct_fields__]


@pytest.mark.parametrize("route", QUERIES, ids=named)
def test_every_parameter_that_does_not_fit_is_named(api: Api, paths: dict[str, str], route: Route) -> None:
    """No parameter takes three thousand characters."""
    names = route.query.__struct_encode_fields__
    ids = {**paths, "prompt_id": "x"}
    if set(route.parameters) - set(ids):
        return
    answer = api.send(
        route.method,
        path_of(route, ids).split("?")[0],
        {} if route.body else None,
        params=dict.fromkeys(names, "x" * 3000),
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid_query")
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {f"/{name}" for name in names}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/endpoints", "limit=0"),
        ("/endpoints", "limit=201"),
        ("/endpoints", "limit=ten"),
        ("/endpoints", "limit=5&limit=6"),
        ("/endpoints", "cursor=nonsense"),
        ("/endpoints", "health=well"),
        ("/sessions", "cursor=WzFd"),
        ("/attention", "cursor=W10"),
        ("/audit", "after=-1"),
        ("/reports/recovery", "from=yesterday"),
        ("/reports/shapes", "group_by=colour"),
        ("/policies/effective", ""),
    ],
)
def test_queries_that_do_not_fit(api: Api, path: str, query: str) -> None:
    assert api.refused("GET", f"{path}?{query}")[:2] == (422, "request.invalid_query")


def test_unknown_paths_and_methods(api: Api) -> None:
    assert api.refused("GET", "/no/such/path")[:2] == (404, "resource.not_found")
    status, code, _ = api.refused("DELETE", "/tools")
    assert (status, code) == (405, "request.method_not_allowed")
    assert "GET" in api.send("DELETE", "/tools").headers["allow"]


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /api/v1/endpoints HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"GET /api/v1/endpoints?q=%ff%fe&q HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_raw_nonsense_gets_an_answer_and_breaks_nothing(plane: Plane, api: Api, raw: bytes) -> None:
    address = urlsplit(plane.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(raw)
        assert connection.recv(12).startswith(b"HTTP/1.1 4")
    assert api.get("/tools")["items"]


def test_every_code_has_a_hint() -> None:
    for code, meaning in CODES.items():
        assert meaning.title
        assert meaning.hint, code
