"""Carries a plan out for real, as a runtime would: its files, its input, its surroundings, its result descriptor."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caisey.tools.catalogue import find
from caisey.tools.checking import arguments_shape, result_shape
from caisey.tools.definition import Tool
from caisey.tools.outcome import ToolOutcome, read_outcome
from caisey.tools.planning import Plan, plan

TIMEOUT_S = 60


@dataclass(frozen=True)
class Ended:
    """How it ended and what it wrote."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    outcome: ToolOutcome | None


def tool(name: str) -> Tool:
    found = find(name, 1)
    assert found is not None, name
    return found


def carry_out(made: Plan, inherited: Mapping[str, str] | None = None) -> Ended:
    """Run a plan in a directory of its own."""
    with tempfile.TemporaryDirectory() as directory:
        for name, content in made.files.items():
            (Path(directory) / name).write_bytes(content)
        with (Path(directory) / "result").open("w+b") as result:
            argv = list(made.argv_in(directory))
            if made.result_fd is not None:
                # `pass_fds` keeps a descriptor's number; bash moves it to the one that the plan asks for.
                argv = ["/bin/bash", "-c", f'exec {made.result_fd}>&{result.fileno()} && exec "$@"', "bash", *argv]
            ended = subprocess.run(
                argv,
                input=made.stdin or b"",
                capture_output=True,
                cwd=made.cwd,
                env=made.environment(os.environ if inherited is None else inherited, directory),
                pass_fds=(result.fileno(),),
                timeout=TIMEOUT_S,
                check=False,
            )
            result.seek(0)
            return Ended(ended.returncode, ended.stdout, ended.stderr, read_outcome(result.read()))


def outcome_of(name: str, arguments: dict[str, Any], **options: Any) -> ToolOutcome:
    """Call a builtin; check that the arguments and, where it succeeded, the result fit their schemas."""
    called = tool(name)
    assert arguments_shape(called, arguments) is None
    ended = carry_out(plan(called, arguments, "linux", **options))
    assert ended.outcome is not None, ended.stderr.decode()
    assert (ended.exit_code == 0) == (ended.outcome.error is None), ended.stderr.decode()
    if ended.outcome.error is None:
        assert result_shape(called, ended.outcome.result) is None
    else:
        assert ended.outcome.error.message in ended.stderr.decode()
    return ended.outcome


def result_of(name: str, arguments: dict[str, Any], **options: Any) -> Any:
    """The result of a builtin that must succeed."""
    outcome = outcome_of(name, arguments, **options)
    assert outcome.error is None, outcome.error
    return outcome.result


def code_of(name: str, arguments: dict[str, Any], **options: Any) -> str:
    """The code of a builtin that must fail."""
    outcome = outcome_of(name, arguments, **options)
    assert outcome.error is not None
    return outcome.error.code
