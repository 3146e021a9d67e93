"""API.md: server-sent events, events, transcripts and sharing the same words; RECOVERY.md §9, 6."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import httpx

from tests.end_to_end import views
from tests.end_to_end.client import StreamEvent, shell
from tests.end_to_end.fleet import Desk
from tests.foreign.work import answers, in_turn, silent

EVENT_FIELDS = {
    "sequence", "at", "organization_id", "session_id", "type", "actor", "reason", "payload", "salts", "previous",
    "digest",
}  # fmt: skip


def take(stream: Iterator[StreamEvent], count: int) -> list[StreamEvent]:
    return list(itertools.islice(stream, count))


def test_events_have_the_published_form(desk: Desk) -> None:
    """API.md **Event** "(log, SSE, audit line: the same)"."""
    desk.answered()
    events = desk.api.events(desk.session_id)
    assert len(events) >= 5
    for event in events:
        assert set(event) >= EVENT_FIELDS, event
        assert event["session_id"] == desk.session_id
        assert set(event["actor"]) >= {"kind", "id"}
        assert set(event["payload"]) == set(event["salts"]), "one salt for each top-level field"
    sequences = [event["sequence"] for event in events]
    assert sequences == sorted(set(sequences))


def test_events_after(desk: Desk) -> None:
    """API.md: `GET /sessions/{id}/events?after=`."""
    desk.answered()
    events = desk.api.events(desk.session_id)
    middle = events[2]["sequence"]
    assert desk.api.events(desk.session_id, after=middle) == events[3:]


def test_the_stream_is_the_events(desk: Desk) -> None:
    """API.md: "SSE `id:` is the event's `sequence`, `event:` its `type`, `data:` the event"."""
    desk.answered()
    events = desk.api.events(desk.session_id)
    with desk.api.stream(f"/sessions/{desk.session_id}/stream", last_event_id=0) as stream:
        seen = take(stream, len(events))
    assert [e.data for e in seen] == events
    assert [int(e.id) for e in seen] == [e["sequence"] for e in events]
    assert [e.event for e in seen] == [e["type"] for e in events]


def test_the_stream_resumes(desk: Desk) -> None:
    """API.md: "resumes from `Last-Event-ID`": neither loses nor doubles an event."""
    prompt = desk.answered()
    before = desk.api.events(desk.session_id)
    middle = before[len(before) // 2]["sequence"]
    with desk.api.stream(f"/sessions/{desk.session_id}/stream", last_event_id=middle) as stream:
        rest = take(stream, len(before) - len(before) // 2 - 1)
        more = desk.ask(shell("again"))
        desk.api.wait_verdict(more, ("answered", "yes"))
        after = desk.api.events(desk.session_id, after=before[-1]["sequence"])
        rest += take(stream, len(after))
    wanted = [e["sequence"] for e in [*before, *after] if e["sequence"] > middle]
    assert [int(e.id) for e in rest] == wanted
    assert prompt["id"] in str(before)


def test_a_live_stream_shows_work_as_it_happens(desk: Desk) -> None:
    """API.md: `GET /sessions/{id}/stream` (SSE)."""
    newest = desk.api.events(desk.session_id)[-1]["sequence"]
    with desk.api.stream(f"/sessions/{desk.session_id}/stream", last_event_id=newest) as stream:
        prompt = desk.ask()
        about = views.call(prompt)["id"]
        for event in stream:
            if about in str(event.data) and '"answered"' in json.dumps(event.data):
                break


def test_the_organizations_stream_tells_of_health(desk: Desk) -> None:
    """API.md: `GET /stream` (the organization's health and attention)."""
    with desk.api.stream("/stream", within=20) as stream:
        desk.runtime.drop_links(stay_away=True)
        for event in stream:
            if desk.endpoint_id in json.dumps(event.data) or desk.runtime.runtime_id in json.dumps(event.data):
                break


def test_a_broken_last_event_id_is_no_fault_of_the_server(desk: Desk) -> None:
    """API.md: no bare 500."""
    for value in ("x", "-5", "9" * 30):
        with desk.api.http.stream(
            "GET", f"/sessions/{desk.session_id}/stream", headers={"Last-Event-ID": value}, timeout=httpx.Timeout(10)
        ) as answer:
            assert answer.status_code < 500


def test_many_readers_of_one_stream(desk: Desk) -> None:
    """Another reader changes nothing for the first."""
    paths = [f"/sessions/{desk.session_id}/stream"] * 5
    desk.answered()
    count = len(desk.api.events(desk.session_id))
    found = []
    for path in paths:
        with desk.api.stream(path, last_event_id=0) as stream:
            found.append([e.id for e in take(stream, count)])
    assert all(ids == found[0] for ids in found)


def test_the_json_transcript(desk: Desk) -> None:
    """API.md: "json: {`session`, `prompts[]` as above, `events[]`, `head`}"."""
    prompt = desk.answered()
    transcript = desk.api.get(f"/sessions/{desk.session_id}/transcript", format="json")
    assert set(transcript) >= {"session", "prompts", "events", "head"}
    assert transcript["session"]["id"] == desk.session_id
    assert transcript["prompts"][0]["tool_calls"] == desk.api.prompt(prompt["id"])["tool_calls"]
    assert transcript["events"] == desk.api.events(desk.session_id)
    assert set(transcript["head"]) >= {"sequence", "digest"}


def test_transcripts_for_people(desk: Desk) -> None:
    """API.md `format=json,markdown,html`; nothing that a computer wrote becomes markup."""
    evil = b"<script>alert(1)</script> [x](javascript:alert(1))\n"
    prompt = desk.ask(shell("print evil"), script=answers(evil))
    desk.api.wait_verdict(prompt, ("answered", "yes"))
    html = desk.api.send("GET", f"/sessions/{desk.session_id}/transcript", params={"format": "html"})
    assert html.headers["content-type"].startswith("text/html")
    assert "<script>alert" not in html.text
    assert "print evil" in html.text
    markdown = desk.api.send("GET", f"/sessions/{desk.session_id}/transcript", params={"format": "markdown"})
    assert "markdown" in markdown.headers["content-type"] or markdown.headers["content-type"].startswith("text/")
    assert "print evil" in markdown.text


def test_an_unknown_format_is_refused(desk: Desk) -> None:
    """API.md: three formats."""
    status, _ = desk.api.problem("GET", f"/sessions/{desk.session_id}/transcript?format=pdf")
    assert status in (400, 404, 406, 422)


def test_former_verdicts_stay_in_the_log(desk: Desk) -> None:
    """RECOVERY §1 verdict: "refined by later evidence; the former one stays in the log"."""
    desk.policy(max_automatic=0, automatic_for=[])
    desk.runtime.manners.reconcile = False
    prompt = desk.api.wait_verdict(desk.ask(shell("x", "mutating"), script=silent), ("orphaned", "unconfirmed"))
    about = views.call(prompt)["id"]
    desk.runtime.state(about)
    desk.api.wait_verdict(prompt, ("orphaned", "no"))
    told = [e for e in desk.api.events(desk.session_id) if "orphaned" in json.dumps(e["payload"])]
    rans = json.dumps([e["payload"] for e in told])
    assert '"unconfirmed"' in rans
    assert '"no"' in rans


def test_recovery_reads_like_a_story(desk: Desk) -> None:
    """RECOVERY §9, 6: "Every recovery action is in the transcript"."""
    prompt = desk.ask(script=in_turn(silent, answers()))
    desk.api.wait_verdict(prompt, ("answered", "yes"))
    page = desk.api.send("GET", f"/sessions/{desk.session_id}/transcript", params={"format": "markdown"}).text
    assert "Did not run" in page or "did not" in page
