"""RECOVERY.md §2: every row of the table, kind and `ran` exactly. Automatic actions are off, so that verdicts stand."""

from __future__ import annotations

import pytest

from tests.end_to_end import views
from tests.end_to_end.client import Api, shell
from tests.end_to_end.fleet import Desk
from tests.end_to_end.server import until
from tests.foreign.wire import Frame, stream_facts
from tests.foreign.work import (
    Gate,
    Script,
    Work,
    acknowledges_then_dies,
    answers,
    refuses,
    runs_until,
    silent,
    starts_then_dies,
)

SERVICE = {"tool": "service", "arguments": {"name": "cups", "action": "status"}, "effect": "read_only"}
RUNNING = {"name": "cups", "state": "running", "enabled": True}

ENDED = {
    "answered: output": (answers(b"ok\n"), ("answered", "yes")),
    "empty: no bytes": (answers(b""), ("empty", "yes")),
    "empty: white space only": (answers(b" \n\t\r\n"), ("empty", "yes")),
    "empty: stderr alone does not answer": (answers(b"", stderr=b"note\n"), ("empty", "yes")),
    "command_failed: exit code": (answers(b"no\n", exit_code=3), ("command_failed", "yes")),
    "command_failed: a signal of its own": (answers(exit_code=None, signal=11), ("command_failed", "yes")),
    "timed_out: tree ended": (
        answers(exit_code=None, signal=9, ended_by="time_limit"),
        ("timed_out", "partly"),
    ),
    "timed_out: tree did not end": (
        answers(exit_code=None, signal=9, ended_by="time_limit", tree_ended=False),
        ("timed_out", "unconfirmed"),
    ),
    "runtime_died: shutdown": (
        answers(exit_code=None, signal=15, ended_by="shutdown"),
        ("runtime_died", "partly"),
    ),
    "runtime_died: unknown end": (answers(exit_code=None, ended_by="unknown"), ("runtime_died", "unconfirmed")),
    "refused: unknown tool": (refuses("tool.unknown"), ("refused", "no")),
    "who ended it, before the exit code": (answers(exit_code=3, ended_by="time_limit"), ("timed_out", "partly")),
    "exit code, before blank": (answers(b"", exit_code=1), ("command_failed", "yes")),
}


@pytest.fixture
def steady(desk: Desk) -> Desk:
    """Nothing is sent a second time by itself."""
    desk.policy(max_automatic=0, automatic_for=[])
    return desk


@pytest.mark.parametrize(("script", "expected"), ENDED.values(), ids=ENDED.keys())
@pytest.mark.parametrize("effect", ["read_only", "mutating"])
def test_an_end_that_was_reported(steady: Desk, effect: str, script: Script, expected: tuple[str, str]) -> None:
    """§2, the table; "who ended it (`ended_by`), then exit code, then schema, then blank"."""
    prompt = steady.api.wait_state(steady.ask(shell("probe", effect), script=script), "ended")
    assert views.verdict(prompt) == expected
    assert views.call(prompt)["ran"] == expected[1]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (RUNNING, ("answered", "yes")),
        ({**RUNNING, "more": 1}, ("answered", "yes")),
        ({"name": "cups", "enabled": True}, ("malformed_result", "yes")),
        ({**RUNNING, "state": 7}, ("malformed_result", "yes")),
        ([RUNNING], ("malformed_result", "yes")),
    ],
    ids=["fits", "unknown field", "missing field", "wrong type", "wrong root"],
)
def test_a_result_against_its_schema(steady: Desk, api: Api, result: object, expected: tuple[str, str]) -> None:
    """§2 `answered`: "result fits its schema". API.md: "Unknown fields are allowed, missing or wrong ones are shape
    faults"."""
    prompt = steady.ask(service_call(api), script=answers(b"", result=result))
    prompt = api.wait_state(prompt, "ended")
    assert views.verdict(prompt) == expected
    if expected[0] == "malformed_result":
        assert views.last(prompt)["shape_faults"]


def service_call(api: Api) -> dict[str, object]:
    """A read-only call of `service`, with arguments that its published schema takes."""
    schema = api.get("/tools/service/1")["arguments_schema"]
    arguments: dict[str, object] = {"name": "cups"}
    for name in schema.get("required", ()):
        if name not in arguments:
            choices = schema["properties"][name].get("enum", ["status"])
            arguments[name] = next((c for c in choices if c in ("status", "query", "state", "show")), choices[0])
    return {**SERVICE, "arguments": arguments}


def test_exit_code_comes_before_the_schema(steady: Desk, api: Api) -> None:
    """§2: "who ended it (`ended_by`), then exit code, then schema, then blank"."""
    prompt = steady.ask(service_call(api), script=answers(b"", result={"bad": 1}, exit_code=4))
    assert views.verdict(api.wait_state(prompt, "ended")) == ("command_failed", "yes")


def test_a_result_may_come_as_a_stream(steady: Desk, api: Api) -> None:
    """PROTOCOL §4: "`result` (any JSON up to 256 KiB, else as stream `result`; or absent)"."""

    async def script(work: Work) -> None:
        await work.start()
        await work.output(b'{"name":"cups","state":"stop', "result")
        await work.output(b'ped","enabled":null}', "result")
        await work.finish()

    prompt = api.wait_state(steady.ask(service_call(api), script=script), "ended")
    assert views.verdict(prompt) == ("answered", "yes")
    assert views.last(prompt)["result"] == {"name": "cups", "state": "stopped", "enabled": None}


def test_blank_is_judged_by_what_was_written_not_by_what_was_stored(steady: Desk) -> None:
    """§2 `empty`: "by the bytes that were written, not by what was stored"."""

    async def script(work: Work) -> None:
        await work.start()
        await work.send(work.frame("gap", stream="stdout", offset=0, length=5, why="spool_full"))
        await work.finish(streams={"stdout": stream_facts(b"words", truncated=True), "stderr": stream_facts(b"")})

    prompt = steady.api.wait_state(steady.ask(script=script), "ended")
    assert views.verdict(prompt) == ("answered", "yes")


def test_empty_of_a_call_that_may_change_things_is_done_and_no_stall(steady: Desk) -> None:
    """§2 `empty`: "shown as done, verify offered; not a stall, not in attention, not in the reports of stalls"."""
    prompt = steady.api.wait_verdict(steady.ask(shell("touch x", "mutating"), script=answers(b"")), ("empty", "yes"))
    assert views.call(prompt)["state"] == "ended"
    assert "verify" in views.offered(prompt)
    waiting = {item["tool_call_id"] for item in steady.api.get("/attention")["items"]}
    assert views.call(prompt)["id"] not in waiting


def test_empty_of_a_read_offers_to_adjust_and_never_resends(steady: Desk) -> None:
    """§2 `empty`: "never an automatic resend. Of a `read_only` call: adjust"."""
    steady.policy(max_automatic=2, automatic_for=["read_only", "idempotent", "mutating"])
    prompt = steady.api.wait_verdict(steady.ask(script=answers(b"")), ("empty", "yes"))
    assert "adjust" in views.offered(prompt)
    steady.nothing_more_happens(prompt)


def test_malformed_call(steady: Desk, api: Api) -> None:
    """§2 `malformed_call`: "arguments do not fit the schema; nothing was sent"; "never repaired to empty arguments"."""
    calls = [{"tool": "shell", "arguments": {"command": 7}}, {"tool": "shell", "arguments": {}}]
    status, problem = api.problem("POST", f"/sessions/{steady.session_id}/prompts", {"tool_calls": calls})
    assert (status, problem["code"]) == (422, "prompt.malformed_call")
    assert {fault["pointer"].split("/")[2] for fault in problem["errors"]} == {"0", "1"}, "all faults, of every call"
    steady.runtime.heartbeats_pass(2)
    assert steady.runtime.dispatches() == []


def unreadable_finish(**broken: object) -> Script:
    """The command ran to its end; the frame that says so cannot be read."""

    async def script(work: Work) -> None:
        await work.start()
        await work.output(b"half a tale\n")
        good = await work.finish(say=False)
        bad: Frame = {k: v for k, v in {**good, **broken}.items() if v is not None}
        assert work.record is not None
        work.record.receipts["finished"] = bad
        await work.send(bad)

    return script


@pytest.mark.parametrize("broken", [{"execution": None}, {"execution": "done"}, {"execution": {"exit_code": "0"}}])
def test_an_unreadable_end_is_settled_by_the_journal(steady: Desk, broken: Frame) -> None:
    """§2 `malformed_result`: ran "by what its readable parts and the journal prove". It is reconciled."""
    prompt = steady.ask(script=unreadable_finish(**broken))
    prompt = steady.api.wait_verdict(prompt, ("malformed_result", "yes"))
    about = views.call(prompt)["id"]
    steady.runtime.saw("reconcile", where=lambda s: any(a["tool_call_id"] == about for a in s.frame["attempts"]))
    assert views.last(prompt)["shape_faults"]
    assert steady.api.output(about) == b"half a tale\n"


def test_an_unreadable_end_without_the_journals_word_proves_no_end(steady: Desk) -> None:
    """§2: "yes, partly or unconfirmed, by what its readable parts and the journal prove": never `yes` without proof."""
    steady.runtime.manners.reconcile = False
    prompt = steady.ask(script=unreadable_finish(execution=None))
    steady.api.wait_verdict(prompt, ("malformed_result", "partly"), ("malformed_result", "unconfirmed"))


def test_orphaned_no(steady: Desk) -> None:
    """§2 `orphaned`: ran "`no` only by the journal's promise"."""
    prompt = steady.api.wait_verdict(steady.ask(script=silent), ("orphaned", "no"))
    assert "requeue" in views.offered(prompt) or "retry" in views.offered(prompt)


@pytest.mark.parametrize("effect", ["read_only", "mutating"])
def test_orphaned_unconfirmed(steady: Desk, effect: str) -> None:
    """§2 `orphaned`: "else unconfirmed". "A time-out never proves `no`"."""
    steady.runtime.manners.reconcile = False
    steady.api.wait_verdict(steady.ask(shell("x", effect), script=silent), ("orphaned", "unconfirmed"))


@pytest.mark.parametrize("script", [acknowledges_then_dies, starts_then_dies])
def test_runtime_died_while_nobody_answers(steady: Desk, script: Script) -> None:
    """§4: past `reconcile_window`: "`runtime_died`, ran unconfirmed, whether acknowledged or started"."""
    prompt = steady.ask(shell("x", "mutating"), script=script)
    prompt = steady.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"))
    assert views.call(prompt)["state"] == "waiting"


def test_runtime_died_by_the_journals_word(steady: Desk) -> None:
    """§2: "`process_gone` gives `runtime_died`, unconfirmed"."""
    prompt = steady.ask(shell("x", "mutating"), script=starts_then_dies)
    steady.runtime.is_dead()
    steady.runtime.restart()
    steady.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"))


def test_cancelled_before_a_start(steady: Desk) -> None:
    """§2 `cancelled`: "stopped by someone, and the runtime confirmed": no."""

    async def acknowledges(work: Work) -> None:
        await work.acknowledge()

    prompt = steady.api.wait_state(steady.ask(script=acknowledges), "acknowledged")
    steady.api.act(prompt, "cancel")
    steady.api.wait_verdict(prompt, ("cancelled", "no"))


def test_cancelled_while_it_ran(steady: Desk) -> None:
    """§2 `cancelled`: partly."""
    prompt = steady.api.wait_state(steady.ask(script=runs_until(Gate())), "started")
    steady.api.act(prompt, "cancel")
    steady.api.wait_verdict(prompt, ("cancelled", "partly"))


@pytest.mark.parametrize(
    ("script", "goes_on"),
    [
        (answers(), True),
        (answers(b""), True),
        (answers(exit_code=1), False),
        (answers(ended_by="time_limit", exit_code=None), False),
        (refuses("tool.unknown"), False),
    ],
    ids=["answered", "empty", "command_failed", "timed_out", "refused"],
)
def test_what_lets_the_next_step_go(steady: Desk, script: Script, goes_on: bool) -> None:
    """§2: "The next tool call of a prompt goes out after `answered`, `empty`, or … `accept_partial`; after anything
    else the rest is kept as not started, and waits"."""
    prompt = steady.ask(shell("one"), shell("two"), script=script)
    if goes_on:
        steady.api.wait_state(prompt, "ended", step=2)
        return
    steady.api.wait_state(prompt, "ended")
    prompt = steady.nothing_more_happens(prompt)
    assert views.attempts(prompt, 2) == [] or views.last(prompt, 2)["state"] == "queued"
    assert len(steady.runtime.dispatches()) == 1
    assert prompt["state"] != "ended"


def test_execution_stands_apart_from_the_payload(steady: Desk) -> None:
    """§3: "finished (**execution metadata apart from the payload**: exit code or signal, `ended_by`, …)"."""
    prompt = steady.api.wait_state(steady.ask(script=answers(b"out", stderr=b"err", exit_code=2)), "ended")
    attempt = views.last(prompt)
    assert attempt["execution"]["exit_code"] == 2
    assert attempt["execution"]["ended_by"] == "itself"
    assert attempt["execution"]["streams"]["stdout"]["bytes"] == 3
    assert attempt["output"]["stdout"]["text"] == "out"
    assert attempt["output"]["stderr"]["text"] == "err"


def test_what_is_told_of_before_is_what_was_shown_then(desk: Desk, api: Api) -> None:
    """words.json, late report: "We showed …". Another computer of the client answered, so other words were shown."""
    neighbour = desk.fleet.runtime()
    until(lambda: api.get(f"/endpoints/{neighbour.endpoint_id}")["health"] == "healthy", within=15, what="a neighbour")
    prompt = desk.ask(shell("probe", "mutating"), script=acknowledges_then_dies)
    shown = views.call(api.wait_waiting(prompt, within=30))["now"]["label"]
    assert shown == "The agent did not come back"
    desk.runtime.script = answers(b"done\n")
    desk.runtime.restart()
    prompt = api.wait_verdict(prompt, ("answered", "yes"), within=30)
    assert views.call(prompt)["now"]["summary"].startswith(f'We showed "{shown}".')
