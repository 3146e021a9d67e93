"""Lists as people use them: a computer is added, found while one types, needs somebody, is put aside, goes away.

A real control plane; a real runtime where one is added; foreign ones where a computer has to go away.
"""

from __future__ import annotations

import re
import shlex
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.api.plane import Api, Plane, shell
from tests.browser.chromium import PHONE
from tests.browser.conftest import NewContext
from tests.browser.desks import desk, fleet, loop, new_desk, stalled_at_step_two  # noqa: F401  # fixtures
from tests.end_to_end.client import Api as DeskApi
from tests.end_to_end.fleet import Desk, Fleet
from tests.end_to_end.server import until
from tests.end_to_end.test_real_runtime import Agent
from tests.foreign.work import answers, starts_then_dies
from tests.web.visitor import Visitor, join

SLOWLY = 60_000


@pytest.fixture
def group(api: Api) -> str:
    return api.group()


@pytest.fixture
def technician(plane: Plane, group: str) -> Iterator[Visitor]:
    """Somebody who sees this test's client group alone."""
    visitor = join(plane, "technician", groups=[group])
    yield visitor
    visitor.close()


@pytest.fixture
def agent(plane: Plane, tmp_path: Path) -> Iterator[Agent]:
    api = DeskApi(plane.url, plane.token("owner"))
    agent = Agent(api, tmp_path / "state")
    yield agent
    agent.kill(signal.SIGTERM)
    api.close()


def test_a_computer_is_added_and_looked_at(page: Page, agent: Agent) -> None:
    page.goto("/endpoints/add")
    page.get_by_label("Any computer of the organization").check()
    page.get_by_role("button", name="Make the command").click()
    command = page.locator("#command-linux").inner_text()
    words = shlex.split(command)
    assert words[:2] == ["printf", "%s"]
    steps = page.locator("#add-steps")
    expect(steps.get_by_text("Nobody has used the command yet.")).to_be_visible()
    agent.enroll(words[2])
    expect(steps.locator("li.tone-done")).to_have_count(2, timeout=SLOWLY)
    agent.run()
    expect(steps.locator("li.tone-done")).to_have_count(5, timeout=SLOWLY)
    steps.locator("ul a").first.click()

    ready = page.locator(".endpoint-head .ready")
    expect(ready).to_contain_text("Ready. Answered", timeout=SLOWLY)
    page.get_by_role("button", name="Ask for the facts").click()
    expect(page.locator("dl.facts")).to_contain_text("Memory", timeout=SLOWLY)
    expect(page.locator("dl.facts")).to_contain_text("Processors", timeout=SLOWLY)
    page.get_by_role("link", name="Processes").click()
    page.get_by_role("button", name="Look now").click()
    expect(page.locator("tbody tr").nth(3)).to_be_visible(timeout=SLOWLY)
    expect(page.get_by_text("As of")).to_be_visible()
    page.get_by_role("link", name="Disks").click()
    expect(page.locator("svg.meter").first).to_be_visible()


def test_computers_are_found_while_one_types(
    api: Api, group: str, technician: Visitor, new_context: NewContext
) -> None:
    made = {name: api.endpoint(group, name) for name in ("ACCT-07", "ACCT-08", "TILL-01")}
    page = new_context(technician).new_page()
    page.goto("/endpoints")
    names = page.locator("#computers .name")
    expect(names).to_have_count(3)
    page.evaluate("window.sameDocument = true")
    page.keyboard.press("/")
    page.keyboard.type("acct")
    expect(names).to_have_count(2)
    expect(page).to_have_url(re.compile(r"/endpoints\?q=acct$"))
    page.keyboard.type("-08")
    expect(names).to_have_text(["ACCT-08"])
    assert page.evaluate("window.sameDocument"), "nothing was loaded anew"
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(made["ACCT-08"]))
    page.keyboard.press("/")
    page.keyboard.type("till")
    page.keyboard.press("Enter")
    expect(names).to_have_text(["TILL-01"])


def looks_alike(api: Api, group: str, hostname: str = "ACCT-07") -> str:
    """A computer that needs a decision; its id."""
    machine = uuid.uuid4().hex * 2
    token = api.enrollment_token("client_group", client_group_id=group, uses=2)
    api.enroll(token, machine_fingerprint=machine, hostname=hostname)
    return str(api.enroll(token, machine_fingerprint=machine, hostname=hostname)["endpoint_id"])


def test_attention_comes_is_taken_and_put_aside_by_keys_alone(
    api: Api, group: str, technician: Visitor, new_context: NewContext
) -> None:
    page = new_context(technician).new_page()
    page.goto("/attention")
    expect(page.get_by_text("Nothing needs you.")).to_be_visible()
    expect(page).to_have_title("Attention · Caisey")
    looks_alike(api, group)
    line = page.locator("[data-line]")
    expect(line).to_have_count(1, timeout=SLOWLY)
    expect(page).to_have_title("(1) Attention · Caisey")
    expect(page.locator("nav [data-attention-count]")).to_have_text("1")
    expect(page.locator('link[rel="icon"]')).to_have_attribute("href", re.compile("favicon-ask"))
    page.keyboard.press("j")
    expect(line.locator(".line-link")).to_be_focused()
    page.keyboard.press("a")
    expect(page.get_by_text("It is yours.")).to_be_visible()
    expect(page.locator("[data-line] .c-owner")).to_contain_text("you")
    page.keyboard.press("j")
    page.keyboard.press("s")
    page.keyboard.press("Tab")
    page.keyboard.type("the client calls back")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Put aside until")).to_be_visible()
    expect(page.get_by_text("Nothing needs you.")).to_be_visible()
    expect(page).to_have_title("Attention · Caisey")
    page.locator("#aside summary").first.click()
    expect(page.locator("#aside")).to_contain_text("put aside by you: the client calls back")
    page.get_by_role("button", name="Take back").click()
    expect(page).to_have_title("(1) Attention · Caisey")


def test_the_browser_tells_a_label_and_a_place_and_never_output(
    api: Api, group: str, technician: Visitor, new_context: NewContext
) -> None:
    context = new_context(technician)
    context.add_init_script(
        """
        window.told = [];
        window.Notification = class {
            constructor(title, options) { window.told.push([title, options.body]); }
            static permission = "granted";
            close() {}
        };
        Object.defineProperty(document, "hidden", { get: () => window.away === true });
        """
    )
    page = context.new_page()
    page.goto("/attention")
    expect(page.get_by_text("This browser tells you of new lines.")).to_be_visible()
    page.evaluate("window.away = true")
    looks_alike(api, group, "ACCT-99")
    until(lambda: page.evaluate("window.told.length"), within=60, what="a notice of the browser", pause=0.2)
    [[title, body]] = page.evaluate("window.told")
    assert title == "Needs you: Looks like a computer that is known"
    assert body.startswith("ACCT-99 · group ")


def test_several_are_put_aside_at_once(api: Api, group: str, technician: Visitor, new_context: NewContext) -> None:
    for name in ("ONE", "TWO"):
        looks_alike(api, group, name)
    page = new_context(technician).new_page()
    page.goto("/attention")
    expect(page.locator("[data-line]")).to_have_count(2)
    for _ in range(2):
        page.keyboard.press("j")
        page.keyboard.press("x")
    looks_alike(api, group, "THREE")
    expect(page.locator("[data-line]")).to_have_count(3, timeout=SLOWLY)
    expect(page.locator("input[form=bulk]:checked")).to_have_count(2)
    page.keyboard.press("s")
    page.locator("#bulk-snooze input").fill("a copied disk, known")
    page.locator("#bulk-snooze").get_by_role("button", name="Put aside").click()
    expect(page.locator("section [data-line]")).to_have_count(1)
    expect(page).to_have_title("(1) Attention · Caisey")


def test_a_site_that_fails_is_one_row_and_one_press(
    api: Api, group: str, technician: Visitor, new_context: NewContext
) -> None:
    quick = {"heartbeat_interval_s": 0.2, "ack_window_s": 0.2}  # the grace of a start is as long as these
    api.put(f"/client-groups/{group}/policy", {**quick, "hold_expiry_s": 0.2})
    for number in range(3):
        api.prompt(api.session(api.endpoint(group, f"SITE-{number}")), shell("true", effect="read_only"))
    page = new_context(technician).new_page()
    page.goto("/attention")
    head = page.locator(".line-group > details > summary")
    expect(head).to_contain_text("3 computers: Waited too long; not sent", timeout=SLOWLY)
    expect(page.locator("[data-line]").first).to_be_hidden()
    page.keyboard.press("j")
    expect(head).to_be_focused()
    page.keyboard.press("o")
    expect(page.locator("[data-line]").first).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator("[data-line] .line-link").first).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("a")
    expect(page.get_by_text("It is yours.")).to_be_visible()
    expect(page.locator(".line-group .line-mine")).to_have_count(3)


def test_a_stalled_request_leads_to_where_it_is_decided(page: Page, desk: Desk) -> None:  # noqa: F811
    prompt = stalled_at_step_two(desk)
    page.goto("/attention")
    line = page.locator(f'[data-line="call:{prompt["tool_calls"][1]["id"]}"]')
    expect(line).to_contain_text("Stopped at step 2")
    expect(line).to_contain_text("Started, no end recorded")
    expect(line.locator("[data-first]")).to_have_attribute("href", re.compile("#now"))
    line.locator(".line-link").focus()
    page.keyboard.press("a")
    expect(page.get_by_text("It is yours.")).to_be_visible()
    expect(line).to_have_class(re.compile("line-mine"))
    line.locator(".line-link").focus()
    page.keyboard.press("o")
    expect(page).to_have_url(re.compile(rf"/sessions/{desk.session_id}\?item={prompt['tool_calls'][1]['id']}#now"))


def test_what_is_safe_is_sent_from_the_list(page: Page, desk: Desk) -> None:  # noqa: F811
    stop = {"tool": "service", "arguments": {"name": "spooler", "action": "stop"}}
    prompt = desk.ask(stop, script=starts_then_dies)
    desk.runtime.is_dead()
    desk.runtime.script = answers(result={"name": "spooler", "state": "stopped", "enabled": True})
    desk.runtime.restart()
    desk.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"))
    page.goto("/attention")
    line = page.locator(f'[data-line="call:{prompt["tool_calls"][0]["id"]}"]')
    expect(line).to_contain_text("Stopped in the middle")
    line.locator(".line-link").focus()
    page.keyboard.press("1")
    first = line.get_by_role("button", name="Check first")
    expect(first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Sent: Check first.")).to_be_visible()
    desk.runtime.saw("dispatch", where=lambda seen: seen.frame["arguments"].get("action") == "status")
    page.get_by_role("link", name="Open the session").click()
    expect(page).to_have_url(re.compile(desk.session_id))


def test_a_computer_that_goes_away_is_read_only_and_keeps_work(page: Page, plane: Plane, fleet: Fleet) -> None:  # noqa: F811
    gone = new_desk(fleet, f"AWAY-{uuid.uuid4().hex[:6]}")
    endpoint = gone.runtime.endpoint_id
    page.goto(f"/endpoints/{endpoint}?show=processes")
    expect(page.locator(".endpoint-head .ready")).to_contain_text("Ready. Answered", timeout=SLOWLY)
    expect(page.get_by_role("button", name="Look now")).to_be_visible()
    gone.runtime.drop_links(stay_away=True)
    expect(page.locator(".endpoint-head .ready")).to_contain_text("Offline since", timeout=SLOWLY)
    number = page.locator("nav [data-attention-count]").first
    before = number.inner_text()
    looks_alike(plane.api(), plane.api().group())
    expect(number).not_to_have_text(before or "0", timeout=SLOWLY)
    expect(page.get_by_text("does not answer now")).to_be_visible()
    page.get_by_role("button", name="Keep for later: Look now").click()
    expect(page.locator("#endpoint [role=status]").last).to_contain_text("Waits:")
    gone.runtime.connect()
    expect(page.locator(".endpoint-head .ready")).to_contain_text("Ready. Answered", timeout=SLOWLY)


def paths(api: Api, group: str) -> list[str]:
    endpoint = looks_alike(api, group)
    made = api.post("/enrollment-tokens", {"scope": "client_group", "client_group_id": group})
    shows = ("overview", "services", "processes", "events", "disks", "network", "agents", "settings")
    return [
        "/attention",
        "/endpoints",
        "/endpoints?q=nothing-fits",
        "/endpoints/add",
        f"/endpoints/add/{made['id']}",
        *(f"/endpoints/{endpoint}?show={show}" for show in shows),
        "/reports",
        "/reports?what=shapes",
        "/audit",
        "/audit/verify",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(
    api: Api, group: str, owner: Visitor, new_context: NewContext, scheme: str
) -> None:
    page = new_context(owner, viewport=PHONE, color_scheme=scheme, has_touch=True).new_page()
    api.patch(f"/endpoints/{api.endpoint(group)}", {"name": "W" * 128, "tags": ["T" * 64, "U" * 64]})
    wide = []
    for path in paths(api, group):
        page.goto(path)
        if (width := page.evaluate("document.documentElement.scrollWidth")) > PHONE["width"]:
            wide.append((path, width))
    assert wide == []


def test_without_script_a_line_is_put_aside(api: Api, group: str, technician: Visitor, new_context: NewContext) -> None:
    looks_alike(api, group)
    page = new_context(technician, java_script_enabled=False).new_page()
    page.goto("/attention")
    page.locator("[data-line] details summary").click()
    box = page.locator("[data-line] .pop-box")
    box.locator("input[name=reason]").fill("later")
    box.get_by_role("button", name="Put aside").click()
    expect(page.get_by_text("Put aside until")).to_be_visible()
    expect(page.get_by_text("Nothing needs you.")).to_be_visible()
