"""First run and one-time links: each works once, within a day, and nothing else opens the door."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from caisey.control.directory import member_links
from tests.api.plane import Plane
from tests.web.visitor import PASSWORD, Visitor, join


def set_up(visitor: Visitor, path: str, **changes: str) -> str:
    fields = {"name": "Ada", "email": "Ada@Example.com", "password": PASSWORD, **changes}
    return visitor.post(path, fields).text


def test_the_first_account(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane().start()
    visitor = Visitor(plane)
    page = visitor.get("/")
    assert "Nobody has an account here yet" in page.text
    assert not [form for form in page.forms if form.action == "/sign-in"]
    path = plane.set_up_link()
    # Looking at the link does not use it up: mail programs do.
    assert "Set up Caisey" in visitor.get(path).text
    assert "Set up Caisey" in visitor.get(path).text
    # What does not fit keeps what was typed and does not use the link up either.
    page = visitor.post(path, {"name": "Ada", "email": "ada@example.com", "password": "short"})
    assert (page.status, page.with_id("email")["value"]) == (422, "ada@example.com")
    assert "fewer than 12 characters" in page.text
    for weak in ("aaaaaaaaaaaaaaaa", "ada@example.com!", "passwordcaisey1"[:13]):
        assert visitor.post(path, {"name": "Ada", "email": "ada@example.com", "password": weak}).status == 422
    assert visitor.post(path, {"name": "Ada", "email": "no address", "password": PASSWORD}).status == 422
    assert visitor.post(path, {"name": " ", "email": "ada@example.com", "password": PASSWORD}).status == 422
    assert visitor.secret is None
    assert "One more step protects it" in set_up(visitor, path)
    assert visitor.secret is not None
    me = plane.api().get("/members")["items"]
    assert [(one["email"], one["role"], one["can_sign_in"]) for one in me] == [("ada@example.com", "owner", True)]
    # Once.
    assert visitor.get(path).status == 404
    assert visitor.post(path, {"name": "Eve", "email": "eve@example.com", "password": PASSWORD}).status == 404
    assert len(plane.api().get("/members")["items"]) == 1
    other = Visitor(plane)
    assert other.sign_in("ada@example.com").status == 200
    assert other.secret is not None


def test_a_newer_link_ends_the_older_one_and_a_restart_does_not(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane().start()
    first, second = plane.set_up_link(), plane.set_up_link()
    visitor = Visitor(plane)
    assert visitor.get(first).status == 404
    assert visitor.get(second).status == 200
    plane.stop()
    plane = new_plane().start()
    visitor = Visitor(plane)
    assert visitor.get(second).status == 200
    set_up(visitor, second)
    secret = visitor.secret
    plane.stop()
    plane = new_plane().start()
    again = Visitor(plane)
    again.secret = secret
    assert "Account" in again.get("/account").text
    assert again.get(second).status == 404


def test_links_end_after_a_day(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plane.set_up_link()
    visitor = Visitor(plane)
    assert visitor.get(path).status == 200

    monkeypatch.setattr(member_links, "LIFE_MS", -1)
    assert visitor.get(plane.set_up_link()).status == 404


def test_an_unknown_link(plane: Plane) -> None:
    visitor = Visitor(plane)
    for path in ("/set-up/x", "/join/" + "A" * 43, "/reset/" + "A" * 5000, "/reset/%00%ff"):
        assert visitor.get(path).status == 404
        assert visitor.post(path, {"password": PASSWORD, "name": "x", "email": "a@b.example"}).status == 404
    # A link of one kind opens no page of another kind.
    text = plane.set_up_link().rpartition("/")[2]
    assert visitor.post(f"/join/{text}", {"password": PASSWORD}).status == 404
    member = plane.api().post("/members", {"email": "kind@example.com", "role": "viewer"})
    link = plane.api().post(f"/members/{member['id']}/link")["url"].rpartition("/")[2]
    assert visitor.post(f"/set-up/{link}", {"name": "x", "email": "x@y.example", "password": PASSWORD}).status == 404


def test_an_invitation_and_a_reset(plane: Plane) -> None:
    api = plane.api()
    person = join(plane, "technician")
    assert "Account" in person.get("/account").text
    made = api.post(f"/members/{person.member_id}/link", {"clear_second_factor": True}, key="reset-1")
    assert made["kind"] == "reset"
    again = api.post(f"/members/{person.member_id}/link", {"clear_second_factor": True}, key="reset-1")
    assert (again["url"], again["secret_shown_once"]) == (None, True)
    path = made["url"].removeprefix(plane.url)
    fresh = Visitor(plane)
    assert "second factor is turned off" in fresh.get(path).text
    fresh.post(path, {"password": "another good password 1"})
    assert fresh.secret is not None
    # The browser that was signed in before is not any more, and the old password is over.
    assert person.get("/account").with_id("email")["name"] == "email"
    assert Visitor(plane).sign_in(person.email).status == 401
    assert Visitor(plane).sign_in(person.email, "another good password 1").status == 200


def test_a_removed_member_is_out_at_once(plane: Plane) -> None:
    api = plane.api()
    person = join(plane, "technician")
    link = api.post(f"/members/{person.member_id}/link")["url"].removeprefix(plane.url)
    api.delete(f"/members/{person.member_id}")
    assert person.send("GET", "/account").headers["location"].startswith("/sign-in")
    assert person.send("GET", "/api/v1/me").status_code == 401
    assert Visitor(plane).sign_in(person.email).status == 401
    assert Visitor(plane).get(link).status == 404
