"""Plans: pure for all platforms, and carried out for real for this one."""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import Any

import pytest

from caisey.tools.definition import PlatformName
from caisey.tools.planning import (
    CMD_CHARACTERS,
    COMMAND_LINE_BYTES,
    ENCODED_COMMAND_CHARACTERS,
    FilePath,
    Plan,
    Python,
    plan,
)
from tests.tools.carrying_out import carry_out, tool


def planned(name: str, platform: PlatformName = "linux", **arguments: Any) -> Plan:
    return plan(tool(name), arguments, platform)


def script_of(made: Plan) -> str:
    assert made.argv[-2] == "-EncodedCommand"
    return base64.b64decode(str(made.argv[-1])).decode("utf-16-le")


def test_a_shell_command_is_one_argument_of_the_shell() -> None:
    made = planned("shell", command="systemctl stop cups")
    assert made.argv_in("/x") == ("/bin/sh", "-c", "systemctl stop cups")
    assert (made.interpreter, made.cwd, made.stdin, made.result_fd) == ("/bin/sh", "/", None, None)
    assert planned("shell", "macos", command="ls", interpreter="zsh").argv == ("zsh", "-c", "ls")


def test_a_shell_runs_for_real() -> None:
    ended = carry_out(planned("shell", command="printf '%s|' \"$A\" \"$PWD\"; cat; echo bad >&2; exit 3",
                              cwd="/usr", env={"A": "ü b"}, stdin="in"))  # fmt: skip
    assert (ended.exit_code, ended.stdout.decode(), ended.stderr) == (3, "ü b|/usr|in", b"bad\n")


@pytest.mark.parametrize("size", [COMMAND_LINE_BYTES, COMMAND_LINE_BYTES + 1, 190_000])
def test_long_commands_run_whole(size: int) -> None:
    """Over 128 KiB one argument is E2BIG: such commands go by a file."""
    command = "echo " + "ü" * 10
    command += " #" + "x" * (size - len(command.encode()) - 2)
    made = planned("shell", command=command)
    assert bool(made.files) == (size > COMMAND_LINE_BYTES)
    assert carry_out(made).stdout.decode() == "ü" * 10 + "\n"


def test_a_command_that_looks_like_a_placeholder_stays_as_it_is() -> None:
    assert carry_out(planned("shell", command="echo '{files}' '%s' '$x'")).stdout == b"{files} %s $x\n"


def test_the_runtime_keeps_its_secrets() -> None:
    inherited = {"PATH": os.environ["PATH"], "HOME": "/root", "CAISEY_ENROLLMENT_TOKEN": "cse_secret", "AWS_KEY": "x"}
    ended = carry_out(planned("shell", command="env", env={"ASKED_FOR": "1"}), inherited)
    names = {line.split("=")[0] for line in ended.stdout.decode().splitlines()}
    assert names >= {"PATH", "HOME", "ASKED_FOR"}
    assert not names & {"CAISEY_ENROLLMENT_TOKEN", "AWS_KEY"}


def test_there_is_always_a_search_path() -> None:
    assert carry_out(planned("shell", command="ls / >/dev/null && echo ok"), {}).stdout == b"ok\n"


def test_cmd_keeps_inner_quotes() -> None:
    made = planned("shell", "windows", command='dir "C:\\Program Files" & echo "a"')
    assert made.command_line == 'cmd.exe /d /s /c "dir "C:\\Program Files" & echo "a""'
    assert made.cwd == "C:\\"


@pytest.mark.parametrize("command", ["x" * (CMD_CHARACTERS + 1), "echo a\necho b"])
def test_cmd_takes_long_and_many_lines_from_a_file(command: str) -> None:
    made = planned("shell", "windows", command=command)
    assert made.command_line is None
    assert made.argv_in("C:\\caisey\\x")[-1] == "C:\\caisey\\x\\command.cmd"
    assert made.files["command.cmd"].startswith(b"@echo off\r\n")
    assert b"\n" not in made.files["command.cmd"].replace(b"\r\n", b"")


def test_powershell_is_encoded() -> None:
    made = planned("powershell", "windows", command="Get-Service | Where Status -eq 'Running' # ü")
    assert made.argv[0] == "powershell.exe"
    assert {"-NoProfile", "-NonInteractive"} <= set(made.argv)
    assert script_of(made).endswith("Get-Service | Where Status -eq 'Running' # ü")
    assert not made.files
    assert planned("powershell", command="1").argv[0] == "pwsh"
    assert planned("powershell", "windows", command="1", edition="core").argv[0] == "pwsh"


def test_long_powershell_goes_by_a_file_with_the_same_meaning() -> None:
    command = "# " + "x" * ENCODED_COMMAND_CHARACTERS
    made = planned("powershell", "windows", command=command, env={"A": "b"})
    assert made.files["command.ps1"].decode("utf-8-sig") == command
    assert "$env:CAISEY_SCRIPT" in script_of(made)
    assert made.environment({}, "C:\\x")["CAISEY_SCRIPT"] == "C:\\x\\command.ps1"
    assert made.environment({}, "C:\\x")["A"] == "b"


def test_no_command_line_is_longer_than_its_system_takes() -> None:
    long = "é" * 200_000
    for name, platform, limit in (("shell", "linux", 128 * 1024), ("powershell", "windows", 32_000),
                                  ("shell", "windows", 8_191), ("osascript", "macos", 128 * 1024)):  # fmt: skip
        for command in (long, long[:60_000], long[:9_999], long[:8_000]):
            made = planned(name, platform, command=command)  # type: ignore[arg-type]  # the table mixes platforms
            words = [item for item in made.argv if isinstance(item, str)]
            line = made.command_line or " ".join(words)
            assert len(line.encode() if platform != "windows" else line) < limit


def test_osascript() -> None:
    made = planned("osascript", "macos", command='display dialog "x"', language="JavaScript")
    assert made.argv == ("/usr/bin/osascript", "-l", "JavaScript", "-e", 'display dialog "x"')
    long = planned("osascript", "macos", command="-- " + "x" * COMMAND_LINE_BYTES)
    assert long.argv_in("/x") == ("/usr/bin/osascript", "-l", "AppleScript", "/x/command.scpt")


def test_a_builtin_is_a_child_of_a_bare_python() -> None:
    made = plan(tool("service"), {"name": "cups", "action": "status"}, "linux", undo_dir="/u",
                python=Python("/py", "/src"))  # fmt: skip
    assert made.argv[0] == "/py"
    assert {"-I", "-S"} <= set(made.argv)
    assert made.argv[-1] == "/src"
    assert made.result_fd == 3
    assert json.loads(made.stdin or b"") == {
        "tool": "service",
        "version": 1,
        "platform": "linux",
        "arguments": {"name": "cups", "action": "status"},
        "undo_dir": "/u",
    }


def test_an_interpreter_that_is_not_there_fails_to_start() -> None:
    with pytest.raises(FileNotFoundError):
        carry_out(planned("powershell", command="1", edition="desktop"))


def test_paths_of_files_follow_the_directory() -> None:
    assert FilePath("a").below("/x/") == "/x/a"
    assert FilePath("a").below("C:\\x") == "C:\\x\\a"


def test_builtins_import_little() -> None:
    """Their start is a part of every call; third-party packages are not even on their path."""
    made = planned("system_info")
    boot = str(made.argv[-2]).replace("main()", "print(sorted(m for m in sys.modules))", 1)
    ended = carry_out(Plan((sys.executable, "-I", "-S", "-c", boot, str(made.argv[-1])), "", "/"))
    loaded = set(eval(ended.stdout.decode()))  # noqa: S307  (a list of names, printed by the line above)
    assert not loaded & {"msgspec", "typing", "dataclasses", "pathlib", "subprocess", "asyncio", "site"}
