"""Attention as a page: what stands there, for whom, and what a press does; without any script."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from caisey.core.spoken import rfc3339
from caisey.web.views.attention import Group, Line, count, lines
from tests.api.plane import Api, Plane
from tests.web.limited import People
from tests.web.visitor import Visitor

Person = Callable[..., Visitor]


@pytest.fixture
def group(api: Api) -> str:
    return api.group()


def alarms(api: Api, group: str, count: int = 1, hostname: str = "ACCT-07") -> list[str]:
    """Computers that look like another one; the ids of their lines."""
    machine = uuid.uuid4().hex * 2
    token = api.enrollment_token("client_group", client_group_id=group, uses=count + 1)
    made = [api.enroll(token, machine_fingerprint=machine, hostname=hostname) for _ in range(count + 1)]
    return [f"endpoint.fingerprint_shared:{one['endpoint_id']}" for one in made[1:]]


def shown(page: Any) -> list[str]:
    return [attributes["data-line"] for _, attributes in page.tags if "data-line" in attributes]


def test_the_first_page_is_attention(person: Person) -> None:
    page = person("viewer").get("/")
    assert page.answer.url.path == "/attention"
    assert "Attention" in page.text


def test_nothing_needs_you_and_since_when(api: Api, group: str, people: People) -> None:
    page = people("technician", group).get("/attention")
    assert "Nothing needs you." in page.text
    assert "Last change" in page.text
    assert "You have no open session. Find a computer to open one" in page.text
    assert "<title>Attention · Caisey</title>" in page.answer.text


def test_a_line_and_its_place(api: Api, group: str, people: People) -> None:
    line = alarms(api, group)[0]
    page = people("technician", group).get("/attention")
    assert shown(page) == [line]
    assert "Looks like a computer that is known" in page.text
    assert "first: identity: join it with the other one, or leave both" in page.text
    assert "<title>(1) Attention · Caisey</title>" in page.answer.text
    assert page.with_id("attention")["data-count"] == "1"
    assert f"/endpoints/{line.partition(':')[2]}?show=agents#decide" in page.links


def test_a_line_is_put_aside_and_taken_back(api: Api, group: str, people: People) -> None:
    line = alarms(api, group)[0]
    anna = people("technician", group)
    page = anna.get("/attention")
    form = next(form for form in page.forms if ("do", "snooze", "Put aside") in form.buttons)
    fields = dict(form.fields) | {"do": "snooze", "reason": "the client calls back", "until": "240", "item": line}
    page = anna.post("/attention/act", fields)
    assert "Put aside until" in page.text
    assert "Nothing needs you." in page.text
    assert "put aside by you: the client calls back" in page.text
    assert page.with_id("attention")["data-count"] == "0"
    assert page.with_id("attention")["data-back-at"] != ""
    wake = next(form for form in page.forms if ("do", "wake") in form.fields)
    page = anna.post("/attention/act", wake.fields)
    assert "It is back in the list." in page.text
    assert page.with_id("attention")["data-count"] == "1"


def test_without_a_reason_nothing_is_put_aside_and_nothing_is_lost(api: Api, group: str, people: People) -> None:
    line = alarms(api, group)[0]
    anna = people("technician", group)
    form = anna.get("/attention").form("/attention/act")
    page = anna.post(
        "/attention/act", dict(form.fields) | {"do": "snooze", "until": "240", "item": line, "reason": " "}
    )
    assert page.status == 422
    assert "Say why, in a word or two." in page.text
    assert '<option value="240" selected>' in page.answer.text
    assert shown(page) == [line]
    empty = anna.post("/attention/act", [(name, value) for name, value in form.fields if name != "item"])
    assert "Nothing was selected." in empty.text


def test_several_are_taken_with_one_press(api: Api, group: str, people: People) -> None:
    lines = alarms(api, group, 2)
    anna = people("technician", group)
    form = anna.get("/attention").form("/attention/act")
    fields = [(name, value) for name, value in form.fields if name in ("csrf", "key")]
    page = anna.post("/attention/act", [*fields, ("do", "take"), *(("item", line) for line in lines)])
    assert "It is yours." in page.text
    assert page.answer.text.count("line-mine") == 2
    gone = anna.post("/attention/act", [*fields[:1], ("do", "take"), ("item", lines[0]), ("item", "call:tcl_gone")])
    assert gone.status == 409
    assert "1 of 2 were done." in gone.text


def test_a_first_action_of_a_line_that_changed_sends_nothing(api: Api, group: str, people: People) -> None:
    line = alarms(api, group)[0]
    anna = people("technician", group)
    form = anna.get("/attention").form("/attention/act")
    csrf = next(value for name, value in form.fields if name == "csrf")
    for item_id in (line, "call:tcl_gone"):
        page = anna.post("/attention/first", {"csrf": csrf, "key": uuid.uuid4().hex, "item": item_id, "code": "check"})
        assert page.status == 409
        assert "This line has changed: nothing was sent." in page.text


def test_who_may_only_look_has_no_buttons(api: Api, group: str, people: People) -> None:
    line = alarms(api, group)[0]
    viewer = people("viewer", group)
    page = viewer.get("/attention")
    assert shown(page) == [line]
    assert not [form for form in page.forms if form.action.startswith("/attention")]
    refused = viewer.post("/attention/act", {"csrf": "x", "do": "take", "item": line})
    assert refused.status == 403


def test_what_one_may_not_see_is_not_there(api: Api, group: str, people: People, plane: Plane) -> None:
    line = alarms(api, group, hostname="SECRET-01")[0]
    stranger = people("technician", api.group(), which="stranger")
    page = stranger.get("/attention")
    assert "SECRET-01" not in page.answer.text
    assert line.partition(":")[2] not in page.answer.text
    form = people("technician", group).get("/attention").form("/attention/act")
    csrf = next(value for name, value in form.fields if name == "csrf")
    assert stranger.post("/attention/act", {"csrf": csrf, "do": "take", "item": line}).status in (403, 404)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=y>', "a\u202eexe.txt", "{{7*7}}"])
def test_hostile_names_are_only_shown(api: Api, group: str, people: People, name: str) -> None:
    line = alarms(api, group)[0]
    api.patch(f"/endpoints/{line.partition(':')[2]}", {"name": name})
    html = people("technician", group).get("/attention").answer.text
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "\u202e" not in html
    assert ("((7*7))" in html) == (name == "{{7*7}}")


def test_a_long_list_has_pages(api: Api, group: str, people: People) -> None:
    made = alarms(api, group, 65)
    anna = people("technician", group)
    page = anna.get("/attention")
    first = shown(page)
    assert len(first) == 60
    assert "5 more wait. They stand behind these." in page.text
    assert page.with_id("attention")["data-count"] == "65"
    rest = anna.get(next(link for link in page.links if "cursor=" in link))
    assert sorted(first + shown(rest)) == sorted(made)
    assert "Back to the most urgent" in rest.text


def test_the_script_gets_the_list_alone(api: Api, group: str, people: People) -> None:
    alarms(api, group)
    anna = people("technician", group)
    answer = anna.send("GET", "/attention", headers={"x-caisey-part": "1"})
    assert answer.text.strip().startswith('<div id="attention"')
    assert "<html" not in answer.text


# -- groups ----------------------------------------------------------------------------------------------------------

NOW = 1_800_000_000_000


def one_line(found: Sequence[Line | Group]) -> Line:
    """The only one, and no group."""
    (line,) = found
    assert isinstance(line, Line)
    return line


def item(number: int, **changes: Any) -> dict[str, Any]:
    """A line as the API says it."""
    base: dict[str, Any] = {
        "id": f"call:tcl_{number}",
        "type": "runtime_died",
        "label": "Lost contact while it ran",
        "since": rfc3339(NOW + number * 1000),
        "due_at": None,
        "owner": "usr_1",
        "owner_name": "Anna",
        "reason": "may have changed the computer",
        "session_id": f"ses_{number}",
        "prompt_id": f"pmt_{number}",
        "tool_call_id": f"tcl_{number}",
        "endpoint_id": f"ept_{number}",
        "endpoint": f"PC-{number}",
        "client_group_id": "grp_1",
        "client_group": "Acme GmbH",
        "tone": "ask",
        "ran_label": "Started, no end recorded",
        "ran_note": None,
        "may_have_changed": True,
        "literal": "shell true",
        "sequence": 7,
        "first_action": None,
        "snoozed": None,
    }
    return base | changes


def test_a_site_that_fails_is_one_row() -> None:
    found = lines([item(n) for n in range(12)], "usr_1")
    assert len(found) == 1
    assert found[0].label == "Acme GmbH: 12 computers: Lost contact while it ran"
    assert isinstance(found[0], Group)
    assert [line.computer for line in found[0].lines] == [f"PC-{n}" for n in range(12)]
    assert count(found) == 12


@pytest.mark.parametrize(
    "items",
    [
        [item(0), item(1)],
        [item(0), item(60), item(121)],
        [item(0), item(1, client_group_id="grp_2"), item(2)],
        [item(0, client_group_id=None), item(1, client_group_id=None), item(2, client_group_id=None)],
        [item(n, tone="alarm") for n in range(5)],
    ],
    ids=["two are no group", "not within two minutes", "another client", "no client", "identity is decided one by one"],
)
def test_what_is_no_group(items: list[dict[str, Any]]) -> None:
    assert len(lines(items, "usr_1")) == len(items)


def test_a_group_stands_where_its_first_line_stood() -> None:
    alarm, other = item(50, tone="alarm", session_id=None), item(900)
    found = lines([alarm, item(0), other, item(1), item(2, label="Stopped in the middle")], "usr_1")
    assert [one.label for one in found] == [
        "Lost contact while it ran",
        "Acme GmbH: 3 things on 3 computers",
        "Lost contact while it ran",
    ]
    same = lines([item(n, endpoint_id="ept_1") for n in range(3)], "usr_1")
    assert same[0].label == "Acme GmbH: 3 times Lost contact while it ran"


def test_only_what_is_safe_is_a_button() -> None:
    action = {
        "action": "verify",
        "code": "check",
        "label": "Check first",
        "consequence": "x",
        "tool_call_id": "tcl_0",
        "body": {},
        "safe": True,
        "unavailable_because": None,
    }
    safe, risky, away = (
        one_line(lines([item(0, first_action=action | changes)], "usr_1")).first
        for changes in ({}, {"safe": False}, {"unavailable_because": "PC-0 is offline."})
    )
    assert (safe.send, risky.send, away.send) == (True, False, False)
    assert risky.href == "/sessions/ses_0?item=tcl_0#now"
    assert away.consequence == "PC-0 is offline."


def test_a_question_of_a_running_command_promises_no_reminder() -> None:
    due = rfc3339(NOW + 10_000)
    asks, stands = (one_line(lines([item(0, type=kind, due_at=due)], "usr_1")) for kind in ("stalled", "timed_out"))
    assert (asks.due, stands.due) == ("", due)
