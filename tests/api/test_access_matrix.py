"""Every route, for every role, organization and client-group limit: each cell is tried over HTTP.

The table of routes is the specification; what a cell has to answer is worked out here from API.md alone: 401 without a
token, 403 below the least role, 404 for what one may not see, and never any of them for who may.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from caisey.api.call import PREFIX, Route
from caisey.api.table import ROUTES
from caisey.control.roles import RANK, Role
from tests.api.plane import Api, Plane, shell

ROLES = list(Role)
ANYBODYS = {"name", "version", "snippet_id", "browser_session_id", "passkey_id"}
"""Path parameters that name nothing of one client group."""


@dataclass(frozen=True)
class World:
    """A client group with one of everything, and those that may not see it."""

    plane: Plane
    owner: Api
    group: str
    other_group: str
    stranger_organization: str
    stranger_group: str
    ids: dict[str, str]
    twin: str


@pytest.fixture(scope="module")
def world(plane: Plane) -> World:
    owner = plane.api()
    stranger_organization = f"strangers {uuid.uuid4().hex[:8]}"
    plane.organization(stranger_organization)
    group, other_group = owner.group(), owner.group()
    token = owner.enrollment_token("client_group", client_group_id=group, uses=2)
    machine = uuid.uuid4().hex * 2
    first = owner.enroll(token, machine_fingerprint=machine)
    twin = owner.enroll(token, machine_fingerprint=machine)
    session = owner.session(first["endpoint_id"])
    prompt = owner.prompt(session, shell("true", effect="read_only"))
    ids = {
        "client_group_id": group,
        "endpoint_id": first["endpoint_id"],
        "runtime_id": first["runtime_id"],
        "session_id": session,
        "prompt_id": prompt["id"],
        "tool_call_id": prompt["tool_calls"][0]["id"],
        "attention_id": f"endpoint.fingerprint_shared:{twin['endpoint_id']}",
        "name": "shell",
        "version": "1",
        "browser_session_id": "bse_" + "0" * 26,  # a token has none: it is told so
        "passkey_id": "psk_" + "0" * 26,
    }
    stranger_group = plane.api("owner", stranger_organization).group()
    return World(plane, owner, group, other_group, stranger_organization, stranger_group, ids, twin["endpoint_id"])


def fresh_ids(world: World) -> dict[str, str]:
    """What is used up by a request is made anew for each."""
    made = {
        "token_id": world.owner.post("/tokens", {"role": "viewer", "client_group_ids": [world.group]})["id"],
        "member_id": world.owner.post(
            "/members",
            {"email": f"{uuid.uuid4().hex}@example.com", "role": "viewer", "client_group_ids": [world.group]},
        )["id"],
    }
    return {**world.ids, **made}


def fresh_snippet(world: World) -> str:
    body = {"name": uuid.uuid4().hex, "tool": "shell", "command": "uptime"}
    return str(world.owner.post("/snippets", body)["id"])


def ids_for(route: Route, world: World) -> dict[str, str]:
    ids = fresh_ids(world) if {"token_id", "member_id"} & set(route.parameters) else dict(world.ids)
    if "/enrollment-tokens/" in route.path:
        body = {"scope": "client_group", "client_group_id": world.group}
        ids["token_id"] = world.owner.post("/enrollment-tokens", body)["id"]
    if "snippet_id" in route.parameters:
        ids["snippet_id"] = fresh_snippet(world)
    return ids


def path_of(route: Route, ids: dict[str, str]) -> str:
    path = route.path
    for name in route.parameters:
        path = path.replace(f"{{{name}}}", ids[name])
    return path


def soon() -> str:
    """In an hour."""
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def body_of(route: Route, world: World) -> Any:
    bodies: dict[str, Any] = {
        "POST /enrollment-tokens": {"scope": "client_group", "client_group_id": world.group},
        "POST /tokens": {"role": "viewer", "client_group_ids": [world.group]},
        "POST /members": {
            "email": f"{uuid.uuid4().hex}@example.com",
            "role": "viewer",
            "client_group_ids": [world.group],
        },
        "PATCH /members/{member_id}": {"name": "Another"},
        "PATCH /endpoints/{endpoint_id}": {"name": "ACCT-08"},
        "POST /endpoints/{endpoint_id}/join": {"with": world.ids["endpoint_id"]},
        "POST /endpoints/{endpoint_id}/journal-reviewed": {"reason": "looked"},
        "POST /runtimes/{runtime_id}/accept": {"reason": "it is the one"},
        "POST /runtimes/{runtime_id}/revoke": {"reason": "gone"},
        "POST /attention/{attention_id}/snooze": {"until": soon(), "reason": "asked the client"},
        "POST /client-groups": {"name": uuid.uuid4().hex},
        "PATCH /client-groups/{client_group_id}": {"name": uuid.uuid4().hex},
        "POST /sessions": {"endpoint_id": world.ids["endpoint_id"]},
        "POST /sessions/{session_id}/hand-over/end": {"outcome": "accepted"},
        "POST /endpoints/{endpoint_id}/stop-everything": {"reason": "wrong computer"},
        "POST /snippets": {"name": uuid.uuid4().hex, "tool": "shell", "command": "uptime"},
        "PATCH /sessions/{session_id}": {"title": "another"},
        "POST /sessions/{session_id}/close": {"outcome": "solved"},
        "POST /sessions/{session_id}/prompts": {"tool_calls": [shell()]},
        "POST /tool-calls/{tool_call_id}/actions": {"action": "input", "data": "x"},
    }
    return bodies.get(f"{route.method} {route.path}", {} if route.body is not None else None)


def query_of(route: Route, world: World) -> dict[str, str]:
    queries = {"/policies/effective": {"endpoint": world.ids["endpoint_id"]}, "/policies/tag": {"tag": "production"}}
    return queries.get(route.path, {})


def ask(api: Api, route: Route, world: World, ids: dict[str, str]) -> httpx.Response:
    path, body, query = path_of(route, ids), body_of(route, world), query_of(route, world)
    if route.endless:  # the head of the answer says whether it may be read
        with api.http.stream(route.method, path.lstrip("/"), params=query) as answer:
            if answer.status_code >= 400:
                answer.read()
            return answer
    return api.send(route.method, path, body, params=query)


def about_the_group(route: Route) -> bool:
    """Whether the request names something of the world's client group."""
    named = set(route.parameters) - ANYBODYS
    return bool(named) or f"{route.method} {route.path}" in {
        "POST /enrollment-tokens",
        "POST /tokens",
        "POST /members",
        "POST /sessions",
        "GET /policies/effective",
    }


LIMITS: dict[str, Callable[[World], tuple[str, tuple[str, ...] | None, bool]]] = {
    "unlimited": lambda w: ("default", None, True),
    "its group": lambda w: ("default", (w.group,), True),
    "another group": lambda w: ("default", (w.other_group,), False),
    "no group": lambda w: ("default", (), False),
    "another organization": lambda w: (w.stranger_organization, None, False),
    "a group of another organization": lambda w: (w.stranger_organization, (w.stranger_group,), False),
}
"""Organization, client groups, and whether they may see what is the world's."""


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_each_cell(world: World, route: Route, limit: str) -> None:
    organization, groups, sees = LIMITS[limit](world)
    for role in ROLES:
        ids = ids_for(route, world)
        answer = ask(world.plane.api(role.value, organization, groups), route, world, ids)
        found = (answer.status_code, answer.json()["code"] if answer.status_code >= 400 else "")
        cell = (f"{route.method} {route.path}", role.value, limit, found)
        if RANK[role] < RANK[route.role]:
            assert found == (403, "access.role_too_low"), cell
        elif route.whole_organization and groups is not None:
            assert found == (403, "access.group_limited"), cell
        elif (about_the_group(route) and not sees) or ("snippet_id" in route.parameters and organization != "default"):
            assert found == (404, "resource.not_found"), cell
        else:
            assert found[0] not in (401, 403, 404, 405), cell
            assert found[0] < 500, cell


GENERAL = [("viewer", True), ("technician", True), ("owner", True), ("technician", False), ("admin", False)]
"""The general role, and whether it reaches every client group or none."""
NAMED = ["none", "viewer", "approver", "technician", "admin"]


def with_roles(world: World, role: str, named: dict[str, str], *, everywhere: bool) -> Api:
    """Somebody with a general role and another one in these client groups."""
    roles = [{"client_group_id": group, "role": one} for group, one in named.items()]
    body = {"role": role, "client_group_ids": None if everywhere else [], "group_roles": roles}
    return world.plane.client(world.owner.post("/tokens", body)["token"])


@pytest.fixture(scope="module")
def people(world: World) -> dict[tuple[str, bool, str], Api]:
    """One for each general role, reach, and role in the world's client group."""
    return {
        (role, everywhere, named): with_roles(world, role, {world.group: named}, everywhere=everywhere)
        for (role, everywhere), named in itertools.product(GENERAL, NAMED)
    }


def refusal(route: Route, general: Role, named: Role | None, *, everywhere: bool) -> tuple[int, str] | None:
    """What somebody with this general role, and the named one in the world's client group, is refused with."""

    def enough(role: Role | None) -> bool:
        return role is not None and RANK[role] >= RANK[route.role]

    if not (enough(general) or enough(named)):
        return (403, "access.role_too_low")
    if route.whole_organization and not (everywhere and enough(general) and enough(named)):
        return (403, "access.group_limited")
    if not about_the_group(route) or enough(named):
        return None
    # Of tokens and members one sees those that reach no further than where one may decide about them.
    hidden = named is None or bool({"token_id", "member_id"} & set(route.parameters))
    return (404, "resource.not_found") if hidden else (403, "access.role_too_low")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_each_cell_of_roles_per_client_group(
    world: World, people: dict[tuple[str, bool, str], Api], route: Route
) -> None:
    for (general, everywhere, named), api in people.items():
        ids = ids_for(route, world)
        answer = ask(api, route, world, ids)
        found = (answer.status_code, answer.json()["code"] if answer.status_code >= 400 else "")
        expected = refusal(route, Role(general), None if named == "none" else Role(named), everywhere=everywhere)
        cell = (f"{route.method} {route.path}", general, everywhere, named, found, expected)
        if expected is not None:
            assert found == expected, cell
        else:
            assert found[0] not in (401, 403, 404, 405), cell
            assert found[0] < 500, cell


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("token", [None, "cst_wrong", "cst_" + "A" * 43, "other", "cst_" + "x" * 5000])
def test_without_a_valid_token(world: World, route: Route, token: str | None) -> None:
    api = world.plane.client(token)
    answer = ask(api, route, world, {**world.ids, "token_id": "tok_x", "member_id": "usr_x", "snippet_id": "snp_x"})
    assert answer.status_code == 401
    assert answer.json()["code"] in ("auth.required", "auth.token_invalid")
    assert answer.headers["www-authenticate"] == "Bearer"


LISTS = [route for route in ROUTES if route.method == "GET" and not set(route.parameters) - ANYBODYS]


@pytest.mark.parametrize("route", [r for r in LISTS if not r.endless], ids=lambda route: route.path)
@pytest.mark.parametrize("limit", [name for name in LIMITS if name not in ("unlimited", "its group")])
def test_no_list_discloses_what_one_may_not_see(world: World, route: Route, limit: str) -> None:
    organization, groups, _ = LIMITS[limit](world)
    api = world.plane.api("owner", organization, groups)
    shown = api.send("GET", path_of(route, world.ids), params={"limit": "200"}).text
    hidden = [world.ids[name] for name in world.ids if name not in ANYBODYS]
    assert [one for one in [*hidden, world.twin] if one in shown] == []


@pytest.mark.parametrize("route", [r for r in LISTS if not r.endless], ids=lambda route: route.path)
@pytest.mark.parametrize(
    ("role", "named"), [("owner", "none"), ("admin", "none"), ("viewer", "none"), ("owner", "viewer")]
)
def test_no_list_discloses_what_the_role_in_its_client_group_is_not_enough_for(
    world: World, people: dict[tuple[str, bool, str], Api], route: Route, role: str, named: str
) -> None:
    api = people.get((role, True, named)) or with_roles(world, role, {world.group: named}, everywhere=True)
    ids = fresh_ids(world)
    body = {"scope": "client_group", "client_group_id": world.group}
    enrollment = world.owner.post("/enrollment-tokens", body)["id"]
    shown = api.send("GET", path_of(route, world.ids), params={"limit": "200"}).text
    hidden = [ids["token_id"], ids["member_id"], enrollment]
    if named == "none":
        hidden += [world.ids[name] for name in world.ids if name not in ANYBODYS] + [world.twin]
    assert [one for one in hidden if one in shown] == []


@pytest.mark.parametrize("route", [r for r in LISTS if r.path in ("/endpoints", "/sessions", "/client-groups")])
def test_the_same_lists_show_it_to_who_may_see(world: World, route: Route) -> None:
    """The other half: a list that shows nothing to anybody would pass the test above."""
    known = {"/endpoints": "endpoint_id", "/sessions": "session_id", "/client-groups": "client_group_id"}
    limited = [world.plane.api("viewer", "default", groups) for groups in (None, (world.group,))]
    named = with_roles(world, "technician", {world.group: "viewer", world.other_group: "none"}, everywhere=True)
    only = with_roles(world, "admin", {world.group: "viewer"}, everywhere=False)
    for api in (*limited, named, only):
        assert world.ids[known[route.path]] in api.send("GET", route.path, params={"limit": "200"}).text


def test_an_id_that_one_may_not_see_answers_as_one_that_does_not_exist(world: World) -> None:
    blind = world.plane.api("owner", "default", (world.other_group,))
    for name, path in itertools.product(
        ("endpoint_id", "session_id", "prompt_id"), ("/endpoints/{}", "/sessions/{}", "/prompts/{}")
    ):
        real = world.ids[name]
        unreal = real[:4] + "0" * 26
        assert blind.send("GET", path.format(real)).content == blind.send("GET", path.format(unreal)).content


def test_nobody_hands_out_more_than_they_have(world: World) -> None:
    admin = world.plane.api("admin")
    assert admin.refused("POST", "/tokens", {"role": "owner"})[1] == "access.role_too_low"
    assert admin.refused("POST", "/members", {"role": "owner", "email": "a@b.example"})[1] == "access.role_too_low"
    limited = world.plane.api("owner", "default", (world.group,))
    assert limited.refused("POST", "/tokens", {"role": "viewer"})[1] == "access.group_limited"
    wider = {"role": "viewer", "client_group_ids": [world.group, world.other_group]}
    assert limited.refused("POST", "/tokens", wider)[:2] == (404, "resource.not_found")
    assert limited.refused("POST", "/enrollment-tokens", {"scope": "organization"})[1] == "access.group_limited"
    change = {"client_group_id": None}
    path = f"/endpoints/{world.ids['endpoint_id']}"
    assert limited.refused("PATCH", path, change)[1] == "access.group_limited"
    assert limited.refused("PATCH", path, {"client_group_id": world.other_group})[0] == 404


def test_the_openapi_document_says_the_role_that_is_checked(world: World) -> None:
    document = world.owner.get("/openapi.json")
    assert document["openapi"].startswith("3.1")
    said = {
        (method.upper(), path): operation["x-role"]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert said == {(route.method, PREFIX + route.path): route.role.value for route in ROUTES}
