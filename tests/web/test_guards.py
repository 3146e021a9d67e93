"""What stands between a page and everybody else: host, origin, form tokens, cookies, headers, roles, limits."""

from __future__ import annotations

import gzip
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from caisey.control.roles import RANK, Role
from caisey.web.page import OpenPage, Page
from caisey.web.table import OPEN_PAGES, PAGES
from tests.api.plane import TLS, Api, Plane
from tests.web.visitor import COOKIE, PASSWORD, PageFound, Visitor, join

People = Callable[..., Visitor]
FORM = {"content-type": "application/x-www-form-urlencoded"}
CLOSED_WITHIN_S = 5.0


def filled(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: {"level": "endpoint", "version": "1"}.get(match[1], "none"), path)


def fault_of(answer: httpx.Response) -> str:
    return str(answer.json()["code"]) if "json" in answer.headers["content-type"] else PageFound(answer).text


# -- who is not signed in --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.method} {page.path}")
def test_no_page_for_who_is_not_signed_in(plane: Plane, page: Any) -> None:
    path = filled(page.path)
    for secret in (None, "x" * 43, "wrong"):
        visitor = Visitor(plane)
        visitor.secret = secret
        answer = visitor.send(page.method, path, headers=FORM, content=b"" if page.method == "POST" else None)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in")
        part = visitor.send(page.method, path, headers={**FORM, "x-caisey-part": "1"})
        assert (part.status_code, part.content) == (401, b"")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.method} {page.path}")
def test_roles(person: People, page: Any) -> None:
    for role in Role:
        if RANK[role] >= RANK[page.role]:
            continue
        visitor = person(role.value)
        token = visitor.get("/account").form("/account/profile")
        fields = dict(token.fields)
        body = str(httpx.QueryParams({"csrf": fields["csrf"]}))
        answer = visitor.send(page.method, filled(page.path), headers=FORM, content=body)
        assert answer.status_code == 403
        assert "Your role does not allow this" in answer.text


# -- host and origin -------------------------------------------------------------------------------------------------

EVERY_PAGE: tuple[Page | OpenPage, ...] = (*PAGES, *OPEN_PAGES)
EVERY_POST = [page for page in EVERY_PAGE if page.method == "POST"]
FOREIGN: list[dict[str, str | None]] = [
    {"origin": None},
    {"origin": "null"},
    {"origin": "https://evil.example"},
    {"origin": "http://localhost:1"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]


@pytest.mark.parametrize("page", EVERY_POST, ids=lambda page: page.path)
def test_no_form_from_elsewhere(person: People, page: Any) -> None:
    visitor = person()
    fields = dict(visitor.get("/account").form("/account/profile").fields)
    for headers in FOREIGN:
        body = str(httpx.QueryParams(fields))
        answer = visitor.send("POST", filled(page.path), content=body, headers={**FORM, **headers})
        assert answer.status_code == 403, headers
        assert "This came from another site" in answer.text
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("page", [page for page in PAGES if page.method == "POST"], ids=lambda page: page.path)
def test_no_form_without_the_token_of_this_browser(person: People, page: Any) -> None:
    visitor, other = person(), person("admin")
    foreign = dict(other.get("/account").form("/account/profile").fields)["csrf"]
    for token in (None, "", "x", foreign, "A" * 88):
        body = str(httpx.QueryParams({} if token is None else {"csrf": token}))
        answer = visitor.send("POST", filled(page.path), content=body, headers=FORM)
        assert answer.status_code == 403, token
        assert "did not come from a page of your session" in answer.text


def test_a_foreign_name_reads_nothing(plane: Plane, person: People) -> None:
    visitor = person()
    for path in ("/", "/sign-in", "/account", "/api/v1/me"):
        answer = visitor.send("GET", path, headers={"host": "evil.example"})
        assert answer.status_code == 421, path
        assert visitor.email not in answer.text
    # Programs with a token may come under any name: runtimes and scripts do.
    token = plane.token()
    headers = {"host": "caisey.internal", "authorization": f"Bearer {token}"}
    assert httpx.get(f"{plane.url}/api/v1/me", headers=headers, trust_env=False, verify=TLS).status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x", "application/json", ""])
def test_only_plain_forms(person: People, content_type: str) -> None:
    visitor = person()
    answer = visitor.send("POST", "/account/profile", content=b"x=y", headers={"content-type": content_type})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\xff\xfe", 422),
        (b"a=%ff%fe", 422),
        (b"&".join(b"a=b" for _ in range(3000)), 422),
        (b"a=" + b"b" * 300_000, 413),
    ],
)
def test_forms_have_bounds(person: People, body: bytes, status: int) -> None:
    answer = person().send("POST", "/account/profile", content=body, headers=FORM)
    assert answer.status_code == status


def test_json_in_a_form_may_nest_as_deep_as_it_likes(person: People) -> None:
    visitor = person("technician")
    fields = {"csrf": token_of(visitor), "tool_call_id": "none", "action": "retry", "body": "[" * 20_000}
    assert visitor.post("/sessions/none/act", fields).status == 404


# -- cookies and headers ---------------------------------------------------------------------------------------------


def test_the_cookie(plane: Plane) -> None:
    visitor = join(plane, "viewer")
    answer = Visitor(plane).send(
        "POST", "/sign-in", content=str(httpx.QueryParams({"email": visitor.email, "password": PASSWORD})), headers=FORM
    )
    (line,) = answer.headers.get_list("set-cookie")
    name, *flags = line.split("; ")
    assert name.startswith(f"{COOKIE}=")
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(flags)
    assert not any(flag.startswith("Domain") for flag in flags)


@pytest.mark.parametrize("path", ["/sign-in", "/account", "/settings/members", "/nope", "/static/nope.js", "/keys"])
def test_every_answer_is_guarded(person: People, path: str) -> None:
    answer = person().send("GET", path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] in ("no-store", "no-cache")
    assert "server" not in answer.headers
    assert " style=" not in answer.text
    assert not re.search(r"<script(?![^>]* src=)", answer.text)
    assert not re.search(r"\son\w+=", answer.text)


def test_static_files(plane: Plane) -> None:
    visitor = Visitor(plane)
    page = visitor.get("/sign-in")
    found = re.findall(r'href="(/static/[^"#]+)"', page.answer.text)
    assert len(found) >= 3
    for path in found:
        answer = visitor.send("GET", path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        again = visitor.send("GET", path, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    # The address of another version is answered, and not kept.
    other = re.sub(r"/static/\w+/", "/static/000000000000/", found[0])
    assert visitor.send("GET", other).headers["cache-control"] == "no-cache"
    for path in ("/static/", "/static/../app.py", "/static/%2e%2e/app.py", "/static/css", "/static/x/y/z.css"):
        assert visitor.send("GET", path).status_code == 404


def test_pages_are_compressed_for_who_takes_it(plane: Plane) -> None:
    visitor = Visitor(plane)
    plain = visitor.send("GET", "/sign-in", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    with visitor.http.stream("GET", "/sign-in", headers={"accept-encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "accept-encoding"
    assert gzip.decompress(packed)[:15] == b"<!doctype html>"
    assert len(packed) < len(plain.content) / 2


# -- signing in ------------------------------------------------------------------------------------------------------


def test_the_same_answer_for_known_and_unknown(plane: Plane) -> None:
    known = join(plane, "viewer")
    texts = []
    for email in (known.email, "nobody@example.com"):
        page = Visitor(plane).sign_in(email, "wrong password 123")
        assert page.status == 401
        texts.append(page.text.replace(email, "…"))
    assert texts[0] == texts[1]
    assert "That did not fit" in texts[0]


def test_too_many_tries(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane().start()
    member = join(plane, "viewer")
    elsewhere = Visitor(plane, "127.0.0.2")
    statuses = [elsewhere.sign_in(member.email, "wrong password 123").status for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    page = elsewhere.sign_in(member.email)
    assert page.status == 429
    assert re.search(r"Try again in \d+ s", page.text)
    assert page.with_id("email")["value"] == member.email
    # At the place where they are signed in they are not kept out by somebody else's guesses.
    at_home = Visitor(plane)
    assert at_home.sign_in(member.email).status == 200
    assert at_home.secret is not None


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [
        ("/settings/tools?x=1", "/settings/tools?x=1"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/sign-in?next=/x", "/"),
        ("/a\r\nset-cookie: x=y", "/"),
        ("/é", "/"),
        ("", "/"),
    ],
)
def test_where_it_goes_on_after_signing_in(plane: Plane, person: People, wanted: str, reached: str) -> None:
    fields = {"email": person().email, "password": PASSWORD, "next": wanted}
    answer = Visitor(plane).send("POST", "/sign-in", content=str(httpx.QueryParams(fields)), headers=FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, reached)


def test_a_password_is_not_taken_where_it_could_be_read_on_the_way(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane(public_url="http://caisey.example").start()
    member = join(plane, "viewer")
    visitor = Visitor(plane)
    headers = {**FORM, "host": "caisey.example", "origin": "http://caisey.example"}
    body = str(httpx.QueryParams({"email": member.email, "password": PASSWORD}))
    answer = visitor.send("POST", "/sign-in", content=body, headers=headers)
    assert (answer.status_code, visitor.secret) == (403, None)
    assert "could be read on the way" in answer.text
    assert "could be read on the way" in visitor.send("GET", "/sign-in", headers={"host": "caisey.example"}).text


def test_no_secret_in_the_log(new_plane: Callable[..., Plane], capfd: pytest.CaptureFixture[str]) -> None:
    plane = new_plane().start()
    member = join(plane, "viewer")
    Visitor(plane).sign_in(member.email, "wrong password 123")
    Visitor(plane).sign_in("my password by mistake", "x")
    plane.stop()
    said = "".join(capfd.readouterr())
    assert "sign_in.refused" in said
    for secret in (PASSWORD, "wrong password 123", member.secret, "my password by mistake"):
        assert secret is not None
        assert secret not in said


# -- the API with the cookie -----------------------------------------------------------------------------------------


def token_of(visitor: Visitor) -> str:
    return dict(visitor.get("/account").form("/account/profile").fields)["csrf"]


def test_the_api_takes_the_cookie(person: People) -> None:
    visitor = person("technician")
    me = visitor.send("GET", "/api/v1/me").json()
    assert (me["kind"], me["id"], me["role"]) == ("user", visitor.member_id, "technician")
    assert me["account"]["email"] == visitor.email


def test_the_api_asks_for_the_token_exactly_when_the_cookie_is_who_asks(plane: Plane, person: People) -> None:
    visitor = person()
    body: dict[str, Any] = {"json": {"theme": "auto"}}
    token = token_of(visitor)
    assert visitor.send("PATCH", "/api/v1/me", headers={"x-csrf-token": token}, **body).status_code == 200
    for headers in ({}, {"x-csrf-token": "x"}, {"x-csrf-token": token_of(person("admin"))}):
        answer = visitor.send("PATCH", "/api/v1/me", headers=headers, **body)
        assert (answer.status_code, fault_of(answer)) == (403, "access.csrf_invalid")
    for foreign in FOREIGN:
        answer = visitor.send("PATCH", "/api/v1/me", headers={"x-csrf-token": token, **foreign}, **body)
        assert (answer.status_code, fault_of(answer)) == (403, "access.foreign_origin")
    # A bearer token needs neither, with or without a cookie beside it, and decides alone.
    bearer = {"authorization": f"Bearer {plane.token('viewer')}", "origin": None}
    assert visitor.send("GET", "/api/v1/me", headers=bearer).json()["kind"] == "token"
    answer = visitor.send("POST", "/api/v1/client-groups", headers=bearer, json={"name": "x"})
    assert fault_of(answer) == "access.role_too_low"
    owner = {"authorization": f"Bearer {plane.token()}", "origin": "https://evil.example"}
    assert visitor.send("POST", "/api/v1/client-groups", headers=owner, json={"name": "by token"}).status_code == 201
    bad = visitor.send("GET", "/api/v1/me", headers={"authorization": "Bearer cst_x"})
    assert fault_of(bad) == "auth.token_invalid"


def test_a_cookie_that_is_nobodys(plane: Plane) -> None:
    visitor = Visitor(plane)
    visitor.secret = "A" * 43
    answer = visitor.send("GET", "/api/v1/me")
    assert (answer.status_code, fault_of(answer)) == (401, "auth.required")


class Reader:
    """Somebody who follows a stream with a cookie, until it ends."""

    def __init__(self, visitor: Visitor, path: str) -> None:
        self.opened = threading.Event()
        self.ended = threading.Event()
        self._work = threading.Thread(target=self._read, args=(visitor, path), daemon=True)
        self._work.start()
        assert self.opened.wait(10)

    def _read(self, visitor: Visitor, path: str) -> None:
        headers = {"cookie": f"{COOKIE}={visitor.secret}"}
        with (
            httpx.Client(base_url=visitor.url, trust_env=False, verify=TLS, timeout=60) as client,
            client.stream("GET", path, headers=headers) as answer,
        ):
            assert answer.status_code == 200
            for _ in answer.iter_raw():
                self.opened.set()
        self.ended.set()

    def ends_within(self, seconds: float) -> bool:
        return self.ended.wait(seconds)


def test_streams_end_with_the_browser_session(plane: Plane) -> None:
    visitor = join(plane, "technician")
    other = Visitor(plane)
    other.sign_in(visitor.email)
    mine, others = Reader(visitor, "/api/v1/stream"), Reader(other, "/api/v1/stream")
    visitor.submit(visitor.get("/account"), "/sign-out")
    assert mine.ends_within(CLOSED_WITHIN_S)
    assert not others.ended.is_set()
    assert other.send("GET", "/api/v1/me").status_code == 200
    # The one who may still read goes on until the password is changed elsewhere.
    third = Visitor(plane)
    third.sign_in(visitor.email)
    fields = {"current": PASSWORD, "new": "another password entirely"}
    third.submit(third.get("/account"), "/account/password", **fields)
    assert others.ends_within(CLOSED_WITHIN_S)
    assert other.send("GET", "/api/v1/me").status_code == 401
    assert third.send("GET", "/api/v1/me").status_code == 200


@pytest.mark.parametrize("what", ["role", "groups", "role in a group", "removal"])
def test_streams_end_when_what_one_may_changes(plane: Plane, api: Api, what: str) -> None:
    visitor = join(plane, "technician")
    reader = Reader(visitor, "/api/v1/stream")
    began = time.monotonic()
    path = f"/members/{visitor.member_id}"
    if what == "removal":
        api.delete(path)
    else:
        named = [{"client_group_id": api.group(), "role": "none"}] if what == "role in a group" else []
        changes = {"role": {"role": "viewer"}, "groups": {"client_group_ids": []}}
        api.patch(path, changes.get(what, {"group_roles": named}))
    assert reader.ends_within(CLOSED_WITHIN_S)
    assert time.monotonic() - began < CLOSED_WITHIN_S
    expected = 401 if what == "removal" else 200
    assert visitor.send("GET", "/api/v1/me").status_code == expected


def test_what_concerns_nobody_else_ends_no_stream(plane: Plane) -> None:
    visitor = join(plane, "technician")
    reader = Reader(visitor, "/api/v1/stream")
    visitor.submit(visitor.get("/account"), "/account/profile", theme="dark", keys="alt", zone="Europe/Berlin")
    page = visitor.get("/account")
    assert page.tags[0] == ("html", page.tags[0][1])
    assert (page.tags[0][1]["data-theme"], page.tags[0][1]["data-keys"]) == ("dark", "alt")
    assert not reader.ended.is_set()
    visitor.submit(page, "/sign-out")
    assert reader.ends_within(CLOSED_WITHIN_S)
