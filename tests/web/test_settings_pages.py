"""Settings: members, API tokens, client groups, policies, tools. Nobody hands out more than they have."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from caisey.core.policy import FIELDS
from caisey.web.views import policy as views
from tests.api.plane import Api, Plane
from tests.web.visitor import PASSWORD, PageFound, Visitor, join

People = Callable[..., Visitor]


def group_named(api: Api, name: str) -> str:
    known = {group["name"]: group["id"] for group in api.get("/client-groups", limit=200)["items"]}
    return str(known.get(name) or api.group(name))


def token_of(visitor: Visitor) -> str:
    return dict(visitor.get("/account").form("/account/profile").fields)["csrf"]


# -- members ---------------------------------------------------------------------------------------------------------


def test_a_member_from_the_form_to_the_first_sign_in(plane: Plane, api: Api, person: People) -> None:
    owner = person(fresh=True)
    group = group_named(api, "Acme Dental")
    page = owner.submit(
        owner.get("/settings/members/new"),
        "/settings/members/new",
        name="Grace <i>Hopper</i>",
        email="grace@example.com",
        role="technician",
        reach="some",
        group=group,
    )
    assert "An invitation for Grace <i>Hopper</i>" in page.text
    link = re.search(r"http://\S+/join/[\w-]{43}", page.text)
    assert link is not None
    assert page.answer.headers["cache-control"] == "no-store"
    assert "ends in 24 h" in page.text
    grace = Visitor(plane)
    grace.post(link[0].removeprefix(plane.url), {"password": PASSWORD})
    me = grace.send("GET", "/api/v1/me").json()
    assert (me["role"], me["client_group_ids"]) == ("technician", [group])
    assert "Acme Dental" in grace.get("/account").text
    listed = owner.get("/settings/members").text
    assert "Grace <i>Hopper</i>" in listed
    assert "grace@example.com" in listed


def test_a_form_that_does_not_fit_keeps_what_was_typed(api: Api, person: People) -> None:
    owner = person()
    taken = api.post("/members", {"email": "taken@example.com", "role": "viewer"})
    form = owner.get("/settings/members/new")
    for fields, says in (
        ({"name": "New", "email": "TAKEN@example.com"}, "A member has this address"),
        ({"name": "New", "email": "no address"}, "/email"),
        ({"name": "x" * 300, "email": "long@example.com"}, "/name"),
    ):
        page = owner.submit(form, "/settings/members/new", role="approver", **fields)
        assert page.status in (409, 422)
        assert says in page.text
        assert page.with_id("email")["value"] == fields["email"]
        checked = [a["value"] for tag, a in page.tags if tag == "input" and a.get("name") == "role" and "checked" in a]
        assert checked == ["approver"]
    assert taken["id"] in {member["id"] for member in api.get("/members", limit=200)["items"]}


def test_changing_and_removing_a_member(plane: Plane, api: Api, person: People) -> None:
    owner = person(fresh=True)
    member = join(plane, "technician")
    path = f"/settings/members/{member.member_id}"
    page = owner.submit(owner.get(path), path, name="Renamed", role="viewer", reach="some", group=[])
    assert "Saved." in page.text
    shown = api.get(f"/members/{member.member_id}")
    assert (shown["name"], shown["role"], shown["client_group_ids"]) == ("Renamed", "viewer", [])
    page = owner.submit(owner.get(path), f"{path}/link")
    assert "A reset link for Renamed" in page.text
    page = owner.submit(owner.get(path), f"{path}/remove")
    assert "Removed." in page.text
    assert member.send("GET", "/account").status_code == 303
    assert owner.get(path).status == 404


def test_a_role_for_one_client_group(plane: Plane, api: Api, person: People) -> None:
    """Technician everywhere, viewer in one, nothing in another: written, shown, kept, and taken back."""
    owner, member = person(fresh=True), join(plane, "technician")
    acme, borealis, third = (group_named(api, name) for name in ("Acme <Dental>", "Borealis", "Cirrus"))
    path = f"/settings/members/{member.member_id}"
    fields = {"name": "Anna", "role": "technician", "reach": "all", f"in.{acme}": "viewer", f"in.{borealis}": "none"}
    assert "Saved." in owner.submit(owner.get(path), path, **fields).text
    named = {one["client_group_id"]: one["role"] for one in api.get(f"/members/{member.member_id}")["group_roles"]}
    assert named == {acme: "viewer", borealis: "none"}
    # The page shows it, and saving it as it is changes nothing.
    page = owner.get(path)
    shown = dict(page.form(path).fields)
    assert {name: value for name, value in shown.items() if name.startswith("in.") and value} == {
        f"in.{acme}": "viewer",
        f"in.{borealis}": "none",
    }
    owner.submit(page, path)
    assert len(api.get(f"/members/{member.member_id}")["group_roles"]) == 2
    # A form that has no such fields (a page that was open while a group was made) leaves them.
    token = token_of(owner)
    owner.post(path, {"csrf": token, "name": "Anna", "role": "technician", "reach": "all"})
    assert len(api.get(f"/members/{member.member_id}")["group_roles"]) == 2
    listed = owner.get("/settings/members").text
    assert "Acme <Dental>: Viewer" in listed
    assert "Acme <Dental>: Viewer" in member.get("/account").text
    # What is refused keeps what was chosen.
    page = owner.submit(owner.get(path), path, name="x" * 300, **{f"in.{third}": "admin"})
    assert page.status == 422
    assert dict(page.form(path).fields)[f"in.{third}"] == "admin"
    owner.submit(owner.get(path), path, **{f"in.{acme}": "", f"in.{borealis}": ""})
    assert api.get(f"/members/{member.member_id}")["group_roles"] == []


def test_buttons_follow_the_role_where_the_thing_is(plane: Plane, api: Api) -> None:
    member = join(plane, "technician")
    acme, borealis = group_named(api, "Acme Dental"), group_named(api, "Borealis")
    here, there = api.endpoint(acme), api.endpoint(borealis)
    named = [{"client_group_id": acme, "role": "viewer"}, {"client_group_id": borealis, "role": "admin"}]
    api.patch(f"/members/{member.member_id}", {"group_roles": named})

    def may(endpoint: str) -> tuple[bool, bool]:
        page = member.get(f"/endpoints/{endpoint}?show=settings")
        saves = [a for tag, a in page.tags if tag == "button" and a.get("value") == "save"]
        return f"/open?endpoint={endpoint}" in page.links, "disabled" not in saves[0]

    assert may(here) == (False, False)
    assert may(there) == (True, True)
    session = api.session(here)
    assert "Your role may only look" in member.get(f"/sessions/{session}").text
    assert "Your role may only look" not in member.get(f"/sessions/{api.session(there)}").text
    assert member.post("/sessions", {"csrf": token_of(member), "endpoint_id": here}).status == 403
    # A command to add computers is for the client group of which they are admin.
    page = member.get("/endpoints/add")
    scopes = {a["value"] for tag, a in page.tags if a.get("name") == "scope"}
    assert "organization" not in scopes
    assert (borealis in page.answer.text, acme in page.answer.text) == (True, False)
    # And the members that they see are those of that group; the forms offer nothing more.
    page = member.get("/settings/members/new")
    assert (f"in-{borealis}" in page.answer.text, f"in-{acme}" in page.answer.text) == (True, False)
    assert "/settings/members" in page.links


def test_nobody_hands_out_more_than_they_have(plane: Plane, api: Api) -> None:
    """By form, and by what a form would not send."""
    group, other = group_named(api, "Acme Dental"), group_named(api, "Borealis Freight")
    owner, admin = join(plane, "owner"), join(plane, "admin")
    limited = join(plane, "admin", groups=[group])
    technician = join(plane, "technician")

    def refused(visitor: Visitor, path: str, **fields: Any) -> PageFound:
        pairs = [("csrf", token_of(visitor))]
        for name, value in fields.items():
            pairs += [(name, one) for one in (value if isinstance(value, list) else [value])]
        page = visitor.post(path, pairs)
        assert page.status in (403, 404, 409), (path, fields, page.status, page.text)
        return page

    before = (api.get("/members", limit=200)["items"], api.get("/tokens", limit=200)["items"])
    new = {"name": "Eve", "email": "eve@evil.example"}
    # A technician decides nothing about people, by page or by API.
    refused(technician, "/settings/members/new", role="owner", reach="all", **new)
    refused(technician, f"/settings/members/{technician.member_id}", name="x", role="owner", reach="all")
    refused(technician, f"/settings/members/{owner.member_id}/link")
    headers = {"x-csrf-token": token_of(technician)}
    answer = technician.send(
        "PATCH", f"/api/v1/members/{technician.member_id}", headers=headers, json={"role": "owner"}
    )
    assert answer.json()["code"] == "access.role_too_low"
    # Nobody makes themselves more through their own account.
    answer = technician.send("PATCH", "/api/v1/me", headers=headers, json={"role": "owner"})
    assert answer.status_code == 422
    # An admin makes no owner, resets no owner, removes none, and cannot become one.
    refused(admin, "/settings/members/new", role="owner", reach="all", **new)
    refused(admin, f"/settings/members/{admin.member_id}", name="x", role="owner", reach="all")
    for tail in ("", "/link", "/remove"):
        refused(admin, f"/settings/members/{owner.member_id}{tail}", name="x", role="viewer", reach="all")
    refused(admin, "/settings/tokens", name="x", role="owner", reach="all", ends="never")
    # One who is limited to a group gives no more than that group, and does not even see the others.
    refused(limited, "/settings/members/new", role="viewer", reach="all", **new)
    refused(limited, "/settings/members/new", role="viewer", reach="some", group=[group, other], **new)
    refused(limited, "/settings/tokens", name="x", role="viewer", reach="some", group=[other], ends="never")
    refused(limited, f"/settings/members/{limited.member_id}", name="x", role="admin", reach="all")
    assert limited.get(f"/settings/members/{owner.member_id}").status == 404
    assert "Borealis" not in limited.get("/settings/members/new").text
    assert owner.email not in limited.get("/settings/members").text
    refused(limited, "/settings/client-groups", name="theirs")
    refused(limited, f"/settings/client-groups/{other}", name="theirs")
    refused(limited, "/settings/policies/organization", ack_window_s="30 s")
    refused(limited, f"/settings/policies/client_group/{other}", ack_window_s="30 s")
    assert (api.get("/members", limit=200)["items"], api.get("/tokens", limit=200)["items"]) == _without_uses(
        before, api
    )
    # The buttons that are shown say so beforehand.
    page = admin.get("/settings/members/new")
    disabled = {a["value"] for tag, a in page.tags if a.get("name") == "role" and "disabled" in a}
    assert disabled == {"owner"}


def _without_uses(before: Any, api: Api) -> Any:
    """What was there, with the moments of use as they are now."""
    used = {member["id"]: member["last_used_at"] for member in api.get("/members", limit=200)["items"]}
    return [{**one, "last_used_at": used[one["id"]]} for one in before[0]], before[1]


def test_another_organization_is_not_there(plane: Plane, api: Api, person: People) -> None:
    plane.organization("strangers inc")
    stranger = plane.api("owner", "strangers inc")
    theirs = stranger.post("/members", {"email": "x@strangers.example", "role": "viewer"})
    owner = person()
    for path in ("", "/link", "/remove"):
        full = f"/settings/members/{theirs['id']}{path}"
        assert owner.post(full, {"csrf": token_of(owner), "name": "x", "role": "viewer"}).status == 404
    assert "strangers" not in owner.get("/settings/members").text


# -- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_revoked(plane: Plane, api: Api, person: People) -> None:
    owner = person(fresh=True)
    group = group_named(api, "Acme Dental")
    form = owner.get("/settings/tokens")
    fields = {"name": "RMM <b>", "role": "viewer", "reach": "all", "ends": "30", f"in.{group}": "technician"}
    page = owner.submit(form, "/settings/tokens", **fields)
    text = re.search(r"cst_[\w-]{43}", page.text)
    assert text is not None
    me = plane.client(text[0]).get("/me")
    assert (me["name"], me["group_roles"]) == ("RMM <b>", [{"client_group_id": group, "role": "technician"}])
    # The same form once more, as after a reload: one token, and no secret.
    again = owner.submit(form, "/settings/tokens", **fields)
    assert "cst_" not in again.text
    made = [token for token in api.get("/tokens", limit=200)["items"] if token["name"] == "RMM <b>"]
    assert len(made) == 1
    assert made[0]["expires_at"] is not None
    listed = owner.get("/settings/tokens")
    assert "RMM <b>" in listed.text
    assert text[0] not in listed.answer.text
    page = owner.submit(listed, f"/settings/tokens/{made[0]['id']}/revoke")
    assert "Revoked." in page.text
    assert plane.client(text[0]).refused("GET", "/me")[0] == 401


# -- client groups ---------------------------------------------------------------------------------------------------


def test_client_groups(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane().start()
    api, owner = plane.api(), join(plane, "owner")
    page = owner.submit(owner.get("/settings/client-groups"), "/settings/client-groups", name="  Zeta & Sons ")
    assert "Zeta & Sons" in page.text
    page = owner.submit(page, "/settings/client-groups", name="zeta & sons")
    assert (page.status, page.with_id("name")["value"]) == (409, "zeta & sons")
    group, other = group_named(api, "Zeta & Sons"), group_named(api, "Acme Dental")
    page = owner.get("/settings/client-groups")
    owner.submit(page, f"/settings/client-groups/{group}", name="Zeta & Daughters")
    assert api.get(f"/client-groups/{group}")["name"] == "Zeta & Daughters"
    page = owner.submit(page, f"/settings/client-groups/{other}", name="ZETA & daughters")
    assert (page.status, page.with_id(f"name-{other}")["value"]) == (409, "ZETA & daughters")
    # The same name again is no change; another case of it is one.
    assert api.patch(f"/client-groups/{group}", {"name": "ZETA & Daughters"})["name"] == "ZETA & Daughters"
    viewer = join(plane, "viewer")
    posts = [form.action for form in viewer.get("/settings/client-groups").forms if form.method == "post"]
    assert posts == []


# -- policies --------------------------------------------------------------------------------------------------------


def test_a_policy_says_where_each_value_comes_from(api: Api, person: People) -> None:
    owner = person()
    group = group_named(api, "Policied")
    endpoint = api.endpoint(group, "PLCY-01")
    api.patch(f"/endpoints/{endpoint}", {"tags": ["till"]})
    form = owner.get(f"/settings/policies/client_group/{group}")
    page = owner.submit(
        form,
        f"/settings/policies/client_group/{group}",
        hold_expiry_s="4 h",
        ack_window_s="1,5 min",
        automatic_for="read_only",
        output_limit_bytes="2 MiB",
        escalate_to="Desk <2>",
    )
    assert "Saved." in page.text
    assert api.get(f"/client-groups/{group}/policy") == {
        "hold_expiry_s": 14400,
        "ack_window_s": 90,
        "automatic_for": ["read_only"],
        "output_limit_bytes": 2 * 1024 * 1024,
        "escalate_to": "Desk <2>",
    }
    assert page.with_id("ack_window_s")["value"] == "90 s"
    owner.submit(owner.get("/settings/policies/tag?tag=till"), "/settings/policies/tag?tag=till", max_automatic="0")
    shown = owner.get(f"/settings/policies/endpoint/{endpoint}")
    assert "Otherwise: 4 h, from: its client group" in shown.text
    assert "Otherwise: 0, from: the tag till" in shown.text
    assert "Otherwise: 15 s, from: the default" in shown.text
    path = f"/settings/policies/endpoint/{endpoint}"
    page = owner.submit(shown, path, escalate_to="-")
    assert api.get(f"/endpoints/{endpoint}/policy") == {"escalate_to": None}
    rows = page.text.partition("In force on this computer")[2]
    assert "Whom to ask for help nobody by name this computer" in rows
    assert "Further tries by itself 0 the tag till" in rows
    index = owner.get("/settings/policies?computer=plcy")
    for words in ("Policied", "PLCY-01", "till"):
        assert words in index.text
    assert path in index.links
    # Emptied again, nothing is set.
    owner.submit(owner.get(path), path, escalate_to="")
    assert api.get(f"/endpoints/{endpoint}/policy") == {}


def test_a_policy_that_does_not_fit_names_each_field(api: Api, person: People) -> None:
    owner = person()
    group = group_named(api, "Policied badly")
    path = f"/settings/policies/client_group/{group}"
    page = owner.submit(
        owner.get(path), path, hold_expiry_s="soon", max_automatic="99", ack_window_s="10 s", escalate_to="x" * 300
    )
    assert page.status == 422
    for name in ("hold_expiry_s", "max_automatic", "escalate_to"):
        assert page.with_id(name)["aria-invalid"] == "true"
        assert page.with_id(f"{name}-fault")["class"] == "invalid"
    assert "aria-invalid" not in page.with_id("ack_window_s")
    assert page.with_id("hold_expiry_s")["value"] == "soon"
    assert page.with_id("ack_window_s")["value"] == "10 s"
    assert api.get(f"/client-groups/{group}/policy") == {}


def test_levels_that_set_something_are_listed_for_who_may_see_them(plane: Plane, api: Api) -> None:
    mine, other = group_named(api, "Seen"), group_named(api, "Unseen")
    hidden = api.endpoint(other, "HIDDEN-1")
    api.put(f"/client-groups/{mine}/policy", {"max_automatic": 1})
    api.put(f"/client-groups/{other}/policy", {"max_automatic": 1})
    api.put(f"/endpoints/{hidden}/policy", {"max_automatic": 1})
    seen = plane.api("viewer", groups=(mine,)).get("/policies", limit=200)["items"]
    assert mine in {level["subject"] for level in seen}
    assert not {other, hidden} & {level["subject"] for level in seen}
    everything = {level["subject"] for level in api.get("/policies", limit=200)["items"]}
    assert {mine, other, hidden} <= everything
    api.put(f"/client-groups/{mine}/policy", {})
    assert mine not in {level["subject"] for level in api.get("/policies", limit=200)["items"]}
    pages = [api.get("/policies", limit=1)]
    while pages[-1]["next"]:
        pages.append(api.get("/policies", limit=1, cursor=pages[-1]["next"]))
    subjects = [level["subject"] for page in pages for level in page["items"]]
    assert len(subjects) == len(set(subjects))


def test_who_may_only_read_policies(person: People) -> None:
    page = person("viewer").get("/settings/policies/organization")
    assert "Your role reads policies" in page.text
    assert "disabled" in dict(page.tags)["fieldset"]


@pytest.mark.parametrize(
    "path", ["endpoint/ept_none", "client_group/none", "nonsense/x", "tag", "tag?tag=" + "x" * 200]
)
def test_policies_of_what_is_not_there(person: People, path: str) -> None:
    assert person().get(f"/settings/policies/{path}").status in (404, 422)


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_has_its_words_and_its_spelling_goes_both_ways(name: str) -> None:
    from caisey.core.policy import Policy

    default = getattr(Policy(), name)
    assert name in {field for _, fields in views.SECTIONS for field in fields}
    (line,) = [field for _, fields in views.form_of([], {name: default}) for field in fields if field.name == name]
    assert line.label
    assert line.hint
    body = views.body_of({name: line.typed})
    assert body[name] == (list(default) if isinstance(default, tuple) else default)


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("90", 90),
        ("90 s", 90),
        ("1.5 min", 90),
        ("1,5min", 90),
        ("250 ms", 0.25),
        ("2 days", 172_800),
        ("1 day", 86_400),
        ("12H", 43_200),
        ("soon", "soon"),
        ("-5", "-5"),
        ("5 fortnights", "5 fortnights"),
        ("", None),
    ],
)
def test_spans_as_people_type_them(typed: str, value: Any) -> None:
    assert views.body_of({"hold_expiry_s": typed}).get("hold_expiry_s") == value


# -- tools -----------------------------------------------------------------------------------------------------------


def test_every_tool_has_its_page(api: Api, person: People) -> None:
    visitor = person("viewer")
    page = visitor.get("/settings/tools")
    tools = api.get("/tools", limit=200)["items"]
    for tool in tools:
        path = f"/settings/tools/{tool['name']}/{tool['version']}"
        assert path in page.links
        shown = visitor.get(path)
        assert shown.status == 200
        for argument in tool["arguments_schema"]["properties"]:
            assert argument in shown.text
    for path in ("nope/1", "shell/99", "shell/x", "shell/-1"):
        assert visitor.get(f"/settings/tools/{path}").status == 404


# -- who is in, and who stays ----------------------------------------------------------------------------------------


def test_an_admin_signs_a_member_out(plane: Plane, person: People) -> None:
    admin, member, owner = person("admin"), join(plane, "technician"), join(plane, "owner")
    path = f"/settings/members/{member.member_id}"
    page = admin.submit(admin.get(path), f"{path}/sign-out")
    assert "They are signed out everywhere." in page.text
    assert member.send("GET", "/account").status_code == 303
    assert Visitor(plane).sign_in(member.email).status == 200
    above = f"/settings/members/{owner.member_id}"
    assert admin.post(f"{above}/sign-out", {"csrf": token_of(admin)}).status == 403
    assert owner.send("GET", "/account").status_code == 200


def test_the_last_owner_stays(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane().start()
    api, owner = plane.api(), join(plane, "owner")
    # One who was only invited does not count: they could not sign in.
    invited = api.post("/members", {"email": "later@example.com", "role": "owner"})
    path = f"/settings/members/{owner.member_id}"
    for action, fields in (
        (path, {"name": "x", "role": "admin", "reach": "all"}),
        (path, {"name": "x", "role": "owner", "reach": "some"}),
        (path, {"name": "x", "role": "owner", "reach": "all", f"in.{api.group()}": "admin"}),
        (f"{path}/remove", {}),
    ):
        page = owner.post(action, {"csrf": token_of(owner), **fields})
        assert page.status == 409
        assert "No other owner could sign in then" in page.text
    assert api.refused("DELETE", f"/members/{owner.member_id}")[1] == "member.last_owner"
    assert api.patch(f"/members/{owner.member_id}", {"name": "Renamed"})["name"] == "Renamed"
    link = api.post(f"/members/{invited['id']}/link")["url"].removeprefix(plane.url)
    Visitor(plane).post(link, {"password": PASSWORD})
    api.delete(f"/members/{owner.member_id}")
    assert owner.send("GET", "/account").status_code == 303


def test_wrong_passwords_stand_in_the_audit_log(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane().start()
    member = join(plane, "viewer")
    for _ in range(3):
        Visitor(plane).sign_in(member.email, "wrong password 123")
    Visitor(plane).sign_in("nobody@example.com", "wrong password 123")
    # Nobody waits for the line to be written, so this does.
    api, deadline = plane.api(), time.monotonic() + 30
    found: list[dict[str, Any]] = []
    while not found and time.monotonic() < deadline:
        events = api.get("/audit", limit=200)["items"]
        found = [event for event in events if event["type"] == "member.sign_in_refused"]
    assert [event["payload"] for event in found] == [
        {"member_id": member.member_id, "address": "127.0.0.1", "tries": 1}
    ]
