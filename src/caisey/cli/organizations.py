"""`caisey organizations`: on the control plane's own machine, with its data directory and no login."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caisey.cli.command import LocalCommand, begin, group
from caisey.cli.local import administer
from caisey.cli.terminal import Column

app = group("Organizations, on the control plane's own machine.", lists=False)

DataDir = Annotated[
    Path, typer.Option("--data-dir", metavar="DIR", envvar="CAISEY_DATA_DIR", help="The control plane's directory.")
]


@app.command("create", cls=LocalCommand)
def create(ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")], *, data_dir: DataDir) -> None:
    """Make an organization. Nothing of one is visible from another."""
    from caisey import wiring

    run = begin(ctx)
    made = administer(data_dir, wiring.create_organization, name)
    if run.json:
        run.terminal.json(made)
        return
    run.terminal.print(str(made["id"]))
    run.terminal.say(f"Next: caisey tokens create --data-dir {data_dir} --organization '{name}' --role owner")


@app.command("list", cls=LocalCommand)
def list_organizations(ctx: typer.Context, *, data_dir: DataDir) -> None:
    """The organizations, by name."""
    from caisey import wiring

    run = begin(ctx)
    found = administer(data_dir, wiring.list_organizations)
    if run.json:
        run.terminal.json(found)
        return
    rows = [(item["id"], item["name"]) for item in found["items"]]
    run.terminal.table([Column("ORGANIZATION", keep=True), Column("NAME")], rows, empty="No organizations.")
