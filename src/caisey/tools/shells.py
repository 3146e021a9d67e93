"""The shells: `shell`, `powershell`, `osascript`. Their streams are all they answer (API.md, result schemas).

Owns their definitions. What they do cannot be known from outside, so their effect is stated by the call, and
otherwise `mutating`. Version 2 is version 1 with an account that the call names; whoever names none gets version 1.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import structs

from caisey.tools.definition import Check, Schema, Tool

COMMAND_LENGTH: Final = 200_000
"""Characters. The arguments as a whole are bounded to 256 KiB by the protocol."""

# Text that goes to the operating system ends at a NUL there, so none may stand in it.
_NO_NUL: Final = "^[^\\u0000]*$"
COMMAND: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": COMMAND_LENGTH, "pattern": _NO_NUL}
DIRECTORY: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 4096,
    "pattern": _NO_NUL,
    "description": "Where it runs. Default: the root of the file system.",
}
ENVIRONMENT: Final[Schema] = {
    "type": "object",
    "maxProperties": 64,
    "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$"},
    "additionalProperties": {"type": "string", "maxLength": 32_768, "pattern": _NO_NUL},
    "description": "Variables set on top of the runtime's own.",
}
ACCOUNT_COMMAND_LENGTH: Final = 25_000
"""Characters, in version 2: so that the command is never a file, which its account might not be able to read."""
RUN_AS: Final[Schema] = {
    "enum": ["system", "user"],
    "description": "`user`: the person who is signed in, refused where nobody is. `system`: root.",
}
STDIN: Final[Schema] = {
    "type": "string",
    "maxLength": COMMAND_LENGTH,
    "description": "Given to the command, then closed. Without it standard input stays open for `input`.",
}


def _arguments(command: str, **others: Schema) -> Schema:
    properties: dict[str, Any] = {
        "command": COMMAND | {"description": command},
        **others,
        "cwd": DIRECTORY,
        "env": ENVIRONMENT,
        "stdin": STDIN,
    }
    return {"type": "object", "properties": properties, "required": ["command"], "additionalProperties": False}


SHELL: Final = Tool(
    name="shell",
    version=1,
    summary="Runs a command line in the system's shell (`/bin/sh`; on Windows `cmd.exe`).",
    platforms=("linux", "macos", "windows"),
    arguments_schema=_arguments(
        "The command line, as the shell reads it.",
        interpreter={
            "enum": ["sh", "bash", "dash", "zsh", "ksh", "cmd"],
            "description": "Another shell than the default; it must be installed there.",
        },
    ),
    effect_by_call=True,
    verify=Check(tool="shell", version=1),
)


def _with_account(tool: Tool) -> Tool:
    """Version 2: the account is named. What it runs in is that account's home, unless the call says where."""
    schema = tool.arguments_schema
    properties = schema["properties"]
    named: dict[str, Any] = {
        **properties,
        "command": properties["command"] | {"maxLength": ACCOUNT_COMMAND_LENGTH},
        "cwd": DIRECTORY | {"description": "Where it runs. Default: the home of the account."},
        "run_as": RUN_AS,
    }
    return structs.replace(
        tool,
        version=2,
        summary=f"{tool.summary} As the account that the call names.",
        platforms=tuple(name for name in tool.platforms if name != "windows"),
        arguments_schema={**schema, "properties": named, "required": ["command", "run_as"]},
    )


POWERSHELL: Final = Tool(
    name="powershell",
    version=1,
    summary="Runs a script in Windows PowerShell, or in PowerShell 7 where it is installed.",
    platforms=("windows", "linux", "macos"),
    arguments_schema=_arguments(
        "The script. It runs without a profile and without prompts.",
        edition={
            "enum": ["desktop", "core"],
            "description": "`desktop` is Windows PowerShell 5.1, `core` is PowerShell 7. Default: desktop on Windows.",
        },
    ),
    effect_by_call=True,
    verify=Check(tool="powershell", version=1),
)

OSASCRIPT: Final = Tool(
    name="osascript",
    version=1,
    summary="Runs AppleScript or JavaScript for Automation on macOS.",
    platforms=("macos",),
    arguments_schema=_arguments(
        "The script.",
        language={"enum": ["AppleScript", "JavaScript"], "description": "Default: AppleScript."},
    ),
    effect_by_call=True,
    verify=Check(tool="osascript", version=1),
)

SHELLS: Final = (
    SHELL,
    POWERSHELL,
    OSASCRIPT,
    *(_with_account(tool) for tool in (SHELL, OSASCRIPT)),
)
