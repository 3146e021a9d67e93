"""Computers in numbers, their health as it was, what was changed there, and search in many of them."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from caisey.control import verification
from tests.api.plane import Api, Plane, shell


@pytest.fixture
def group(api: Api) -> str:
    return api.group()


@pytest.fixture
def reader(plane: Plane, group: str) -> Api:
    return plane.api("viewer", "default", (group,))


def test_numbers_are_those_of_what_one_may_see(reader: Api, api: Api, group: str) -> None:
    made = [api.endpoint(group, f"PC-{number}") for number in range(3)]
    api.patch(f"/endpoints/{made[0]}", {"tags": ["till", "berlin"]})
    api.patch(f"/endpoints/{made[1]}", {"tags": ["till"]})
    api.delete(f"/endpoints/{made[2]}")
    found = reader.get("/endpoints/summary")
    assert found["total"] == 3
    assert found["by_health"] == {"never_seen": 2, "removing": 1}
    assert found["tags"] == [{"tag": "berlin", "count": 1}, {"tag": "till", "count": 2}]
    assert [(one["id"], one["count"]) for one in found["client_groups"]] == [(group, 3)]


def test_a_list_says_how_many_fit(reader: Api, api: Api, group: str) -> None:
    for number in range(3):
        api.endpoint(group, f"PC-{number}")
    page = reader.get("/endpoints", limit=2)
    assert (len(page["items"]), page["total"]) == (2, 3)
    rest = reader.get("/endpoints", limit=2, cursor=page["next"])
    assert [item["name"] for item in rest["items"]] == ["PC-2"]
    assert rest["next"] is None
    assert reader.get("/endpoints", health="offline")["total"] == 0
    assert reader.get("/endpoints", health="never_seen")["total"] == 3


def test_every_word_has_to_be_there_and_changes_are_found_at_once(reader: Api, api: Api, group: str) -> None:
    one = api.endpoint(group, "ACCT-07")
    api.endpoint(group, "ACCT-08")
    assert {item["name"] for item in reader.get("/endpoints", q="acct")["items"]} == {"ACCT-07", "ACCT-08"}
    assert reader.get("/endpoints", q="acct till")["items"] == []
    api.patch(f"/endpoints/{one}", {"tags": ["till"], "name": "Kasse Süd"})
    assert [item["id"] for item in reader.get("/endpoints", q="TILL süd")["items"]] == [one]
    client = reader.get("/endpoints")["items"][0]["client_group"]
    assert len(reader.get("/endpoints", q=client)["items"]) == 2


def test_a_computer_that_never_came_has_one_stretch(reader: Api, api: Api, group: str) -> None:
    endpoint = api.endpoint(group)
    history = reader.get(f"/endpoints/{endpoint}/health")
    assert [(one["health"], one["until"]) for one in history["periods"]] == [("never_seen", None)]
    assert not history["truncated"]
    old = reader.get(f"/endpoints/{endpoint}/health", **{"from": "2020-01-01", "to": "2020-02-01"})
    assert old["periods"] == []
    assert reader.refused("GET", f"/endpoints/{endpoint}/health", params={"from": "yesterday"})[0] == 422


def test_nothing_was_changed_or_looked_at_yet(reader: Api, api: Api, group: str) -> None:
    endpoint = api.endpoint(group)
    assert reader.get(f"/endpoints/{endpoint}/changes") == {"items": [], "next": None}
    assert reader.get(f"/endpoints/{endpoint}/looks") == {"items": [], "next": None}


def test_the_log_is_searched(new_plane: Callable[..., Plane]) -> None:
    api = new_plane().start().api()
    endpoint = api.endpoint(hostname='NAME "in quotes"')
    session = api.session(endpoint, ticket="T-4711")
    api.prompt(session, shell("echo needle"))
    other = api.session(api.endpoint())

    def search(**wanted: str | int) -> list[dict[str, Any]]:
        return list(api.get("/audit/search", **wanted)["items"])

    everything = search(limit=200)
    sequences = [event["sequence"] for event in everything]
    assert sequences == sorted(sequences, reverse=True)
    assert sequences[-1] == 1
    assert {event["type"] for event in search(type="session.created")} == {"session.created"}
    assert {str(event["type"]).split(".")[0] for event in search(type="session.")} == {"session"}
    assert {event["session_id"] for event in search(session_id=session)} == {session}
    about = search(endpoint_id=endpoint)
    assert {event["session_id"] for event in about} == {session, None}
    assert other not in {event["session_id"] for event in about}
    assert [event["type"] for event in search(q="NEEDLE")] == ["prompt.accepted"]
    assert "endpoint.enrolled" in {event["type"] for event in search(q='name "in quotes"')}
    assert {event["type"] for event in search(actor="token")} >= {"prompt.accepted", "session.created"}
    assert search(actor="usr_nobody") == []
    assert search(to="2020-01-01") == []
    page = api.get("/audit/search", limit=2)
    rest = api.get("/audit/search", limit=200, cursor=page["next"])
    assert [e["sequence"] for e in page["items"] + rest["items"]] == sequences
    assert rest["next"] is None


def test_the_chain_is_verified_up_to_a_head_that_is_signed_now(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane().start()
    api = plane.api()
    api.prompt(api.session(api.endpoint()), shell("one"))
    found = api.get("/audit/verify")
    assert found["holds"]
    assert found["verified_to"] == found["target"] == found["head_sequence"] == found["events"]
    assert found["next"] is None


def test_a_long_chain_is_verified_in_pieces(new_plane: Callable[..., Plane], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "AT_ONCE", 7)
    monkeypatch.setattr(verification, "READ_AT_ONCE", 3)
    api = new_plane().start().api()
    for _ in range(4):
        api.prompt(api.session(api.endpoint()), shell("one"))
    pieces, cursor = [], None
    while True:
        found = api.get("/audit/verify", **({} if cursor is None else {"cursor": cursor}))
        assert found["broken"] is None
        pieces.append(found["verified_to"])
        cursor = found["next"]
        if cursor is None:
            break
        assert not found["holds"]
    assert found["holds"]
    assert found["events"] == found["target"] == pieces[-1]
    assert [b - a for a, b in itertools.pairwise([0, *pieces])][:-1] == [7] * (len(pieces) - 1)


def test_a_changed_event_is_found(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane().start()
    api = plane.api()
    api.prompt(api.session(api.endpoint()), shell("one"))
    assert api.get("/audit/verify")["holds"]
    plane.stop()
    database = next(plane.data_dir.glob("*.db"))
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE events SET payload = replace(payload, 'one', 'two') WHERE type = 'prompt.accepted'")
    connection.close()
    api = plane.start().api()
    found = api.get("/audit/verify")
    assert not found["holds"]
    assert found["broken"]["what"] == "digest"
    assert found["verified_to"] < found["broken"]["sequence"]


def test_a_token_says_who_joined_with_it(api: Api) -> None:
    made = api.post("/enrollment-tokens", {"scope": "organization", "uses": 3})
    assert api.get(f"/enrollment-tokens/{made['id']}")["enrolled"] == []
    first = api.enroll(made["token"], hostname="ACCT-07")
    second = api.enroll(made["token"], hostname="ACCT-08")
    shown = api.get(f"/enrollment-tokens/{made['id']}")
    assert shown["used"] == 2
    assert {one["runtime_id"]: one["name"] for one in shown["enrolled"]} == {
        first["runtime_id"]: "ACCT-07",
        second["runtime_id"]: "ACCT-08",
    }
    assert "token" not in shown
    rotated = api.post(f"/enrollment-tokens/{made['id']}/rotate")
    assert api.get(f"/enrollment-tokens/{made['id']}")["enrolled"] == [], "they joined with the former text"
    third = api.enroll(rotated["token"])
    assert [one["endpoint_id"] for one in api.get(f"/enrollment-tokens/{made['id']}")["enrolled"]] == [
        third["endpoint_id"]
    ]
