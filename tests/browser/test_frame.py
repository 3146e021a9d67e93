"""What every page has, in a browser: shortcuts as the person chose them, themes, times, live lines, a phone's menu."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.api.plane import Api, Plane
from tests.browser.chromium import PHONE
from tests.browser.conftest import NewContext
from tests.web.visitor import Visitor, join


def choose(visitor: Visitor, **chosen: str) -> None:
    visitor.submit(visitor.get("/account"), "/account/profile", **chosen)


def ground(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))


def test_single_keys_when_they_are_on(page: Page) -> None:
    page.goto("/settings/tools")
    help_panel = page.locator("#keys-help")
    expect(help_panel).to_be_hidden()
    page.keyboard.press("?")
    expect(help_panel).to_be_visible()
    expect(help_panel.get_by_text("Find a computer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(help_panel).to_be_hidden()
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    # In a field the same keys are text.
    page.keyboard.type("ga?/")
    expect(page.locator("#find")).to_have_value("ga?/")
    page.keyboard.press("Escape")
    expect(page.locator("#find")).not_to_be_focused()
    page.keyboard.press("g")
    page.keyboard.press("e")
    expect(page).to_have_url(re.compile("/endpoints$"))


@pytest.mark.parametrize("mode", ["alt", "off"])
def test_single_keys_as_the_person_chose(plane: Plane, new_context: NewContext, mode: str) -> None:
    visitor = join(plane, "viewer")
    choose(visitor, keys=mode)
    page = new_context(visitor).new_page()
    page.goto("/settings/tools")
    help_panel = page.locator("#keys-help")
    page.keyboard.press("?")
    page.keyboard.press("/")
    expect(help_panel).to_be_hidden()
    expect(page.locator("#find")).not_to_be_focused()
    if mode == "alt":
        page.keyboard.press("Alt+?")
        expect(help_panel).to_be_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("Alt+g")
        page.keyboard.press("Alt+e")
        expect(page).to_have_url(re.compile("/endpoints$"))
    visitor.close()


@pytest.mark.parametrize(
    ("theme", "system", "dark"),
    [("auto", "dark", True), ("auto", "light", False), ("light", "dark", False), ("dark", "light", True)],
)
def test_themes(plane: Plane, new_context: NewContext, theme: str, system: str, dark: bool) -> None:
    visitor = join(plane, "viewer")
    choose(visitor, theme=theme)
    page = new_context(visitor, color_scheme=system).new_page()
    page.goto("/keys")
    assert ground(page) == ("rgb(15, 18, 24)" if dark else "rgb(246, 247, 249)")
    visitor.close()


@pytest.mark.parametrize(("zone", "shown"), [("Asia/Tokyo", "GMT+9"), ("", "GMT-3")])
def test_times_are_in_the_zone_of_the_reader(plane: Plane, new_context: NewContext, zone: str, shown: str) -> None:
    visitor = join(plane, "viewer")
    choose(visitor, zone=zone)
    page = new_context(visitor, timezone_id="America/Sao_Paulo").new_page()
    page.goto("/account")
    time = page.locator("#browsers time").first
    expect(time).to_have_attribute("title", re.compile(re.escape(shown)))
    # Relative times stay fresh without a reload.
    first = time.inner_text()
    expect(time).not_to_have_text(first)
    visitor.close()


def test_the_menu_of_a_phone(new_context: NewContext, owner: Visitor, api: Api) -> None:
    api.endpoint(None, "PHONE-01")
    page = new_context(owner, viewport=PHONE, has_touch=True).new_page()
    page.goto("/attention")
    page.get_by_label("Search, settings, account").tap()
    page.get_by_role("link", name="Settings").tap()
    expect(page).to_have_url(re.compile("/settings/client-groups$"))
    for path in ("/attention", "/account", "/settings/members", "/settings/policies/organization", "/settings/tokens"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_a_page_says_that_it_is_signed_out(plane: Plane, new_context: NewContext, api: Api) -> None:
    """The live connection ends within moments of signing out elsewhere, and the page says what to do."""
    visitor = join(plane, "technician")
    context = new_context(visitor)
    page = context.new_page()
    with page.expect_request(lambda request: request.url.endswith("/stream") or "/stream?" in request.url):
        page.goto("/attention")
    line = page.locator("#live-line")
    expect(line).to_be_hidden()
    visitor.submit(visitor.get("/account"), "/sign-out")
    context.watched.allow("401 (Unauthorized)")  # type: ignore[attr-defined]
    expect(line).to_contain_text("You are signed out.")
    line.get_by_role("link").click()
    expect(page).to_have_url(re.compile(r"/sign-in\?next=%2Fattention"))
    page.get_by_label("E-mail address").fill(visitor.email)
    page.get_by_label("Password").fill("correct horse battery staple")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/attention$"))
    visitor.close()


def test_settings_without_script(new_context: NewContext, owner: Visitor) -> None:
    page = new_context(owner, java_script_enabled=False).new_page()
    page.goto("/settings/client-groups")
    page.get_by_label("New client group").fill("Without script")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_text("Without script")).to_be_visible()
    page.get_by_label("Rename: Without script").click()
    page.get_by_label("Name").last.fill("Still without")
    page.get_by_role("button", name="Rename").last.click()
    expect(page.get_by_text("Still without")).to_be_visible()


def test_what_is_shown_once_is_copied_at_a_press(new_context: NewContext, owner: Visitor) -> None:
    context = new_context(owner, permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto("/settings/tokens")
    page.locator("#new > summary").click()
    page.get_by_label("What it is for").fill("copied")
    page.get_by_role("button", name="Make the token").click()
    button = page.get_by_role("button", name="Copy")
    button.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#token").inner_text()
