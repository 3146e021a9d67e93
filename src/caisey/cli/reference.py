"""The reference page of the command line, made from the commands themselves.

Owns the form of `docs/cli.md`; a test holds the page to the commands. `python -m caisey.cli.reference` writes it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from caisey.cli import exit_codes
from caisey.cli.command import shared_names
from caisey.cli.program import SECTIONS, app

PAGE = Path("docs") / "cli.md"

_HEAD = """# The command line

Generated from the commands; `make docs` writes it anew. Words for people go to stderr, answers to stdout.

`caisey COMMAND --help` says the same. A computer is named exactly, by name or id; a part of a name finds candidates and
never a computer. Everything but the commands of the last section and `organizations` uses the HTTP API alone.

## Which control plane, which token

Flags come before the environment, the environment before the file.

| what | flag | environment | file |
|---|---|---|---|
| address | `--url` | `CAISEY_URL` | `url` of a profile |
| token | `--token-file` | `CAISEY_TOKEN`, `CAISEY_TOKEN_FILE` | `token_file` of a profile |
| profile | `--profile` | `CAISEY_PROFILE` | `default` |

The file is `~/.config/caisey/cli.toml` (`CAISEY_CLI_CONFIG` names another); `caisey up` writes the profile `local`.
A token is never a flag, a token file that others may read is refused, and a profile's token goes to that profile's
address only. `http` to another machine needs `--insecure-http`.

## Output

Text of a computer is shown, never obeyed: a control character, a colour or a bidi override appears as `␛[31m` or
`\\u202e`. `--raw` writes bytes as they are. `--json` prints one document on stdout (streams of events: one on each
line), also for a fault; `--quiet` leaves out all words that need nothing of you. Colours follow `NO_COLOR`, and tables
in a pipe are whole and plain.

## Exit codes
"""


def page() -> str:
    """The whole page."""
    return "\n".join([*_lines()]).rstrip() + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    yield "| code | means |"
    yield "|---|---|"
    for number, meaning in sorted(exit_codes.MEANINGS.items()):
        yield f"| {number} | {meaning} |"
    yield ""
    yield "Of several steps, the first that is not done decides."
    root: Any = typer.main.get_command(app)
    yield from _shared()
    for title, section in SECTIONS.items():
        yield f"\n## {title}"
        for name in section:
            yield from _command(root.commands[name], f"caisey {name}", 3)


def _shared() -> Iterator[str]:
    yield "\n## Options that commands share"
    yield ""
    yield "`--json` and `--quiet` go with every command, the others with those that talk to a control plane."
    yield ""
    yield "| option | |"
    yield "|---|---|"
    for param in shared_names():
        yield f"| `{_names(param)}` | {_cell(param.help)} |"


def _command(command: Any, words: str, level: int) -> Iterator[str]:
    yield f"\n{'#' * level} {words}\n"
    yield from _paragraphs(command.help or "")
    if getattr(command, "commands", None):
        for name, inner in command.commands.items():
            yield from _command(inner, f"{words} {name}", level + 1)
        return
    context = typer.Context(command, info_name=words)
    yield ""
    yield f"`{words} {' '.join(command.collect_usage_pieces(context))}`"
    shared = {param.name for param in shared_names()}
    rows = [param for param in command.params if param.name not in shared]
    if rows:
        yield ""
        yield "| | |"
        yield "|---|---|"
    for param in rows:
        yield f"| `{_names(param)}` | {_cell(param.help)}{_default(param)} |"


def _paragraphs(text: str) -> Iterator[str]:
    """The help; a paragraph that is a command line is shown as one."""
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        line = " ".join(paragraph.split())
        if number:
            yield ""
        yield f"    {line}" if line.startswith("caisey ") else line


def _names(param: Any) -> str:
    """How it is written on a command line."""
    metavar = getattr(param, "metavar", None)
    if param.param_type_name == "argument":
        return str(metavar or param.name.upper())
    names = ", ".join([*param.opts, *param.secondary_opts])
    value = "" if param.is_flag else f" {metavar or 'TEXT'}"
    return f"{names}{value}"


def _default(param: Any) -> str:
    default = param.default
    shown = getattr(param, "show_default", True)
    if default in (None, False, "", ()) or param.required or not shown or callable(default) or default is True:
        return " Needed." if param.required and param.param_type_name == "option" else ""
    return f" Default: {default}."


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.write_text(page(), "utf-8")
