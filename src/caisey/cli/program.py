"""The program `caisey`: which commands there are, and in which module each stands. `main` starts it.

Owns the table of commands and nothing they do. A module is imported when its command is run, so that `caisey --help`
stays fast; a test holds that each line of help here is the command's own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer

from caisey import __version__
from caisey.cli.command import Group


class Entry(NamedTuple):
    """One command: the module below `caisey.cli` that holds its `app`, and its line of help."""

    module: str
    summary: str


SECTIONS: Mapping[str, Mapping[str, Entry]] = {
    "Ask, follow, decide": {
        "prompt": Entry("prompt", "Ask something of a computer and follow it to its end."),
        "attention": Entry("attention", "What waits for a person, most urgent first."),
        "story": Entry("story", "Why a request stands where it stands."),
        "awareness": Entry("awareness", "What already ran, before something is sent again."),
        "act": Entry("act", "Decide: send again, continue, stop, answer, ask for help."),
        "output": Entry("output", "The bytes of a step as they came."),
        "sessions": Entry("sessions", "Sessions: the conversations on computers."),
        "transcript": Entry("transcript", "A session from its first line to its last."),
    },
    "Computers and tools": {
        "endpoints": Entry("endpoints", "Computers: list, show, add, edit, remove; what a person decides about one."),
        "tools": Entry("tools", "The tools, their arguments and what each may change."),
    },
    "Organization": {
        "organizations": Entry("organizations", "Organizations, on the control plane's own machine."),
        "tokens": Entry("tokens", "API tokens."),
        "members": Entry("members", "Who belongs to the organization, in which role."),
        "groups": Entry("groups", "Client groups: one for each customer or environment."),
        "policy": Entry("policy", "What happens by itself, and when a person is asked."),
    },
    "Reports and proof": {
        "shapes": Entry("shapes", "Malformed calls, results and frames, counted by shape."),
        "recovery": Entry("recovery", "Stalls by what happened, and how they recovered."),
        "conformance": Entry(
            "conformance", "Play every failure against a control plane, or test a runtime of your own."
        ),
        "audit": Entry("audit", "The audit log: read it, export it, verify an export offline."),
    },
    "This machine": {
        "up": Entry("up", "Start a control plane and a runtime on this machine."),
        "serve": Entry("serve", "Run the control plane in the foreground."),
        "runtime": Entry("runtime", "The runtime of this machine: enroll, run, status, install."),
        "doctor": Entry("doctor", "Check this machine and the way to the control plane."),
        "practice": Entry("practice", "Run a practice computer, which executes nothing and stalls as it is asked to."),
        "demo": Entry("demo", "Show every stall, its verdict and its recovery."),
        "completion": Entry("completion", "Print the completion script for a shell."),
    },
}
COMMANDS: Mapping[str, Entry] = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class _LazyCommands(MutableMapping[str, Any]):
    """The commands by name, each imported when it is asked for."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            module = import_module(f"caisey.cli.{COMMANDS[name].module}")
            command = typer.main.get_command(module.app)
            command.name = name
            self._loaded[name] = command
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Root(Group):
    """The program itself: its help is written from the table alone."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _LazyCommands()
        # `caisey completion` is the one way to the script; what Typer adds for it would be a second.
        self.params = [p for p in self.params if p.name not in ("install_completion", "show_completion")]

    def list_commands(self, ctx: Any) -> list[str]:
        """Every command, in the order of the help."""
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands in sections, without importing any."""
        width = max(map(len, COMMANDS))
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), entry.summary) for name, entry in section.items()])


app = typer.Typer(cls=Root, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)


def _show_version(value: bool) -> None:
    if value:
        sys.stdout.write(f"caisey {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Troubleshoot a remote computer by asking for an outcome, and know what happened when it stalls.

    Start here: `caisey up`, then `caisey prompt COMPUTER -- uptime`.
    """
