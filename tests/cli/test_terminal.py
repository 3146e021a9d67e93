"""What a person sees who sits at a terminal: words that change with time, Ctrl-C, tables that fit."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cli import program
from tests.cli.conftest import Cli
from tests.cli.stub_server import Stub, stamp

Json = dict[str, Any]


def _answers(stub: Stub, prompt: Json) -> None:
    stub.started(prompt)
    stub.ended(prompt, "answered", "yes")


def test_ctrl_c_leaves_and_the_work_goes_on(stub: Stub, env: dict[str, str]) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)
        stub.output(prompt, b"begun\n")

    stub.on_prompt = script
    with program.on_terminal(["prompt", "ACCT-07", "--", "sleep", "100"], env) as terminal:
        terminal.read_until("begun")
        terminal.type("\x03")
        code = terminal.end()
    prompt_id = next(iter(stub.prompts))
    assert code == 130, terminal.seen
    assert "Left. The work goes on." in terminal.seen
    assert f"Look: caisey story {prompt_id}" in terminal.seen
    assert f"Stop: caisey act {prompt_id} cancel" in terminal.seen
    assert stub.actions == []
    assert "Traceback" not in terminal.seen


def test_ctrl_c_before_the_answer_says_that_it_is_not_known(stub: Stub, env: dict[str, str]) -> None:
    stub.hold_answers("/sessions/.*/prompts")
    with program.on_terminal(["prompt", "ACCT-07", "--", "x"], env) as terminal:
        terminal.read_until("ACCT-07 (Acme): x")
        stub.wait_for(lambda: stub.sent("POST", "/sessions/.*/prompts"), "the request came")
        terminal.type("\x03")
        code = terminal.end()
    assert code == 130, terminal.seen
    assert "It is not known if the request was accepted." in terminal.seen
    assert "caisey sessions show ses_" in terminal.seen


def test_words_while_nothing_is_confirmed(stub: Stub, env: dict[str, str]) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.attempt(prompt)
        sent = stamp(datetime.now(UTC) - timedelta(seconds=4))
        stub.move(prompt, 1, "dispatched", "attempt.dispatched", at=sent, due_s=6)

    stub.on_prompt = script
    with program.on_terminal(["prompt", "ACCT-07", "--", "x"], env) as terminal:
        terminal.read_until("\r\x1b[KNo confirmation for 6 s. At 8 s we ask the computer what it knows.")
        terminal.read_until("\r\x1b[KWe ask if it received the request. Known at ")
        stub.move(stub.newest_prompt(), 1, "acknowledged", "attempt.acknowledged")
        stub.move(stub.newest_prompt(), 1, "started", "attempt.started")
        stub.ended(stub.newest_prompt(), "empty", "yes", label="Done, no output")
        code = terminal.end()
    assert code == 0, terminal.seen
    assert terminal.seen.count("Done, no output") == 1
    # The passing words were renewed in place and taken away at the end.
    assert "\r\x1b[K" in terminal.seen


def test_a_question_of_the_command_is_shown_with_its_last_line(stub: Stub, env: dict[str, str]) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)
        last_line = "Overwrite? \x1b[31m(y/n)"
        stub.move(prompt, 1, "started", "attempt.noticed", notice="waits_for_input", last_line=last_line)

    stub.on_prompt = script
    with program.on_terminal(["prompt", "ACCT-07", "--", "x"], env) as terminal:
        terminal.read_until("It asks a question")
        terminal.read_until("Last line: Overwrite? ␛[31m(y/n)")
        stub.ended(stub.newest_prompt(), "answered", "yes")
        assert terminal.end() == 0


def test_a_control_plane_that_goes_away_is_named(stub: Stub, env: dict[str, str]) -> None:
    stub.on_prompt = lambda s, prompt: s.started(prompt)
    with program.on_terminal(["prompt", "ACCT-07", "--", "x"], env) as terminal:
        stub.wait_for(lambda: stub.streams, "the stream is open")
        stub.fail("GET", ".*", times=10_000)
        stub.cut_streams()
        terminal.read_until("No contact with Caisey")
        terminal.read_until("the work goes on.")
        stub.failures.clear()
        stub.ended(stub.newest_prompt(), "answered", "yes")
        assert terminal.end() == 0, terminal.seen


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colours_where_none_are_wanted(stub: Stub, env: dict[str, str], variables: dict[str, str]) -> None:
    stub.on_prompt = _answers
    with program.on_terminal(["prompt", "ACCT-07", "--", "x"], {**env, **variables}) as terminal:
        assert terminal.end() == 0
    assert not re.search(r"\x1b\[[0-9;]*m", terminal.seen), terminal.seen


def test_colours_on_a_terminal(stub: Stub, env: dict[str, str]) -> None:
    stub.on_prompt = _answers
    with program.on_terminal(["prompt", "ACCT-07", "--", "x"], env) as terminal:
        assert terminal.end() == 0
    assert re.search(r"\x1b\[32m✓ Done", terminal.seen), terminal.seen


def test_help_is_quick_and_imports_no_command(caisey: Cli) -> None:
    done = caisey("--help")
    assert done.code == 0
    for name in ("prompt", "up", "doctor", "audit"):
        assert f"  {name} " in done.out


def test_our_words_begin_on_a_line_of_their_own(stub: Stub, env: dict[str, str]) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)
        stub.output(prompt, b"no line end")
        stub.ended(prompt, "answered", "yes")

    stub.on_prompt = script
    with program.on_terminal(["prompt", "ACCT-07", "--", "x"], env) as terminal:
        assert terminal.end() == 0, terminal.seen
    assert re.search(r"no line end\r\n(\x1b\[[0-9;]*[mK]|\r)*✓ Done", terminal.seen), terminal.seen


def test_a_pipe_gets_no_line_end_that_the_command_did_not_write(stub: Stub, caisey: Cli) -> None:
    def script(stub: Stub, prompt: Json) -> None:
        stub.started(prompt)
        stub.output(prompt, b"no line end")
        stub.ended(prompt, "answered", "yes")

    stub.on_prompt = script
    assert caisey("prompt", "ACCT-07", "--", "x").out == "no line end"
