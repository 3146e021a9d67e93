"""The child of a builtin and the runtime that reads it: crashes, refusals, and documents that cannot be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caisey.tools import run
from caisey.tools.builtin.commands import answer, ask
from caisey.tools.builtin.report import Order, Report, ToolError, from_os_error
from caisey.tools.builtins import BUILTINS
from caisey.tools.codes import TOOL_CODES
from caisey.tools.outcome import OUTCOME_BYTES, ToolFault, ToolOutcome, read_outcome
from caisey.tools.planning import Plan, plan
from tests.tools.carrying_out import carry_out, tool


def child_says(order: dict[str, Any]) -> tuple[int, ToolOutcome | None, bytes]:
    made = plan(tool("system_info"), {}, "linux")
    changed = Plan(made.argv, made.interpreter, made.cwd, stdin=json.dumps(order).encode(), result_fd=made.result_fd)
    ended = carry_out(changed)
    return ended.exit_code, ended.outcome, ended.stderr


def test_every_definition_has_a_program_and_every_program_a_definition() -> None:
    assert {one.name for one in BUILTINS} == run.BUILTINS


def test_a_tool_that_this_runtime_does_not_have() -> None:
    order = {"tool": "os", "version": 1, "platform": "linux", "arguments": {}, "undo_dir": "/u"}
    code, outcome, _ = child_says(order)
    assert code == 1
    assert outcome is not None
    assert outcome.error == ToolFault(code="tool.unsupported", message="This runtime has no tool os.")


def test_a_crash_is_no_outcome() -> None:
    code, outcome, stderr = child_says({"tool": "file_read", "platform": "linux", "arguments": {}, "undo_dir": "/u"})
    assert (code, outcome) == (1, None)
    assert b"KeyError" in stderr


def test_a_result_over_the_bound_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "result").open("w+b") as file:
        duplicate = os.dup(file.fileno())
        monkeypatch.setattr(run, "RESULT_FD", duplicate)
        error = run._write(Report({"x": "y" * run.OUTCOME_BYTES}, [{"what": "a", "before": 1, "after": 2}]), None)
        assert error is not None
        assert error.code == "tool.result_too_large"
        file.seek(0)
        outcome = read_outcome(file.read())
    assert outcome is not None
    assert outcome.result is msgspec.UNSET
    assert outcome.error is not None
    assert len(outcome.changes) == 1


def test_text_that_is_no_text_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "result").open("w+b") as file:
        monkeypatch.setattr(run, "RESULT_FD", os.dup(file.fileno()))
        run._write(Report({"a\udcff": ["b\udcff", "ü", {"c": "\ud800"}]}), None)
        file.seek(0)
        outcome = read_outcome(file.read())
    assert outcome is not None
    assert outcome.result == {"a?": ["b?", "ü", {"c": "?"}]}


# ---------------------------------------------------------------------------------------------------------------------
# The runtime's side
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"result":{"a":1},"changes":[]}', ToolOutcome(result={"a": 1})),
        (b'{"result":null}', ToolOutcome(result=None)),
        (b"{}", ToolOutcome()),
        (
            b'{"error":{"code":"tool.not_found","message":"m"}}',
            ToolOutcome(error=ToolFault(code="tool.not_found", message="m")),
        ),
        (b"", None),
        (b'{"result":{"a":1}', None),
        (b"[]", None),
        (b'{"changes":[{"before":1}]}', None),
        (b'{"result":' + b"9" * 40 + b"}", None),
        (b'{"result":' + b"[" * 100_000, None),
        (b'{"result":"' + b"x" * OUTCOME_BYTES + b'"}', None),
    ],
)
def test_reading_an_outcome(data: bytes, expected: ToolOutcome | None) -> None:
    assert read_outcome(data) == expected


@given(st.binary())
def test_no_bytes_raise(data: bytes) -> None:
    read_outcome(data)


# ---------------------------------------------------------------------------------------------------------------------
# Parts
# ---------------------------------------------------------------------------------------------------------------------


def test_orders() -> None:
    order = Order("linux", {"a": "x", "n": 7}, "/u")
    assert (order.text("a"), order.optional_text("b"), order.number("n", 1), order.number("m", 1)) == ("x", None, 7, 1)


@pytest.mark.parametrize(
    ("number", "code"), [(2, "tool.not_found"), (13, "tool.permission_denied"), (28, "tool.os_error")]
)
def test_refusals_of_the_operating_system(number: int, code: str) -> None:
    error = from_os_error(OSError(number, os.strerror(number), "/x"))
    assert (error.code, error.message) == (code, f"{os.strerror(number)}: /x")


def test_every_code_in_use_is_explained() -> None:
    source = Path(run.__file__).parent
    used = {
        word
        for path in source.rglob("*.py")
        if path.name != "codes.py"
        for word in path.read_text(encoding="utf-8").split('"')
        if word.startswith("tool.")
    }
    assert used == set(TOOL_CODES)


def test_programs_that_are_not_there_or_fail_or_hang() -> None:
    with pytest.raises(ToolError, match="not installed"):
        ask(["/no/such/program"])
    with pytest.raises(ToolError, match="ended with 3: bad") as failed:
        answer([sys.executable, "-c", "import sys; sys.exit(print('bad', file=sys.stderr) or 3)"])
    assert failed.value.code == "tool.command_failed"
    with pytest.raises(ToolError, match="did not answer") as late:
        ask(["/bin/sleep", "60"], timeout_s=0.05)
    assert late.value.code == "tool.command_timed_out"


def test_the_runtime_side_needs_no_server_packages() -> None:
    """jsonschema-rs is the control plane's; planning a call and reading its outcome must do without it."""
    script = (
        "import sys, caisey.tools.planning, caisey.tools.catalogue, caisey.tools.outcome, caisey.protocol.codec,"
        " caisey.protocol.handshake, caisey.protocol.enrollment, caisey.protocol.longpoll;"
        "print(any(name.startswith(('jsonschema_rs', 'litestar', 'uvicorn')) for name in sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert ended.stdout.strip() == b"False"
