"""`caisey organizations`: on the control plane's own machine, with its data directory and no login."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caisey.cli.command import LocalCommand, begin, group
from caisey.cli.local import administer

app = group("Organizations, on the control plane's own machine.", lists=False)


@app.command("create", cls=LocalCommand)
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", metavar="DIR", envvar="CAISEY_DATA_DIR", help="The control plane's directory.")
    ],
) -> None:
    """Make an organization. Nothing of one is visible from another."""
    run = begin(ctx)
    made = administer(data_dir, "create_organization", name=name)
    if run.json:
        run.terminal.json(made)
        return
    run.terminal.print(str(made.get("id") or made.get("name")))
    run.terminal.say(f"Next: caisey tokens create --data-dir {data_dir} --organization '{name}' --role owner")
