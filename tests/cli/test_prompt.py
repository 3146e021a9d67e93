"""`caisey prompt`, as a process against a control plane that speaks the API page."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli import program
from tests.cli.conftest import Cli
from tests.cli.stub_server import Listener, Stub, problem

Json = dict[str, Any]


def answers(output: bytes = b"up 3 days\n", **fields: Any) -> Any:
    def script(stub: Stub, prompt: Json) -> None:
        for step in range(1, len(prompt["tool_calls"]) + 1):
            stub.started(prompt, step)
            stub.output(prompt, output, step=step)
            stub.ended(prompt, "answered", "yes", step=step, **fields)

    return script


def ends(kind: str, ran: str, **fields: Any) -> Any:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)
        stub.ended(prompt, kind, ran, **fields)

    return script


def test_output_goes_to_stdout_and_words_to_stderr(stub: Stub, caisey: Cli) -> None:
    stub.on_prompt = answers()
    done = caisey("prompt", "ACCT-07", "--", "uptime")
    assert (done.code, done.out) == (0, "up 3 days\n"), done
    assert "ACCT-07 (Acme): uptime" in done.err
    assert "✓ Done  400 ms" in done.err
    [sent] = stub.sent("POST", "/sessions/.*/prompts")
    assert sent.body == {"tool_calls": [{"tool": "shell", "arguments": {"command": "uptime"}}]}
    assert len(sent.headers["idempotency-key"]) >= 16
    [opened] = stub.sent("POST", "/sessions")
    assert opened.body == {"endpoint_id": next(iter(stub.endpoints)), "title": "uptime"}


def test_a_command_that_waits_for_a_keyboard_is_named_before_it_is_sent(stub: Stub, caisey: Cli) -> None:
    stub.on_prompt = answers()
    done = caisey("prompt", "ACCT-07", "--", "apt-get install cups")
    assert "“apt-get install” usually waits for somebody at a keyboard." in done.err
    assert done.err.index("usually waits") < done.err.index("Done")
    assert "usually waits" not in caisey("prompt", "ACCT-07", "--", "apt-get -y install cups").err


def test_the_words_of_a_command_keep_their_borders(stub: Stub, caisey: Cli) -> None:
    stub.on_prompt = answers()
    caisey("prompt", "acct-07", "--reads-only", "--limit", "1.5m", "--", "grep", "-r", "two words", "--help", "--")
    [sent] = stub.sent("POST", "/sessions/.*/prompts")
    assert sent.body == {
        "tool_calls": [
            {
                "tool": "shell",
                "arguments": {"command": "grep -r 'two words' --help --"},
                "effect": "read_only",
                "limits": {"time_ms": 90_000},
            }
        ]
    }


def test_a_command_as_whoever_is_signed_in(stub: Stub, caisey: Cli) -> None:
    stub.on_prompt = answers()
    done = caisey("prompt", "ACCT-07", "--as", "user", "--", "id")
    assert "ACCT-07" in done.err
    assert "(as user) id" in done.err
    [sent] = stub.sent("POST", "/sessions/.*/prompts")
    assert sent.body["tool_calls"] == [{"tool": "shell", "arguments": {"run_as": "user", "command": "id"}}]


def test_windows_gets_powershell(stub: Stub, caisey: Cli) -> None:
    stub.endpoint("WIN-1", facts={"os": {"value": "windows"}})
    stub.on_prompt = answers()
    caisey("prompt", "WIN-1", "--", "Get-Service", "-Name", "it's me")
    [sent] = stub.sent("POST", "/sessions/.*/prompts")
    assert sent.body["tool_calls"] == [{"tool": "powershell", "arguments": {"command": "Get-Service -Name 'it''s me'"}}]


def test_tools_steps_and_json_calls(stub: Stub, caisey: Cli, tmp_path: Path) -> None:
    stub.on_prompt = answers()
    caisey(
        "prompt", "ACCT-07", "--tool", "service", "--arg", "name=cups", "--arg", "depth:=2", "--effect", "idempotent"
    )
    caisey("prompt", "ACCT-07", "--step", "@service name=cups action=stop", "--step", "lpq -a", "--may-change")
    calls = [{"tool": "file_read", "arguments": {"path": "/etc/hosts"}, "limits": {"time_ms": 5}}]
    caisey("prompt", "ACCT-07", "--json-calls", "-", "--output-limit", "4096", stdin=json.dumps(calls))
    bodies = [request.body["tool_calls"] for request in stub.sent("POST", "/sessions/.*/prompts")]
    assert bodies == [
        [{"tool": "service", "arguments": {"name": "cups", "depth": 2}, "effect": "idempotent"}],
        [
            {"tool": "service", "arguments": {"name": "cups", "action": "stop"}, "effect": "mutating"},
            {"tool": "shell", "arguments": {"command": "lpq -a"}, "effect": "mutating"},
        ],
        [{**calls[0], "limits": {"output_bytes": 4096, "time_ms": 5}}],
    ]


@pytest.mark.parametrize(
    ("kind", "ran", "code"),
    [
        ("answered", "yes", 0),
        ("malformed_call", "no", 11),
        ("malformed_result", "yes", 12),
        ("orphaned", "unconfirmed", 13),
        ("runtime_died", "unconfirmed", 14),
        ("command_failed", "yes", 15),
        ("timed_out", "partly", 16),
        ("refused", "no", 17),
        ("denied", "no", 18),
        ("expired", "no", 19),
        ("cancelled", "partly", 20),
    ],
)
def test_the_exit_code_is_the_verdict(stub: Stub, caisey: Cli, kind: str, ran: str, code: int) -> None:
    stub.on_prompt = ends(kind, ran, label="Some words", summary="Facts, then what happens.")
    done = caisey("prompt", "ACCT-07", "--", "x")
    assert done.code == code, done
    if code:
        assert "Facts, then what happens." in done.err
        assert f"Why: caisey story {next(iter(stub.prompts))}" in done.err


@pytest.mark.parametrize(
    ("flags", "code"),
    [(["--reads-only"], 10), (["--may-change"], 0), ([], 0), (["--strict"], 10), (["--effect", "idempotent"], 0)],
)
def test_no_output_is_success_of_what_may_change_things(stub: Stub, caisey: Cli, flags: list[str], code: int) -> None:
    stub.on_prompt = ends("empty", "yes", label="Done, no output")
    assert caisey("prompt", "ACCT-07", *flags, "--", "true").code == code


def test_of_several_steps_the_first_that_is_not_done_decides(stub: Stub, caisey: Cli) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt, 1)
        stub.ended(
            prompt, "answered", "yes", step=1, changes=[{"what": "cups", "before": "running", "after": "stopped"}]
        )
        stub.started(prompt, 2)
        actions = [
            {"action": "verify", "label": "Check first", "consequence": "…"},
            {"action": "resume", "label": "Continue from step 3", "consequence": "…"},
            {"action": "hold", "label": "Wait", "consequence": "…", "unavailable_because": "It does not answer."},
        ]
        stub.ended(
            prompt, "runtime_died", "partly", step=2, label="Stopped at step 2", summary="Steps before it are done.",
            actions=actions,
        )  # fmt: skip

    stub.on_prompt = script
    done = caisey("prompt", "ACCT-07", "--step", "a", "--step", "b", "--step", "c")
    prompt_id = next(iter(stub.prompts))
    assert done.code == 14, done
    assert "✓ 1 Done  400 ms  as root  cups: running → stopped" in done.err
    assert "! 2 Stopped at step 2" in done.err
    assert "Started, no end recorded. Steps before it are done." in done.err
    assert f"Continue from step 3  caisey act {prompt_id} resume" in done.err
    assert "not now: It does not answer." in done.err
    assert "Not sent: step 3" in done.err


def test_awaiting_approval_waits_for_a_person(stub: Stub, caisey: Cli) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.attempt(prompt)
        prompt["tool_calls"][0]["attempts"][-1]["owner"] = "the approvers"
        stub.move(prompt, 1, "awaiting_approval", "attempt.approval_asked", due_s=1800)

    stub.on_prompt = script
    done = caisey("prompt", "ACCT-07", "--", "reboot")
    assert done.code == 30, done
    assert "Waits for the approvers" in done.err


def test_a_call_that_does_not_fit_lists_every_fault(stub: Stub, caisey: Cli) -> None:
    faults = [
        {"pointer": "/tool_calls/0/arguments/name", "expected": "string", "found": "absent"},
        {"pointer": "/tool_calls/0/arguments/action", "expected": "one of start, stop", "found": "integer"},
    ]
    stub.fail(
        "POST", "/sessions/.*/prompts",
        answer=problem(422, "prompt.malformed_call", "The input does not fit", "Nothing was sent.", errors=faults),
    )  # fmt: skip
    done = caisey("prompt", "ACCT-07", "--tool", "service")
    assert done.code == 11, done
    for line in (
        "/tool_calls/0/arguments/name: expected string, found absent",
        "/tool_calls/0/arguments/action: expected one of start, stop, found integer",
        "Nothing was sent.",
        "prompt.malformed_call",
    ):
        assert line in done.err


def test_a_fault_names_what_a_person_has_at_hand(stub: Stub, caisey: Cli) -> None:
    faults = [{"pointer": "/tool_calls/0/tool", "expected": "a tool that GET /tools lists", "found": "another name"}]
    hint = "See `errors`. Nothing was sent."
    stub.fail(
        "POST", "/sessions/.*/prompts",
        answer=problem(422, "prompt.malformed_call", "The input does not fit", hint, errors=faults),
    )  # fmt: skip
    done = caisey("prompt", "ACCT-07", "--tool", "nosuch")
    assert "expected a tool that `caisey tools list` lists" in done.err
    assert "\n  Nothing was sent.\n" in done.err
    assert "See `errors`" not in done.err  # they stand above


def test_half_a_character_at_the_end_comes_before_the_verdict(stub: Stub, env: dict[str, str]) -> None:
    stub.on_prompt = answers(b"abc\xc3")
    with program.on_terminal(["prompt", "ACCT-07", "--", "x"], env) as terminal:
        assert terminal.end() == 0, terminal.seen
    assert "abc" in terminal.seen
    assert terminal.seen.index("\\xc3") < terminal.seen.index("Done")


def test_a_try_that_was_held_back_is_not_counted_as_sent(stub: Stub, caisey: Cli) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)
        stub.ended(prompt, "answered", "yes")
        call = prompt["tool_calls"][0]
        call["attempts"].append({**call["attempts"][0], "number": 2, "verdict": None, "evidence": [{"type": "queued"}]})

    stub.on_prompt = script
    done = caisey("prompt", "ACCT-07", "--", "x")
    assert "Done" in done.err, done
    assert "(sent" not in done.err


def test_json_is_one_document_on_stdout(stub: Stub, caisey: Cli) -> None:
    stub.on_prompt = answers(b"\x1b[31mred \xe2\x80\xae\n")
    done = caisey("prompt", "ACCT-07", "--json", "--", "x")
    document = json.loads(done.out)
    assert done.code == 0
    assert document["state"] == "ended"
    assert document["tool_calls"][0]["attempts"][0]["output"]["stdout"]["text"] == "\x1b[31mred \u202e\n"
    assert "\u202e" not in done.out
    assert "\x1b" not in done.out


def test_json_of_a_fault_is_a_document_too(stub: Stub, caisey: Cli) -> None:
    stub.fail("POST", "/sessions", answer=problem(403, "access.role_too_low", "Your role does not allow this"))
    done = caisey("prompt", "ACCT-07", "--json", "--", "x")
    assert done.code == 32
    assert json.loads(done.out)["code"] == "access.role_too_low"


def test_hostile_output_is_shown_and_not_obeyed(stub: Stub, caisey: Cli) -> None:
    stub.on_prompt = answers(b"\x1b[2J[bold]hi\x07 caf\xe9 \xe2\x80\xaeabc\r\n")
    done = caisey("prompt", "ACCT-07", "--", "x")
    assert done.out == "␛[2J[bold]hi␇ caf\\xe9 \\u202eabc\n"
    assert "4 control characters" in done.err or "are shown, not obeyed" in done.err


def test_raw_writes_the_bytes(stub: Stub, env: dict[str, str]) -> None:
    data = bytes(range(256)) * 3
    stub.on_prompt = answers(data)
    assert program.run_for_bytes(["prompt", "ACCT-07", "--raw", "--", "x"], env) == data


def test_hostile_words_of_a_computer_do_not_reach_stderr_raw(stub: Stub, caisey: Cli) -> None:
    stub.endpoint("EVIL\x1b[31m", client_group={"id": "grp_1", "name": "[red]A\u202e"})
    endpoint_id = list(stub.endpoints)[-1]
    stub.on_prompt = ends("command_failed", "yes", label="L\x1b]0;x\x07", summary="[bold]boom\n\x1b[31m")
    done = caisey("prompt", endpoint_id, "--", "x")
    assert "\x1b" not in done.err
    assert "\u202e" not in done.err
    assert "EVIL␛[31m ([red]A\\u202e): x" in done.err
    assert "[bold]boom␊␛[31m" in done.err


def test_stderr_of_the_command_goes_to_stderr(stub: Stub, caisey: Cli) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)
        stub.output(prompt, b"no such file\n", stream="stderr")
        stub.ended(prompt, "command_failed", "yes", exit_code=2, label="The command reported an error")

    stub.on_prompt = script
    done = caisey("prompt", "ACCT-07", "--", "ls x")
    assert done.out == ""
    assert "no such file\n" in done.err


def test_a_structured_answer_has_stdout_for_itself(stub: Stub, caisey: Cli) -> None:
    result = {"name": "cups", "state": "running", "enabled": True, "why": "\u202e"}

    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)
        stub.output(prompt, b"cups runs\n")
        stub.ended(prompt, "answered", "yes", result=result)

    stub.on_prompt = script
    done = caisey("prompt", "ACCT-07", "--tool", "service", "--arg", "name=cups")
    assert json.loads(done.out) == result
    assert "\u202e" not in done.out
    assert "cups runs\n" in done.err


def test_a_large_structured_answer_comes_by_its_stream(stub: Stub, caisey: Cli) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)
        stub.output(prompt, b'{"entries": []}', stream="result")
        stub.ended(prompt, "answered", "yes")

    stub.on_prompt = script
    assert json.loads(caisey("prompt", "ACCT-07", "--tool", "event_log").out) == {"entries": []}


def test_a_gap_is_said_where_it_is(stub: Stub, caisey: Cli) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)
        stub.output(prompt, b"head\n")
        with stub.changed:
            call = prompt["tool_calls"][0]
            stub.outputs[(call["id"], 1, "stdout")] = b"head\n"
            output = call["attempts"][0]["output"]["stdout"]
            output["gaps"] = [{"offset": 5, "length": 2000, "why": "limit"}]
            stub.note(prompt, "attempt.gap", tool_call_id=call["id"], number=1, stream="stdout", offset=5, length=2000)
        stub.ended(prompt, "answered", "yes")

    stub.on_prompt = script
    done = caisey("prompt", "ACCT-07", "--", "x")
    assert done.out == "head\n"
    assert "[2.0 kB of stdout are missing here: over the limit]" in done.err


def test_a_recovered_stall_leaves_one_line(stub: Stub, caisey: Cli) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.attempt(prompt)
        stub.move(prompt, 1, "dispatched", "attempt.dispatched")
        stub.ended(
            prompt, "orphaned", "no", label="Did not arrive. Sending again", summary="We send it again (1 of 2).",
            call_state="running",
        )  # fmt: skip
        stub.started(prompt)
        stub.output(prompt, b"ok\n")
        stub.ended(prompt, "answered", "yes")

    stub.on_prompt = script
    done = caisey("prompt", "ACCT-07", "--", "x")
    assert done.code == 0, done
    assert "… Try 1: Did not arrive. Sending again. We send it again (1 of 2)." in done.err
    assert "✓ Done  400 ms  as root  (sent 2 times)" in done.err


def test_new_information_is_said_loudly(stub: Stub, caisey: Cli) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.attempt(prompt)
        stub.move(prompt, 1, "dispatched", "attempt.dispatched")
        stub.ended(prompt, "orphaned", "unconfirmed", label="No reply", call_state="running")
        with stub.changed:
            stub.attempt(prompt)
            reads = stub.reads
        stub.wait_for(lambda: stub.reads > reads, "the first verdict was read")
        with stub.changed:
            call = prompt["tool_calls"][0]
            call["attempts"][0]["verdict"].update(kind="answered", ran="yes", label="Done")
            stub.note(prompt, "attempt.verdict_refined", tool_call_id=call["id"], number=1)
            reads = stub.reads
        stub.wait_for(lambda: stub.reads > reads, "the new verdict was read")
        stub.ended(prompt, "refused", "no", label="Already taken up", call_state="ended")

    stub.on_prompt = script
    done = caisey("prompt", "ACCT-07", "--", "x")
    assert done.code == 0, done
    assert 'New information. We showed "No reply". The computer now says: Done.' in done.err


def test_an_unreachable_control_plane(stub: Stub, listener: Listener, caisey: Cli) -> None:
    listener.leave()
    done = caisey("prompt", "ACCT-07", "--", "x")
    assert done.code == 31, done
    assert f"Caisey at {stub.url} does not answer: nothing listens there" in done.err
    assert "caisey doctor" in done.err


def test_a_lost_answer_is_asked_for_again_with_the_same_key(stub: Stub, caisey: Cli) -> None:
    stub.on_prompt = answers()
    stub.fail("POST", "/sessions/.*/prompts", after=True)
    done = caisey("prompt", "ACCT-07", "--", "x")
    assert done.code == 0, done
    sent = stub.sent("POST", "/sessions/.*/prompts")
    assert len(sent) == 2
    assert len({request.headers["idempotency-key"] for request in sent}) == 1
    assert len(stub.prompts) == 1


def test_an_answer_that_never_comes_is_not_taken_for_a_refusal(stub: Stub, caisey: Cli) -> None:
    stub.fail("POST", "/sessions/.*/prompts", times=9, after=True)
    done = caisey("prompt", "ACCT-07", "--", "x")
    assert done.code == 31, done
    assert "It is not known if the request was accepted." in done.err
    assert "caisey sessions show ses_" in done.err


def test_a_cut_stream_loses_and_doubles_nothing(stub: Stub, caisey: Cli) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)
        for number in range(5):
            stub.output(prompt, f"line {number}\n".encode())
            streams = stub.streams
            stub.wait_for(lambda: stub.streams >= 1, "the stream is open")
            stub.cut_streams()
            stub.wait_for(lambda n=streams: stub.streams > n, "the stream is open again")  # type: ignore[misc]
        stub.ended(prompt, "answered", "yes")

    stub.on_prompt = script
    done = caisey("prompt", "ACCT-07", "--", "x")
    assert done.out == "".join(f"line {number}\n" for number in range(5)), done
    resumed = [r.headers.get("last-event-id") for r in stub.sent("GET", "/sessions/.*/stream")]
    assert len(resumed) >= 5
    assert resumed == sorted(resumed, key=lambda text: int(text or 0))


def test_a_control_plane_that_comes_back_is_followed_on(stub: Stub, listener: Listener, env: dict[str, str]) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)
        stub.output(prompt, b"before\n")

    stub.on_prompt = script
    with program.with_pipes(["prompt", "ACCT-07", "--", "x"], env) as process:
        stub.wait_for(lambda: stub.sent("GET", "/tool-calls/.*/output"), "the first output was read")
        listener.leave()
        stub.output(stub.newest_prompt(), b"meanwhile\n")
        listener.listen()
        stub.output(stub.newest_prompt(), b"after\n")
        stub.ended(stub.newest_prompt(), "answered", "yes")
        done = process.end()
    assert (done.code, done.out) == (0, "before\nmeanwhile\nafter\n"), done


def test_a_control_plane_that_stays_away_is_given_up(stub: Stub, listener: Listener, env: dict[str, str]) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)

    stub.on_prompt = script
    arguments = ["prompt", "ACCT-07", "--reconnect-for", "300ms", "--", "x"]
    with program.with_pipes(arguments, env) as process:
        stub.wait_for(lambda: stub.streams, "the stream is open")
        listener.leave()
        done = process.end()
    assert done.code == 31, done
    assert "What runs goes on." in done.err
    assert f"caisey story {stub.newest_prompt()['id']}" in done.err


@pytest.mark.parametrize("answer", [problem(503, "server.overloaded", "Caisey is at its limit"), None])
def test_what_passes_while_following_is_waited_out(stub: Stub, caisey: Cli, answer: tuple[int, Any] | None) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)
        stub.wait_for(lambda: stub.streams, "the stream is open")
        stub.fail("GET", "/tool-calls/.*/output", times=2, answer=answer)
        stub.fail("GET", "/prompts/.*", times=2, answer=answer)
        stub.fail("GET", "/sessions/.*/stream", times=2, answer=answer)
        stub.output(prompt, b"all of it\n")
        stub.ended(prompt, "answered", "yes")
        stub.cut_streams()

    stub.on_prompt = script
    done = caisey("prompt", "ACCT-07", "--", "x")
    assert (done.code, done.out) == (0, "all of it\n"), done


def test_a_key_makes_a_repeated_command_line_one_request(stub: Stub, caisey: Cli) -> None:
    stub.on_prompt = answers()
    words = ["prompt", "ACCT-07", "--idempotency-key", "nightly-1", "--", "uptime"]
    assert [caisey(*words).out, caisey(*words).out] == ["up 3 days\n", "up 3 days\n"]
    assert len(stub.prompts) == len(stub.sessions) == 1


def test_what_holds_a_request_back_is_said(stub: Stub, env: dict[str, str]) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.attempt(prompt)
        stub.move(prompt, 1, "held", "attempt.held", reason="offline", due_s=3600)

    stub.on_prompt = script
    with program.with_pipes(["prompt", "ACCT-07", "--json", "--", "x"], env) as process:
        process.stderr_line()
        assert process.stderr_line().startswith("… Waits: ACCT-07 is offline. Kept until ")
        process.process.send_signal(signal.SIGINT)
        done = process.end()
    assert done.code == 130, done
    assert json.loads(done.out)["id"] == stub.newest_prompt()["id"]


def test_a_token_that_is_revoked_ends_it(stub: Stub, caisey: Cli) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)
        stub.wait_for(lambda: stub.streams, "the stream is open")
        stub.fail("GET", ".*", times=99, answer=problem(401, "auth.token_invalid", "The token is not valid"))
        stub.cut_streams()

    stub.on_prompt = script
    done = caisey("prompt", "ACCT-07", "--", "x")
    assert done.code == 32, done


def test_detach_prints_what_was_accepted(stub: Stub, caisey: Cli) -> None:
    done = caisey("prompt", "ACCT-07", "--detach", "--", "sleep 100")
    assert done.code == 0
    assert done.out.strip() == next(iter(stub.prompts))
    done = caisey("prompt", "ACCT-07", "--detach", "--json", "--", "sleep 100")
    assert json.loads(done.out)["id"] == list(stub.prompts)[1]


def test_an_existing_session_is_used(stub: Stub, caisey: Cli) -> None:
    stub.on_prompt = answers()
    endpoint_id = next(iter(stub.endpoints))
    stub.sessions["ses_1"] = {"id": "ses_1", "endpoint_id": endpoint_id, "title": "printer"}
    assert caisey("prompt", "--session", "ses_1", "--", "uptime").code == 0
    assert stub.sent("POST", "/sessions") == []
    done = caisey("prompt", "uptime", "--session", "ses_1", "--", "x")
    assert done.code == 2
    assert "The session is on ACCT-07, not on uptime" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prompt", "ACCT-07"], "Nothing is asked"),
        (["prompt", "--", "uptime"], "Name a computer"),
        (["prompt", "ACCT-07", "--tool", "a", "--", "b"], "exclude each other"),
        (["prompt", "ACCT-07", "--reads-only", "--may-change", "--", "b"], "exclude each other"),
        (["prompt", "ACCT-07", "--effect", "none", "--", "b"], "no effect"),
        (["prompt", "ACCT-07", "--limit", "soon", "--", "b"], "span of time"),
        (["prompt", "ACCT-07", "--tool", "a", "--arg", "b"], "is no argument"),
        (["prompt", "ACCT-07", "--tool", "a", "--arg", "b:=c"], "after := stands JSON"),
        (
            ["prompt", "ACCT-07", "--json-calls", "/nonexistent"],
            "cannot be read: No such file or directory\n",
        ),
        (["prompt", "ACCT-07", "--json-calls", "-"], "stdin is not JSON"),
        (["prompt", "ACCT-07", "uptime"], "(uptime). A command for the computer stands after --"),
        (["prompt", "ACCT-07", "--text", "why", "--reads-only"], "--text takes no effect"),
        (["prompt", "ACCT-07", "--as", "root", "--", "b"], "'root' is nobody"),
        (["prompt", "ACCT-07", "--as", "user", "--tool", "service"], "--as is for commands"),
    ],
)
def test_a_command_line_that_does_not_fit(stub: Stub, caisey: Cli, arguments: list[str], words: str) -> None:
    done = caisey(*arguments)
    assert done.code == 2, done
    assert words in done.err
    assert stub.sent("POST", ".*") == []


def test_a_part_of_a_name_finds_candidates_and_never_a_computer(stub: Stub, caisey: Cli) -> None:
    stub.endpoint("ACCT-071")
    done = caisey("prompt", "ACCT-0", "--", "x")
    assert done.code == 1
    assert "No computer is called ACCT-0" in done.err
    assert "ACCT-07 (ept_" in done.err
    assert stub.sent("POST", ".*") == []
    stub.endpoint("acct-07")
    done = caisey("prompt", "ACCT-07", "--", "x")
    assert done.code == 2
    assert "2 computers are called ACCT-07" in done.err


def test_without_a_terminal_each_phase_of_the_wait_is_one_line(stub: Stub, env: dict[str, str]) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.attempt(prompt)
        stub.move(prompt, 1, "dispatched", "attempt.dispatched", due_s=3)

    stub.on_prompt = script
    with program.with_pipes(["prompt", "ACCT-07", "--", "x"], env) as process:
        assert process.stderr_line() == "· ACCT-07 (Acme): x\n"
        assert process.stderr_line().startswith("… Sent, no confirmation yet.")
        assert process.stderr_line().startswith("… Asking the computer.")
        stub.ended(
            stub.newest_prompt(),
            "orphaned",
            "unconfirmed",
            label="No reply. Not sent again",
            summary="It may have run.",
        )
        done = process.end()
    assert done.code == 13, done
    assert done.err.splitlines()[:2] == ["! No reply. Not sent again", "  Not known if it ran. It may have run."]
