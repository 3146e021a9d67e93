"""`caisey demo`: every stall of RECOVERY.md with real processes, what Caisey says of it, and how it recovers.

Owns the command line. What is played lies in `scenes_*` and `spooler`, what should come of it in `expected`.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from caisey.cli import exit_codes
from caisey.cli.command import LocalCommand, begin, single
from caisey.cli.faults import CliFault, UsageFault

app = single()


@app.command("demo", cls=LocalCommand)
def demo(
    ctx: typer.Context,
    *,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Only this stall; say it again for more.")
    ] = None,
    pause: Annotated[bool, typer.Option("--pause", help="Wait for Enter after each stall.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running until Ctrl-C, to look around.")] = False,
    list_them: Annotated[bool, typer.Option("--list", help="The stalls, and nothing else.")] = False,
) -> None:
    """Show every stall, its verdict and its recovery.

    It starts a control plane and agents of its own in a temporary directory, kills, freezes and restarts them, and
    shows what Caisey says, how it knows, and how it goes on. Then everything is taken away. Exit code 0: every row was
    as RECOVERY.md says; 1: one was not, or could not be played here.
    """
    from caisey.cli.demo.expected import BY_NAME, EXPECTATIONS

    run = begin(ctx)
    if list_them:
        rows = [{"name": row.name, "title": row.title, "computer": row.computer} for row in EXPECTATIONS]
        if run.json:
            run.terminal.json(rows)
        else:
            run.terminal.fields((row["name"], row["title"]) for row in rows)
        return
    if unknown := [name for name in only or () if name not in BY_NAME]:
        raise UsageFault(f"There is no stall {unknown[0]!r}", hint=f"There are: {', '.join(BY_NAME)}.")
    if pause and not sys.stdin.isatty():
        raise UsageFault("--pause needs a terminal to wait for Enter")
    if sys.platform != "linux":
        raise CliFault("The demonstration runs on Linux only", hint="It looks at /proc.", code="demo.not_here")
    from caisey.cli.demo import show

    try:
        code = show.run(run.terminal, only=only or (), pause=pause, keep=keep)
    except KeyboardInterrupt as error:
        run.terminal.say("Ended. Nothing of it is left.", "plain")
        raise typer.Exit(exit_codes.DETACHED) from error
    raise typer.Exit(code)
