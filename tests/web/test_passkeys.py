"""Passkeys over HTTP, with an authenticator in software: made, used, counted, removed, and never by anybody else."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from caisey.control.webauthn import decoded, encoded
from tests.api.plane import Plane
from tests.control.authenticator import Authenticator
from tests.web.visitor import PASSWORD, PageFound, Visitor, join

NAME = "localhost"


def at_name(visitor: Visitor) -> dict[str, str]:
    """The headers of a browser that came by name."""
    host = visitor.url.removeprefix("http://").replace("127.0.0.1", NAME)
    return {"host": host, "origin": f"http://{host}"}


def challenge_of(page: PageFound) -> bytes:
    (form,) = [given for tag, given in page.tags if tag == "form" and "data-passkey" in given]
    assert form["data-host"] == NAME
    return decoded(form["data-challenge"])


def make(visitor: Visitor, one: Authenticator, **changes: Any) -> PageFound:
    """From the account's button to the passkey."""
    headers = at_name(visitor)
    fields = dict(visitor.get("/account").form("/account/passkeys/begin").fields)
    page = visitor.post("/account/passkeys/begin", fields, headers=headers)
    parts = one.create(challenge_of(page), NAME, headers["origin"])
    sent = {**dict(page.form("/account/passkeys").fields), "name": "Key <1>", **parts, **changes}
    return visitor.post("/account/passkeys", sent, headers=headers)


def sign_in(visitor: Visitor, one: Authenticator, **changes: Any) -> httpx.Response:
    """As a browser would: the challenge of the page, signed."""
    headers = at_name(visitor)
    challenge = challenge_of(visitor.get("/sign-in", headers={"host": headers["host"]}))
    return answer(visitor, one, challenge, **changes)


def answer(visitor: Visitor, one: Authenticator, asked: bytes, **changes: Any) -> httpx.Response:
    headers = {**at_name(visitor), "content-type": "application/x-www-form-urlencoded"}
    fields = {
        "challenge": encoded(asked),
        "credential": encoded(one.credential_id),
        **one.get(asked, NAME, headers["origin"]),
        **changes,
    }
    return visitor.send("POST", "/sign-in/passkey", content=str(httpx.QueryParams(fields)), headers=headers)


def test_made_used_and_removed(plane: Plane) -> None:
    visitor, one = join(plane, "technician"), Authenticator(count=1)
    page = make(visitor, one)
    assert "Key <1>" in page.text
    fresh = Visitor(plane)
    assert sign_in(fresh, one).status_code == 303
    assert fresh.send("GET", "/api/v1/me").json()["id"] == visitor.member_id
    # It is both factors: with a second factor on, nothing more is asked.
    (passkey,) = visitor.send("GET", "/api/v1/me/passkeys").json()["items"]
    assert passkey["used_at"] is not None
    page = visitor.submit(visitor.get("/account"), f"/account/passkeys/{passkey['id']}/remove")
    assert "Key <1>" not in page.text
    refused = Visitor(plane)
    assert sign_in(refused, one).status_code == 401
    assert refused.secret is None


def test_a_challenge_and_a_signature_are_good_once(plane: Plane) -> None:
    visitor, one = join(plane, "viewer"), Authenticator()
    make(visitor, one)
    fresh = Visitor(plane)
    challenge = challenge_of(fresh.get("/sign-in", headers={"host": at_name(fresh)["host"]}))
    assert answer(fresh, one, challenge).status_code == 303
    again = Visitor(plane)
    assert answer(again, one, challenge).status_code == 401
    assert again.secret is None
    assert answer(again, one, b"\0" * 64).status_code == 401


def test_a_count_that_goes_back_is_a_copy(plane: Plane) -> None:
    visitor, one = join(plane, "viewer"), Authenticator(count=10)
    make(visitor, one)
    assert sign_in(Visitor(plane), one).status_code == 303
    one.count = 5
    assert sign_in(Visitor(plane), one).status_code == 401
    one.count = 11
    assert sign_in(Visitor(plane), one).status_code == 303


@pytest.mark.parametrize("part", ["credential", "client_data", "authenticator_data", "signature", "challenge"])
def test_parts_that_do_not_fit(plane: Plane, part: str) -> None:
    visitor, one = join(plane, "viewer"), Authenticator()
    make(visitor, one)
    for value in ("", "x", "é", "A" * 20_000):
        fresh = Visitor(plane, "127.0.0.3")
        answered = sign_in(fresh, one, **{part: value})
        assert answered.status_code in (401, 413, 429)
        assert fresh.secret is None


def test_one_made_for_somebody_else(plane: Plane) -> None:
    visitor, other, one = join(plane, "viewer"), join(plane, "viewer"), Authenticator()
    # A challenge that was given to another member makes nothing.
    headers = at_name(visitor)
    fields = dict(other.get("/account").form("/account/passkeys/begin").fields)
    theirs = challenge_of(other.post("/account/passkeys/begin", fields, headers=headers))
    page = make(visitor, one, challenge=encoded(theirs), **one.create(theirs, NAME, headers["origin"]))
    assert page.status == 422
    # The same key is one member's alone, and another's cannot be removed.
    make(visitor, one)
    assert make(other, one).status == 409
    (passkey,) = visitor.send("GET", "/api/v1/me/passkeys").json()["items"]
    other.post(f"/account/passkeys/{passkey['id']}/remove", dict(other.get("/account").form("/sign-out").fields))
    assert visitor.send("GET", "/api/v1/me/passkeys").json()["items"] == [passkey]


def test_by_an_address_there_are_none(plane: Plane) -> None:
    visitor = join(plane, "viewer")
    page = visitor.submit(visitor.get("/account"), "/account/passkeys/begin")
    assert page.status == 409
    assert "Passkeys need a host name" in page.text
    (form,) = [given for tag, given in Visitor(plane).get("/sign-in").tags if "data-passkey" in given]
    assert form["data-host"] == ""
    assert "hidden" in form


def test_the_password_once_more(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = join(plane, "viewer")
    monkeypatch.setattr("caisey.api.routes.me.JUST_NOW_MS", 0)
    headers = at_name(visitor)
    fields = dict(visitor.get("/account").form("/account/passkeys/begin").fields)
    page = visitor.post("/account/passkeys/begin", fields, headers=headers)
    assert page.status == 422
    page = visitor.post("/account/passkeys/begin", {**fields, "password": PASSWORD}, headers=headers)
    assert challenge_of(page)


@pytest.mark.parametrize("how", ["reset", "removal"])
def test_who_starts_over_or_goes_has_none(plane: Plane, how: str) -> None:
    visitor, one, api = join(plane, "viewer"), Authenticator(), plane.api()
    make(visitor, one)
    if how == "removal":
        api.delete(f"/members/{visitor.member_id}")
    else:
        link = api.post(f"/members/{visitor.member_id}/link")["url"].removeprefix(plane.url)
        Visitor(plane).post(link, {"password": "another good password"})
    fresh = Visitor(plane)
    assert sign_in(fresh, one).status_code == 401
    assert fresh.secret is None


def test_after_a_restart_it_still_opens(plane: Plane, new_plane: Any) -> None:
    own = new_plane().start()
    visitor, one = join(own, "viewer"), Authenticator()
    make(visitor, one)
    own.stop()
    own = new_plane().start()
    assert sign_in(Visitor(own), one).status_code == 303
