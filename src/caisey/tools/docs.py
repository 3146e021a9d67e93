"""The page `docs/tools.md`, written from the definitions: `python -m caisey.tools.docs > docs/tools.md`.

Owns the page's words and form. What a tool is comes from its definition alone, so that the two cannot differ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from caisey.tools.catalogue import TOOLS
from caisey.tools.codes import TOOL_CODES
from caisey.tools.definition import Check, Constant, Schema, Tool

_PLATFORMS: Final = {"linux": "Linux", "windows": "Windows", "macos": "macOS"}
_HEAD: Final = """# Tools

Generated from the definitions by `make docs`; do not edit.

A tool call names a tool and gives it arguments. Arguments are checked before anything is sent: what does not fit is
`malformed_call` and names every place. Results are checked when they come back: what does not fit is
`malformed_result`, and the raw bytes are kept. Unknown fields in a result are allowed.

**Effect.** `read_only` changes nothing, `idempotent` may be repeated, `mutating` may change things and is never
repeated by itself. A caller may raise an effect, never lower it. The shells cannot know what a command does: there a
person, never a model, may state it, and otherwise it is `mutating`.

**Check.** What "Check first" and "Check the result" send: a read-only look at what the call changes.

Arguments are bounded to 256 KiB, results to 512 KiB; lists are cut to fit and say `truncated`. Every call is one
process tree on the endpoint, in the account of the runtime. A command inherits the search path, the locale, the home
and the temporary directory of the runtime, and none of its settings or secrets.
"""
_SERVICE_NOTES: Final = """
On Linux the service is looked for in systemd (where it started the system), then in each `supervisord` that runs, then
in `/etc/init.d`; the first that knows the name answers. Only `status` is `read_only`. Starting and stopping are
`mutating`, although they can be repeated: both may run hooks, and between two tries someone may have decided otherwise.
A state that changed is recorded (`running` → `stopped`); a restart is recorded although the state is the same.
"""
_FILE_WRITE_NOTES: Final = """
The new content is written beside the file, synced, and renamed over it; links keep pointing where they did. What was
there before is kept on the endpoint first, private to the runtime's account: at most 200 copies and 512 MiB, the oldest
go first, and a file over 64 MiB is not overwritten. A call with `undo_id` puts it back, and can be undone in turn. Only
digests leave the endpoint.
"""
_SHELL_NOTES: Final = """
Short commands go as one argument of the shell, long ones by a private file, so that no limit of a command line cuts
them. `interpreter` chooses among shells that are installed. Without `stdin` standard input stays open for `input`.
"""
_POWERSHELL_NOTES: Final = """
Runs with `-NoProfile -NonInteractive` and UTF-8 output, as `-EncodedCommand`, and over 10,000 characters from a private
file with the same meaning.
"""
_EVENT_LOG_NOTES: Final = """
On Linux the journal is read where one is kept, else `/var/log/syslog` or `/var/log/messages`, else what the kernel
still remembers. The files do not say how grave an entry is: its level is `unknown`, and a filter by level keeps it.
"""
_DISK_NOTES: Final = """
File systems over the network are left out unless asked for by `path`: a server that is gone would hold the call.
"""
_NOTES: Final = {
    "service": _SERVICE_NOTES,
    "file_write": _FILE_WRITE_NOTES,
    "shell": _SHELL_NOTES,
    "powershell": _POWERSHELL_NOTES,
    "event_log": _EVENT_LOG_NOTES,
    "disk_usage": _DISK_NOTES,
}


def page() -> str:
    """The whole page."""
    parts = [_HEAD, _overview(), *map(_section, TOOLS), _codes()]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _overview() -> str:
    lines = [
        f"| [`{tool.name}`](#{tool.name}) | {_effect(tool)} | {_platforms(tool)} | {tool.summary} |" for tool in TOOLS
    ]
    return "\n".join(["| tool | effect | platforms | |", "|---|---|---|---|", *lines])


def _section(tool: Tool) -> str:
    lines = [
        f"## {tool.name}",
        "",
        f"{tool.summary}",
        "",
        f"Version {tool.version} · {_effect(tool)} · {_platforms(tool)}",
        f"Check: {_check(tool.verify)}",
        "",
        *_table("argument", tool.arguments_schema),
        *_choice(tool.arguments_schema),
    ]
    if tool.name in _NOTES:
        lines += _NOTES[tool.name].rstrip().split("\n")
    lines.append("")
    if tool.result_schema is None:
        lines.append("No result: the streams are all there is.")
    else:
        lines += _table("result", tool.result_schema)
    return "\n".join(lines)


def _platforms(tool: Tool) -> str:
    return ", ".join(_PLATFORMS[platform] for platform in tool.platforms)


def _effect(tool: Tool) -> str:
    if tool.effect_by_call:
        return f"`{tool.effect}` unless a person says otherwise"
    milder = [
        f"`{effect}` with `{name}` `{value}`"
        for name, effects in tool.effect_by_argument.items()
        for value, effect in effects.items()
    ]
    return ", ".join([f"`{tool.effect}`", *milder])


def _check(check: Check | None) -> str:
    if check is None:
        return "none is needed; the call itself changes nothing."
    if check.arguments is None:
        return f"`{check.tool}`, with a command that a person writes."
    words = [
        f"`{name}` `{source.value}`" if isinstance(source, Constant) else f"the same `{source.name}`"
        for name, source in check.arguments.items()
    ]
    return f"`{check.tool}` with {' and '.join(words)}."


def _table(what: str, schema: Schema) -> list[str]:
    rows = list(_rows(schema, ""))
    if not rows:
        return ["No arguments."]
    return [f"| {what} | type | |", "|---|---|---|", *(f"| `{name}` | {kind} | {note} |" for name, kind, note in rows)]


def _rows(schema: Schema, prefix: str) -> Iterator[tuple[str, str, str]]:
    required = set(schema.get("required", []))
    properties = dict(schema.get("properties", {}))
    for option in schema.get("oneOf", []):
        properties.update(option.get("properties", {}))
    for name, field in properties.items():
        note = [str(field.get("description", ""))]
        if "default" in field:
            note.append(f"Default: {field['default']}.")
        if name not in required:
            note.insert(0, "Optional.")
        yield f"{prefix}{name}", _type(field), " ".join(part for part in note if part)
        items = field.get("items", {})
        if field.get("type") == "array" and items.get("type") == "object":
            yield from _rows(items, f"{prefix}{name}[].")


def _choice(schema: Schema) -> list[str]:
    names = [f"`{option['required'][0]}`" for option in schema.get("oneOf", [])]
    return ["", f"Exactly one of {', '.join(names)}."] if names else []


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kinds = field.get("type", "any")
    kind = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if kind == "array" and field.get("items", {}).get("type") not in {None, "object"}:
        kind = f"array of {field['items']['type']}"
    if "maximum" in field and field["maximum"] < 2**53 - 1:
        kind += f", {field['minimum']} to {field['maximum']}"
    if "maxLength" in field:
        kind += f", at most {field['maxLength']} characters"
    return kind


def _codes() -> str:
    lines = [
        "## Codes of a tool that failed",
        "",
        "Such a call ends with exit code 1 and is `command_failed`; the code goes with it.",
        "",
        "| code | means |",
        "|---|---|",
    ]
    return "\n".join([*lines, *(f"| `{code}` | {meaning} |" for code, meaning in TOOL_CODES.items())])


if __name__ == "__main__":
    sys.stdout.buffer.write(page().encode())
