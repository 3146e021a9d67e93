"""Fixtures of the journeys: one browser and one control plane for each worker, a fresh context for each test.

A page that logs an error, throws, breaks the content security policy or asks another host for anything fails its test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.api.plane import Api, Plane
from tests.browser.chromium import DESK, FLAGS, executable, is_demanded
from tests.web.visitor import COOKIE, Visitor, join, quick_passwords

ACTION_WITHIN_MS = 30_000
LOAD_WITHIN_MS = 60_000
SEEN_WITHIN_MS = 30_000
"""An expectation that does not say how long it waits; it ends as soon as it holds. Playwright's own 5 s are few where
the browser, the control plane and another worker share two cores."""

expect.set_options(timeout=SEEN_WITHIN_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here needs a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for each file: while the driver lives, an event loop runs in this thread, and no other test can have one."""
    found = executable()
    if found is None:
        says = "no Chromium here: install the package `chromium`, or name one in CAISEY_CHROMIUM"
        if is_demanded():
            pytest.fail(says)
        pytest.skip(says)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(found), headless=True, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with quick_passwords():
        plane = Plane(tmp_path_factory.mktemp("browser") / "data", enrollments_per_minute=100_000).start()
        yield plane
        plane.stop()


@pytest.fixture
def api(plane: Plane) -> Api:
    """The owner of the default organization, by token."""
    return plane.api()


class Watched:
    """What a context's pages did that they must not do."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.faults: list[str] = []
        self.allowed: list[str] = []
        self._host = urlsplit(url).netloc
        context.on("console", self._console)
        context.on("weberror", lambda error: self.faults.append(f"threw: {error.error}"))
        context.on("request", self._request)

    def allow(self, part: str) -> None:
        """What this test provokes on purpose: a fault whose text holds `part`."""
        self.allowed.append(part)

    def check(self) -> None:
        found = [fault for fault in self.faults if not any(part in fault for part in self.allowed)]
        assert not found, "\n".join(found)

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.faults.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self._host:
            self.faults.append(f"asked another host: {request.url}")


NewContext = Callable[..., BrowserContext]


@pytest.fixture
def new_context(browser: Browser, plane: Plane) -> Iterator[NewContext]:
    """`new_context(visitor=None, **options)`: a browser of its own, signed in as the visitor."""
    made: list[tuple[BrowserContext, Watched]] = []

    def make(visitor: Visitor | None = None, *, at: str | None = None, **options: Any) -> BrowserContext:
        url = at or plane.url
        context = browser.new_context(base_url=url, **{"viewport": DESK, "locale": "en-GB", **options})
        context.set_default_timeout(ACTION_WITHIN_MS)
        context.set_default_navigation_timeout(LOAD_WITHIN_MS)
        watched = Watched(context, url)
        context.watched = watched  # type: ignore[attr-defined]
        made.append((context, watched))
        if visitor is not None:
            sign_in(context, visitor)
        return context

    yield make
    for context, _ in made:
        context.close()
    for _, watched in made:
        watched.check()


def sign_in(context: BrowserContext, visitor: Visitor) -> None:
    """Give the browser the visitor's cookie, as the server's own header would."""
    assert visitor.secret is not None
    context.add_cookies(
        [
            {
                "name": COOKIE,
                "value": visitor.secret,
                "url": visitor.url.replace("http://", "https://"),  # the prefix __Host- asks for it
                "httpOnly": True,
                "secure": True,
                "sameSite": "Lax",
            }
        ]
    )


@pytest.fixture
def owner(plane: Plane) -> Iterator[Visitor]:
    visitor = join(plane, "owner")
    yield visitor
    visitor.close()


@pytest.fixture
def page(new_context: NewContext, owner: Visitor) -> Page:
    """A page of an owner who is signed in, at a desk."""
    return new_context(owner).new_page()
