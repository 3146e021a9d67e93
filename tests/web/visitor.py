"""A person at the console without a browser: cookies, forms and redirects as a browser without script would have them.

Real HTTP to a real control plane; nothing of the console is called from inside.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from argon2 import PasswordHasher

from caisey.control import passwords
from tests.api.plane import TLS, Plane

COOKIE = "__Host-caisey"
PASSWORD = "correct horse battery staple"
_NUMBERS = itertools.count(1)


@dataclass
class FormFound:
    """A form of a page with its fields as they would be sent."""

    method: str
    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)  # name, value, text


class PageFound(HTMLParser):
    """What a page says: its text, its forms, links and elements."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(convert_charrefs=True)
        self.answer = answer
        self.status = answer.status_code
        self.forms: list[FormFound] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self._text: list[str] = []
        self._select: tuple[str, list[tuple[str, bool]]] | None = None
        self._area: tuple[str, list[str]] | None = None
        self._button: list[str] | None = None
        self._silent = 0
        self.feed(answer.text)

    @property
    def text(self) -> str:
        """What is read, on one line."""
        return " ".join(" ".join(self._text).split())

    def form(self, action: str) -> FormFound:
        """The form that is sent there."""
        found = [form for form in self.forms if form.action == action]
        assert found, (action, [form.action for form in self.forms], self.text[:500])
        return found[0]

    def with_id(self, identity: str) -> dict[str, str]:
        """The attributes of the element with this id."""
        found = [attributes for _, attributes in self.tags if attributes.get("id") == identity]
        assert len(found) == 1, (identity, len(found))
        return found[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        if tag in ("script", "style", "title"):
            self._silent += 1
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "form":
            action = given.get("action", self.answer.url.raw_path.decode().partition("?")[0])
            self.forms.append(FormFound(given.get("method", "get"), action))
        if self.forms:
            self._field(tag, given)

    def _field(self, tag: str, given: dict[str, str]) -> None:
        fields = self.forms[-1].fields
        if tag == "input" and "name" in given and "disabled" not in given:
            kind = given.get("type", "text")
            if kind not in ("checkbox", "radio") or "checked" in given:
                fields.append((given["name"], given.get("value", "on" if kind == "checkbox" else "")))
        elif tag == "select":
            self._select = (given.get("name", ""), [])
        elif tag == "option" and self._select is not None:
            self._select[1].append((given.get("value", ""), "selected" in given))
        elif tag == "textarea":
            self._area = (given.get("name", ""), [])
        elif tag == "button" and given.get("type", "submit") == "submit":
            self.forms[-1].buttons.append((given.get("name", ""), given.get("value", ""), ""))
            self._button = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "title"):
            self._silent -= 1
        if tag == "select" and self._select is not None:
            name, options = self._select
            chosen = [value for value, selected in options if selected] or [value for value, _ in options[:1]]
            self.forms[-1].fields += [(name, value) for value in chosen]
            self._select = None
        if tag == "textarea" and self._area is not None:
            text = "".join(self._area[1])
            self.forms[-1].fields.append((self._area[0], text.removeprefix("\n")))
            self._area = None
        if tag == "button" and self._button is not None:
            name, value, _ = self.forms[-1].buttons[-1]
            self.forms[-1].buttons[-1] = (name, value, " ".join("".join(self._button).split()))
            self._button = None

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._area[1].append(data)
        if self._button is not None:
            self._button.append(data)
        if not self._silent:
            self._text.append(data)


class Visitor:
    """One browser without script. Follows redirects after forms, keeps the console's cookie."""

    def __init__(self, plane: Plane, address: str | None = None) -> None:
        self.plane = plane
        self.url = plane.url
        self.secret: str | None = None
        self.last: httpx.Response | None = None
        self.email = ""
        self.member_id = ""
        # Nothing is kept open, so that nothing is left open where a test ends early.
        limits = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.Client(
            base_url=plane.url,
            timeout=20,
            trust_env=False,
            verify=TLS,
            limits=limits,
            transport=None if address is None else httpx.HTTPTransport(local_address=address, limits=limits),
        )

    def close(self) -> None:
        self.http.close()

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request with the cookie; redirects are not followed."""
        headers = dict(more.pop("headers", {}))
        if self.secret is not None:
            headers.setdefault("cookie", f"{COOKIE}={self.secret}")
        if method != "GET":
            headers.setdefault("origin", self.url)
        headers = {name: value for name, value in headers.items() if value is not None}
        self.http.cookies.clear()
        answer = self.http.request(method, path, headers=headers, **more)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if name == COOKIE:
                self.secret = value or None
        self.last = answer
        return answer

    def get(self, path: str, **more: Any) -> PageFound:
        """A page, redirects followed."""
        answer = self.send("GET", path, **more)
        for _ in range(5):
            if answer.status_code not in (302, 303):
                break
            answer = self.send("GET", answer.headers["location"], **more)
        assert answer.status_code < 500, (path, answer.status_code, answer.text)
        return PageFound(answer)

    def post(self, path: str, fields: Any, **more: Any) -> PageFound:
        """A form as it is given here; the redirect after it is followed."""
        data = list(fields.items()) if isinstance(fields, dict) else list(fields)
        body = httpx.QueryParams(data)
        headers = {"content-type": "application/x-www-form-urlencoded", **more.pop("headers", {})}
        answer = self.send("POST", path, content=str(body), headers=headers, **more)
        assert answer.status_code < 500, (path, answer.status_code, answer.text)
        if answer.status_code == 303:
            return self.get(answer.headers["location"])
        return PageFound(answer)

    def submit(self, page: PageFound, action: str, **fields: str | list[str]) -> PageFound:
        """The page's form with these fields changed, sent as a browser would."""
        form = page.form(action)
        kept = [(name, value) for name, value in form.fields if name not in fields]
        for name, value in fields.items():
            kept += [(name, one) for one in (value if isinstance(value, list) else [value])]
        if form.method == "get":
            return self.get(f"{form.action}?{urlencode(kept)}")
        return self.post(form.action, kept)

    def sign_in(self, email: str, password: str = PASSWORD) -> PageFound:
        """The first step; for who has no second factor the only one."""
        return self.post("/sign-in", {"email": email, "password": password})


@contextmanager
def quick_passwords() -> Iterator[None]:
    """Passwords as always, with hashes that are cheap to make: what they cost is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        cheap = partial(PasswordHasher, time_cost=1, memory_cost=64, parallelism=1)
        patch.setattr(passwords, "PasswordHasher", cheap)
        yield


def join(
    plane: Plane, role: str = "owner", *, groups: list[str] | None = None, name: str | None = None, by: Any = None
) -> Visitor:
    """A member of that role, invited and signed in. `by` invites: the organization's owner by token if not said."""
    number = next(_NUMBERS)
    name = name or f"{role.title()} {number}"
    owner = by or plane.api()
    email = f"{role}{number}.{uuid.uuid4().hex[:6]}@example.com"
    member = owner.post("/members", {"email": email, "role": role, "name": name, "client_group_ids": groups})
    link = owner.post(f"/members/{member['id']}/link")["url"]
    visitor = Visitor(plane)
    page = visitor.post(urlsplit(link).path, {"password": PASSWORD})
    assert visitor.secret is not None, page.text
    visitor.email, visitor.member_id = email, member["id"]
    return visitor
