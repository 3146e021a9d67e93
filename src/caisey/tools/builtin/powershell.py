"""Scripts of our own for Windows PowerShell, whose answers are JSON.

Owns how they are run. A script is a constant of this package; what a caller says reaches it in a variable only.
"""

from __future__ import annotations

import base64
import json

from caisey.tools.builtin.commands import Said, ask
from caisey.tools.builtin.report import Row, ToolError

PROGRAM = "powershell.exe"
_PREPARED = "$ProgressPreference='SilentlyContinue';[Console]::OutputEncoding=New-Object Text.UTF8Encoding($false);"


def powershell_argv(script: str) -> list[str]:
    """The command line of a script."""
    encoded = base64.b64encode((_PREPARED + script).encode("utf-16-le")).decode()
    return [PROGRAM, "-NoLogo", "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded]


def ask_powershell(script: str, variables: dict[str, str] | None = None) -> Said:
    """Run a script to its end."""
    return ask(powershell_argv(script), variables=variables)


def rows_of(script: str, variables: dict[str, str] | None = None) -> list[Row]:
    """The objects that a script wrote with `ConvertTo-Json`. Raises `ToolError` where it failed."""
    said = ask_powershell(script, variables)
    if said.exit_code != 0:
        raise ToolError("tool.command_failed", f"{PROGRAM} ended with {said.exit_code}: {said.words}")
    return parse_rows(said.stdout.decode("utf-8", "replace"))


def parse_rows(text: str) -> list[Row]:
    """`ConvertTo-Json` writes one object bare, several as a list, and none as nothing at all."""
    if not text.strip():
        return []
    document = json.loads(text.removeprefix("\ufeff"))
    return [row for row in (document if isinstance(document, list) else [document]) if isinstance(row, dict)]
