"""`caisey shapes`: malformed calls, results and frames, counted by shape, with the likelier cause (RECOVERY.md §8)."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from caisey.cli.command import ApiCommand, begin, single
from caisey.cli.faults import fault_line
from caisey.cli.terminal import Column

app = single()

Document = dict[str, Any]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Since then: 2026-11-22 or a full time.")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Until then.")]


@app.command("shapes", cls=ApiCommand)
def shapes(
    ctx: typer.Context,
    *,
    since: From = None,
    until: To = None,
    group_by: Annotated[
        str | None,
        typer.Option("--by", metavar="WHAT", help="tool, endpoint, runtime_version or client_group."),
    ] = None,
) -> None:
    """Malformed calls, results and frames, counted by shape, with the likelier cause."""
    run = begin(ctx)
    report = run.api.get("/reports/shapes", **{"from": moment(since), "to": moment(until), "group_by": group_by})
    if run.json:
        run.terminal.json(report)
        return
    items = rows_of(report)
    if not items:
        run.terminal.say("No malformed calls, results or frames.", "done")
        return
    for item in items:
        run.terminal.print(_head(item))
        for fault in item.get("errors") or item.get("faults") or []:
            run.terminal.print(f"  {fault_line(fault)}")
        if item.get("cause") or item.get("likely_cause"):
            run.terminal.print(f"  likelier cause: {_cause(item)}")


def _head(item: Document) -> str:
    known = [
        f"{item.get('count', '?')} times",
        *(str(item[name]) for name in ("kind", "subject", "tool", "group", "code") if item.get(name)),
        f"on {item['endpoints']} computers" if isinstance(item.get("endpoints"), int) else "",
        f"({item['fingerprint']})" if item.get("fingerprint") else "",
    ]
    return "  ".join(part for part in known if part)


def _cause(item: Document) -> str:
    cause = item.get("cause") or item.get("likely_cause")
    if isinstance(cause, dict):
        return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in cause.items())
    return str(cause).replace("_", " ")


def rows_of(report: Any) -> list[Document]:
    """The list of a report, whatever stands around it."""
    if isinstance(report, list):
        return report
    for name in ("items", "shapes", "groups", "rows"):
        if isinstance(report.get(name), list):
            found: list[Document] = report[name]
            return found
    return []


def moment(text: str | None) -> str | None:
    """A day or a time as the API takes it (RFC 3339, UTC); a time without a zone is the reader's own."""
    from datetime import UTC, datetime

    from caisey.cli.faults import UsageFault

    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageFault(f"{text!r} is no time", hint="Write 2026-11-22 or 2026-11-22T14:06.") from error
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def table_of(items: list[Document]) -> tuple[list[Column], list[list[str]]]:
    """Columns and rows of a report whose fields are what they are."""
    names = list(dict.fromkeys(name for item in items for name, value in item.items() if not isinstance(value, list)))
    rows = [[_cell(item.get(name)) for name in names] for item in items]
    return [Column(name.replace("_", " ").upper()) for name in names], rows


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
