"""`caisey shapes`: malformed calls, results and frames, counted by shape, with the likelier cause (RECOVERY.md §8)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from caisey.cli.command import ApiCommand, begin, single
from caisey.cli.faults import UsageFault, fault_line

app = single()

Document = dict[str, Any]
From = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Since then, like 2026-11-22; else the last 30 days.")
]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Until then.")]
Most = Annotated[int, typer.Option("--most", metavar="N", min=1, help="At most so many groups.")]


@app.command("shapes", cls=ApiCommand)
def shapes(
    ctx: typer.Context,
    *,
    since: From = None,
    until: To = None,
    group_by: Annotated[
        str | None,
        typer.Option("--by", metavar="WHAT", help="fingerprint, tool, endpoint, runtime_version or client_group."),
    ] = None,
    most: Most = 50,
) -> None:
    """Malformed calls, results and frames, counted by shape.

    Each with the likelier cause: the tool's definition, or one computer.
    """
    run = begin(ctx)
    query = {"from": moment(since), "to": moment(until), "group_by": group_by}
    items = list(run.api.items("/reports/shapes", most=most, **query))
    if run.json:
        run.terminal.json({"items": items})
        return
    for item in items:
        run.terminal.print(_head(item))
        if item.get("why"):
            run.terminal.print(f"  likelier cause: {str(item.get('likelier_cause')).replace('_', ' ')}. {item['why']}")
        for shape in item.get("shapes") or []:
            for fault in shape.get("errors") or []:
                run.terminal.print(f"  {fault_line(fault)}")
    if not items:
        run.terminal.say("No malformed calls, results or frames.", "done")


def _head(item: Document) -> str:
    tools, computers = ", ".join(item.get("tools") or []), item.get("endpoints")
    parts = [
        f"{item.get('count')} times",
        group_words(item),
        tools,
        f"on {computers} computer{'s' if computers != 1 else ''}" if computers is not None else "",
    ]
    return "  ".join(dict.fromkeys(part for part in parts if part))


def group_words(item: Document) -> str:
    """By what a line of a report was counted."""
    group = item.get("group")
    return " ".join(str(value) for value in group.values() if value) if isinstance(group, dict) else str(group or "")


def moment(text: str | None) -> str | None:
    """A day or a time as the API takes it (RFC 3339, UTC); a time without a zone is the reader's own."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageFault(f"{text!r} is no time", hint="Write 2026-11-22 or 2026-11-22T14:06.") from error
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
