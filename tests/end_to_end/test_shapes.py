"""RECOVERY.md §8: the ledger of shapes; PROTOCOL.md §8: frames that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.end_to_end import views
from tests.end_to_end.client import Api, shell
from tests.end_to_end.fleet import Desk, Fleet
from tests.end_to_end.server import until
from tests.foreign.wire import Frame, named
from tests.foreign.work import Script, Work, answers

SECRET = "never-show-this-value"


def ledger(api: Api, **params: Any) -> str:
    return json.dumps(api.get("/reports/shapes", **params))


def in_ledger(api: Api, words: str) -> None:
    until(lambda: words in ledger(api), within=10, what=f"the ledger of shapes names {words!r}")


def bad_result(result: Any) -> Script:
    return answers(b"", result=result)


def disk_usage(api: Api) -> dict[str, Any]:
    """A read-only tool whose result has a published schema."""
    schema = api.get("/tools/disk_usage/1")["arguments_schema"]
    assert not schema.get("required"), schema
    return {"tool": "disk_usage", "arguments": {}, "effect": "read_only"}


def test_a_malformed_call_is_in_the_ledger(desk: Desk) -> None:
    """API.md: "Shape faults: `422 prompt.malformed_call`, recorded in the ledger"."""
    body = {"tool_calls": [{"tool": "shell", "arguments": {"command": {"pretty": SECRET}}}]}
    status, problem = desk.api.problem("POST", f"/sessions/{desk.session_id}/prompts", body)
    assert status == 422
    fault = problem["errors"][0]
    assert fault["pointer"].endswith("/arguments/command")
    assert fault["found"] == "object"
    assert SECRET not in json.dumps(problem)
    in_ledger(desk.api, "shell")
    assert SECRET not in ledger(desk.api)


def test_a_malformed_result_shows_every_fault_and_keeps_the_bytes(desk: Desk) -> None:
    """§8: "JSON pointer, expected, found, the tree of keys without values, a fingerprint; the raw bytes apart"."""
    result = {"filesystems": [{"mount": 7, "device": "sda", "total_bytes": "much", "free_bytes": 1}]}
    prompt = desk.ask(disk_usage(desk.api), script=bad_result(result))
    prompt = desk.api.wait_verdict(prompt, ("malformed_result", "yes"))
    pointers = {fault["pointer"] for fault in views.last(prompt)["shape_faults"]}
    assert {p.removeprefix("/result") for p in pointers} == {"/filesystems/0/mount", "/filesystems/0/total_bytes"}
    assert b"much" in desk.api.output(views.call(prompt)["id"], "result")
    in_ledger(desk.api, "disk_usage")


def test_the_same_shape_on_three_endpoints_points_at_the_tool(api: Api, fleet: Fleet) -> None:
    """§8: "the same shape on three or more endpoints points at the tool's definition"."""
    desks = [Desk(api, fleet, fleet.runtime(bad_result({"filesystems": "none"}))) for _ in range(3)]
    for desk in desks:
        api.wait_verdict(desk.ask(disk_usage(api)), ("malformed_result", "yes"))

    def pointed() -> bool:
        shapes = api.get("/reports/shapes", group_by="tool")["items"]
        return any("tool" in str(s.get("likelier_cause", s)) and "3" in json.dumps(s) for s in shapes)

    until(pointed, within=10, what="the ledger points at the tool, with the counts")


BAD_TEXT: dict[str, str | bytes] = {
    "no JSON": "{nonsense",
    "an array": "[1,2]",
    "no type": '{"a":1}',
    "a key twice": '{"type":"progress","type":"progress","attempt":null}',
    "a lone surrogate": '{"type":"leaving","reason":"\\ud800"}',
    "a huge integer": '{"type":"heartbeat","sequence":' + "9" * 40 + "}",
    "deep": '{"type":"heartbeat","load":' + '{"a":' * 80 + "1" + "}" * 80 + "}",
    "very deep": '{"type":"heartbeat","load":' + "[" * 50_000 + "]" * 50_000 + "}",
    "wrong types": json.dumps({"type": "heartbeat", "sequence": "one", "time_ms": 1.5, "in_flight": {}}),
    "not a number": '{"type":"heartbeat","sequence":NaN}',
}


@pytest.mark.parametrize("text", BAD_TEXT.values(), ids=BAD_TEXT.keys())
def test_an_unreadable_frame_is_a_problem_and_the_connection_stays(desk: Desk, text: str | bytes) -> None:
    """PROTOCOL §8: "recorded with its shape against the runtime …. The connection stays open"."""
    desk.runtime.say(text)
    problem = desk.runtime.saw("problem").frame
    assert problem["code"] in ("frame.invalid_json", "frame.invalid_shape")
    desk.answered()
    assert len(desk.runtime.recording.select("welcome")) == 1


def test_all_faults_of_a_shape_are_named_without_values(desk: Desk) -> None:
    """PROTOCOL §8: `errors` with `pointer`, `expected`, `found`; "`found` is a type or a length, never a value"."""
    desk.runtime.say({"type": "acknowledged", "attempt": {"tool_call_id": SECRET, "number": SECRET}})
    problem = desk.runtime.saw("problem").frame
    assert problem["code"] == "frame.invalid_shape"
    pointers = {fault["pointer"] for fault in problem["errors"]}
    assert "/attempt/number" in pointers
    assert all({"pointer", "expected", "found"} <= set(fault) for fault in problem["errors"])
    assert SECRET not in json.dumps(problem["errors"])


def test_an_unknown_type_is_answered_with_a_problem(desk: Desk) -> None:
    """PROTOCOL §1: "Unknown fields are ignored …, unknown types are answered with `problem`"."""
    desk.runtime.say({"type": "weather", "sunny": True})
    assert desk.runtime.saw("problem").frame["code"].startswith("frame.")
    desk.runtime.say({"type": "leaving", "reason": "nonsense of a later version", "colour": "blue"})
    desk.answered()


def test_a_problem_is_never_answered_with_a_problem(desk: Desk) -> None:
    """PROTOCOL §8."""
    desk.runtime.say({"type": "problem", "code": "frame.unexpected", "errors": [], "about": None})
    desk.runtime.say({"type": "problem", "code": 7})
    desk.runtime.heartbeats_pass(2)
    assert desk.runtime.recording.select("problem") == []


def test_a_frame_between_one_and_four_mebibytes_is_recorded_and_refused(desk: Desk) -> None:
    """PROTOCOL §9: "Frame 1 MiB (1 to 4 MiB: recorded, refused)"."""
    desk.runtime.say(json.dumps({"type": "leaving", "reason": "x" * 2_000_000}))
    assert desk.runtime.saw("problem").frame["code"] == "frame.too_large"
    desk.answered()


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b'{"type":"leaving","reason":"' + b"x" * 4_300_000 + b'"}', 1009), (b'{"type":"\xff\xfe"}', 1007)],
    ids=["over 4 MiB", "invalid UTF-8"],
)
def test_what_breaks_the_transport_closes_it(desk: Desk, payload: bytes, code: int) -> None:
    """PROTOCOL §8: "Messages over 4 MiB close with 1009, invalid UTF-8 with 1007, recorded without bytes"."""
    desk.runtime.say(payload)
    closed = desk.runtime.recording.wait("closed", "note")
    assert closed.frame["code"] == code
    desk.answered()


def test_more_than_twenty_in_a_minute_close_with_4400(desk: Desk) -> None:
    """PROTOCOL §8: "more than 20 in a minute close it with 4400, and the next connect waits 60 s"."""
    desk.runtime.manners.reconnect = False
    for _ in range(20):
        desk.runtime.say("{broken")
    desk.runtime.saw("problem", count=20)
    desk.runtime.heartbeats_pass(1)
    desk.runtime.say("{broken")
    assert desk.runtime.recording.wait("closed", "note").frame["code"] == 4400
    since = desk.runtime.recording.mark()
    desk.runtime.connect(wait=False)
    desk.runtime.recording.wait("closed", "note", since=since)
    assert desk.runtime.recording.select("welcome", since=since) == []


def test_one_runtimes_bytes_block_nobody_else(desk: Desk) -> None:
    """RECOVERY §9, 7: "No bytes from a runtime can crash the control plane or block another session"."""
    other = Desk(desk.api, desk.fleet, desk.fleet.runtime())
    for text in BAD_TEXT.values():
        desk.runtime.say(text)
    other.answered()


def mangled(kind: str, change: Callable[[Frame], Frame]) -> Callable[[Frame], list[Frame | str | bytes]]:
    def outgoing(frame: Frame) -> list[Frame | str | bytes]:
        return [change(frame)] if frame["type"] == kind else [frame]

    return outgoing


@pytest.mark.parametrize("kind", ["acknowledged", "started", "output", "progress"])
def test_an_unreadable_receipt_is_a_fault_on_record_and_a_reconcile(desk: Desk, kind: str) -> None:
    """§2: "Any other unreadable frame is a shape fault on record, and a `reconcile`": no `malformed_result`."""
    desk.runtime.manners.outgoing = mangled(kind, lambda f: {**f, "journal_sequence": "x", "offset": "x", "cpu_ms": []})

    async def script(work: Work) -> None:
        await work.start()
        await work.progress()
        await work.output(b"words\n")
        await work.finish()

    prompt = desk.api.wait_state(desk.ask(script=script), "ended")
    assert (views.verdict(prompt) or ("", ""))[0] in ("answered", "empty")
    about = named((views.call(prompt)["id"], 1))
    desk.runtime.saw(
        "reconcile", where=lambda s: any({k: a[k] for k in about} == about for a in s.frame["attempts"])
    )  # fmt: skip


def test_frames_about_others_work_disclose_and_change_nothing(desk: Desk) -> None:
    """PROTOCOL §4: "Anything else changes nothing, discloses nothing: `problem` `frame.not_yours`"."""
    stranger = desk.fleet.runtime()
    desk.policy(ack_window_s=30)

    async def script(work: Work) -> None:
        await work.acknowledge()

    prompt = desk.api.wait_state(desk.ask(script=script), "acknowledged")
    about = named((views.call(prompt)["id"], 1))
    unknown = named(("tcl_00000000000000000000000000", 1))
    answered = []
    for attempt in (about, unknown):
        since = stranger.recording.mark()
        stranger.say({"type": "refused", "attempt": attempt, "journal_sequence": 9, "code": "tool.unknown", "hint": ""})
        problem = stranger.saw("problem", since=since).frame
        answered.append({k: v for k, v in problem.items() if k != "about"})
    assert answered[0]["code"] == "frame.not_yours"
    assert answered[0] == answered[1], "an attempt of someone else must look like one that does not exist"
    prompt = desk.nothing_more_happens(prompt)
    assert views.last(prompt)["state"] == "acknowledged"


def test_a_call_that_the_model_of_the_tool_does_not_know(desk: Desk) -> None:
    """API.md: an unknown tool is a shape fault of the call; nothing is sent."""
    body = {"tool_calls": [shell(), {"tool": "levitate", "arguments": {}}]}
    status, _ = desk.api.problem("POST", f"/sessions/{desk.session_id}/prompts", body)
    assert status == 422
    desk.runtime.heartbeats_pass(1)
    assert desk.runtime.dispatches() == []
