"""From a tool call to one command: what to execute, with which files, input and surroundings.

Owns the choice of interpreter, the ways around the length limits of command lines, and how a builtin is started. Pure:
it names files and variables and touches none. Every plan is one process tree that can be watched and ended as one.

Arguments have been checked against the tool's schema by the control plane, under its signature; they are read as such.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import caisey
from caisey.tools.definition import PlatformName, Tool

COMMAND_LINE_BYTES: Final = 100 * 1024
"""Linux ends a single argument at 128 KiB (E2BIG); longer commands go by a file."""
CMD_CHARACTERS: Final = 8_000
"""`cmd.exe` ends a command line at 8,191 characters."""
ENCODED_COMMAND_CHARACTERS: Final = 10_000
"""`-EncodedCommand` ends near 12,000 characters of script; longer scripts go by a file."""
RESULT_FD: Final = 3

_BOOT: Final = "import sys; sys.path.insert(0, sys.argv[1]); from caisey.tools.run import main; main()"
_SCRIPT_VARIABLE: Final = "CAISEY_SCRIPT"
_POWERSHELL_UTF8: Final = (
    "$ProgressPreference='SilentlyContinue';[Console]::OutputEncoding=New-Object Text.UTF8Encoding($false);"
)
_POWERSHELL_FROM_FILE: Final = f"& ([scriptblock]::Create([IO.File]::ReadAllText($env:{_SCRIPT_VARIABLE})))"

# fmt: off
_PASSED_ON: Final = frozenset(
    {
        "PATH", "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR",
        "TERM", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE",
        "USERNAME", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "PROGRAMFILES(X86)",
        "PROGRAMW6432", "ALLUSERSPROFILE", "COMPUTERNAME", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE",
        "PUBLIC", "PSMODULEPATH", "DRIVERDATA",
    }
)
# fmt: on
"""What a command inherits of the runtime's own variables. The runtime's secrets and settings are not among them."""

_UNIX_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ROOTS: Final[dict[PlatformName, str]] = {"linux": "/", "macos": "/", "windows": "C:\\"}
_UNDO_DIRECTORIES: Final[dict[PlatformName, str]] = {
    "linux": "/var/lib/caisey/undo",
    "macos": "/Library/Application Support/Caisey/undo",
    "windows": "C:\\ProgramData\\Caisey\\undo",
}


@dataclass(frozen=True, slots=True)
class FilePath:
    """Stands for the path that one of the plan's files gets, once a directory for them exists."""

    name: str

    def below(self, directory: str) -> str:
        """The path, with the separator that the directory uses."""
        separator = "\\" if "\\" in directory else "/"
        return f"{directory.rstrip(separator)}{separator}{self.name}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One command. `argv_in` and `environment` give it its final form.

    `files` are written 0600 into a directory of this attempt's own, before it starts. `stdin` is written and closed;
    `None` leaves standard input open for `input`. `result_fd` is where a builtin writes its outcome (`outcome`).
    `command_line` is set where Windows must get one literal line instead of a list.
    """

    argv: tuple[str | FilePath, ...]
    interpreter: str
    cwd: str
    stdin: bytes | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    env: Mapping[str, str | FilePath] = field(default_factory=dict)
    result_fd: int | None = None
    command_line: str | None = None

    def argv_in(self, directory: str) -> tuple[str, ...]:
        """The arguments, with the plan's files in `directory`."""
        return tuple(item.below(directory) if isinstance(item, FilePath) else item for item in self.argv)

    def environment(self, inherited: Mapping[str, str], directory: str) -> dict[str, str]:
        """All variables of the command: what may be passed on of the runtime's own, and the plan's on top."""
        kept = {name: value for name, value in inherited.items() if name.upper() in _PASSED_ON}
        own = {
            name: value.below(directory) if isinstance(value, FilePath) else value for name, value in self.env.items()
        }
        return {"PATH": _UNIX_PATH, **kept, **own}


@dataclass(frozen=True, slots=True)
class Python:
    """The interpreter that builtins run in, and where its modules are found."""

    executable: str
    source: str


THIS_PYTHON: Final = Python(sys.executable, str(Path(caisey.__file__).resolve().parent.parent))


def plan(
    tool: Tool,
    arguments: Mapping[str, Any],
    platform: PlatformName,
    *,
    undo_dir: str | None = None,
    python: Python = THIS_PYTHON,
) -> Plan:
    """The command for one call. `undo_dir` is where `file_write` keeps what it replaces: a directory of the runtime."""
    if tool.name == "shell":
        return _cmd(arguments) if _wants_cmd(arguments, platform) else _unix_shell(arguments, platform)
    if tool.name == "powershell":
        return _powershell(arguments, platform)
    if tool.name == "osascript":
        return _osascript(arguments, platform)
    return _builtin(tool, arguments, platform, undo_dir or _UNDO_DIRECTORIES[platform], python)


def _surroundings(arguments: Mapping[str, Any], platform: PlatformName) -> dict[str, Any]:
    stdin = arguments.get("stdin")
    return {
        "cwd": arguments.get("cwd", _ROOTS[platform]),
        "stdin": None if stdin is None else stdin.encode(),
    }


def _environment(arguments: Mapping[str, Any]) -> dict[str, str | FilePath]:
    return dict(arguments.get("env", {}))


def _wants_cmd(arguments: Mapping[str, Any], platform: PlatformName) -> bool:
    return bool(arguments.get("interpreter", "cmd" if platform == "windows" else "sh") == "cmd")


def _unix_shell(arguments: Mapping[str, Any], platform: PlatformName) -> Plan:
    name = arguments.get("interpreter", "sh")
    shell = "/bin/sh" if name == "sh" and platform != "windows" else name
    command = arguments["command"].encode()
    env, rest = _environment(arguments), _surroundings(arguments, platform)
    if len(command) <= COMMAND_LINE_BYTES:
        return Plan((shell, "-c", arguments["command"]), shell, env=env, **rest)
    return Plan((shell, FilePath("command.sh")), shell, files={"command.sh": command}, env=env, **rest)


def _cmd(arguments: Mapping[str, Any]) -> Plan:
    """`/d` without AutoRun, `/s` with one outer pair of quotes taken off: the only form that keeps inner quotes."""
    command = arguments["command"]
    env, rest = _environment(arguments), _surroundings(arguments, "windows")
    if len(command) <= CMD_CHARACTERS and "\n" not in command:
        line = f'cmd.exe /d /s /c "{command}"'
        return Plan(("cmd.exe", "/d", "/s", "/c", command), "cmd.exe", env=env, command_line=line, **rest)
    script = "@echo off\r\n" + command.replace("\r\n", "\n").replace("\n", "\r\n") + "\r\n"
    argv = ("cmd.exe", "/d", "/c", FilePath("command.cmd"))
    return Plan(argv, "cmd.exe", files={"command.cmd": script.encode()}, env=env, **rest)


def _powershell(arguments: Mapping[str, Any], platform: PlatformName) -> Plan:
    edition = arguments.get("edition", "desktop" if platform == "windows" else "core")
    shell = "powershell.exe" if edition == "desktop" else "pwsh"
    command = arguments["command"]
    env, rest = _environment(arguments), _surroundings(arguments, platform)
    files: dict[str, bytes] = {}
    if len(command) > ENCODED_COMMAND_CHARACTERS:
        # The byte order mark is what makes Windows PowerShell read the file as UTF-8.
        files["command.ps1"] = b"\xef\xbb\xbf" + command.encode()
        env[_SCRIPT_VARIABLE] = FilePath("command.ps1")
        command = _POWERSHELL_FROM_FILE
    encoded = base64.b64encode((_POWERSHELL_UTF8 + command).encode("utf-16-le")).decode()
    flags = ("-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass")
    return Plan((shell, *flags, "-EncodedCommand", encoded), shell, files=files, env=env, **rest)


def _osascript(arguments: Mapping[str, Any], platform: PlatformName) -> Plan:
    command = arguments["command"].encode()
    env, rest = _environment(arguments), _surroundings(arguments, platform)
    argv = ("/usr/bin/osascript", "-l", arguments.get("language", "AppleScript"))
    if len(command) <= COMMAND_LINE_BYTES:
        return Plan((*argv, "-e", arguments["command"]), "osascript", env=env, **rest)
    return Plan((*argv, FilePath("command.scpt")), "osascript", files={"command.scpt": command}, env=env, **rest)


def _builtin(tool: Tool, arguments: Mapping[str, Any], platform: PlatformName, undo_dir: str, python: Python) -> Plan:
    """A child of this Python without site-packages, which starts in a third of the time."""
    order = {
        "tool": tool.name,
        "version": tool.version,
        "platform": platform,
        "arguments": dict(arguments),
        "undo_dir": undo_dir,
    }
    return Plan(
        (python.executable, "-I", "-S", "-c", _BOOT, python.source),
        f"caisey {tool.name}",
        _ROOTS[platform],
        stdin=json.dumps(order).encode(),
        result_fd=RESULT_FD,
    )
