"""The composer, hand over, close, ticket note, `/open` and the list of sessions: seen without script."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from tests.api.plane import Api
from tests.web.visitor import Visitor

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


@pytest.fixture
def anna(person: Callable[..., Visitor]) -> Visitor:
    return person("technician")


@pytest.fixture
def computer(api: Api) -> str:
    return api.endpoint(hostname=f"ACCT-{uuid.uuid4().hex[:6]}")


@pytest.fixture
def session(api: Api, computer: str) -> str:
    return api.session(computer, title="Printing stands still")


def steps_of(api: Api, session: str) -> list[tuple[str, str, str]]:
    """(tool, what, effect) of all that was asked."""
    found = []
    for prompt in api.get(f"/sessions/{session}")["prompts"]:
        for call in api.get(f"/prompts/{prompt['id']}")["tool_calls"]:
            said = call["arguments"].get("command") or call["arguments"].get("action", "")
            found.append((call["tool"], said, call["effect"]))
    return found


# -- sending -------------------------------------------------------------------------------------------------------


def test_a_command_is_sent_with_what_it_does(anna: Visitor, api: Api, session: str) -> None:
    page = anna.get(f"/sessions/{session}")
    assert "Runs on ACCT-" in page.text
    assert "as the agent's own account" in page.text
    assert "If it may have run, it is never sent again without a person." in page.text
    compose = f"/sessions/{session}/compose"
    anna.submit(page, compose, **{"arg.command": "uptime", "effect": "read_only", "do": "send"})
    anna.submit(anna.get(f"/sessions/{session}"), compose, **{"arg.command": "lpq\n", "do": "send"})
    assert steps_of(api, session) == [("shell", "uptime", "read_only"), ("shell", "lpq", "mutating")]


def test_a_form_that_is_sent_twice_is_one_request(anna: Visitor, api: Api, session: str) -> None:
    page = anna.get(f"/sessions/{session}")
    for _ in range(2):
        anna.submit(page, f"/sessions/{session}/compose", **{"arg.command": "uptime", "do": "send"})
    assert len(steps_of(api, session)) == 1


def test_several_steps_are_one_request(anna: Visitor, api: Api, session: str) -> None:
    compose = f"/sessions/{session}/compose"
    page = anna.submit(anna.get(f"/sessions/{session}?tool=service"), compose, do="tool", tool="service")
    page = anna.submit(page, compose, **{"arg.name": "cups", "arg.action": "stop", "do": "add"})
    assert "service stop cups" in page.text
    page = anna.submit(page, compose, tool="shell", do="tool")
    page = anna.submit(page, compose, **{"arg.command": "lpq -a", "do": "add"})
    page = anna.submit(page, compose, **{"arg.command": "oops", "do": "add"})
    page = anna.submit(page, compose, do="remove:3")
    assert "Send 3 steps" in page.text
    anna.submit(page, compose, tool="service", **{"arg.name": "cups", "arg.action": "start", "do": "send"})
    assert steps_of(api, session) == [
        ("service", "stop", "mutating"),
        ("shell", "lpq -a", "mutating"),
        ("service", "start", "mutating"),
    ]
    assert len(api.get(f"/sessions/{session}")["prompts"]) == 1


def test_what_does_not_fit_comes_back_with_its_place(anna: Visitor, api: Api, session: str) -> None:
    compose = f"/sessions/{session}/compose"
    page = anna.submit(anna.get(f"/sessions/{session}"), compose, tool="processes", do="tool")
    page = anna.submit(page, compose, **{"arg.limit": "many", "arg.name": HOSTILE, "do": "send"})
    assert page.status == 422
    assert "/tool_calls/0/arguments/limit" in page.text
    kept = dict(page.form(compose).fields)
    assert kept["arg.limit"] == "many"
    assert "<script>" not in page.answer.text
    assert steps_of(api, session) == []


def test_a_command_that_waits_is_named_once_before_it_is_sent(anna: Visitor, api: Api, session: str) -> None:
    compose = f"/sessions/{session}/compose"
    page = anna.submit(anna.get(f"/sessions/{session}"), compose, **{"arg.command": "nano /etc/hosts", "do": "send"})
    assert "“nano” usually waits for somebody at a keyboard." in page.text
    assert steps_of(api, session) == []
    anna.submit(page, compose, do="send")
    assert steps_of(api, session) == [("shell", "nano /etc/hosts", "mutating")]


def test_nothing_typed_is_nothing_sent(anna: Visitor, api: Api, session: str) -> None:
    compose = f"/sessions/{session}/compose"
    page = anna.get(f"/sessions/{session}")
    assert anna.submit(page, compose, do="send").status == 200
    assert anna.submit(page, compose, do="add", **{"arg.command": "  \n "}).status == 200
    assert steps_of(api, session) == []


def test_a_command_is_kept_and_used_again(anna: Visitor, api: Api, session: str) -> None:
    compose, name = f"/sessions/{session}/compose", f"Queue {uuid.uuid4().hex[:6]}"
    page = anna.get(f"/sessions/{session}")
    fields = {"arg.command": "lpq -a", "effect": "read_only", "snippet_name": name, "do": "keep"}
    page = anna.submit(page, compose, **fields)
    assert name in page.text
    page = anna.get(f"/sessions/{session}")
    [use] = [value for _, value, text in page.form(compose).buttons if text.strip() == name]
    page = anna.submit(page, compose, do=use)
    fields_now = dict(page.form(compose).fields)
    assert (fields_now["arg.command"], fields_now["effect"]) == ("lpq -a", "read_only")
    page = anna.submit(page, compose, do=use.replace("use:", "forget:"))
    assert name not in page.text


def test_earlier_commands_are_there_for_the_arrow_key(anna: Visitor, api: Api, session: str) -> None:
    for command in ("first", "second <b>"):
        api.prompt(session, {"tool": "shell", "arguments": {"command": command}})
    answer = anna.send("GET", f"/sessions/{session}/history", headers={"x-caisey-part": "1"})
    assert answer.text.index("second &lt;b&gt;") < answer.text.index("first")


def test_a_viewer_reads_why_nothing_can_be_sent(person: Callable[..., Visitor], session: str) -> None:
    viewer = person("viewer")
    page = viewer.get(f"/sessions/{session}")
    assert "Your role may only look." in page.text
    assert [form.action for form in page.forms if "compose" in form.action] == []
    assert viewer.post(f"/sessions/{session}/compose", {"do": "send", "tool": "shell"}).status == 403


# -- strip ---------------------------------------------------------------------------------------------------------


def test_a_session_is_handed_over_and_taken(person: Callable[..., Visitor], api: Api, session: str) -> None:
    anna, bert = person("technician"), person("technician", fresh=True)
    api.patch(f"/sessions/{session}", {"owner": anna.member_id})
    page = anna.get(f"/sessions/{session}")
    fields = {"to": bert.member_id, "note": f"Step 2 is odd. {HOSTILE}"}
    page = anna.submit(page, f"/sessions/{session}/hand-over", **fields)
    assert "Offered to Technician" in page.text
    page = bert.get(f"/sessions/{session}")
    assert "hands this session over to you" in page.text
    assert "Step 2 is odd." in page.text
    assert "<script>alert" not in page.answer.text
    bert.submit(page, f"/sessions/{session}/hand-over/end", outcome="accepted")
    assert api.get(f"/sessions/{session}")["owner"] == bert.member_id


def test_closing_asks_about_what_is_open(anna: Visitor, api: Api, session: str) -> None:
    prompt = api.prompt(session, {"tool": "shell", "arguments": {"command": "uptime"}})
    close = f"/sessions/{session}/close"
    page = anna.submit(anna.get(f"/sessions/{session}"), close, outcome="Printing works", verified="printed a page")
    assert page.status == 409
    assert "This is still open." in page.text
    assert dict(page.form(close).fields)["outcome"] == "Printing works"
    page = anna.submit(page, close, **{f"open.{prompt['tool_calls'][0]['id']}": "drop"})
    closed = api.get(f"/sessions/{session}")["closed"]
    assert closed == {"outcome": "Printing works", "verified": "printed a page"}
    assert "This session is closed." in page.text


def test_the_note_stands_ready_for_the_ticket(anna: Visitor, api: Api, session: str) -> None:
    api.prompt(session, {"tool": "shell", "arguments": {"command": "cat /etc/hosts"}})
    page = anna.get(f"/sessions/{session}/note")
    assert "For the customer" in page.text
    assert "cat /etc/hosts" in page.answer.text
    part = {"x-caisey-part": "1"}
    technician = anna.send("GET", f"/sessions/{session}/note", headers=part)
    assert technician.headers["content-type"].startswith("text/plain")
    assert "cat /etc/hosts" in technician.text
    assert "cat /etc" not in anna.send("GET", f"/sessions/{session}/note?audience=customer", headers=part).text


def test_everything_on_a_computer_is_stopped_with_a_reason(anna: Visitor, api: Api, session: str) -> None:
    prompt = api.prompt(session, {"tool": "shell", "arguments": {"command": "uptime"}})
    page = anna.submit(anna.get(f"/sessions/{session}"), f"/sessions/{session}/stop-everything", reason="wrong one")
    assert "The end of 1 steps was asked for." in page.text
    assert api.get(f"/prompts/{prompt['id']}")["tool_calls"][0]["state"] == "ended"


# -- /open and the list --------------------------------------------------------------------------------------------


def test_a_button_elsewhere_leads_to_the_first_command_in_two_actions(anna: Visitor, api: Api, computer: str) -> None:
    name, ticket = api.get(f"/endpoints/{computer}")["name"], f"T-{uuid.uuid4().hex[:6]}"
    before = len(api.get("/sessions", endpoint_id=computer)["items"])
    page = anna.get(f"/open?host={name.lower()}&ticket={ticket}")
    assert f"New session on {name}" in page.text
    assert len(api.get("/sessions", endpoint_id=computer)["items"]) == before, "looking makes nothing"
    page = anna.submit(page, "/open", **{"arg.command": "uptime", "do": "send"})
    [session] = api.get("/sessions", endpoint_id=computer, ticket=ticket)["items"]
    assert session["owner"] == anna.member_id
    assert page.answer.url.path == f"/sessions/{session['id']}"
    again = anna.get(f"/open?host={name}&ticket={ticket}")
    assert again.answer.url.path == f"/sessions/{session['id']}", "the same ticket goes on"


def test_a_name_that_nobody_has_is_no_dead_end(anna: Visitor) -> None:
    page = anna.get(f"/open?{urlencode({'host': HOSTILE})}")
    assert page.status == 404
    assert "<script>alert" not in page.answer.text
    assert any(link.startswith("/endpoints?q=") for link in page.links)
    assert anna.get("/open").status == 404


def test_what_is_refused_at_the_beginning_leaves_no_open_session(anna: Visitor, api: Api, computer: str) -> None:
    name = api.get(f"/endpoints/{computer}")["name"]
    page = anna.submit(anna.get(f"/open?host={name}"), "/open", tool="processes", do="tool")
    page = anna.submit(page, "/open", **{"arg.limit": "many", "do": "send"})
    assert page.status == 422
    assert api.get("/sessions", endpoint_id=computer, state="open")["items"] == []


def test_sessions_are_listed_by_state_and_ticket(anna: Visitor, api: Api, computer: str) -> None:
    ticket = f"T-{uuid.uuid4().hex[:6]}"
    session = api.session(computer, title=f"Slow {HOSTILE.replace(chr(27), '')}", ticket=ticket)
    page = anna.get(f"/sessions?ticket={ticket}")
    assert f"/sessions/{session}" in page.links
    assert "<script>alert" not in page.answer.text
    assert f"/sessions/{session}" not in anna.get(f"/sessions?ticket={ticket}&state=closed").links


def test_a_client_that_one_may_not_see_is_not_there(person: Callable[..., Visitor], api: Api) -> None:
    group, other = api.group(), api.group()
    hidden = api.endpoint(group=other, hostname=f"HID-{uuid.uuid4().hex[:6]}")
    name = api.get(f"/endpoints/{hidden}")["name"]
    session = api.session(hidden)
    limited = person("technician", (group,))
    assert limited.get(f"/open?host={name}").status == 404
    assert limited.get(f"/sessions/{session}").status == 404
    assert limited.get(f"/sessions/{session}/note").status == 404
    assert f"/sessions/{session}" not in limited.get("/sessions?state=all").links
