"""From words on a command line to tool calls: commands, `--tool`, `--step`, JSON.

Owns the spelling of steps and the quoting of a command's words. It never guesses a type: `name=value` is text,
`name:=value` is JSON. The control plane checks everything against the tool's schema.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any

from caisey.cli.faults import UsageFault

MOST_CALLS = 50
SHELLS = frozenset({"shell", "powershell", "osascript"})
SHELLS_WITH_ACCOUNTS = frozenset({"shell", "osascript"})
"""The tools whose streams are all they answer."""
EFFECT_WORDS = {"read_only": "reads only", "idempotent": "safe to repeat", "mutating": "may change things"}
_STEP_TOOL = re.compile(r"@([a-z][a-z0-9_]*)(?:\s+(.*))?", re.DOTALL)
_BARE_POWERSHELL = re.compile(r"[A-Za-z0-9_./:\\=+-]+")

Call = dict[str, Any]


def default_shell(os_name: str) -> str:
    """The tool that runs a command line on this system."""
    return "powershell" if os_name.lower().startswith("win") else "shell"


def command_line(words: Sequence[str], tool: str) -> str:
    """One word is a command line as it stands; several keep their borders, quoted for the shell that reads them."""
    if len(words) == 1:
        return words[0]
    if tool != "powershell":
        return shlex.join(words)
    quoted = [word if _BARE_POWERSHELL.fullmatch(word) else "'" + word.replace("'", "''") + "'" for word in words]
    return " ".join(["&", *quoted] if quoted[0] != words[0] else quoted)


def shell_call(words: Sequence[str], tool: str) -> Call:
    """A step that runs a command line in a shell."""
    return {"tool": tool, "arguments": {"command": command_line(words, tool)}}


def tool_call(tool: str, assignments: Sequence[str]) -> Call:
    """A step of any tool: `name=text` or `name:=JSON` for each argument."""
    return {"tool": tool, "arguments": dict(_assignment(item) for item in assignments)}


def step(text: str, shell: str) -> Call:
    """`@service name=cups action=stop` is a tool with its arguments; anything else is a command line."""
    match = _STEP_TOOL.fullmatch(text.strip())
    if match is None:
        if not text.strip():
            raise UsageFault("--step is empty")
        return shell_call([text], shell)
    try:
        words = shlex.split(match[2] or "")
    except ValueError as error:
        raise UsageFault(f"--step {text!r}: {error}") from error
    return tool_call(match[1], words)


def from_json(text: str, where: str) -> list[Call]:
    """A list of calls as the API takes them, one call, or an object with `tool_calls`."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageFault(f"{where} is not JSON: {error}") from error
    if isinstance(document, dict):
        document = document.get("tool_calls", [document])
    if not isinstance(document, list) or not all(isinstance(call, dict) for call in document):
        raise UsageFault(f"{where} does not hold tool calls", hint='Like [{"tool": "shell", "arguments": {…}}]')
    return document


def with_options(
    calls: list[Call], *, effect: str | None, limits: dict[str, int], run_as: str | None = None
) -> list[Call]:
    """The calls with what was said for all of them; what a call says itself stands. `run_as` is for shells."""
    if not 1 <= len(calls) <= MOST_CALLS:
        raise UsageFault(f"A request has 1 to {MOST_CALLS} steps, not {len(calls)}")
    everything = []
    for call in calls:
        merged = dict(call)
        if effect is not None:
            merged.setdefault("effect", effect)
        if limits:
            merged["limits"] = {**limits, **(call.get("limits") or {})}
        if run_as is not None:
            if call.get("tool") not in SHELLS_WITH_ACCOUNTS:
                raise UsageFault(f"--as is for commands, not for {call.get('tool')}")
            merged["arguments"] = {"run_as": run_as, **(call.get("arguments") or {})}
        everything.append(merged)
    return everything


def one_line(call: Call) -> str:
    """A step as people read it: the command of a shell, else the tool and its arguments."""
    arguments = call.get("arguments")
    if not isinstance(arguments, dict):
        return str(call.get("tool"))
    if arguments.keys() - {"run_as"} == {"command"} and isinstance(arguments["command"], str):
        account = f"(as {arguments['run_as']}) " if "run_as" in arguments else ""
        return account + arguments["command"]
    words = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in arguments.items()]
    return " ".join([str(call.get("tool")), *words])


def _assignment(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name.rstrip(":"):
        raise UsageFault(f"{text!r} is no argument", hint="Write name=text, or name:=JSON such as pid:=42.")
    if not name.endswith(":"):
        return name, value
    try:
        return name[:-1], json.loads(value)
    except ValueError as error:
        raise UsageFault(f"{text!r}: after := stands JSON ({error})") from error
