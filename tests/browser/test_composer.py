"""The composer in a browser: a terminal first. Keys, history, hints, files, several lines, `/open` in two actions."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.api.plane import Api


@pytest.fixture
def session(api: Api) -> str:
    return api.session(api.endpoint(hostname=f"ACCT-{uuid.uuid4().hex[:6]}"), title="Printing")


def asked(api: Api, session: str) -> list[tuple[str, Any]]:
    """What was asked, oldest first: tool and arguments."""
    prompts = [api.get(f"/prompts/{p['id']}") for p in api.get(f"/sessions/{session}")["prompts"]]
    return [(call["tool"], call["arguments"]) for prompt in prompts for call in prompt["tool_calls"]]


def at(page: Page, session: str) -> Page:
    page.goto(f"/sessions/{session}")
    expect(page.locator("html")).to_have_class("scripted")
    return page


def test_one_line_is_sent_by_enter_and_comes_back_by_the_arrow(page: Page, api: Api, session: str) -> None:
    at(page, session)
    page.keyboard.press("i")
    command = page.get_by_label("Command", exact=True)
    expect(command).to_be_focused()
    page.keyboard.type("uptime")
    page.get_by_label("Reads only").check()
    command.press("Enter")
    expect(command).to_have_value("")
    expect(page.locator("#transcript")).to_contain_text("uptime")
    expect(command).to_be_focused()
    page.keyboard.type("lpq -a")
    command.press("Enter")
    expect(command).to_have_value("")
    assert asked(api, session) == [("shell", {"command": "uptime"}), ("shell", {"command": "lpq -a"})]
    command.press("ArrowUp")
    expect(command).to_have_value("lpq -a")
    command.press("ArrowUp")
    expect(command).to_have_value("uptime")
    expect(page.get_by_label("Reads only")).to_be_checked()
    command.press("ArrowDown")
    command.press("ArrowDown")
    expect(command).to_have_value("")


def test_a_paste_with_line_breaks_never_sends(page: Page, api: Api, session: str) -> None:
    at(page, session)
    command = page.get_by_label("Command", exact=True)
    command.focus()
    page.keyboard.insert_text("cd /tmp\nls\n")
    command.press("Enter")
    expect(command).to_have_value("cd /tmp\nls\n\n")
    command.press("Shift+Enter")
    assert asked(api, session) == []
    command.press("Control+Enter")
    expect(command).to_have_value("")
    assert asked(api, session) == [("shell", {"command": "cd /tmp\nls"})]


def test_what_waits_for_a_keyboard_is_said_while_one_types(page: Page, api: Api, session: str) -> None:
    at(page, session)
    command = page.get_by_label("Command", exact=True)
    command.press_sequentially("nano /etc/hosts")
    hint = page.get_by_text("usually waits for somebody at a keyboard")
    expect(hint).to_be_visible()
    expect(command).to_be_focused()
    expect(command).to_have_value("nano /etc/hosts")
    command.fill("cat /etc/hosts")
    expect(hint).to_have_count(0)
    command.fill("nano /etc/hosts")
    expect(hint).to_be_visible()
    page.get_by_role("button", name="Send it anyway").click()
    expect(command).to_have_value("")
    assert asked(api, session) == [("shell", {"command": "nano /etc/hosts"})]


def test_a_tool_has_a_form_and_its_faults_stand_beside_the_field(
    page: Page, api: Api, session: str, request: Any
) -> None:
    page.context.watched.allow("422")  # type: ignore[attr-defined]
    at(page, session)
    page.get_by_label("With").select_option("processes")
    limit = page.get_by_label("limit", exact=True)
    expect(limit).to_be_visible()
    limit.fill("many")
    page.get_by_role("button", name="Send").click()
    expect(limit).to_have_attribute("aria-invalid", "true")
    expect(limit).to_have_value("many")
    limit.fill("5")
    limit.press("Control+Enter")
    expect(page.locator("#transcript")).to_contain_text("processes")
    assert asked(api, session) == [("processes", {"limit": 5})]


def test_a_file_that_is_dropped_is_written(page: Page, api: Api, session: str) -> None:
    at(page, session)
    drop = """(text) => {
        const data = new DataTransfer();
        data.items.add(new File([text], "motd"));
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(drop, "hello\n")
    path = page.get_by_label("path")
    expect(path).to_have_value("motd")
    path.fill("/etc/motd")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#transcript")).to_contain_text("file_write")
    assert asked(api, session) == [("file_write", {"path": "/etc/motd", "data": "aGVsbG8K"})]
    page.evaluate(drop, "x" * 200_000)
    expect(page.get_by_text("motd is too large")).to_be_visible()


def test_from_a_button_elsewhere_to_the_first_command_in_two_actions(page: Page, api: Api) -> None:
    name = f"ACCT-{uuid.uuid4().hex[:6]}"
    endpoint = api.endpoint(hostname=name)
    page.goto(f"/open?host={name}&ticket=4711")
    actions = 0
    page.keyboard.press("i")
    expect(page.get_by_label("Command", exact=True)).to_be_focused()
    page.keyboard.type("uptime")
    actions += 1  # writing it
    page.keyboard.press("Enter")
    actions += 1
    page.wait_for_url("**/sessions/ses_*")
    [session] = api.get("/sessions", endpoint_id=endpoint, ticket="4711")["items"]
    assert asked(api, session["id"]) == [("shell", {"command": "uptime"})]
    assert actions <= 2


def test_the_ticket_note_is_copied_and_a_pane_is_closed_by_escape(page: Page, api: Api, session: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    api.prompt(session, {"tool": "shell", "arguments": {"command": "lpq"}})
    page.goto(f"/sessions/{session}/note")
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert "lpq" in page.evaluate("navigator.clipboard.readText()")
    at(page, session)
    page.locator("#strip-close > summary").click()
    outcome = page.get_by_label("What came of it")
    expect(outcome).to_be_focused()
    page.keyboard.press("Escape")
    expect(outcome).to_be_hidden()
