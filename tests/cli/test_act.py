"""`caisey act`, `awareness` and `story`: nothing that may run twice is sent unseen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli import program
from tests.cli.conftest import Cli
from tests.cli.stub_server import Stub, problem, stamp

Json = dict[str, Any]

RESUME = {"action": "resume", "label": "Continue from step 3", "consequence": "Sends step 3.", "confirm": True}
CHECK = {"action": "verify", "label": "Check first", "consequence": "Reads only.", "confirm": False}
AGAIN = {"action": "retry", "label": "Run again from the start", "consequence": "…", "confirm": True}
HELP = {"action": "escalate", "label": "Ask for help", "consequence": "…", "confirm": False}
WORKED_HERE = "another technician worked here 2 min ago: 1 read"


@pytest.fixture
def stopped(stub: Stub) -> Json:
    """The example of RECOVERY.md §7: stop the print spooler, look at the queue, start it again; died after the stop."""
    stub.sessions["ses_1"] = {"id": "ses_1", "endpoint_id": next(iter(stub.endpoints)), "title": "printer"}
    steps = [
        {"tool": "service", "arguments": {"name": "spooler", "action": "stop"}},
        {"tool": "shell", "arguments": {"command": "lpq"}, "effect": "read_only"},
        {"tool": "service", "arguments": {"name": "spooler", "action": "start"}},
    ]
    prompt = stub.add_prompt("ses_1", steps)
    stub.started(prompt, 1)
    change = {"what": "spooler", "before": "running", "after": "stopped"}
    stub.ended(prompt, "answered", "yes", step=1, changes=[change])
    stub.started(prompt, 2)
    third = prompt["tool_calls"][2]["id"]
    actions = [CHECK, {**RESUME, "tool_call_id": third}, AGAIN, HELP]
    stub.ended(
        prompt, "runtime_died", "partly", step=2, label="Stopped at step 2", summary="Its record shows no end.",
        actions=actions,
    )  # fmt: skip
    _be_aware(stub, prompt)
    return prompt


def _be_aware(stub: Stub, prompt: Json) -> None:
    calls = prompt["tool_calls"]
    stub.awareness = {
        "seen": prompt["sequence"],
        "as_of": stamp(),
        "computer": "ACCT-07",
        "steps": [
            {
                "position": call["position"],
                "tool": call["tool"],
                "arguments": call["arguments"],
                "effect": call["effect"],
                "state": call["state"],
                "ran": call["ran"],
                "verdict": (call["attempts"] or [{}])[-1].get("verdict"),
                "changes": (call["attempts"] or [{}])[-1].get("changes") or [],
                "ended_at": stamp(),
            }
            for call in calls
        ],
        "others": [{"at": stamp(), "actor": {"kind": "user", "id": "usr_2"}, "text": WORKED_HERE}],
        "will_send": [{name: calls[2][name] for name in ("position", "id", "tool", "arguments", "effect")}],
    }


def runs_step_3(stub: Stub, prompt: Json) -> None:
    prompt["state"] = "running"
    stub.started(prompt, 3)
    stub.ended(
        prompt, "answered", "yes", step=3, changes=[{"what": "spooler", "before": "stopped", "after": "running"}]
    )
    with stub.changed:
        prompt["tool_calls"][1]["outcome"] = "resumed_past"
        prompt["tool_calls"][1]["state"] = prompt["state"] = "ended"
        stub.note(prompt, "prompt.ended", prompt_id=prompt["id"])


def takes(effect: Any) -> Any:
    """The stub takes the action and lets this happen."""

    def on_action(stub: Stub, prompt: Json, body: Json) -> None:
        effect(stub, prompt)

    return on_action


def test_what_already_ran_is_shown_and_asked_before_step_3_alone_is_sent(
    stub: Stub, stopped: Json, env: dict[str, str]
) -> None:
    stub.on_action = takes(runs_step_3)
    with program.on_terminal(["act", stopped["id"], "resume"], env) as terminal:
        panel = terminal.read_until("[y/N]")
        assert stub.actions == []
        terminal.type("y\r")
        code = terminal.end()
    assert code == 0, terminal.seen
    for text in (
        "What already ran on ACCT-07",
        "Ran                       spooler: running → stopped",
        "Started, no end recorded",
        "Did not run",
        f"Since then: {WORKED_HERE}",
        "Will be sent: step 3: service name=spooler action=start  (may change things)",
        "Continue from step 3?",
    ):
        assert text in panel, terminal.seen
    [action] = stub.actions
    assert action == {
        "tool_call_id": stopped["tool_calls"][2]["id"],
        "action": "resume",
        "seen": stopped_sequence(stub),
    }
    [sent] = stub.sent("POST", "/tool-calls/.*/actions")
    assert len(sent.headers["idempotency-key"]) >= 16
    assert "spooler: stopped → running" in terminal.seen


def stopped_sequence(stub: Stub) -> int:
    return int(stub.awareness["seen"])


def test_no_sends_nothing(stub: Stub, stopped: Json, env: dict[str, str]) -> None:
    with program.on_terminal(["act", stopped["id"], "resume"], env) as terminal:
        terminal.read_until("[y/N]")
        terminal.type("\r")
        assert terminal.end() == 1
    assert "Nothing was sent." in terminal.seen
    assert stub.sent("POST", ".*") == []


def test_without_a_terminal_a_yes_is_needed(stub: Stub, stopped: Json, caisey: Cli) -> None:
    stub.on_action = takes(runs_step_3)
    done = caisey("act", stopped["id"], "resume")
    assert done.code == 2, done
    assert "What already ran on ACCT-07" in done.err
    assert "add --yes" in done.err
    assert stub.sent("POST", ".*") == []
    done = caisey("act", stopped["id"], "resume", "--yes", "--reason", "spooler is stopped", "--idempotency-key", "k-1")
    assert done.code == 0, done
    [action] = stub.actions
    assert action["reason"] == "spooler is stopped"
    [sent] = stub.sent("POST", "/tool-calls/.*/actions")
    assert sent.headers["idempotency-key"] == "k-1"


def test_something_new_is_shown_and_asked_again(stub: Stub, stopped: Json, env: dict[str, str]) -> None:
    def on_action(stub: Stub, prompt: Json, body: Json) -> tuple[int, Json] | None:
        if body["seen"] < prompt["sequence"]:
            _be_aware(stub, prompt)
            news = [{"sequence": 7777, "tool_call_id": prompt["tool_calls"][1]["id"], "type": "attempt.finished"}]
            return problem(
                409, "action.stale", "Something happened since you looked", new=news, seen=prompt["sequence"]
            )
        runs_step_3(stub, prompt)
        return None

    stub.on_action = on_action
    with program.on_terminal(["act", stopped["id"], "resume"], env) as terminal:
        terminal.read_until("[y/N]")
        second = stopped["tool_calls"][1]["attempts"][0]
        with stub.changed:
            second["evidence"].append(
                {
                    "at": stamp(),
                    "source": "runtime",
                    "type": "finished",
                    "sequence": 7777,
                    "text": "It ended by itself.",
                }
            )
            stub.note(stopped, "attempt.finished", tool_call_id=stopped["tool_calls"][1]["id"], number=1)
        terminal.type("y\r")
        terminal.read_until("New since you looked:")
        terminal.read_until("step 2: It ended by itself.")
        terminal.read_until("[y/N]")
        terminal.type("y\r")
        assert terminal.end() == 0, terminal.seen
    seen = [request.body["seen"] for request in stub.sent("POST", "/tool-calls/.*/actions")]
    assert len(seen) == 2
    assert seen[0] < seen[1]


def test_something_new_ends_a_script(stub: Stub, stopped: Json, caisey: Cli) -> None:
    def on_action(stub: Stub, prompt: Json, body: Json) -> tuple[int, Json]:
        return problem(409, "action.stale", "Something happened since you looked", "Read what is new.", new=[])

    stub.on_action = on_action
    done = caisey("act", stopped["id"], "resume", "--yes", "--seen", "3")
    assert done.code == 1, done
    assert "New since you looked" in done.err
    assert "(action.stale)" in done.err
    [sent] = stub.sent("POST", "/tool-calls/.*/actions")
    assert sent.body["seen"] == 3


def test_where_asking_does_not_help_nobody_is_asked(stub: Stub, stopped: Json, caisey: Cli) -> None:
    def checks(stub: Stub, prompt: Json, body: Json) -> tuple[int, Json]:
        check = stub.add_prompt("ses_1", [{"tool": "service", "arguments": {"name": "spooler", "action": "status"}}])
        stub.started(check)
        stub.ended(check, "answered", "yes", result={"name": "spooler", "state": "stopped", "enabled": True})
        return 202, {**prompt, "check_prompt_id": check["id"]}

    stub.on_action = checks
    done = caisey("act", stopped["id"], "verify")
    assert done.code == 0, done
    assert json.loads(done.out)["state"] == "stopped"
    assert "What already ran" not in done.err


def test_ask_for_help_returns_at_once(stub: Stub, stopped: Json, caisey: Cli) -> None:
    done = caisey("act", stopped["id"], "escalate", "--to", "usr_9", "--reason", "who knows printers?")
    assert done.code == 0, done
    assert stub.actions == [
        {
            "tool_call_id": stopped["tool_calls"][1]["id"],
            "action": "escalate",
            "to": "usr_9",
            "reason": "who knows printers?",
            "seen": stopped["sequence"],
        }
    ]


def test_a_step_by_its_own_id_is_found_by_attention(stub: Stub, stopped: Json, caisey: Cli) -> None:
    call_id = stopped["tool_calls"][1]["id"]
    stub.lists["/attention"] = [{"tool_call_id": call_id, "prompt_id": stopped["id"]}]
    assert caisey("act", call_id, "escalate").code == 0
    assert stub.actions[0]["tool_call_id"] == call_id
    done = caisey("act", "tcl_unknown", "escalate")
    assert done.code == 2
    assert "Name the request" in done.err


def test_stopping_what_runs(stub: Stub, caisey: Cli) -> None:
    stub.sessions["ses_1"] = {"id": "ses_1", "endpoint_id": next(iter(stub.endpoints))}
    prompt = stub.add_prompt("ses_1", [{"tool": "shell", "arguments": {"command": "sleep 100"}}])
    stub.started(prompt)
    stub.output(prompt, b"read before\n")

    def stops(stub: Stub, prompt: Json) -> None:
        stub.output(prompt, b"last words\n")
        stub.ended(prompt, "cancelled", "partly", label="Stopped while it ran", call_state="ended")

    stub.on_action = takes(stops)
    done = caisey("act", prompt["id"], "cancel")
    assert done.code == 0, done
    assert done.out == "last words\n"
    assert "Stopped while it ran" in done.err


def test_a_stop_that_lost_the_race_shows_the_finish(stub: Stub, caisey: Cli) -> None:
    stub.sessions["ses_1"] = {"id": "ses_1", "endpoint_id": next(iter(stub.endpoints))}
    prompt = stub.add_prompt("ses_1", [{"tool": "shell", "arguments": {"command": "x"}}])
    stub.started(prompt)
    stub.on_action = takes(lambda s, p: s.ended(p, "command_failed", "yes", label="The command reported an error"))
    assert caisey("act", prompt["id"], "cancel").code == 15


def test_an_answer_to_a_question(stub: Stub, caisey: Cli, env: dict[str, str]) -> None:
    stub.sessions["ses_1"] = {"id": "ses_1", "endpoint_id": next(iter(stub.endpoints))}
    prompt = stub.add_prompt("ses_1", [{"tool": "shell", "arguments": {"command": "x"}}])
    stub.started(prompt)
    assert caisey("act", prompt["id"], "input", "--data", "y").code == 0
    assert caisey("act", prompt["id"], "input", "--data", "-", "--close", stdin="two\nlines\n").code == 0
    with program.on_terminal(["act", prompt["id"], "input", "--sensitive"], env) as terminal:
        terminal.read_until("Answer (not shown):")
        terminal.type("hunter2\r")
        assert terminal.end() == 0, terminal.seen
    assert "hunter2" not in terminal.seen
    wanted = [
        {"data": "y\n"},
        {"data": "two\nlines\n", "close": True},
        {"data": "hunter2\n", "sensitive": True},
    ]
    sent = [{name: a[name] for name in ("data", "close", "sensitive") if name in a} for a in stub.actions]
    assert sent == wanted
    done = caisey("act", prompt["id"], "input", "--sensitive", "--data", "secret")
    assert done.code == 2
    assert "A secret does not go on a command line" in done.err
    assert caisey("act", prompt["id"], "input").code == 2


def test_edit_and_send(stub: Stub, stopped: Json, caisey: Cli) -> None:
    done = caisey("act", stopped["id"], "adjust", "--yes", "--detach", "--limit", "2m", "--", "lpq", "-a")
    assert done.code == 0, done
    done = caisey(
        "act", stopped["id"], "adjust", "--step", "3", "--yes", "--detach", "--arg", "action=restart", "--arg", "n:=1"
    )
    assert done.code == 0, done
    first, second = stub.actions
    assert first["arguments"] == {"command": "lpq -a"}
    assert first["limits"] == {"time_ms": 120_000}
    assert second["arguments"] == {"name": "spooler", "action": "restart", "n": 1}
    assert second["tool_call_id"] == stopped["tool_calls"][2]["id"]
    assert caisey("act", stopped["id"], "adjust", "--yes").code == 2


def test_hold_for_a_while(stub: Stub, stopped: Json, caisey: Cli) -> None:
    assert caisey("act", stopped["id"], "hold", "--for", "2h").code == 0
    assert stub.actions[0]["expires_in_s"] == 7200


def test_what_may_be_done_is_listed_with_its_commands(stub: Stub, stopped: Json, caisey: Cli) -> None:
    done = caisey("act", stopped["id"])
    assert done.code == 0
    assert "Step 2: lpq" in done.out
    assert f"Run again from the start  caisey act {stopped['id']} retry" in done.out
    document = json.loads(caisey("act", stopped["id"], "--json").out)
    assert [a["action"] for a in document[1]["next_actions"]] == ["verify", "resume", "retry", "escalate"]


def test_an_action_that_is_not_offered_says_why(stub: Stub, stopped: Json, caisey: Cli) -> None:
    stub.on_action = lambda *_: problem(
        409, "action.not_offered", "This is not possible now", "See `offered`.", offered=["retry"],
        why="The step is under way (started).",
    )  # fmt: skip
    done = caisey("act", stopped["id"], "hold")
    assert done.code == 1
    assert "The step is under way (started)." in done.err
    assert "Possible now: retry" in done.err


def test_awareness_on_its_own(stub: Stub, stopped: Json, caisey: Cli) -> None:
    done = caisey("awareness", stopped["id"])
    assert done.code == 0
    assert "What already ran on ACCT-07" in done.out
    assert "Will be sent: step 3:" in done.out
    assert json.loads(caisey("awareness", stopped["id"], "--json").out)["seen"] == stub.awareness["seen"]


def test_the_story_tells_state_owner_deadline_and_evidence(stub: Stub, stopped: Json, caisey: Cli) -> None:
    call = stopped["tool_calls"][1]
    call.update(owner="usr_2", due_at=stamp(), next_state="waiting")
    call["attempts"][0]["evidence"].append(
        {"at": stamp(), "source": "journal", "type": "statement", "text": "The process is gone\x1b[31m, no end."}
    )
    done = caisey("story", stopped["id"])
    assert done.code == 0
    for text in (
        "waits for a person",
        "Step 2: lpq  (reads only)",
        "Stopped at step 2. Started, no end recorded.",
        "It is up to usr_2.",
        "there is a reminder. Nothing runs until somebody decides.",
        "Try 1: Stopped at step 2 (runtime_died, ran: partly)",
        "journal        The process is gone␛[31m, no end.",
        "Continue from step 3",
    ):
        assert text in done.out, done
    only = caisey("story", stopped["id"], "--step", "1")
    assert "Step 2" not in only.out
    assert json.loads(caisey("story", stopped["id"], "--step", "2", "--json").out)["id"] == call["id"]


def test_a_request_can_be_joined_again(stub: Stub, env: dict[str, str]) -> None:
    stub.sessions["ses_1"] = {"id": "ses_1", "endpoint_id": next(iter(stub.endpoints))}
    prompt = stub.add_prompt("ses_1", [{"tool": "shell", "arguments": {"command": "x"}}])
    stub.started(prompt)
    stub.output(prompt, b"one\n")
    with program.with_pipes(["story", prompt["id"], "--follow"], env) as process:
        stub.wait_for(lambda: stub.streams, "the stream is open")
        stub.output(prompt, b"two\n")
        stub.ended(prompt, "answered", "yes")
        done = process.end()
    assert (done.code, done.out) == (0, "one\ntwo\n"), done


def test_a_word_that_is_no_action_is_answered_at_once(stub: Stub, stopped: Json, caisey: Cli) -> None:
    done = caisey("act", stopped["id"], "retyr")
    assert done.code == 2, done
    assert "'retyr' is no action. Did you mean retry?" in done.err
    assert stub.actions == []


def test_a_check_of_a_shell_needs_what_to_look_at(stub: Stub, stopped: Json, caisey: Cli) -> None:
    for call in stopped["tool_calls"]:
        call["check"] = {"tool": "shell", "tool_version": 1}
    done = caisey("act", stopped["id"], "verify")
    assert done.code == 2, done
    assert "after --" in done.err
    assert stub.actions == []
