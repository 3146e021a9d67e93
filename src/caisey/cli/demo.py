"""`caisey demo`: a stalled prompt, its verdict and its recovery, on this machine. What is shown is `caisey.demo`'s."""

from __future__ import annotations

import typer

from caisey.cli.command import LocalCommand, begin, single
from caisey.cli.faults import CliFault

app = single()


@app.command("demo", cls=LocalCommand)
def demo(ctx: typer.Context) -> None:
    """Show a stalled prompt, its verdict and its recovery."""
    from importlib import import_module

    run = begin(ctx)
    try:
        show = import_module("caisey.demo")
    except ModuleNotFoundError as error:
        if error.name != "caisey.demo":
            raise
        raise CliFault("This installation has no demonstration", code="cli.no_demo") from error
    raise typer.Exit(int(show.run(terminal=run.terminal)))
