"""`caisey attention`: what waits for a person, most urgent first, with why it stands there.

Owns the list on a terminal; the order is the control plane's.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from caisey.cli.command import ApiCommand, begin, single
from caisey.cli.terminal import Column

app = single()


@app.command("attention", cls=ApiCommand)
def attention(
    ctx: typer.Context,
    *,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, help="At most so many.")] = 50,
    aside: Annotated[bool, typer.Option("--aside", help="Only what was put aside until later.")] = False,
) -> None:
    """What waits for a person, most urgent first."""
    from caisey.cli import spans
    from caisey.cli.sessions import names_of_endpoints

    run = begin(ctx)
    items = list(run.api.items("/attention", most=most, aside="only" if aside else "hide"))
    if run.json:
        run.terminal.json({"items": items})
        return
    names = names_of_endpoints(run, items)
    now_ms = run.api.now_ms()
    rows: list[list[str]] = []
    for item in items:
        # A command that asks a question has no end: its time is that of the last sign of life, long past.
        until = "" if item.get("type") == "stalled" else spans.ago(item.get("due_at"), now_ms)
        rows.append(
            [
                item["label"],
                names.get(str(item.get("endpoint_id")), ""),
                spans.ago(item.get("since"), now_ms),
                until,
                _where(item),
            ]
        )
    columns = [Column("WHAT"), Column("COMPUTER"), Column("SINCE"), Column("NEXT"), Column("ABOUT", keep=True)]
    run.terminal.table(columns, rows, empty=_nothing(now_ms, aside=aside))
    if items:
        run.terminal.say("Why, and what may be done: caisey story ID")
        for reason in dict.fromkeys(str(item["reason"]) for item in items[:1] if item.get("reason")):
            run.terminal.say(f"First: {reason}")


def _nothing(now_ms: int, *, aside: bool) -> str:
    return "Nothing is put aside." if aside else f"Nothing needs you. As of {_now(now_ms)}."


def _where(item: dict[str, Any]) -> str:
    """The id that `caisey story` or `caisey endpoints show` takes."""
    return str(item.get("prompt_id") or item.get("tool_call_id") or item.get("endpoint_id") or "")


def _now(now_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(now_ms / 1000, UTC).astimezone().strftime("%H:%M:%S")
