"""Who has a session open: counted from streams, told to who asks for it, forgotten with the stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.api.plane import Api, Plane


def names(document: dict[str, Any]) -> list[tuple[str, bool]]:
    return sorted((item["actor"]["id"], item["you"]) for item in document["items"])


def told(events: Iterator[dict[str, Any]], count: int) -> dict[str, Any]:
    """The next word about presence that names so many people."""
    for event in events:
        if event["event"] == "presence" and len(event["data"]["items"]) == count:
            found: dict[str, Any] = event["data"]
            return found
    raise AssertionError("the stream ended")


def test_others_are_told_who_comes_and_who_goes(plane: Plane, api: Api) -> None:
    session = api.session(api.endpoint())
    other = plane.api("technician")
    assert api.get(f"/sessions/{session}/presence") == {"items": []}
    with api.stream(f"/sessions/{session}/stream?presence=true") as mine:
        assert [you for _, you in names(told(mine, 1))] == [True]
        with other.stream(f"/sessions/{session}/stream") as theirs:
            assert next(theirs)["event"] == "session.created"
            both = told(mine, 2)
            assert sorted(you for _, you in names(both)) == [False, True]
            assert names(other.get(f"/sessions/{session}/presence")) == [(i, not you) for i, you in names(both)]
        assert len(told(mine, 1)["items"]) == 1


def test_two_streams_of_one_person_are_one(api: Api) -> None:
    session = api.session(api.endpoint())
    with api.stream(f"/sessions/{session}/stream?presence=true") as first:
        told(first, 1)
        with api.stream(f"/sessions/{session}/stream") as second:
            assert next(second)["event"] == "session.created"
            assert len(api.get(f"/sessions/{session}/presence")["items"]) == 1
        assert len(api.get(f"/sessions/{session}/presence")["items"]) == 1


def test_who_does_not_ask_is_told_of_the_log_alone(api: Api) -> None:
    session = api.session(api.endpoint())
    with api.stream(f"/sessions/{session}/stream") as events:
        api.prompt(session)
        last = api.get(f"/sessions/{session}")["sequence"]
        for event in events:
            assert event["id"] is not None
            if event["id"] >= last:
                return
    raise AssertionError("the stream ended")
