"""Programs of the operating system that a builtin asks for help.

Owns the one way to start them: by a list, never by a shell, in plain English, with a time limit. They are part of the
tool's process tree, so that ending the call ends them too.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from caisey.tools.builtin.report import ToolError

TIMEOUT_S = 120
SAID_LENGTH = 2_000


class Said:
    """How a program ended and what it wrote."""

    __slots__ = ("exit_code", "stderr", "stdout")

    def __init__(self, exit_code: int, stdout: bytes, stderr: bytes) -> None:
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr

    @property
    def words(self) -> str:
        """What it said about its failure, cut short."""
        text = (self.stderr.strip() or self.stdout.strip()).decode("utf-8", "replace")
        return text[:SAID_LENGTH]


def find_program(name: str, *further: str) -> str | None:
    """The path of a program: on the search path, or in one of further directories."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(further))


def ask(argv: list[str], *, variables: dict[str, str] | None = None, timeout_s: float = TIMEOUT_S) -> Said:
    """Run a program to its end. Raises `ToolError` where it is not there or does not answer in time."""
    env = {**os.environ, "LC_ALL": "C", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0", **(variables or {})}
    try:
        ended = subprocess.run(  # noqa: S603  (a list of our own making; no shell)
            argv, stdin=subprocess.DEVNULL, capture_output=True, env=env, timeout=timeout_s, check=False
        )
    except FileNotFoundError:
        raise ToolError("tool.unsupported", f"{argv[0]} is not installed.") from None
    except subprocess.TimeoutExpired:
        raise ToolError("tool.command_timed_out", f"{argv[0]} did not answer within {timeout_s:.0f} s.") from None
    return Said(ended.returncode, ended.stdout, ended.stderr)


def answer(argv: list[str], *, variables: dict[str, str] | None = None) -> str:
    """What a program wrote, as text. Raises `ToolError` where it failed."""
    said = ask(argv, variables=variables)
    if said.exit_code != 0:
        raise ToolError("tool.command_failed", f"{argv[0]} ended with {said.exit_code}: {said.words}")
    return said.stdout.decode("utf-8", "replace")
