"""First run in a browser: from the link that is printed to an account with a second factor, and back in."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from caisey.control import totp
from tests.api.plane import Plane
from tests.browser.conftest import NewContext
from tests.web.visitor import PASSWORD

ZONE = "caisey-zone"
"""The browser's own zone, told by our script so that sentences can say times in it."""


@pytest.fixture
def empty_plane(tmp_path: Path) -> Iterator[Plane]:
    plane = Plane(tmp_path / "data").start()
    yield plane
    plane.stop()


def code_of(secret: str) -> str:
    """What an authenticator shows for the secret as it is spelled on the page."""
    import base64

    key = base64.b32decode(secret.replace(" ", ""))
    return totp.code_at(key, time.time_ns() // 1_000_000 // totp.STEP_MS)


def test_from_the_printed_link_to_a_protected_account(empty_plane: Plane, new_context: NewContext) -> None:
    context = new_context(at=empty_plane.url)
    page = context.new_page()
    page.goto("/")
    expect(page.get_by_text("Nobody has an account here yet")).to_be_visible()

    page.goto(empty_plane.set_up_link())
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.get_by_label("E-mail address").fill("ada@example.com")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").press("Enter")

    # The cookie is what the server said: out of reach of scripts, for this host alone.
    expect(page).to_have_url(re.compile("/account/second-factor"))
    (cookie,) = [one for one in context.cookies() if one["name"] != ZONE]
    assert (cookie["name"], cookie["httpOnly"], cookie["secure"]) == ("__Host-caisey", True, True)
    assert (cookie["sameSite"], cookie["path"], cookie["domain"]) == ("Lax", "/", "127.0.0.1")
    assert "caisey-zone=" in page.evaluate("document.cookie")
    assert "__Host" not in page.evaluate("document.cookie")

    page.get_by_role("button", name="Show the code to scan").click()
    expect(page.locator("svg.qr")).to_be_visible()
    secret = page.locator("code.secret").inner_text()
    code = page.get_by_label("The code that the app shows now")
    code.fill("000000" if code_of(secret) != "000000" else "111111")
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("alert")).to_contain_text("The code does not fit")
    expect(page.locator("svg.qr")).to_be_visible()
    page.get_by_label("The code that the app shows now").fill(code_of(secret))
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("heading", name="It is on")).to_be_visible()
    codes = page.locator(".codes li").all_inner_texts()
    assert len(set(codes)) == 10
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()

    page.goto("/account")
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert [one["name"] for one in context.cookies()] == [ZONE]

    page.goto("/account#browsers")
    page.get_by_label("E-mail address").fill("ADA@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_label("Code").fill(codes[0].lower())
    page.get_by_role("button", name="Go on").click()
    expect(page).to_have_url(re.compile("/account$"))
    expect(page.get_by_text("9 recovery codes left")).to_be_visible()
    context.watched.allow("422 (Unprocessable")  # type: ignore[attr-defined]
    context.watched.allow("404 (Not Found)")  # type: ignore[attr-defined]
