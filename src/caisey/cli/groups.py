"""`caisey groups`: client groups, one for each customer or environment."""

from __future__ import annotations

from typing import Annotated

import typer

from caisey.cli.command import ApiCommand, begin, group
from caisey.cli.terminal import Column

app = group("Client groups: one for each customer or environment.")


@app.command("list", cls=ApiCommand)
def list_groups(ctx: typer.Context) -> None:
    """The client groups, by name."""
    from caisey.cli import spans

    run = begin(ctx)
    items = list(run.api.items("/client-groups"))
    if run.json:
        run.terminal.json({"items": items})
        return
    rows = [(item["id"], str(item["name"]), spans.day_and_clock(item.get("created_at"))) for item in items]
    run.terminal.table(
        [Column("CLIENT GROUP", keep=True), Column("NAME"), Column("SINCE")], rows, empty="No client groups."
    )


@app.command("add", cls=ApiCommand)
def add(ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Add a client group and print its id."""
    run = begin(ctx)
    made = run.api.post("/client-groups", {"name": name})
    if run.json:
        run.terminal.json(made)
    else:
        run.terminal.print(made["id"])
