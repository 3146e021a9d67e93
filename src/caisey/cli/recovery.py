"""`caisey recovery`: stalls by what happened, seconds until known, and how many recovered without a person."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from caisey.cli.command import ApiCommand, begin, single
from caisey.cli.shapes import From, To, moment, rows_of, table_of

app = single()


@app.command("recovery", cls=ApiCommand)
def recovery(
    ctx: typer.Context,
    *,
    since: From = None,
    until: To = None,
    group_by: Annotated[str | None, typer.Option("--by", metavar="WHAT", help="Count by this.")] = None,
) -> None:
    """Stalls by what happened, seconds until known, and how many recovered without a person."""
    run = begin(ctx)
    report: Any = run.api.get("/reports/recovery", **{"from": moment(since), "to": moment(until), "group_by": group_by})
    if run.json:
        run.terminal.json(report)
        return
    columns, rows = table_of(rows_of(report))
    run.terminal.table(columns, rows, empty="No stalls.")
