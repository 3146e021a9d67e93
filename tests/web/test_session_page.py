"""The session page as a browser without script has it: reading, pressing, what is refused, who may see it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.api.plane import Api as PlaneApi
from tests.api.plane import Plane
from tests.end_to_end.client import Api, shell
from tests.end_to_end.fleet import POLICY, Desk, Fleet
from tests.end_to_end.server import until
from tests.end_to_end.views import Prompt
from tests.foreign.loop import LoopThread
from tests.foreign.work import Gate, Work, answers, by_command, runs_until, starts_then_dies
from tests.web.visitor import COOKIE, FormFound, PageFound, Visitor

Person = Callable[..., Visitor]
STOP, LOOK, START = shell("stop spooler", "mutating"), shell("look", "mutating"), shell("start spooler", "mutating")
STOPPED = [{"what": "service spooler", "before": "running", "after": "stopped"}]


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture
def desk(loop: LoopThread, plane: Plane) -> Iterator[Desk]:
    """One computer with short windows, and a session on it."""
    api = Api(plane.url, plane.token("owner"))
    fleet = Fleet(loop, api)
    runtime = fleet.runtime(connect=None)
    api.send("PATCH", f"/endpoints/{runtime.endpoint_id}", {"name": "ACCT-07"})
    api.put(f"/endpoints/{runtime.endpoint_id}/policy", POLICY)
    runtime.connect()
    yield Desk(api, fleet, runtime)
    fleet.close()
    api.close()
    assert fleet.faults() == []


def stalled(desk: Desk) -> Prompt:
    """The spooler's example: stopped at step 2, the agent is back."""
    script = by_command(stop=answers(b"stopped\n", changes=STOPPED), look=starts_then_dies)
    prompt = desk.ask(STOP, LOOK, START, script=script)
    desk.runtime.is_dead()
    desk.runtime.script = by_command(start=answers(b"started\n"))
    desk.runtime.restart()
    return desk.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"), step=2)


def goes_offline(desk: Desk) -> None:
    """Its runtime ends, and the control plane has seen it."""
    desk.runtime.die()
    health = lambda: desk.api.get(f"/endpoints/{desk.endpoint_id}")["health"]  # noqa: E731  # asked again and again
    until(lambda: health() == "offline", within=20, what="the computer is offline")


def path(desk: Desk, query: str = "") -> str:
    return f"/sessions/{desk.session_id}{query}"


def act_form(page: PageFound, **fields: str) -> FormFound:
    """The form of NOW that has these fields."""
    for form in page.forms:
        if form.action.endswith("/act") and fields.items() <= dict(form.fields).items():
            return form
    raise AssertionError((fields, page.text[:1_000]))


def press(visitor: Visitor, form: FormFound, **fields: str) -> PageFound:
    sent = [(name, value) for name, value in form.fields if name not in fields] + list(fields.items())
    return visitor.post(form.action, sent)


def test_step_three_is_sent_without_script(desk: Desk, person: Person) -> None:
    prompt = stalled(desk)
    visitor = person("technician")
    page = visitor.get(path(desk))
    assert page.text.index("Stopped at step 2") < page.text.index("What already ran")
    resume = next(link for link in page.links if "act=resume" in link)
    form_page = visitor.get(resume.partition("#")[0])
    assert "Changes inside a script are not seen." in form_page.text
    form = act_form(form_page, action="resume")
    assert dict(form.fields)["seen"] == str(prompt["sequence"])
    assert "running → stopped" in dict(form.fields)["reason"]
    after = press(visitor, form, reason="the spooler is stopped, start it")
    assert after.status == 200
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"), step=3)
    note = desk.api.get(f"/sessions/{desk.session_id}/ticket-note")["text"]
    assert "the spooler is stopped, start it" in note
    assert "Nothing is open" in visitor.get(path(desk)).text


def test_the_same_press_twice_is_one_request(desk: Desk, person: Person) -> None:
    stalled(desk)
    visitor = person("technician")
    form = act_form(visitor.get(path(desk, "?act=resume")), action="resume")
    press(visitor, form)
    press(visitor, form)
    desk.api.wait_verdict(desk.api.get(f"/sessions/{desk.session_id}")["prompts"][0], ("answered", "yes"), step=3)
    assert len(desk.runtime.dispatches()) == 3


def test_a_stale_press_comes_back_with_what_is_new_and_what_was_typed(desk: Desk, person: Person) -> None:
    prompt = stalled(desk)
    visitor = person("technician")
    form = act_form(visitor.get(path(desk, "?act=resume")), action="resume")
    desk.api.act(prompt, "escalate", step=2, to="Bert")
    page = press(visitor, form, reason="my own words")
    assert page.status == 409
    assert "Something changed meanwhile. Nothing was sent." in page.text
    assert "New, step 2" in page.text
    again = act_form(page, action="resume")
    assert dict(again.fields)["reason"] == "my own words"
    assert int(dict(again.fields)["seen"]) > int(dict(form.fields)["seen"])
    assert dict(again.fields)["key"] != dict(form.fields)["key"]
    assert len(desk.runtime.dispatches()) == 2
    assert press(visitor, again).status == 200
    desk.api.wait_verdict(prompt, ("answered", "yes"), step=3)


def test_an_edited_command_that_does_not_fit_is_not_lost(desk: Desk, person: Person) -> None:
    service = {"tool": "service", "arguments": {"name": "cron", "action": "restart"}}
    prompt = desk.ask(service, script=answers(b"", stderr=b"no\n", exit_code=4))
    desk.api.wait_verdict(prompt, ("command_failed", "yes"))
    visitor = person("technician")
    form = act_form(visitor.get(path(desk, "?act=edit")), action="adjust")
    assert {"arg.name", "arg.action"} <= {name for name, _ in form.fields}
    page = press(visitor, form, **{"arg.action": "explode", "arg.name": "cups"})
    assert page.status == 422
    assert "/arguments/action" in page.text
    again = act_form(page, action="adjust")
    assert dict(again.fields)["arg.action"] == "explode"
    desk.runtime.script = answers(result={"name": "cups", "state": "running", "enabled": True})
    assert press(visitor, again, **{"arg.action": "restart"}).status == 200
    steps = desk.api.prompt(prompt["id"])["tool_calls"]
    assert steps[0]["outcome"] == "replaced"
    assert desk.runtime.dispatches()[-1]["arguments"] == {"name": "cups", "action": "restart"}


def test_a_check_of_a_service_is_one_press_and_its_result_stands_in_now(desk: Desk, person: Person) -> None:
    service = {"tool": "service", "arguments": {"name": "spooler", "action": "stop"}}
    prompt = desk.ask(service, script=starts_then_dies)
    desk.runtime.is_dead()
    desk.runtime.script = answers(b"", result={"name": "spooler", "state": "stopped", "enabled": True})
    desk.runtime.restart()
    desk.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"))
    visitor = person("technician")
    page = visitor.get(path(desk))
    assert "Runs a read-only check (service status spooler). It changes nothing." in page.text
    press(visitor, act_form(page, action="verify"))
    check = desk.api.get(f"/sessions/{desk.session_id}")["prompts"][-1]
    desk.api.wait_verdict(check, ("answered", "yes"))
    page = visitor.get(path(desk))
    assert "Checked" in page.text
    assert "service status spooler . stopped" in page.text


def test_a_check_of_a_script_asks_what_to_look_at(desk: Desk, person: Person) -> None:
    stalled(desk)
    visitor = person("technician")
    form = act_form(visitor.get(path(desk, "?act=check")), action="verify")
    assert "arg.command" in dict(form.fields)
    assert press(visitor, form, **{"arg.command": "lpstat -t"}).status == 200
    assert desk.api.get(f"/sessions/{desk.session_id}")["prompts"][-1]["origin"]["action"] == "verify"


def test_an_answer_reaches_the_command(desk: Desk, person: Person) -> None:
    heard: list[dict[str, Any]] = []

    async def script(work: Work) -> None:
        await work.start()
        await work.output(b"Sure? ")
        await work.progress(waiting_for_input=True)
        heard.append(await work.inputs.get())
        await work.finish()

    desk.policy(**POLICY, stall_after_s=0.5)
    prompt = desk.ask(shell("rm -i", "mutating"), script=script)
    desk.api.wait(prompt, lambda p: p["tool_calls"][0]["now"]["entry"] == "started.asks", what="it asks")
    visitor = person("technician")
    page = visitor.get(path(desk))
    assert "It asks a question" in page.text
    assert "Sure?" in page.text
    form = act_form(visitor.get(path(desk, "?act=input")), action="input")
    press(visitor, form, data="yes")
    desk.api.wait(prompt, lambda p: p["state"] == "ended", what="it ends")
    assert len(heard) == 1


def test_waiting_for_an_offline_computer_has_an_end_of_ones_choice(desk: Desk, person: Person) -> None:
    goes_offline(desk)
    prompt = desk.ask(shell("later", "mutating"))
    desk.api.wait_state(prompt, "held")
    visitor = person("technician")
    form = act_form(visitor.get(path(desk, "?act=until")), action="hold")
    press(visitor, form, hours="72")
    due = datetime.fromisoformat(desk.api.prompt(prompt["id"])["tool_calls"][0]["due_at"])
    assert due - datetime.now(UTC) > timedelta(hours=71)
    page = visitor.get(path(desk))
    assert "Waits: ACCT-07 is offline" in page.text
    press(visitor, act_form(page, action="cancel"))
    assert "Nothing is open" in visitor.get(path(desk)).text


def test_a_viewer_looks_and_cannot_press(desk: Desk, person: Person) -> None:
    prompt = stalled(desk)
    visitor = person("viewer")
    page = visitor.get(path(desk))
    assert "Your role may only look." in page.text
    assert not [form for form in page.forms if form.action.endswith("/act")]
    call = prompt["tool_calls"][2]["id"]
    fields = {"action": "resume", "tool_call_id": call, "seen": str(prompt["sequence"]), "key": "k"}
    token = dict(person("viewer").get("/account").forms[0].fields).get("csrf", "")
    refused = visitor.post(f"{path(desk)}/act", {**fields, "csrf": token})
    assert refused.status == 403
    assert len(desk.runtime.dispatches()) == 2


def test_who_may_not_see_it_finds_nothing(desk: Desk, person: Person, api: PlaneApi) -> None:
    desk.answered()
    elsewhere = person("technician", (api.group(),))
    call = desk.api.get(f"/sessions/{desk.session_id}")["prompts"][0]["tool_calls"][0]["id"]
    for place in ("", "/parts", f"/steps/{call}", f"/steps/{call}/output", f"/steps/{call}/raw"):
        assert elsewhere.get(path(desk) + place).status == 404, place
    owner = person("owner")
    other_session = desk.api.open_session(desk.endpoint_id)
    assert owner.get(f"/sessions/{other_session}/steps/{call}").status == 404
    assert owner.get("/sessions/ses_none").status == 404


def test_output_in_pages_and_as_bytes(desk: Desk, person: Person) -> None:
    text = b"".join(b"line %d\n" % n for n in range(60_000))
    prompt = desk.ask(shell("count"), script=answers(text))
    desk.api.wait_verdict(prompt, ("answered", "yes"))
    call = desk.api.prompt(prompt["id"])["tool_calls"][0]["id"]
    visitor = person("technician")
    page = visitor.get(path(desk, f"?step={call}"))
    assert "line 59999" in page.text
    first = visitor.get(f"{path(desk)}/steps/{call}/output?attempt=1&stream=stdout")
    assert "line 0 " in first.text
    later = next(link for link in first.links if "offset=" in link)
    assert "line 59999" not in first.text
    last = visitor.get(f"{path(desk)}/steps/{call}/output{later}")
    assert "line 40000" in last.text
    assert visitor.get(f"{path(desk)}/steps/{call}/output?stream=nothing").status == 404


def test_parts_hold_what_was_asked_for(desk: Desk, person: Person) -> None:
    prompt = stalled(desk)
    visitor = person("technician")
    ids = [call["id"] for call in prompt["tool_calls"]]
    part = visitor.send(
        "GET", f"{path(desk)}/parts?prompts={prompt['id']}&open={ids[0]}", headers={"x-caisey-part": "1"}
    )
    found = PageFound(part)
    assert found.with_id("now")["data-item"] == ids[1]
    assert found.with_id(f"body-{ids[0]}").get("data-empty") is None
    assert found.with_id(f"body-{ids[2]}").get("data-empty") is not None
    alone = PageFound(visitor.send("GET", f"{path(desk)}/parts", headers={"x-caisey-part": "1"}))
    assert not [a for _, a in alone.tags if "data-request" in a]
    assert len(part.content) < 40_000


def test_more_than_two_hundred_requests_come_in_pages(api: PlaneApi, person: Person) -> None:
    session = api.session(api.endpoint())
    for _ in range(203):
        api.prompt(session)
    visitor = person("technician")
    page = visitor.get(f"/sessions/{session}")
    assert "Earlier requests (3)" in page.text
    older = next(link for link in page.links if "before=" in link)
    earlier = visitor.get(older)
    assert "Request 1 " in earlier.text
    assert "Request 4 " not in earlier.text
    first = api.get(f"/sessions/{session}", before=api.get(f"/sessions/{session}")["prompts"][0]["id"])["prompts"][0]
    call = first["tool_calls"][0]["id"]
    linked = visitor.get(f"/sessions/{session}?step={call}")
    assert "open" in linked.with_id(call)
    assert "Newest requests" in linked.text
    assert visitor.get(f"/sessions/{session}/steps/{call}").status == 200
    assert visitor.get(f"/sessions/{session}?step=tcl_none").text.count("Request 203 ") >= 1


def test_a_longer_limit_is_proposed_and_can_be_changed(desk: Desk, person: Person) -> None:
    stopped = answers(b"half\n", exit_code=None, signal=9, ended_by="time_limit")
    prompt = desk.ask(shell("slow", "mutating", limits={"time_ms": 5_000}), script=stopped)
    desk.api.wait_verdict(prompt, ("timed_out", "partly"))
    visitor = person("technician")
    page = visitor.get(path(desk))
    assert "Stopped at its time limit" in page.text
    form = act_form(visitor.get(path(desk, "?act=limit")), code="limit")
    assert dict(form.fields)["limit_s"] == "60"
    assert dict(form.fields)["reason"]
    desk.runtime.script = answers(b"whole\n")
    assert press(visitor, form, limit_s="90").status == 200
    desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert desk.runtime.dispatches()[-1]["limits"]["time_ms"] == 90_000


def test_what_there_is_can_be_used_and_says_what_is_sent_then(desk: Desk, person: Person) -> None:
    prompt = stalled(desk)
    visitor = person("technician")
    page = visitor.get(path(desk))
    assert "Then step 3 is sent." in page.text
    press(visitor, act_form(page, action="accept_partial"))
    desk.api.wait_verdict(prompt, ("answered", "yes"), step=3)


def test_help_is_asked_for_by_name_and_reason(desk: Desk, person: Person) -> None:
    prompt = stalled(desk)
    visitor = person("technician")
    form = act_form(visitor.get(path(desk, "?act=help")), action="escalate")
    press(visitor, form, to="Bert", reason="is it safe to go on?")
    step = desk.api.prompt(prompt["id"])["tool_calls"][1]
    assert step["escalated_to"] == "Bert"
    assert "is it safe to go on?" in str(desk.api.get(f"/sessions/{desk.session_id}/events", limit=200))


def test_a_late_word_is_shown_with_the_former_one(desk: Desk, person: Person) -> None:
    gate = Gate()
    prompt = desk.ask(shell("backup", "mutating"), script=runs_until(gate))
    desk.api.wait_state(prompt, "started")
    desk.runtime.drop_links(stay_away=True)
    desk.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"))
    gate.open()
    desk.runtime.connect()
    desk.api.wait_verdict(prompt, ("answered", "yes"))
    page = person("technician").get(path(desk))
    assert "New information" in page.text
    assert "We showed “Lost contact while it ran”. The computer says now: Done." in page.text


def test_a_computer_that_is_out_of_sight_leaves_the_session_readable(desk: Desk, person: Person, api: PlaneApi) -> None:
    one, other = api.group(), api.group()
    api.patch(f"/endpoints/{desk.endpoint_id}", {"client_group_id": one})
    session = desk.api.open_session(desk.endpoint_id)
    desk.api.wait_verdict(desk.api.ask(session, shell()), ("answered", "yes"))
    api.patch(f"/endpoints/{desk.endpoint_id}", {"client_group_id": other})
    page = person("technician", (one,)).get(f"/sessions/{session}")
    assert page.status == 200
    assert "This computer is gone, or not yours to see any more" in page.text
    assert "Nothing is open" in page.text


def test_times_in_sentences_are_the_readers(desk: Desk, person: Person) -> None:
    goes_offline(desk)
    desk.api.wait_state(desk.ask(shell("later", "mutating")), "held")
    visitor = person("technician", fresh=True)
    assert "UTC. Kept until" in visitor.get(path(desk)).text
    cookie = f"{COOKIE}={visitor.secret}; caisey-zone=Asia/Kolkata"
    shown = visitor.get(path(desk), headers={"cookie": cookie}).text
    said = re.search(r"Kept until (\d\d:\d\d)", shown)
    assert said is not None
    due = datetime.fromisoformat(desk.api.get(f"/sessions/{desk.session_id}")["prompts"][0]["tool_calls"][0]["due_at"])
    assert said[1] == due.astimezone(ZoneInfo("Asia/Kolkata")).strftime("%H:%M")
    for nonsense in ("../../etc/passwd", "Nowhere/At", "x" * 5_000, "Europe/Berlin%0d%0aX-Evil:1"):
        odd = visitor.get(path(desk), headers={"cookie": f"{COOKIE}={visitor.secret}; caisey-zone={nonsense}"})
        assert "UTC. Kept until" in odd.text
