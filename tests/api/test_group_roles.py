"""Roles per client group, from outside: what each may do where, and every way to more that somebody could try."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api.plane import Api, Plane, shell

NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Clients:
    """Two client groups, a computer in each, and one in none."""

    plane: Plane
    owner: Api
    a: str
    b: str
    in_a: str
    in_b: str
    in_none: str

    def one(self, role: str, named: dict[str, str] | None = None, groups: list[str] | None = None) -> Api:
        """Somebody with this general role, and these roles in client groups."""
        made = self.owner.post("/tokens", {"role": role, "client_group_ids": groups, "group_roles": roles(named or {})})
        return self.plane.client(made["token"])


def roles(named: dict[str, str]) -> list[dict[str, str]]:
    return [{"client_group_id": group, "role": role} for group, role in named.items()]


def address() -> str:
    return f"{uuid.uuid4().hex}@example.com"


@pytest.fixture(scope="module")
def clients(plane: Plane) -> Clients:
    owner = plane.api()
    a, b = owner.group(), owner.group()
    return Clients(plane, owner, a, b, owner.endpoint(a), owner.endpoint(b), owner.endpoint())


# -- what each may do ------------------------------------------------------------------------------------------------


def works_on(api: Api, endpoint: str) -> tuple[int, str]:
    """What comes of opening a session there and sending a command."""
    answer = api.send("POST", "/sessions", {"endpoint_id": endpoint})
    if answer.status_code >= 400:
        return answer.status_code, answer.json()["code"]
    path = f"/sessions/{answer.json()['id']}/prompts"
    return api.send("POST", path, {"tool_calls": [shell("true", effect="read_only")]}).status_code, ""


GOES = (202, "")
TOO_LOW = (403, "access.role_too_low")
HIDDEN = (404, "resource.not_found")


def test_technician_everywhere_and_admin_in_one(clients: Clients) -> None:
    anna = clients.one("technician", {clients.a: "admin"})
    for endpoint in (clients.in_a, clients.in_b, clients.in_none):
        assert works_on(anna, endpoint) == GOES
    assert anna.patch(f"/endpoints/{clients.in_a}", {"tags": ["hers"]})["tags"] == ["hers"]
    for endpoint in (clients.in_b, clients.in_none):
        assert anna.refused("PATCH", f"/endpoints/{endpoint}", {"tags": []})[:2] == TOO_LOW


def test_viewer_in_general_and_technician_in_one(clients: Clients) -> None:
    bert = clients.one("viewer", {clients.b: "technician"})
    assert works_on(bert, clients.in_b) == GOES
    for endpoint in (clients.in_a, clients.in_none):
        assert bert.get(f"/endpoints/{endpoint}")["id"] == endpoint
        assert works_on(bert, endpoint) == TOO_LOW


def test_technician_only_here_and_viewer_only_there(clients: Clients) -> None:
    cleo = clients.one("technician", {clients.b: "viewer"}, groups=[clients.a])
    assert works_on(cleo, clients.in_a) == GOES
    assert works_on(cleo, clients.in_b) == TOO_LOW
    assert works_on(cleo, clients.in_none) == HIDDEN
    shown = {one["id"] for one in cleo.get("/endpoints", limit=200)["items"]}
    assert (clients.in_a in shown, clients.in_b in shown, clients.in_none in shown) == (True, True, False)


def test_all_but_one_is_all_but_one_in_each_list(clients: Clients) -> None:
    dora = clients.one("technician", {clients.a: "none"})
    sessions = {name: clients.owner.session(one) for name, one in (("a", clients.in_a), ("none", clients.in_none))}
    assert works_on(dora, clients.in_none) == GOES
    assert works_on(dora, clients.in_a) == HIDDEN
    listed = {one["id"] for one in dora.get("/sessions", limit=200)["items"]}
    assert (sessions["a"] in listed, sessions["none"] in listed) == (False, True)
    assert dora.refused("GET", f"/sessions/{sessions['a']}")[:2] == HIDDEN
    assert dora.refused("GET", f"/client-groups/{clients.a}")[:2] == HIDDEN
    assert dora.get(f"/client-groups/{clients.b}")["id"] == clients.b
    # A client group that is made later is as all others are.
    later = clients.owner.group()
    assert works_on(dora, clients.owner.endpoint(later)) == GOES


def test_a_named_role_says_who_asks(clients: Clients) -> None:
    me = clients.one("viewer", {clients.a: "admin", clients.b: "none"}).get("/me")
    assert me["role"] == "viewer"
    assert me["group_roles"] == roles({clients.a: "admin"}), "of what one does not see, not even the id is named"


# -- the stream, and computers that move -----------------------------------------------------------------------------


def test_the_stream_tells_of_what_is_in_sight(clients: Clients) -> None:
    owner = clients.owner
    dora = clients.one("technician", {clients.a: "none"})
    start = owner.get("/attention", limit=1)["sequence"]
    hidden, shown = owner.session(clients.in_a), owner.session(clients.in_b)
    for session in (hidden, shown):
        owner.post(f"/sessions/{session}/hand-over", {"note": "look"})
    with dora.stream("/stream", last=start) as events:
        for event in events:
            text = str(event["data"])
            assert hidden not in text
            assert clients.in_a not in text
            if shown in text:
                break


def test_a_computer_that_is_moved_takes_its_rights_from_where_it_is(clients: Clients) -> None:
    owner = clients.owner
    bert = clients.one("viewer", {clients.a: "technician"})
    endpoint = owner.endpoint(clients.a)
    session = bert.session(endpoint)
    prompts = f"/sessions/{session}/prompts"
    body = {"tool_calls": [shell("true", effect="read_only")]}
    prompt = bert.post(prompts, body)
    acts = f"/tool-calls/{prompt['tool_calls'][0]['id']}/actions"
    owner.patch(f"/endpoints/{endpoint}", {"client_group_id": clients.b})
    # The session stays readable where it was; work on it needs the role where the computer is now too.
    assert bert.get(f"/sessions/{session}")["id"] == session
    assert bert.refused("POST", prompts, body)[:2] == TOO_LOW
    assert bert.refused("POST", acts, {"action": "cancel"})[:2] == TOO_LOW
    assert bert.refused("POST", f"/sessions/{session}/close", {"outcome": "x"})[:2] == TOO_LOW
    assert bert.refused("POST", f"/endpoints/{endpoint}/stop-everything", {"reason": "x"})[:2] == TOO_LOW
    # The other way round: technician where it is now is not technician in the session of before.
    cleo = clients.one("viewer", {clients.b: "technician"})
    assert cleo.refused("POST", prompts, body)[:2] == TOO_LOW
    assert works_on(cleo, endpoint) == GOES
    owner.patch(f"/endpoints/{endpoint}", {"client_group_id": clients.a})
    assert bert.post(prompts, body)["id"]


def test_stopping_everything_stops_what_one_may_work_on(clients: Clients) -> None:
    """A computer that was moved has work of two client groups."""
    owner = clients.owner
    endpoint = owner.endpoint(clients.a)
    before = owner.session(endpoint)
    owner.prompt(before)
    owner.patch(f"/endpoints/{endpoint}", {"client_group_id": clients.b})
    now = owner.session(endpoint)
    owner.prompt(now)
    bert = clients.one("viewer", {clients.b: "technician"})
    stopped = bert.post(f"/endpoints/{endpoint}/stop-everything", {"reason": "x"})
    assert (stopped["asked"], stopped["session_ids"]) == (1, [now])
    assert bert.refused("POST", f"/endpoints/{clients.in_a}/stop-everything", {"reason": "x"})[:2] == TOO_LOW


def test_a_session_is_handed_to_who_is_technician_there(clients: Clients) -> None:
    owner = clients.owner
    session = owner.session(clients.in_a)
    offers = f"/sessions/{session}/hand-over"

    def member(role: str, named: dict[str, str]) -> str:
        body = {"role": role, "email": address(), "name": f"M{next(NUMBERS)}", "group_roles": roles(named)}
        return str(owner.post("/members", body)["id"])

    fit, unfit = member("viewer", {clients.a: "technician"}), member("technician", {clients.a: "viewer"})
    shown = {one["id"] for one in owner.get(f"/sessions/{session}/colleagues")["items"]}
    assert (fit in shown, unfit in shown) == (True, False)
    assert owner.refused("POST", offers, {"to": unfit})[:2] == HIDDEN
    assert owner.post(offers, {"to": fit})["handover"]["to"] == fit
    owner.post(offers, {})
    viewer = clients.one("technician", {clients.a: "viewer"})
    assert viewer.refused("POST", f"{offers}/end", {"outcome": "accepted"})[:2] == TOO_LOW
    technician = clients.one("viewer", {clients.a: "technician"})
    assert technician.post(f"{offers}/end", {"outcome": "accepted"})["handover"] is None


# -- ways to more ----------------------------------------------------------------------------------------------------

Attempt = tuple[str, str, dict[str, Any]]


def attempts(c: Clients) -> list[Attempt]:
    """Everything by which an admin of one client group could become more, or make somebody else more."""
    a, b = c.a, c.b
    gives: list[dict[str, Any]] = [
        {"role": "technician"},  # what she has, but where she may not hand it out
        {"role": "viewer"},
        {"role": "viewer", "client_group_ids": [b]},
        {"role": "viewer", "client_group_ids": [a, b]},
        {"role": "admin", "client_group_ids": [a], "group_roles": roles({b: "viewer"})},
        {"role": "viewer", "client_group_ids": [], "group_roles": roles({b: "technician"})},
        {"role": "viewer", "client_group_ids": [], "group_roles": roles({b: "admin"})},
        {"role": "viewer", "group_roles": roles({b: "none"})},
        {"role": "owner", "client_group_ids": [a]},
        {"role": "owner", "client_group_ids": []},
    ]
    found: list[Attempt] = [("POST", "/tokens", one) for one in gives]
    found += [("POST", "/members", {**one, "email": address()}) for one in gives]
    low = c.owner.post("/members", {"email": address(), "role": "viewer", "client_group_ids": [a]})["id"]
    found += [("PATCH", f"/members/{low}", {"client_group_ids": None, **one}) for one in gives]
    for person in (
        {"role": "owner"},
        {"role": "technician"},
        {"role": "viewer", "client_group_ids": [a, b]},
        {"role": "owner", "client_group_ids": [a]},
        {"role": "viewer", "client_group_ids": [a], "group_roles": roles({b: "viewer"})},
    ):
        other = c.owner.post("/members", {**person, "email": address()})["id"]
        found += [("PATCH", f"/members/{other}", {"name": "x"}), ("POST", f"/members/{other}/link", {})]
        found += [("POST", f"/members/{other}/sign-out", {}), ("DELETE", f"/members/{other}", {})]
        token = c.owner.post("/tokens", person)["id"]
        found.append(("DELETE", f"/tokens/{token}", {}))
    for endpoint in (c.in_b, c.in_none):
        path = f"/endpoints/{endpoint}"
        found += [("PATCH", path, {"client_group_id": a}), ("DELETE", path, {}), ("PUT", f"{path}/policy", {})]
        found += [("POST", f"{path}/join", {"with": c.in_a}), ("POST", f"/endpoints/{c.in_a}/join", {"with": endpoint})]
        found.append(("POST", "/enrollment-tokens", {"scope": "endpoint", "endpoint_id": endpoint}))
    for target in (b, None):
        found.append(("PATCH", f"/endpoints/{c.in_a}", {"client_group_id": target}))
    found += [
        ("POST", "/enrollment-tokens", {"scope": "organization"}),
        ("POST", "/enrollment-tokens", {"scope": "client_group", "client_group_id": b}),
        ("PATCH", f"/client-groups/{b}", {"name": "hers"}),
        ("POST", "/client-groups", {"name": uuid.uuid4().hex}),
        ("PUT", f"/client-groups/{b}/policy", {}),
        ("PUT", "/policy", {}),
        ("PUT", "/policies/tag?tag=x", {}),
        ("GET", "/audit", {}),
        ("GET", "/audit/search", {}),
        ("GET", "/audit/export", {}),
    ]
    return found


def state(c: Clients) -> Any:
    """All that an attempt could have changed."""
    lists = [c.owner.get(path, limit=200)["items"] for path in ("/members", "/tokens", "/enrollment-tokens")]
    places = [(one["id"], one["client_group_id"]) for one in c.owner.get("/endpoints", limit=200)["items"]]
    return lists, places, c.owner.get("/client-groups", limit=200)["items"], c.owner.get("/policies")["items"]


@pytest.mark.parametrize("who", ["technician everywhere, admin here", "admin only here", "admin here by reach"])
def test_an_admin_of_one_client_group_becomes_no_more(new_plane: Any, who: str) -> None:
    plane = new_plane(enrollments_per_minute=100_000).start()
    owner = plane.api()
    a, b = owner.group(), owner.group()
    c = Clients(plane, owner, a, b, owner.endpoint(a), owner.endpoint(b), owner.endpoint())
    anna = {
        "technician everywhere, admin here": lambda: c.one("technician", {a: "admin"}),
        "admin only here": lambda: c.one("viewer", {a: "admin"}, groups=[]),
        "admin here by reach": lambda: c.one("admin", groups=[a]),
    }[who]()
    tried = attempts(c)
    before = state(c)
    for method, path, body in tried:
        status, code, _ = anna.refused(method, path, None if method == "GET" else body)
        assert (status, code) in {(403, "access.role_too_low"), (403, "access.group_limited"), HIDDEN}, (path, body)
    assert state(c) == before
    # The other half: in her own client group she decides.
    for path in ("/tokens", "/members"):
        for given in (
            {"role": "admin", "client_group_ids": [a]},
            {"role": "viewer", "client_group_ids": [], "group_roles": roles({a: "admin"})},
            {"role": "technician", "client_group_ids": [a], "group_roles": roles({a: "viewer"})},
        ):
            assert anna.post(path, {**given, **({"email": address()} if path == "/members" else {})})["id"]
    assert anna.post("/enrollment-tokens", {"scope": "client_group", "client_group_id": a})["id"]
    assert anna.put(f"/client-groups/{a}/policy", {}) is not None


def test_who_has_less_in_one_client_group_does_not_decide_for_all(clients: Clients) -> None:
    """Else an admin who may only look at A gave themselves the rest, or changed A by what counts for all."""
    for less in ("viewer", "technician", "none"):
        admin = clients.one("admin", {clients.a: less})
        for method, path, body in (
            ("PUT", "/policy", {}),
            ("POST", "/client-groups", {"name": uuid.uuid4().hex}),
            ("GET", "/audit", None),
            ("POST", "/enrollment-tokens", {"scope": "organization"}),
            ("POST", "/tokens", {"role": "admin"}),
            ("POST", "/members", {"role": "viewer", "email": address()}),
        ):
            assert admin.refused(method, path, body)[:2] == (403, "access.group_limited"), (less, path)
        more = admin.refused("POST", "/tokens", {"role": "admin", "client_group_ids": [clients.a, clients.b]})
        assert more[:2] == (HIDDEN if less == "none" else TOO_LOW)
        assert admin.post("/tokens", {"role": "admin", "client_group_ids": [clients.b]})["id"]


def test_a_role_that_is_held_elsewhere_is_not_given_here(clients: Clients) -> None:
    """Owner in B and admin in A: nobody becomes owner in A by that."""
    eve = clients.one("owner", {clients.a: "admin"}, groups=[clients.b])
    for path in ("/tokens", "/members"):
        body = {"email": address()} if path == "/members" else {}
        given = {**body, "role": "owner", "client_group_ids": [clients.a]}
        assert eve.refused("POST", path, given)[:2] == TOO_LOW
        assert eve.post(path, {**given, "client_group_ids": [clients.b]})["role"] == "owner"
    low = clients.owner.post("/members", {"email": address(), "role": "viewer", "client_group_ids": [clients.a]})["id"]
    assert eve.refused("PATCH", f"/members/{low}", {"role": "owner"})[:2] == TOO_LOW
    assert eve.patch(f"/members/{low}", {"role": "admin"})["role"] == "admin"
    assert eve.patch(f"/members/{low}", {"role": "owner", "client_group_ids": [clients.b]})["role"] == "owner"
    assert eve.refused("PATCH", f"/members/{low}", {"client_group_ids": [clients.a, clients.b]})[:2] == TOO_LOW


def test_members_reaching_further_are_not_shown_to_an_admin_of_one_client_group(clients: Clients) -> None:
    owner = clients.owner
    anna = clients.one("technician", {clients.a: "admin"})

    def member(**given: Any) -> str:
        return str(owner.post("/members", {"email": address(), "role": "viewer", **given})["id"])

    inside = [
        member(client_group_ids=[clients.a]),
        member(client_group_ids=[], group_roles=roles({clients.a: "technician"})),
        member(client_group_ids=[clients.a, clients.b], group_roles=roles({clients.b: "none"})),
    ]
    further = [
        member(),
        member(client_group_ids=[clients.a], group_roles=roles({clients.b: "viewer"})),
        member(group_roles=roles({clients.b: "none"})),
    ]
    shown = {one["id"] for one in anna.get("/members", limit=200)["items"]}
    assert [one for one in inside if one not in shown] == []
    assert [one for one in further if one in shown] == []
    for one in further:
        assert anna.refused("GET", f"/members/{one}")[:2] == HIDDEN


def test_a_token_made_by_a_token_has_no_more_in_any_client_group(clients: Clients) -> None:
    anna = clients.one("technician", {clients.a: "admin"})
    made = anna.post("/tokens", {"role": "viewer", "client_group_ids": [], "group_roles": roles({clients.a: "admin"})})
    child = clients.plane.client(made["token"])
    assert works_on(child, clients.in_a) == GOES
    assert works_on(child, clients.in_b) == HIDDEN
    assert child.refused("POST", "/tokens", {"role": "viewer", "client_group_ids": [clients.b]})[:2] == HIDDEN


# -- the list of roles -----------------------------------------------------------------------------------------------


def test_roles_are_kept_until_they_are_named_anew(clients: Clients) -> None:
    owner = clients.owner
    named = roles({clients.a: "admin", clients.b: "none"})
    member = owner.post("/members", {"email": address(), "role": "technician", "group_roles": named})
    assert sorted(member["group_roles"], key=str) == sorted(named, key=str)
    path = f"/members/{member['id']}"
    # Who knows nothing of them (a client written before there were any) leaves them.
    changed = owner.patch(path, {"role": "viewer", "client_group_ids": [clients.a]})
    assert sorted(changed["group_roles"], key=str) == sorted(named, key=str)
    assert owner.patch(path, {"group_roles": []})["group_roles"] == []


def test_a_limited_admin_neither_sees_nor_drops_what_is_named_elsewhere(clients: Clients) -> None:
    """Else they took back a "none", and the next one who widened the member's reach opened that group too."""
    owner = clients.owner
    body = {"email": address(), "role": "viewer", "client_group_ids": [clients.a]}
    member = owner.post("/members", {**body, "group_roles": roles({clients.b: "none"})})
    path = f"/members/{member['id']}"
    admin = clients.one("admin", groups=[clients.a])
    assert admin.get(path)["group_roles"] == []
    assert admin.patch(path, {"group_roles": roles({clients.a: "technician"})})["group_roles"] == roles(
        {clients.a: "technician"}
    )
    shown = {one["client_group_id"]: one["role"] for one in owner.get(path)["group_roles"]}
    assert shown == {clients.a: "technician", clients.b: "none"}


@pytest.mark.parametrize(
    ("named", "refused"),
    [
        ([("a", "owner")], (422, "request.invalid_shape")),
        ([("a", "king")], (422, "request.invalid_shape")),
        ([("a", None)], (422, "request.invalid_shape")),
        ([("a", "viewer"), ("a", "admin")], (422, "request.invalid_shape")),
        ([("nowhere", "viewer")], HIDDEN),
        ([("a", "viewer")] * 1_001, (422, "request.invalid_shape")),
    ],
)
def test_what_is_no_list_of_roles(clients: Clients, named: list[tuple[str, Any]], refused: tuple[int, str]) -> None:
    known = {"a": clients.a}
    body = {
        "email": address(),
        "role": "viewer",
        "group_roles": [{"client_group_id": known.get(group, group), "role": role} for group, role in named],
    }
    assert clients.owner.refused("POST", "/members", body)[:2] == refused
    assert clients.owner.refused("POST", "/tokens", {k: v for k, v in body.items() if k != "email"})[:2] == refused


def test_a_group_of_another_organization_is_not_there(clients: Clients) -> None:
    name = f"strangers {uuid.uuid4().hex[:8]}"
    clients.plane.organization(name)
    strange = clients.plane.api("owner", name).group()
    body = {"email": address(), "role": "viewer", "group_roles": roles({strange: "viewer"})}
    assert clients.owner.refused("POST", "/members", body)[:2] == HIDDEN


def test_the_log_says_which_role_in_which_client_group(clients: Clients) -> None:
    owner = clients.owner
    member = owner.post("/members", {"email": address(), "role": "viewer"})
    owner.patch(f"/members/{member['id']}", {"group_roles": roles({clients.b: "technician", clients.a: "none"})})
    found = owner.get("/audit/search", type="member.updated", limit=200)["items"]
    [event] = [one for one in found if one["payload"]["member_id"] == member["id"]]
    assert event["payload"]["group_roles"] == {clients.a: "none", clients.b: "technician"}
    # Naming the same once more changes nothing, and says nothing.
    owner.patch(f"/members/{member['id']}", {"group_roles": roles({clients.a: "none", clients.b: "technician"})})
    assert owner.get("/audit/search", type="member.updated", limit=1)["items"] == found[:1]
