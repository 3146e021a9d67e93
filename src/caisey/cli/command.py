"""What every command shares: the options that name a control plane, `--json`, and how a fault ends it.

Owns the classes that commands are declared with. A command function takes `ctx`, asks `begin(ctx)` for its terminal
and its API, and lets faults pass: here they become words on stderr, a document on stdout with `--json`, and an exit
code of API.md.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from caisey.cli.coercion import lightened
from caisey.cli.faults import CliFault
from caisey.cli.terminal import Terminal

if TYPE_CHECKING:
    from caisey.cli.client import Api

_ASKED = "caisey.cli.asked"


@dataclass
class Asked:
    """The shared options, wherever on the command line they stood."""

    url: str | None = None
    token_file: str | None = None
    profile: str | None = None
    insecure_http: bool = False
    json_output: bool = False
    quiet: bool = False


def asked(ctx: typer.Context) -> Asked:
    """The shared options of this invocation."""
    found: Asked = ctx.meta.setdefault(_ASKED, Asked())
    return found


class Run:
    """One invocation: its terminal, and the API, which is connected when it is first used."""

    def __init__(self, ctx: typer.Context) -> None:
        self._ctx = ctx
        self.asked = asked(ctx)
        self.terminal = Terminal(json_output=self.asked.json_output, quiet=self.asked.quiet)

    @property
    def json(self) -> bool:
        """Whether stdout is for a machine."""
        return self.asked.json_output

    def done(self, document: Any, words: str) -> None:
        """The end of a change: a document for a machine, a word for a person."""
        if self.json:
            self.terminal.json(document)
        else:
            self.terminal.say(words, "done")

    @cached_property
    def api(self) -> Api:
        """The control plane that flags, environment or the CLI's file name."""
        from caisey.cli.client import Api
        from caisey.cli.profiles import resolve

        target = resolve(
            os.environ,
            url=self.asked.url,
            token_file=self.asked.token_file,
            profile=self.asked.profile,
            insecure_http=self.asked.insecure_http,
        )
        api = Api(target)
        self._ctx.call_on_close(api.close)
        return api


def begin(ctx: typer.Context) -> Run:
    """What a command function starts with."""
    return Run(ctx)


# -- options ----------------------------------------------------------------------------------------------------------


def _keep_url(ctx: typer.Context, value: str | None) -> None:
    asked(ctx).url = value or asked(ctx).url


def _keep_token_file(ctx: typer.Context, value: str | None) -> None:
    asked(ctx).token_file = value or asked(ctx).token_file


def _keep_profile(ctx: typer.Context, value: str | None) -> None:
    asked(ctx).profile = value or asked(ctx).profile


def _keep_insecure_http(ctx: typer.Context, value: bool) -> None:
    asked(ctx).insecure_http = value or asked(ctx).insecure_http


def _keep_json(ctx: typer.Context, value: bool) -> None:
    asked(ctx).json_output = value or asked(ctx).json_output


def _keep_quiet(ctx: typer.Context, value: bool) -> None:
    asked(ctx).quiet = value or asked(ctx).quiet


def _output_options(
    json_output: Annotated[
        bool, typer.Option("--json", help="Machine output on stdout, and nothing else there.", callback=_keep_json)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Fewer words: only what needs you.", callback=_keep_quiet)
    ] = False,
) -> None:
    """The options of every command."""


def _api_options(
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="The control plane's address.", callback=_keep_url)
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option("--token-file", metavar="FILE", help="A file with the API token.", callback=_keep_token_file),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="NAME", help="A profile of the CLI's file.", callback=_keep_profile),
    ] = None,
    insecure_http: Annotated[
        bool,
        typer.Option(
            "--insecure-http", help="Send the token over http to another machine.", callback=_keep_insecure_http
        ),
    ] = False,
) -> None:
    """The options of every command that talks to a control plane."""


@lru_cache
def _options(template: Any) -> tuple[Any, ...]:
    """The parameters that Typer makes of a template function; they keep no state, so commands share them."""
    app = typer.Typer(add_completion=False)
    app.command()(template)
    params = typer.main.get_command(app).params
    for param in params:
        param.expose_value = False
    return tuple(params)


# -- classes ----------------------------------------------------------------------------------------------------------


class LocalCommand(TyperCommand):
    """A command that works on this machine itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params = [*self.params, *self.shared_options()]

    def shared_options(self) -> tuple[Any, ...]:
        """The parameters that it has beside its own."""
        return _options(_output_options)

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters, also `--help`."""
        return lightened(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Run it; a fault becomes words and an exit code."""
        try:
            return super().invoke(ctx)
        except CliFault as fault:
            show_fault(fault, Terminal(json_output=asked(ctx).json_output))
            raise typer.Exit(fault.exit_code) from fault


class ApiCommand(LocalCommand):
    """A command that talks to a control plane."""

    def shared_options(self) -> tuple[Any, ...]:
        """Those of every command, and those that name the control plane."""
        return (*super().shared_options(), *_options(_api_options))


class Group(TyperGroup):
    """Several commands under one name."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters, also `--help`."""
        return lightened(super().get_params(ctx))


class ListGroup(Group):
    """A group whose first word may be left out: `caisey endpoints` is `caisey endpoints list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` where no command is named."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def shared_names() -> tuple[Any, ...]:
    """The parameters that commands share, for the reference page."""
    return (*_options(_output_options), *_options(_api_options))


def show_fault(fault: CliFault, terminal: Terminal) -> None:
    """A fault on stderr, and as a document on stdout where a machine reads."""
    terminal.clear_status()
    if terminal.json_output:
        terminal.json(fault.document())
    first, *rest = fault.lines()
    terminal.say(first, "ask")
    for line in rest:
        terminal.say(line, None)


def single() -> typer.Typer:
    """An app of one command."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def group(summary: str, *, lists: bool = True) -> typer.Typer:
    """An app of several commands; with `lists`, `list` is what is meant where none is named."""
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        cls=ListGroup if lists else Group,
        help=summary,
        no_args_is_help=not lists,
    )
    app.callback()(_nothing)
    return app


def _nothing() -> None:
    """A group does nothing by itself; with a callback it stays a group when it has one command only."""


_nothing.__doc__ = None
