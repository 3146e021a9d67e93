"""Handing over, the note for the ticket, stopping everything, snippets: over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from caisey.storage.contract import Appended, Entry, Overloaded, Write
from caisey.storage.sqlite.log import SqliteLog
from tests.api.plane import Api, Plane, shell


@pytest.fixture
def session(api: Api) -> str:
    return api.session(api.endpoint())


def lines_of(api: Api, session: str) -> list[dict[str, object]]:
    return [line for line in api.get("/attention", limit="200")["items"] if line["session_id"] == session]


def test_the_next_one_accepts(plane: Plane, api: Api, session: str) -> None:
    api.prompt(session, shell("lpstat"))
    before = api.get(f"/sessions/{session}")
    offered = api.post(f"/sessions/{session}/hand-over", {"note": "Step 2 is odd."})
    assert offered["owner"] == before["owner"], "it stays the owner's until somebody takes it"
    assert offered["handover"]["note"] == "Step 2 is odd."
    assert "lpstat" in offered["handover"]["summary"]
    [line] = lines_of(api, session)
    assert (line["type"], line["owner"]) == ("session.handover", None)
    path = f"/sessions/{session}/hand-over/end"
    assert api.refused("POST", path, {"outcome": "accepted"})[:2] == (409, "session.handover_not_yours")
    colleague = plane.api("technician")
    taken = colleague.post(path, {"outcome": "accepted"})
    assert taken["handover"] is None
    assert taken["owner"] != before["owner"]
    assert lines_of(api, session) == []
    assert colleague.refused("POST", path, {"outcome": "accepted"})[:2] == (409, "session.no_handover")


def test_an_offer_names_somebody_who_can_take_it(plane: Plane, api: Api, session: str) -> None:
    path = f"/sessions/{session}/hand-over"
    assert api.refused("POST", path, {"to": "usr_nobody"})[:2] == (404, "resource.not_found")
    other = api.group()
    email = {"role": "technician", "email": f"{session}@example.com", "client_group_ids": [other]}
    assert api.refused("POST", path, {"to": api.post("/members", email)["id"]})[:2] == (404, "resource.not_found")
    member = api.post("/members", {"role": "technician", "email": f"x{session}@example.com", "name": "Bert"})
    assert {"id": member["id"], "name": "Bert"} in api.get(f"/sessions/{session}/colleagues")["items"]
    assert api.post(path, {"to": member["id"]})["handover"]["to_name"] == "Bert"
    colleague = plane.api("technician")
    for outcome in ("accepted", "declined", "withdrawn"):
        refused = colleague.refused("POST", f"{path}/end", {"outcome": outcome})
        assert refused[:2] == (409, "session.handover_not_yours")
    assert api.post(f"{path}/end", {"outcome": "withdrawn"})["handover"] is None


def test_a_second_offer_takes_the_place_of_the_first_and_closing_ends_it(api: Api, session: str) -> None:
    api.post(f"/sessions/{session}/hand-over", {"note": "one"})
    assert api.post(f"/sessions/{session}/hand-over", {"note": "two"})["handover"]["note"] == "two"
    assert len(lines_of(api, session)) == 1
    assert api.post(f"/sessions/{session}/close", {"outcome": "solved"})["handover"] is None
    assert lines_of(api, session) == []
    assert api.refused("POST", f"/sessions/{session}/hand-over", {})[:2] == (409, "session.closed")


def test_the_note_for_the_customer_names_no_command(api: Api, session: str) -> None:
    api.prompt(session, shell("cat /etc/secret-path"))
    for_colleagues = api.get(f"/sessions/{session}/ticket-note")
    assert "cat /etc/secret-path" in for_colleagues["text"]
    for_customer = api.get(f"/sessions/{session}/ticket-note", audience="customer")
    assert for_customer["audience"] == "customer"
    assert "secret-path" not in for_customer["text"]
    assert api.refused("GET", f"/sessions/{session}/ticket-note?audience=anybody")[0] == 422


def test_everything_on_one_computer_is_stopped(api: Api) -> None:
    endpoint, other = api.endpoint(), api.endpoint()
    sessions = [api.session(endpoint), api.session(endpoint)]
    prompts = [api.prompt(session, shell("one"), shell("two")) for session in sessions]
    elsewhere = api.prompt(api.session(other), shell("one"))
    body = {"reason": "the wrong computer"}
    stopped = api.post(f"/endpoints/{endpoint}/stop-everything", body, key="stop-1")
    assert stopped["asked"] == 2
    assert sorted(stopped["session_ids"]) == sorted(sessions)
    assert api.post(f"/endpoints/{endpoint}/stop-everything", body, key="stop-1") == stopped
    for prompt in prompts:
        first = api.get(f"/prompts/{prompt['id']}")["tool_calls"][0]
        assert (first["state"], first["ran"]) == ("ended", "no"), first
        assert first["attempts"][0]["verdict"]["kind"] == "cancelled"
    assert api.get(f"/prompts/{elsewhere['id']}")["tool_calls"][0]["state"] == "running"
    assert api.post(f"/endpoints/{endpoint}/stop-everything", body)["asked"] == 0
    assert api.refused("POST", f"/endpoints/{endpoint}/stop-everything", {})[0] == 422


def test_what_was_stopped_is_said_though_the_log_cannot_keep_the_answer(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = api.endpoint()
    api.prompt(api.session(endpoint), shell("one"))
    real = SqliteLog.append

    def full(self: SqliteLog, entries: Sequence[Entry], writes: Sequence[Write] = ()) -> Appended:
        if not entries and any("answered_writes" in sql for sql, _ in writes):
            raise Overloaded("full")
        return real(self, entries, writes)

    monkeypatch.setattr(SqliteLog, "append", full)
    body = {"reason": "the wrong computer"}
    assert api.post(f"/endpoints/{endpoint}/stop-everything", body, key="stop-full")["asked"] == 1
    assert api.post(f"/endpoints/{endpoint}/stop-everything", body, key="stop-full")["asked"] == 0


def test_snippets_are_kept_by_name(plane: Plane, api: Api) -> None:
    organization = "snippets"
    plane.organization(organization)
    owner = plane.api("owner", organization)
    kept = owner.post("/snippets", {"name": "Spooler", "tool": "shell", "command": "lpq -a\n", "effect": "read_only"})
    assert owner.get("/snippets")["items"] == [kept]
    again = {"name": "spooler", "tool": "powershell", "command": "x"}
    assert owner.refused("POST", "/snippets", again)[:2] == (409, "snippet.name_taken")
    assert api.refused("DELETE", f"/snippets/{kept['id']}")[:2] == (404, "resource.not_found")
    owner.delete(f"/snippets/{kept['id']}")
    assert owner.get("/snippets")["items"] == []
    assert owner.refused("POST", "/snippets", {"name": "x", "tool": "service", "command": "x"})[0] == 422
