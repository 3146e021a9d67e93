"""The attention list: words, order, putting aside, taking; and open work."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.plane import Api, Plane, shell
from tests.end_to_end.server import until


def later(**span: float) -> str:
    return (datetime.now(UTC) + timedelta(**span)).isoformat(timespec="milliseconds")


def alarm(api: Api, group: str) -> str:
    """A computer that looks like another one; the line's id."""
    machine = uuid.uuid4().hex * 2
    token = api.enrollment_token("client_group", client_group_id=group, uses=2)
    api.enroll(token, machine_fingerprint=machine)
    twin = api.enroll(token, machine_fingerprint=machine)["endpoint_id"]
    return f"endpoint.fingerprint_shared:{twin}"


@pytest.fixture
def group(api: Api) -> str:
    return api.group()


@pytest.fixture
def person(plane: Plane, group: str) -> Api:
    """A technician of the test's own client group."""
    return plane.api("technician", "default", (group,))


def test_a_line_names_its_computer_and_client(person: Api, api: Api, group: str) -> None:
    line = alarm(api, group)
    page = person.get("/attention")
    assert [item["id"] for item in page["items"]] == [line]
    item = page["items"][0]
    assert (item["tone"], item["endpoint"], item["ran"]) == ("alarm", "ACCT-07", None)
    assert item["client_group"].startswith("group ")
    assert (page["total"], page["aside"]) == (1, 0)
    assert page["sequence"] > 0
    assert page["changed_at"]


def test_what_is_put_aside_comes_back_with_its_reason_in_the_log(person: Api, api: Api, group: str) -> None:
    line = alarm(api, group)
    until = later(hours=2)
    said = person.post(f"/attention/{line}/snooze", {"until": until, "reason": "the client calls back"})
    assert said["until"].startswith(until[:19])
    assert person.get("/attention", aside="hide")["items"] == []
    kept = person.get("/attention", aside="only")
    assert [item["id"] for item in kept["items"]] == [line]
    assert kept["items"][0]["snoozed"]["reason"] == "the client calls back"
    assert (kept["total"], kept["aside"], kept["back_at"]) == (1, 1, said["until"])
    assert person.get("/attention")["items"][0]["snoozed"] is not None, "it is shown unless one asks otherwise"
    assert person.send("DELETE", f"/attention/{line}/snooze").status_code == 204
    assert person.get("/attention", aside="hide")["items"][0]["snoozed"] is None
    assert person.refused("DELETE", f"/attention/{line}/snooze")[:2] == (409, "attention.nothing_snoozed")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"until": later(hours=-1), "reason": "x"}, "attention.snooze_refused"),
        ({"until": later(hours=25), "reason": "x"}, "attention.snooze_refused"),
        ({"until": "tomorrow", "reason": "x"}, "request.invalid_shape"),
        ({"until": "2026-01-01T10:00:00", "reason": "x"}, "request.invalid_shape"),
        ({"until": later(hours=1), "reason": ""}, "request.invalid_shape"),
        ({"until": later(hours=1)}, "request.invalid_shape"),
    ],
)
def test_a_snooze_has_an_end_and_a_reason(person: Api, api: Api, group: str, body: dict[str, Any], code: str) -> None:
    line = alarm(api, group)
    assert person.refused("POST", f"/attention/{line}/snooze", body)[:2] == (422, code)


def test_an_alarm_is_taken_by_itself(person: Api, api: Api, group: str) -> None:
    line = alarm(api, group)
    said = person.post(f"/attention/{line}/take", key=uuid.uuid4().hex)
    assert person.get("/attention")["items"][0]["owner"] == said["owner"]


def test_the_stream_tells_what_was_done_about_a_line(person: Api, api: Api, group: str) -> None:
    line = alarm(api, group)
    after = person.get("/attention")["sequence"]
    person.post(f"/attention/{line}/snooze", {"until": later(hours=1), "reason": "later"})
    with person.stream("/stream", last=after) as events:
        event = next(event for event in events if event["event"] == "attention.snoozed")
    assert event["data"]["reason"] == "later"
    assert event["data"]["payload"]["attention_id"] == line


def test_who_may_not_see_a_line_cannot_touch_it(plane: Plane, api: Api, group: str) -> None:
    line = alarm(api, group)
    stranger = plane.api("technician", "default", (api.group(),))
    body = {"until": later(hours=1), "reason": "x"}
    assert stranger.get("/attention")["items"] == []
    assert stranger.refused("POST", f"/attention/{line}/snooze", body)[0] == 404
    assert stranger.refused("POST", f"/attention/{line}/take")[0] == 404


def test_pages_keep_their_order_and_hide_nothing(person: Api, api: Api, group: str) -> None:
    lines = {alarm(api, group) for _ in range(5)}
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = person.get("/attention", limit=2, mine="first", **cursor)
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert set(seen) == lines
    assert len(seen) == len(lines)


def test_what_waits_by_itself_is_found_behind_what_waits_for_a_person(new_plane: Callable[..., Plane]) -> None:
    api = new_plane().start().api()
    quick = {"heartbeat_interval_s": 0.2, "ack_window_s": 0.2}  # the grace of a start is as long as these
    api.put("/policy", {**quick, "hold_expiry_s": 0.2})
    for _ in range(3):
        api.prompt(api.session(api.endpoint()), shell("true", effect="read_only"))
    until(lambda: api.get("/attention")["total"] == 3, within=30, what="three lines")
    api.put("/policy", {**quick, "hold_expiry_s": 86_400})
    later_ones = {api.session(api.endpoint()) for _ in range(3)}
    for session in later_ones:
        api.prompt(session, shell("true", effect="read_only"))
    found: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = api.get("/work", tone="wait", limit=2, **cursor)
        found += [item["session_id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert sorted(found) == sorted(later_ones)
    assert len(api.get("/work")["items"]) == 6
    assert {item["tone"] for item in api.get("/work", tone="ask")["items"]} == {"ask"}


def test_open_work_says_whose_it_is_and_until_when(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane().start()
    api = plane.api()
    endpoint = api.endpoint()
    session = api.session(endpoint)
    api.prompt(session, shell("true", effect="read_only"))
    items = api.get("/work", endpoint_id=endpoint)["items"]
    assert [(item["state"], item["ran"], item["literal"]) for item in items] == [("running", "no", "shell true")]
    assert items[0]["due_at"] is not None
    assert items[0]["next_state"] == "ended"
    assert items[0]["tone"] == "wait"
    assert api.get("/work", tone="ask")["items"] == []
    assert [item["session_id"] for item in api.get("/work", tone="wait")["items"]] == [session]
    assert api.refused("GET", "/work", params={"endpoint_id": "ept_none"})[0] == 404
