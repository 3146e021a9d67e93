"""The pure parts: steps, spans, exit codes, events of a stream, words that pass with time, coercion."""

from __future__ import annotations

import itertools
import json
import shlex
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from caisey.cli import calls, exit_codes, prompt_words, spans, waiting_words
from caisey.cli.coercion import lightened
from caisey.cli.faults import UsageFault
from caisey.cli.safe_text import safe_json
from caisey.cli.sse import LINE_LENGTH, BrokenStream, ServerEvent, SseParser
from tests.cli.stub_server import stamp

Json = dict[str, Any]
NO_NUL = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)


# -- steps -----------------------------------------------------------------------------------------


@given(st.lists(NO_NUL, min_size=2, max_size=4))
def test_several_words_reach_a_posix_shell_as_they_are(words: list[str]) -> None:
    line = calls.command_line(["printf", "%s\\n", *words], "shell")
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True)
    assert done.stdout == b"".join(word.encode() + b"\n" for word in words)


def test_one_word_is_a_command_line() -> None:
    assert calls.command_line(["ls | wc -l"], "shell") == "ls | wc -l"
    assert calls.command_line(["Get-Item x | fl"], "powershell") == "Get-Item x | fl"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["Get-Service", "-Name", "Spooler"], "Get-Service -Name Spooler"),
        (["echo", "a b", "it's"], "echo 'a b' 'it''s'"),
        (["C:\\Program Files\\x.exe", "/s"], "& 'C:\\Program Files\\x.exe' /s"),
        (["echo", "$env:PATH"], "echo '$env:PATH'"),
    ],
)
def test_words_for_powershell(words: list[str], line: str) -> None:
    assert calls.command_line(words, "powershell") == line


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("lpq -a", {"tool": "shell", "arguments": {"command": "lpq -a"}}),
        ("@system_info", {"tool": "system_info", "arguments": {}}),
        ("@service name=cups action=stop", {"tool": "service", "arguments": {"name": "cups", "action": "stop"}}),
        ("@file_read path='/a b' length:=10", {"tool": "file_read", "arguments": {"path": "/a b", "length": 10}}),
        ("@{a=1}.a", {"tool": "shell", "arguments": {"command": "@{a=1}.a"}}),
        ("a=b env", {"tool": "shell", "arguments": {"command": "a=b env"}}),
    ],
)
def test_steps(text: str, call: Json) -> None:
    assert calls.step(text, "shell") == call


@pytest.mark.parametrize("text", ["", "  ", "@service name", "@service 'open", "@service =x", "@service n:={"])
def test_steps_that_do_not_fit(text: str) -> None:
    with pytest.raises(UsageFault):
        calls.step(text, "shell")


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,6}", fullmatch=True), st.text(max_size=8), max_size=4))
def test_an_argument_is_text_and_nothing_else(arguments: dict[str, str]) -> None:
    given_words = [f"{name}={value}" for name, value in arguments.items()]
    assert calls.tool_call("t", given_words) == {"tool": "t", "arguments": arguments}


def test_what_a_call_says_itself_stands() -> None:
    given_calls = [
        {"tool": "a", "arguments": {}, "effect": "mutating", "limits": {"time_ms": 5}},
        {"tool": "b", "arguments": {}},
    ]
    assert calls.with_options(given_calls, effect="read_only", limits={"time_ms": 9, "output_bytes": 7}) == [
        {"tool": "a", "arguments": {}, "effect": "mutating", "limits": {"time_ms": 5, "output_bytes": 7}},
        {"tool": "b", "arguments": {}, "effect": "read_only", "limits": {"time_ms": 9, "output_bytes": 7}},
    ]
    for count in (0, 51):
        with pytest.raises(UsageFault):
            calls.with_options([{"tool": "a"}] * count, effect=None, limits={})


@pytest.mark.parametrize("text", ["nonsense", '"text"', "[1]", '{"tool_calls": {}}'])
def test_json_that_holds_no_calls(text: str) -> None:
    with pytest.raises(UsageFault):
        calls.from_json(text, "file")


# -- times -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ms"),
    [("30", 30_000), ("30s", 30_000), ("1.5h", 5_400_000), ("5 min", 300_000), ("2d", 172_800_000), ("250ms", 250)],
)
def test_spans_as_people_type_them(text: str, ms: int) -> None:
    assert spans.parse_span(text) == ms


@pytest.mark.parametrize("text", ["", "soon", "-3s", "0", "3 weeks", "1e3", "0.1ms"])
def test_no_spans(text: str) -> None:
    with pytest.raises(ValueError, match=r"span of time|less than a millisecond"):
        spans.parse_span(text)


def test_how_long_ago() -> None:
    now = datetime(2026, 11, 22, 14, 6, tzinfo=UTC)
    now_ms = int(now.timestamp() * 1000)
    assert spans.ago(stamp(now - timedelta(seconds=40)), now_ms) == "40 s ago"
    assert spans.ago(stamp(now + timedelta(minutes=5)), now_ms) == "in 5 min"
    assert spans.ago(stamp(now), now_ms) == "just now"
    assert spans.ago(None, now_ms) == spans.ago("nonsense", now_ms) == ""


# -- exit codes ------------------------------------------------------------------------------------


def attempt(kind: str | None, **verdict: Any) -> Json:
    given_verdict = None if kind is None else {"kind": kind, "ran": "yes", "label": kind, **verdict}
    return {"number": 1, "state": "ended" if kind else "started", "verdict": given_verdict, "evidence": []}


def call(*attempts: Json, effect: str = "mutating", **fields: Any) -> Json:
    return {"id": "tcl_1", "position": 1, "effect": effect, "attempts": list(attempts), "state": "ended", **fields}


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (call(attempt("answered")), 0),
        (call(attempt("empty")), 0),
        (call(attempt("empty"), effect="read_only"), 10),
        (call(attempt("orphaned"), attempt("answered")), 0),
        (call(attempt("answered"), attempt("refused", code="attempt.superseded")), 0),
        (call(attempt("runtime_died"), attempt("refused", code="attempt.withdrawn")), 14),
        (call(attempt("orphaned"), attempt(None)), 30),
        (call(), 30),
        (call(attempt("timed_out"), outcome="accepted_partial"), 0),
        (call(attempt("runtime_died"), outcome="resumed_past"), 0),
        (call(attempt("a_kind_of_a_later_version")), 1),
    ],
)
def test_the_code_of_a_step(step: Json, code: int) -> None:
    assert exit_codes.of_call(step) == code


def test_every_code_has_a_meaning() -> None:
    numbers = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    assert numbers == exit_codes.MEANINGS.keys() == {0, 1, 2, *range(10, 21), 30, 31, 32, 130}


# -- streams ---------------------------------------------------------------------------------------


STREAM = 'id: 7\nevent: a.b\ndata: {"x":\ndata: 1}\n\n: comment\n\nid: 8\r\ndata: zwei ü\r\n\r\ndata: kein Ende\n'


@given(st.lists(st.integers(0, len(STREAM.encode())), max_size=12))
def test_a_stream_reads_the_same_in_any_pieces(cuts: list[int]) -> None:
    data = STREAM.encode()
    places = sorted({0, len(data), *cuts})
    parser = SseParser()
    events = [event for a, b in itertools.pairwise(places) for event in parser.feed(data[a:b])]
    assert events == [ServerEvent("7", "a.b", '{"x":\n1}'), ServerEvent("8", "message", "zwei ü")]
    assert parser.last_id == "8"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_a_crash(data: bytes) -> None:
    for event in SseParser().feed(data):
        assert event.data is not None


def test_a_line_without_an_end_is_bounded() -> None:
    parser = SseParser()
    assert list(parser.feed(b"x" * LINE_LENGTH)) == []
    with pytest.raises(BrokenStream):
        list(parser.feed(b"x"))


# -- words -----------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def dispatched(seconds_ago: float, window_s: float) -> Json:
    sent = NOW - timedelta(seconds=seconds_ago)
    return {
        "state": "dispatched",
        "due_at": stamp(sent + timedelta(seconds=window_s)),
        "dispatched_at": stamp(sent),
        "evidence": [],
    }


@pytest.mark.parametrize(
    ("age", "window", "line"),
    [
        (0.9, 10, None),
        (1, 10, "Sent, no confirmation yet"),
        (4, 10, "No confirmation for 4 s. At 8 s we ask the computer what it knows."),
        (6, 10, "No confirmation for 6 s. At 8 s we ask the computer what it knows."),
        (8, 10, "We ask if it received the request."),
        (1, 3, "No confirmation for 1 s. At 1 s we ask the computer what it knows."),
    ],
)
def test_words_while_nothing_is_confirmed(age: float, window: float, line: str | None) -> None:
    words = waiting_words.words(dispatched(age, window), "ACCT-07", NOW_MS)
    assert (words and words.line.find(line) >= 0) if line else words is None


@given(
    st.sampled_from(["queued", "held", "awaiting_approval", "dispatched", "acknowledged", "started", "lost"]),
    st.none() | st.sampled_from(["offline", "asleep", "busy", "world_changed", "person", "a_later_reason"]),
    st.none() | st.sampled_from(["waits_for_input", "silent_idle", "silent_busy", "a_later_notice"]),
    st.integers(0, 200),
    st.booleans(),
)
def test_every_open_state_has_words_and_none_is_unfilled(
    state: str, reason: str | None, notice: str | None, age: int, cancelled: bool
) -> None:
    at = stamp(NOW - timedelta(seconds=age))
    facts = [{"at": at, "type": state, "reason": reason}]
    facts += [{"at": at, "type": "stalled", "notice": notice, "last_line": "Sure? {x}"}] if notice else []
    facts += [{"at": at, "type": "cancel_requested"}] if cancelled else []
    words = waiting_words.words({"state": state, "due_at": at, "evidence": facts}, "ACCT-07", NOW_MS)
    if words is not None:
        assert words.label
        assert "{" not in words.line.replace("{x}", "")
        assert "None" not in words.line
        assert words.tone in ("plain", "run", "wait", "ask")


def test_the_control_planes_own_words_win_where_no_clock_runs() -> None:
    held = {
        "state": "held",
        "evidence": [],
        "now": {"label": "Waits", "summary": "S.", "tone": "wait", "code": "held.busy"},
    }
    assert waiting_words.words(held, "X", NOW_MS) == waiting_words.Words("wait", "Waits", "S.", firm=True)


def test_a_command_is_given_for_each_action() -> None:
    steps = [
        call(attempt("runtime_died"), state="waiting", tool="service"),
        call(state="pending", id="tcl_2", position=2),
    ]
    prompt = {"id": "pmt_1", "tool_calls": steps}

    def line(action: str, **fields: Any) -> str:
        return prompt_words.command_for(prompt, steps[0], {"action": action, **fields})

    assert line("retry", body={"limits": {"time_ms": 90_000}}) == "caisey act pmt_1 retry --limit 90s"
    assert line("reroute", body={"runtime_id": "rtm_1"}) == "caisey act pmt_1 reroute --runtime rtm_1"
    assert line("cancel", tool_call_id="tcl_2") == "caisey act pmt_1 cancel --step 2"
    assert line("resume", tool_call_id="tcl_2") == "caisey act pmt_1 resume"
    assert line("adjust") == "caisey act pmt_1 adjust --arg NAME=TEXT"


# -- JSON, coercion --------------------------------------------------------------------------------


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_loses_nothing_and_obeys_nothing(document: Any) -> None:
    for indent in (None, 2):
        text = safe_json(document, indent=indent)
        assert json.loads(text) == document
        assert all(character.isprintable() or character == "\n" for character in text)


def test_words_of_a_command_line_become_values() -> None:
    app = typer.Typer()

    @app.command()
    def command(
        *,
        number: Annotated[int, typer.Option(min=1, max=5)] = 3,
        many: Annotated[list[str] | None, typer.Option()] = None,
    ) -> None:
        """Nothing."""

    params = {param.name: param for param in lightened(typer.main.get_command(app).params)}
    assert params["number"].get_runtime_param().coerce("4", params["number"], None) == 4
    assert params["many"].get_runtime_param().coerce(("a", "b"), params["many"], None) == ["a", "b"]
    for wrong in ("0", "6", "x", "4.5"):
        with pytest.raises(typer.BadParameter):
            params["number"].get_runtime_param().coerce(wrong, params["number"], None)


def test_shell_words_of_a_step_read_back() -> None:
    assert shlex.split(calls.one_line({"tool": "shell", "arguments": {"command": "a 'b c'"}})) == ["a", "b c"]
