"""The account: name and looks, password, second factor, browsers; each form works without script."""

from __future__ import annotations

import base64
import re
import time

import pytest

from caisey.control import totp
from tests.api.plane import Api, Plane
from tests.web.visitor import PASSWORD, PageFound, Visitor, join


def code_on(page: PageFound, ahead: int = 0) -> str:
    """What an authenticator shows that was given the page's secret."""
    fields = dict(page.form("/account/second-factor/confirm").fields)
    key = base64.b32decode(fields["secret"].replace(" ", ""))
    return totp.code_at(key, time.time_ns() // 1_000_000 // totp.STEP_MS + ahead)


def with_second_factor(visitor: Visitor) -> tuple[PageFound, str, list[str]]:
    """The page to scan, the code that turned it on, and the recovery codes that came with it."""
    page = visitor.submit(visitor.get("/account/second-factor"), "/account/second-factor")
    used = code_on(page)
    done = visitor.submit(page, "/account/second-factor/confirm", code=used)
    codes = re.findall(r"(?:[A-Z2-7]{4}-){3}[A-Z2-7]{4}", done.text)
    assert len(codes) == totp.RECOVERY_CODES, done.text
    return page, used, codes


def test_the_profile(plane: Plane) -> None:
    visitor = join(plane, "viewer")
    page = visitor.get("/account")
    page = visitor.submit(
        page, "/account/profile", name=" Grace <b>Hopper ", theme="dark", keys="off", zone="Asia/Tokyo"
    )
    assert "Saved." in page.text
    assert page.with_id("name")["value"] == "Grace <b>Hopper"
    html = dict(page.tags)["html"]
    assert (html["data-theme"], html["data-keys"], html["data-zone"]) == ("dark", "off", "Asia/Tokyo")
    assert any("JST" in attributes.get("title", "") for tag, attributes in page.tags if tag == "time")
    # What does not fit is said, and what was typed stays.
    page = visitor.submit(page, "/account/profile", zone="no zone; at all", name="")
    assert page.status == 422
    assert page.with_id("zone")["value"] == "no zone; at all"
    assert visitor.send("GET", "/api/v1/me").json()["name"] == "Grace <b>Hopper"


def test_the_password(plane: Plane) -> None:
    visitor = join(plane, "viewer")
    for current, new, says in (
        ("not my password", "a new one that is long", "That is not your password"),
        (PASSWORD, "short", "fewer than 12"),
    ):
        page = visitor.submit(visitor.get("/account"), "/account/password", current=current, new=new)
        assert page.status == 422
        assert says in page.text
        assert current not in page.answer.text
    page = visitor.submit(visitor.get("/account"), "/account/password", current=PASSWORD, new="a new one that is long")
    assert "The password is changed" in page.text
    assert Visitor(plane).sign_in(visitor.email).status == 401
    assert Visitor(plane).sign_in(visitor.email, "a new one that is long").status == 200


def test_a_second_factor(plane: Plane) -> None:
    visitor = join(plane, "viewer")
    page, first_code, codes = with_second_factor(visitor)
    assert "<svg" in page.answer.text
    assert visitor.send("GET", "/api/v1/me").json()["account"]["second_factor"] is True

    fresh = Visitor(plane)
    question = fresh.sign_in(visitor.email)
    assert fresh.secret is None
    assert "One more step" in question.text
    # The code that set it up is used up. The secret is shown nowhere any more.
    again = fresh.submit(question, "/sign-in/code", code=first_code)
    assert (again.status, fresh.secret) == (401, None)
    fresh.submit(again, "/sign-in/code", code=code_on(page, ahead=1))
    assert fresh.secret is not None
    secret = dict(page.form("/account/second-factor/confirm").fields)["secret"]
    assert secret not in fresh.get("/account/second-factor").answer.text

    # Recovery codes: each once; new ones end the former.
    other = Visitor(plane)
    other.submit(other.sign_in(visitor.email), "/sign-in/code", code=codes[0])
    assert "9 recovery codes left" in other.get("/account").text
    used = Visitor(plane)
    refused = used.submit(used.sign_in(visitor.email), "/sign-in/code", code=codes[0])
    assert (refused.status, used.secret) == (401, None)
    manage = visitor.get("/account/second-factor")
    assert visitor.submit(manage, "/account/recovery-codes", password="wrong").status == 422
    visitor.submit(manage, "/account/recovery-codes", password=PASSWORD)
    refused = used.submit(used.sign_in(visitor.email), "/sign-in/code", code=codes[1])
    assert refused.status == 401

    # Off needs the password; then a password alone opens it.
    assert visitor.submit(manage, "/account/second-factor/off", password="wrong").status == 422
    page = visitor.submit(manage, "/account/second-factor/off", password=PASSWORD)
    assert "The second factor is off." in page.text
    plain = Visitor(plane)
    plain.sign_in(visitor.email)
    assert plain.secret is not None


def test_setting_it_up_may_fail_half_way(plane: Plane) -> None:
    visitor = join(plane, "viewer")
    first = visitor.submit(visitor.get("/account/second-factor"), "/account/second-factor")
    wrong = "000000" if code_on(first) != "000000" else "111111"
    page = visitor.submit(first, "/account/second-factor/confirm", code=wrong)
    assert page.status == 422
    assert "The code does not fit" in page.text
    assert (
        page.form("/account/second-factor/confirm").fields[-2:]
        == first.form("/account/second-factor/confirm").fields[-2:]
    )
    # Begun anew, the first key is over.
    second = visitor.submit(visitor.get("/account/second-factor"), "/account/second-factor")
    assert visitor.submit(second, "/account/second-factor/confirm", code=code_on(first)).status == 422
    assert "It is on" in visitor.submit(second, "/account/second-factor/confirm", code=code_on(second)).text
    assert visitor.submit(second, "/account/second-factor/confirm", code=code_on(second)).status == 409
    # What comes back in the hidden fields is drawn only if it is what we send.
    fields = {"code": "123456", "secret": "<script>", "uri": "javascript:x"}
    page = visitor.submit(second, "/account/second-factor/confirm", **fields)
    assert "<script>" not in page.answer.text


def test_the_password_is_asked_for_once_more_where_signing_in_was_long_ago(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = join(plane, "viewer")
    monkeypatch.setattr("caisey.api.routes.me.JUST_NOW_MS", 0)
    page = visitor.submit(visitor.get("/account/second-factor"), "/account/second-factor")
    assert page.status == 422
    page = visitor.submit(page, "/account/second-factor", password="wrong")
    assert "That is not your password" in page.text
    page = visitor.submit(page, "/account/second-factor", password=PASSWORD)
    assert "Scan this" in page.text


def test_browsers(plane: Plane) -> None:
    visitor = join(plane, "viewer")
    others = [Visitor(plane), Visitor(plane)]
    for number, other in enumerate(others):
        agent = ("Mozilla/5.0 (Windows NT 10.0) Firefox/140.0", "<img src=x>" * 50)[number]
        other.http.headers["user-agent"] = agent
        other.sign_in(visitor.email)
    page = visitor.get("/account")
    assert "Firefox on Windows" in page.text
    assert "<img src=x>" not in page.answer.text
    ending = [form.action for form in page.forms if form.action.endswith("/end")]
    assert len(ending) == 2
    page = visitor.submit(page, ending[0])
    assert sum(other.send("GET", "/account").status_code == 200 for other in others) == 1
    visitor.submit(page, ending[1])
    visitor.post(ending[1], dict(page.form("/account/profile").fields))  # twice is once
    assert all(other.send("GET", "/account").status_code == 303 for other in others)
    other = Visitor(plane)
    other.sign_in(visitor.email)
    visitor.submit(visitor.get("/account"), "/account/browsers/end-others")
    assert other.send("GET", "/account").status_code == 303
    # Another member's browser cannot be ended.
    stranger = join(plane, "owner")
    (mine,) = visitor.send("GET", "/api/v1/me/browser-sessions").json()["items"]
    fields = dict(stranger.get("/account").form("/account/profile").fields)
    stranger.post(f"/account/browsers/{mine['id']}/end", fields)
    assert visitor.send("GET", "/account").status_code == 200


def test_signing_out(plane: Plane) -> None:
    visitor = join(plane, "viewer")
    secret = visitor.secret
    page = visitor.submit(visitor.get("/account"), "/sign-out")
    assert visitor.secret is None
    assert "Sign in" in page.text
    visitor.secret = secret
    assert visitor.send("GET", "/account").status_code == 303


def test_a_token_has_no_account(api: Api) -> None:
    me = api.get("/me")
    assert (me["kind"], me["account"], me["role"]) == ("token", None, "owner")
    for method, path, body in (
        ("PATCH", "/me", {"theme": "dark"}),
        ("POST", "/me/password", {"current": "x", "new": "y"}),
        ("POST", "/me/second-factor", {}),
        ("GET", "/me/browser-sessions", None),
        ("POST", "/me/browser-sessions/end-others", None),
    ):
        assert api.refused(method, path, body)[:2] == (409, "me.no_member")


def test_what_is_asked_twice_with_one_key_is_done_once_and_shows_no_secret_twice(plane: Plane) -> None:
    visitor = join(plane, "viewer")
    token = dict(visitor.get("/account").form("/account/profile").fields)["csrf"]
    headers = {"x-csrf-token": token, "idempotency-key": "once"}
    first = visitor.send("POST", "/api/v1/me/second-factor", json={}, headers=headers).json()
    again = visitor.send("POST", "/api/v1/me/second-factor", json={}, headers=headers).json()
    assert first["secret"]
    assert (again["secret"], again["uri"], again["secret_shown_once"]) == (None, None, True)


def test_what_was_done_is_in_the_audit_log_without_any_secret(plane: Plane, api: Api) -> None:
    visitor = join(plane, "viewer")
    _, _, codes = with_second_factor(visitor)
    visitor.submit(visitor.get("/account"), "/sign-out")
    events = []
    after = 0
    while page := api.get("/audit", after=after, limit=200)["items"]:
        events += page
        after = page[-1]["sequence"]
    mine = [event for event in events if event["payload"].get("member_id") == visitor.member_id]
    assert [event["type"] for event in mine] == [
        "member.created",
        "member_link.made",
        "member.password_set",
        "member_link.used",
        "browser_session.opened",
        "member.second_factor_on",
        "browser_session.ended",
    ]
    said = repr(events)
    assert PASSWORD not in said
    assert not any(code in said for code in codes)
