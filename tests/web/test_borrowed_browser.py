"""A browser left open: what gives out a way in asks for the password once more, so that it does not outlive itself."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.api.plane import Api, Plane
from tests.web.visitor import PASSWORD, Visitor, join

LIVES = "/settings/tokens"


@pytest.fixture
def left_open(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visitor]:
    """An owner's browser in which nobody has signed in lately."""
    visitor = join(plane, "owner")
    monkeypatch.setattr("caisey.api.routes.me.JUST_NOW_MS", 0)
    yield visitor
    visitor.close()


def test_no_token_without_the_password(left_open: Visitor, api: Api) -> None:
    before = len(api.get("/tokens", limit=200)["items"])
    fields = {"name": "for later", "role": "owner", "reach": "all", "ends": "never"}
    page = left_open.submit(left_open.get(LIVES), LIVES, **fields)
    assert page.status == 422
    assert "cst_" not in page.text
    page = left_open.submit(page, LIVES, password="wrong")
    assert "That is not your password" in page.text
    assert len(api.get("/tokens", limit=200)["items"]) == before
    page = left_open.submit(page, LIVES, password=PASSWORD)
    assert "cst_" in page.answer.text
    assert [one["name"] for one in api.get("/tokens", limit=200)["items"]].count("for later") == 1


@pytest.mark.parametrize("whose", ["one's own", "somebody's"])
def test_no_link_without_the_password(plane: Plane, left_open: Visitor, whose: str) -> None:
    """A link for oneself would be another password, and no second factor, for whoever sits there."""
    other = join(plane, "admin")
    member_id = left_open.member_id if whose == "one's own" else other.member_id
    path = f"/settings/members/{member_id}"
    page = left_open.submit(left_open.get(path), f"{path}/link")
    assert page.status == 422
    assert "/reset/" not in page.answer.text
    page = left_open.submit(page, f"{path}/link", password=PASSWORD)
    assert "/reset/" in page.answer.text
    other.close()


def test_who_is_added_then_is_invited_from_their_page(left_open: Visitor) -> None:
    new = "/settings/members/new"
    page = left_open.submit(left_open.get(new), new, name="Eve", email="eve@later.example", role="owner", reach="all")
    assert page.status == 422
    assert "/join/" not in page.answer.text
    action = next(form.action for form in page.forms if form.action.endswith("/link"))
    page = left_open.submit(page, action, password=PASSWORD)
    assert "/join/" in page.answer.text


def test_who_asks_by_token_has_no_password(api: Api, plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caisey.api.routes.me.JUST_NOW_MS", 0)
    member = api.post("/members", {"email": "ada@token.example", "role": "viewer"})
    assert urlsplit(api.post(f"/members/{member['id']}/link")["url"]).path.startswith("/join/")
    assert api.post("/tokens", {"role": "viewer"})["token"]
