"""`caisey recovery`: stalls by what happened, seconds until known, and how many recovered without a person."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from caisey.cli.command import ApiCommand, begin, single
from caisey.cli.shapes import From, Most, To, group_words, moment
from caisey.cli.terminal import Column

app = single()


@app.command("recovery", cls=ApiCommand)
def recovery(
    ctx: typer.Context,
    *,
    since: From = None,
    until: To = None,
    group_by: Annotated[
        str | None, typer.Option("--by", metavar="WHAT", help="verdict, tool, endpoint, client_group or day.")
    ] = None,
    most: Most = 50,
) -> None:
    """Stalls by what happened, and how they recovered.

    With the time until each was known, and how many recovered without a person.
    """
    run = begin(ctx)
    query = {"from": moment(since), "to": moment(until), "group_by": group_by}
    items = list(run.api.items("/reports/recovery", most=most, **query))
    if run.json:
        run.terminal.json({"items": items})
        return
    rows = [
        (
            group_words(item).replace("_", " "),
            str(item.get("stalls")),
            _ran(item),
            _known(item),
            str(item.get("recovered_without_a_person")),
            str(item.get("recovered_by_a_person")),
            str(item.get("not_recovered")),
        )
        for item in items
    ]
    titles = ("WHAT", "STALLS", "DID IT RUN", "KNOWN AFTER", "BY ITSELF", "BY A PERSON", "OPEN")
    run.terminal.table([Column(title) for title in titles], rows, empty="No stalls.")
    if items:
        run.terminal.say("Known after: half of them, nine of ten.")


def _ran(item: dict[str, Any]) -> str:
    return ", ".join(f"{ran} {count}" for ran, count in (item.get("by_ran") or {}).items())


def _known(item: dict[str, Any]) -> str:
    from caisey.cli.spans import span

    seconds = item.get("seconds_until_known") or {}
    return ", ".join(
        span(seconds[name] * 1000) for name in ("p50", "p90") if isinstance(seconds.get(name), int | float)
    )
