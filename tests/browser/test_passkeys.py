"""Passkeys in a browser, with the virtual authenticator of its developer tools."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.api.plane import Plane
from tests.browser.conftest import NewContext
from tests.web.visitor import PASSWORD, join


def test_a_passkey_from_the_account_to_the_next_sign_in(plane: Plane, new_context: NewContext) -> None:
    visitor = join(plane, "technician")
    # A passkey belongs to a name: by an address there is none.
    url = plane.url.replace("127.0.0.1", "localhost")
    context = new_context(at=url)
    page = context.new_page()
    tools = context.new_cdp_session(page)
    tools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = tools.send("WebAuthn.addVirtualAuthenticator", {"options": options})

    page.goto("/sign-in")
    page.get_by_label("E-mail address").fill(visitor.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.goto("/account")
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_label("Name").fill("My laptop")
    page.get_by_role("button", name="Make it").click()
    expect(page.locator("#passkeys").get_by_text("My laptop")).to_be_visible()
    page.get_by_role("button", name="Sign out", exact=True).click()

    page.goto("/account")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page).to_have_url(re.compile("/account$"))
    expect(page.locator("#passkeys").get_by_text("My laptop")).to_be_visible()

    # Removed here, it opens nothing, although the device still has it.
    page.get_by_label("Remove: My laptop").click()
    page.get_by_role("button", name="Remove it now").click()
    expect(page.get_by_text("My laptop")).to_have_count(0)
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("The passkey did not open it.")
    # Nobody is there: the page says so, and nothing is sent.
    tools.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": made["authenticatorId"]})
    context.watched.allow("401 (Unauthorized)")  # type: ignore[attr-defined]
    visitor.close()
