"""A technician's session in a browser: work, a stall and its recovery, by hand, by keyboard, without script, in two."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.api.plane import Plane
from tests.browser.chromium import PHONE
from tests.browser.conftest import NewContext
from tests.browser.desks import (
    counts,
    desk,
    fleet,
    loop,
    new_desk,
    open_session,
    said,
    stalled_at_step_two,
)
from tests.end_to_end.client import shell
from tests.end_to_end.fleet import Desk, Fleet
from tests.foreign.wire import encode, stream_facts
from tests.foreign.work import Gate, Work, answers, by_command, runs_until, silent
from tests.web.visitor import Visitor, join

__all__ = ["desk", "fleet", "loop"]

SLOWLY = 60_000


def now_says(page: Page, label: str | re.Pattern[str]) -> None:
    """NOW's heading."""
    expect(page.locator("#now-title")).to_have_text(label, timeout=SLOWLY)


def test_the_spooler_from_the_session_to_step_three_sent(page: Page, desk: Desk) -> None:
    """RECOVERY.md §7, CONSOLE.md: two presses on the page, so three from Attention."""
    prompt = stalled_at_step_two(desk)
    open_session(page, desk)
    now_says(page, "Stopped at step 2")
    now = page.locator("#now")
    expect(now).to_contain_text("Started, no end recorded")
    expect(page.locator(".step").nth(0)).to_contain_text("service spooler: running → stopped")
    expect(page.locator(".step").nth(2)).to_contain_text("Not sent")

    page.get_by_role("button", name="Continue from step 3").click()
    steps = page.locator(".again-steps li")
    expect(steps).to_have_count(3)
    expect(steps.nth(0)).to_contain_text("Ran")
    expect(steps.nth(0)).to_contain_text("running → stopped")
    expect(steps.nth(1)).to_contain_text("Started, no end recorded")
    expect(steps.nth(2)).to_contain_text("Did not run")
    expect(page.locator(".again-will")).to_contain_text("shell start spooler")
    expect(page.locator(".again-will")).not_to_contain_text("stop spooler")
    expect(page.get_by_label("Reason (goes to the ticket note)")).to_have_value(re.compile("running → stopped"))
    page.get_by_role("button", name="Send step 3").click()

    now_says(page, "Nothing is open")
    expect(page.locator(".step").nth(2)).to_contain_text("Done")
    sent = [frame["arguments"]["command"] for frame in desk.runtime.dispatches()]
    assert sent == ["stop spooler", "look", "start spooler"]
    shown = desk.api.prompt(prompt["id"])
    assert [len(call["attempts"]) for call in shown["tool_calls"]] == [1, 1, 1]
    assert "running → stopped" in desk.api.get(f"/sessions/{desk.session_id}/ticket-note")["text"]


def test_from_attention_to_step_three_sent_in_three_presses(page: Page, desk: Desk) -> None:
    """The budget of clicks: the line, continue, send."""
    stalled_at_step_two(desk)
    page.goto("/attention")
    line = page.locator(f'a.line-link[href*="{desk.session_id}"]').first
    expect(line).to_be_visible(timeout=SLOWLY)
    presses = 0
    for press in (
        line,
        page.get_by_role("button", name="Continue from step 3"),
        page.get_by_role("button", name="Send step 3"),
    ):
        press.click()
        presses += 1
    now_says(page, "Nothing is open")
    assert presses == 3
    assert [f["arguments"]["command"] for f in desk.runtime.dispatches()] == ["stop spooler", "look", "start spooler"]


def test_the_number_beside_attention_is_right_while_one_works(page: Page, desk: Desk) -> None:
    """The session's own stalls count at once; what happens elsewhere is asked for every minute."""
    open_session(page, desk)
    number = page.locator("[data-attention-count]")
    before = int(number.inner_text() or 0)
    desk.ask(shell("look"), script=answers(b"no\n", exit_code=1))
    now_says(page, "The command reported an error")
    expect(number).to_have_text(str(before + 1), timeout=SLOWLY)


def test_output_grows_while_one_looks_and_a_question_is_answered(page: Page, fleet: Fleet) -> None:
    desk = new_desk(fleet, stall_after_s=0.5)
    gate = Gate()
    heard: list[str] = []

    async def script(work: Work) -> None:
        await work.start()
        for n in range(100):
            await work.output(f"line {n}\n".encode())
        await gate.passed()
        await work.output(b"Proceed? [y/n] ")
        await work.progress(waiting_for_input=True)
        frame = await work.inputs.get()
        heard.append(str(frame["data"]))
        await work.output(b"\nyes, then\n")
        await work.finish()

    open_session(page, desk)
    expect(page.locator("#no-requests")).to_be_visible()
    desk.ask(shell("install thing", "mutating"), script=script)
    now_says(page, re.compile("Running|Silent for"))
    expect(page.locator(".view")).to_contain_text("line 99", timeout=SLOWLY)
    # Nobody presses anything: the row opened by itself, and Stop it has no default focus.
    assert page.evaluate("document.activeElement.textContent") != "Stop it"
    gate.open()
    now_says(page, "It asks a question")
    expect(page.locator("#say-now")).to_have_text("It asks a question")
    expect(page.locator("#now")).to_contain_text("Proceed? [y/n]")
    page.get_by_role("button", name="Type an answer").click()
    page.get_by_label("Your answer").fill("y")
    page.get_by_role("button", name="Send the answer").click()
    now_says(page, "Nothing is open")
    assert heard
    expect(page.locator(".view")).to_contain_text("yes, then")
    assert said(page)[:3] == ["line 0", "line 1", "line 2"]
    expect(page.locator(".step")).to_have_count(1)


def test_a_secret_answer_is_kept_as_its_length(page: Page, fleet: Fleet) -> None:
    desk = new_desk(fleet, stall_after_s=0.5)

    async def script(work: Work) -> None:
        await work.start()
        await work.output(b"Password: ")
        await work.progress(waiting_for_input=True)
        await work.inputs.get()
        await work.finish()

    prompt = desk.ask(shell("login", "mutating"), script=script)
    open_session(page, desk)
    now_says(page, "It asks a question")
    page.get_by_role("button", name="Type an answer").click()
    page.get_by_role("link", name="This is a secret").click()
    field = page.get_by_label("Your answer")
    expect(field).to_have_attribute("type", "password")
    field.fill("hunter2 hunter2")
    page.get_by_role("button", name="Send the answer").click()
    now_says(page, "Nothing is open")
    assert "hunter2" not in str(desk.api.get(f"/sessions/{desk.session_id}/events", limit=200))
    assert "hunter2" not in page.content()
    assert desk.api.prompt(prompt["id"])["state"] == "ended"


def test_a_stall_is_told_as_it_goes_and_leaves_one_grey_line(page: Page, fleet: Fleet) -> None:
    """CONSOLE.md, "How a stall looks": the same row over time, and no scar."""
    desk = new_desk(fleet, ack_window_s=5.0)
    open_session(page, desk)
    page.evaluate(
        """() => {
            window.told = [];
            new MutationObserver(() => {
                const said = document.querySelector('#now-title')?.textContent.trim();
                if (said && window.told.at(-1) !== said) window.told.push(said);
            }).observe(document.querySelector('#now'), {childList: true, subtree: true, characterData: true});
        }"""
    )
    lost = {"first": True}

    async def script(work: Work) -> None:
        if lost["first"]:
            lost["first"] = False
            await silent(work)
        else:
            await answers(b"there\n")(work)

    desk.ask(shell("report"), script=script)
    now_says(page, "Sent, no confirmation yet")
    expect(page.locator("#now")).to_contain_text("we ask the computer what it knows", timeout=SLOWLY)
    now_says(page, "Nothing is open")
    row = page.locator(".step").first
    expect(row).to_contain_text("Done")
    expect(page.locator(".step-quiet")).to_contain_text("Sent twice")
    told: list[str] = page.evaluate("window.told")
    # The first second says nothing; then what is known, and at the end that nothing is open.
    assert told[-1] == "Nothing is open", told
    named = [one for one in told if one != "Nothing is open"]
    assert named[0] == "Sent, no confirmation yet", told
    assert not {"Being sent", "Sent"} & set(told), told


def test_an_offline_computer_says_what_cannot_be_done_and_what_can(page: Page, desk: Desk) -> None:
    desk.ask(shell("look", "mutating"), script=runs_until(Gate()))
    open_session(page, desk)
    now_says(page, "Running")
    desk.runtime.die()
    now_says(page, re.compile("No contact with ACCT-07|Lost contact"))
    now_says(page, "Lost contact while it ran")
    expect(page.locator(".strip-ready")).to_contain_text(re.compile("Offline|Does not answer"), timeout=SLOWLY)
    expect(page.locator("#now")).to_contain_text("Known when ACCT-07 answers")
    first = page.locator("#now .action-first .press")
    expect(first).to_have_text("Wait for the computer")
    page.locator("#now-more summary").click()
    again = page.locator('#now [data-action="again_risk"] .press')
    expect(again).to_be_disabled()
    expect(page.locator('#now [data-action="again_risk"]')).to_contain_text("ACCT-07 is offline since")


def test_two_technicians_press_at_once_and_the_second_reads_first(
    page: Page, desk: Desk, plane: Plane, new_context: NewContext
) -> None:
    stalled_at_step_two(desk)
    colleague = join(plane, "technician", name="Bert")
    context = new_context(colleague)
    other = context.new_page()
    open_session(page, desk)
    open_session(other, desk)
    expect(page.locator(".strip-others")).to_contain_text("Bert")
    for one in (page, other):
        one.get_by_role("button", name="Continue from step 3").click()
        expect(one.get_by_role("button", name="Send step 3")).to_be_visible()
    # The colleague's page hears nothing for a moment, and presses what it had before it.
    context.watched.allow("409")  # type: ignore[attr-defined]
    context.watched.allow("ERR_FAILED")  # type: ignore[attr-defined]
    other.route("**/parts?*", lambda route: route.abort())
    page.get_by_role("button", name="Send step 3").click()
    now_says(page, "Nothing is open")
    other.get_by_role("button", name="Send step 3").click()
    other.unroute("**/parts?*")
    now_says(other, "Nothing is open")
    expect(other.get_by_role("alert")).to_contain_text("Nothing was sent")
    assert [f["arguments"]["command"] for f in desk.runtime.dispatches()] == ["stop spooler", "look", "start spooler"]
    colleague.close()


def test_a_press_whose_answer_is_lost_counts_once(page: Page, fleet: Fleet) -> None:
    desk = new_desk(fleet, stall_after_s=0.5)
    heard: list[str] = []

    async def script(work: Work) -> None:
        await work.start()
        await work.output(b"Name? ")
        await work.progress(waiting_for_input=True)
        while True:
            heard.append(str((await work.inputs.get())["data"]))

    page.context.watched.allow("ERR_FAILED")  # type: ignore[attr-defined]
    desk.ask(shell("adduser", "mutating"), script=script)
    open_session(page, desk)
    now_says(page, "It asks a question")
    page.get_by_role("button", name="Type an answer").click()
    page.get_by_label("Your answer").fill("anna")

    def arrives_and_answers_nobody(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/act?*", arrives_and_answers_nobody, times=1)
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_role("alert")).to_contain_text("Press again: it counts once")
    expect(page.get_by_label("Your answer")).to_have_value("anna")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.locator("#now-form")).to_have_count(0)
    desk.runtime.heartbeats_pass(3)
    assert len(heard) == 1


def test_what_is_new_while_the_form_is_open_is_read_before_it_is_sent(page: Page, desk: Desk) -> None:
    prompt = stalled_at_step_two(desk)
    open_session(page, desk)
    page.get_by_role("button", name="Continue from step 3").click()
    reason = page.get_by_label("Reason (goes to the ticket note)")
    reason.fill("my own words")
    desk.api.act(prompt, "escalate", step=2, to="Bert")
    expect(page.get_by_role("button", name="Read the new line first")).to_be_disabled(timeout=SLOWLY)
    expect(page.locator(".news")).to_contain_text("New, step 2")
    expect(reason).to_have_value("my own words")
    page.get_by_role("button", name="I have read it").click()
    expect(page.get_by_role("button", name="Send step 3")).to_be_enabled()
    page.get_by_role("button", name="Send step 3").click()
    now_says(page, "Nothing is open")


def test_keyboard_alone(page: Page, desk: Desk) -> None:
    stalled_at_step_two(desk)
    open_session(page, desk)
    keys = page.keyboard
    keys.press("n")
    expect(page.locator("#now .action-first .press")).to_be_focused()
    keys.press("3")
    expect(page.get_by_role("button", name="Run again from the start")).to_be_focused()
    assert page.locator("#now-form").count() == 0, "a digit moves the focus and never presses"
    keys.press("w")
    expect(page.locator(".again-steps li")).to_have_count(3)
    keys.press("Escape")
    expect(page.locator(".again-steps")).to_have_count(0)
    keys.press("j")
    expect(page.locator(".step").nth(0).locator("> summary")).to_be_focused()
    keys.press("o")
    expect(page.locator(".step").nth(0)).to_have_attribute("open", "")
    expect(page.locator(".step").nth(0).locator(".view")).to_contain_text("stopped")
    keys.press("h")
    expect(page.locator(".step").nth(0).locator(".know > summary")).to_be_focused()
    expect(page.locator(".step").nth(0).locator(".evidence")).to_contain_text("exit code 0")
    keys.press("f")
    expect(page.get_by_label("Find in output").last).to_be_focused()
    keys.type("stop")
    expect(page.locator(".view-find")).to_contain_text("1 of 1")
    keys.press("Escape")
    keys.press("e")
    expect(page.locator("[data-composer] [data-command]")).to_have_value("stop spooler")
    keys.press("Escape")
    keys.press("n")
    keys.press("2")
    keys.press("Space")
    expect(page.locator("#now-send")).to_be_focused()
    keys.press("Enter")
    now_says(page, "Nothing is open")
    assert desk.runtime.dispatches()[-1]["arguments"]["command"] == "start spooler"
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    keys.press("t")
    expect(page.locator("#say")).to_have_text("Copied")
    assert "running → stopped" in page.evaluate("navigator.clipboard.readText()")


def test_the_newest_step_is_open_and_one_that_was_closed_stays_closed(page: Page, desk: Desk) -> None:
    gate = Gate()
    script = by_command(first=answers(b"one\n"), second=runs_until(gate, stdout=b"two\n"), third=answers(b"three\n"))
    open_session(page, desk)
    desk.ask(shell("first"), shell("second"), shell("third"), script=script)
    steps = page.locator(".step")
    expect(steps.nth(1)).to_have_attribute("open", "")
    expect(steps.nth(1).locator(".view")).to_contain_text("two")
    steps.nth(1).locator("> summary").click()
    expect(steps.nth(1)).not_to_have_attribute("open", "")
    gate.open()
    expect(steps.nth(2).locator(".view")).to_contain_text("three", timeout=SLOWLY)
    now_says(page, "Nothing is open")
    expect(steps.nth(1)).not_to_have_attribute("open", "")


def test_stop_is_reached_by_a_key_and_pressed_by_enter(page: Page, desk: Desk) -> None:
    prompt = desk.ask(shell("sleep", "mutating"), script=runs_until(Gate()))
    open_session(page, desk)
    now_says(page, "Running")
    page.keyboard.press(".")
    stop = page.get_by_role("button", name="Stop it")
    expect(stop).to_be_focused()
    assert not any(
        fact["type"] == "cancel_requested"
        for fact in desk.api.prompt(prompt["id"])["tool_calls"][0]["attempts"][0]["evidence"]
    )
    page.keyboard.press("Enter")
    now_says(page, re.compile("Stopping|Stopped|Nothing is open"))


def test_without_script(new_context: NewContext, owner: Visitor, desk: Desk) -> None:
    stalled_at_step_two(desk)
    page = new_context(owner, java_script_enabled=False).new_page()
    page.goto(f"/sessions/{desk.session_id}")
    page.get_by_role("link", name="Look again").click()
    expect(page.locator("#now-title")).to_have_text("Stopped at step 2")
    page.get_by_role("button", name="Continue from step 3").click()
    expect(page.locator(".again-steps li")).to_have_count(3)
    page.get_by_role("link", name="step 2", exact=True).click()
    expect(page.locator(".again-will li")).to_have_count(2)
    page.get_by_role("link", name="step 3", exact=True).click()
    page.get_by_role("button", name="Send step 3").click()
    desk.api.wait_verdict(desk.api.get(f"/sessions/{desk.session_id}")["prompts"][0], ("answered", "yes"), step=3)
    page.goto(f"/sessions/{desk.session_id}")
    expect(page.locator("#now-title")).to_have_text("Nothing is open")
    page.locator(".step").first.locator("summary").first.click()
    page.locator(".step").first.get_by_role("link", name="Open this step").click()
    expect(page.locator(".pane-text")).to_have_text("stopped\n")
    expect(page.locator(".body-changes")).to_contain_text("running → stopped")


def test_a_phone_shows_the_question_first(new_context: NewContext, owner: Visitor, desk: Desk) -> None:
    stalled_at_step_two(desk)
    page = new_context(owner, viewport=PHONE, has_touch=True).new_page()
    open_session(page, desk)
    box = page.locator("#now").bounding_box()
    assert box is not None
    assert box["height"] <= PHONE["height"] * 0.46
    assert box["y"] < 200
    first = page.locator("#now .press").first.bounding_box()
    assert first is not None
    assert first["height"] >= 44
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate("document.querySelector('.step:last-of-type').scrollIntoView()")


@pytest.mark.parametrize("lines", [20_000])
def test_long_output_is_whole_and_few_lines_are_drawn(page: Page, desk: Desk, lines: int) -> None:
    prompt = desk.ask(shell("count"), script=counts(lines, at_once=2_000))
    desk.api.wait_verdict(prompt, ("answered", "yes"))
    open_session(page, desk)
    view = page.locator(".view").first
    expect(view).to_contain_text(f"line {lines - 1}", timeout=SLOWLY)
    assert page.locator(".view-line").count() < 200
    page.get_by_role("button", name=re.compile("before this. Load all")).click()
    expect(page.locator(".view-load button")).to_have_count(0, timeout=SLOWLY)
    assert said(page) == [f"line {n}" for n in range(lines)]
    page.keyboard.press("f")
    page.get_by_label("Find in output").last.fill("line 1234")
    expect(page.locator(".view-find")).to_contain_text("1 of 11")
    page.keyboard.press("Escape")
    # A line has an address that stays right.
    view.locator(".view-line.current, .view-line").nth(5).click()
    address = page.url
    assert re.search(r"#tcl_\w+~1~stdout~\d+$", address), address
    wanted = view.locator(".view-line.target").inner_text()
    page.goto("/attention")
    page.goto(address)
    expect(page.locator(".view-line.target").first).to_have_text(wanted, timeout=SLOWLY)


def test_much_that_happened_while_one_was_away_is_all_there(page: Page, desk: Desk) -> None:
    """More than one look asks for at once."""
    page.context.watched.allow("ERR_")  # type: ignore[attr-defined]
    desk.answered(shell("first"))
    open_session(page, desk)
    expect(page.locator(".step")).to_have_count(1)
    page.context.set_offline(True)
    expect(page.locator("#live-line")).to_contain_text("Not connected since", timeout=SLOWLY)
    for n in range(45):
        desk.ask(shell(f"echo {n}"))
    desk.answered(shell("last"))
    page.context.set_offline(False)
    expect(page.locator(".step")).to_have_count(47, timeout=SLOWLY)
    commands = page.locator(".step-what").all_inner_texts()
    assert commands == ["shell first", *(f"shell echo {n}" for n in range(45)), "shell last"]
    expect(page.locator(".step.tone-done")).to_have_count(47, timeout=SLOWLY)
    expect(page.locator(".step").last).to_have_attribute("open", "")
    assert page.locator(".step[open]").count() <= 5


def test_a_gap_stands_in_its_place_and_lines_after_it_are_there(page: Page, desk: Desk) -> None:
    """Also where the gap is told while one looks; hostile bytes are shown and never obeyed."""
    gate = Gate()
    hostile = "<script>alert(1)</script> \x1b[31m \u202egnp.exe \x07".encode() + b" \xff\n"
    rest = b"after\n" + hostile

    async def script(work: Work) -> None:
        await work.start()
        await work.output(b"before\n")
        await gate.passed()
        await work.send(work.frame("gap", stream="stdout", offset=7, length=5_000, why="spool_full"))
        data = encode(rest)
        await work.send(work.frame("output", stream="stdout", offset=5_007, data=data))
        await work.finish(streams={"stdout": stream_facts(b"before\n" + bytes(5_000) + rest, truncated=True)})

    open_session(page, desk)
    prompt = desk.ask(shell("dump"), script=script)
    expect(page.locator(".view")).to_contain_text("before", timeout=SLOWLY)
    gate.open()
    expect(page.locator(".view")).to_contain_text("after", timeout=SLOWLY)
    desk.api.wait(prompt, lambda p: p["state"] == "ended", what="it ends")
    lines = said(page)
    assert lines[:3] == ["before", "[… 5.0 kB are missing here: the computer's disk was full …]", "after"]
    assert lines[3] == "<script>alert(1)</script> ␛[31m \\u202egnp.exe ␇ \ufffd"
    page.reload()
    expect(page.locator(".view")).to_contain_text("after", timeout=SLOWLY)
    assert said(page) == lines


def test_a_malformed_answer_is_pointed_at(page: Page, desk: Desk) -> None:
    service = {"tool": "service", "arguments": {"name": "cron", "action": "status"}}
    prompt = desk.ask(service, script=answers(b"", result={"name": "cron", "state": 7, "enabled": "<b>maybe</b>"}))
    desk.api.wait_verdict(prompt, ("malformed_result", "yes"))
    open_session(page, desk)
    now_says(page, "It ran; the answer cannot be read")
    page.get_by_role("link", name="See the raw answer").first.click()
    expect(page.locator(".raw-wrong").first).to_contain_text("expected")
    expect(page.locator("pre.raw")).to_contain_text("<b>maybe</b>")
    expect(page.locator(".raw-faults")).to_contain_text("/state")


def test_more_than_one_open_thing(page: Page, desk: Desk) -> None:
    stalled_at_step_two(desk)
    desk.ask(shell("wait"), script=runs_until(Gate()))
    open_session(page, desk)
    now_says(page, "Stopped at step 2")
    expect(page.locator(".now-place")).to_contain_text("1 of 2", timeout=SLOWLY)
    page.get_by_role("link", name="The next one").click()
    now_says(page, "Running")
    expect(page.locator(".now-place")).to_contain_text("2 of 2")
