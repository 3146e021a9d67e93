"""`caisey policy`: what happens by itself, and when a person is asked (RECOVERY.md §6).

Owns the spelling `field=value` and the choice of the level. A level holds only the fields that it sets; `unset` gives
one back to the level above. What a field means and may hold is the control plane's to say.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from caisey.cli.command import ApiCommand, Run, begin, group
from caisey.cli.completing import complete_endpoint
from caisey.cli.faults import UsageFault
from caisey.cli.spans import parse_span
from caisey.cli.terminal import Column

app = group("What happens by itself, and when a person is asked.", lists=False)

Document = dict[str, Any]
Group = Annotated[str | None, typer.Option("--group", metavar="ID", help="Of this client group.")]
Tag = Annotated[str | None, typer.Option("--tag", help="Of computers with this tag.")]
Computer = Annotated[
    str | None, typer.Option("--computer", metavar="NAME", help="Of this computer.", autocompletion=complete_endpoint)
]


@app.command("show", cls=ApiCommand)
def show(ctx: typer.Context, *, client_group: Group = None, tag: Tag = None, computer: Computer = None) -> None:
    """The fields that one level sets: the organization's, or that of a client group, tag or computer."""
    run = begin(ctx)
    fields = run.api.get(_path(run, client_group, tag, computer))
    if run.json:
        run.terminal.json(fields)
        return
    rows = [(name, _value(name, value)) for name, value in fields.items()]
    run.terminal.table([Column("FIELD", keep=True), Column("VALUE")], rows, empty="This level sets nothing by itself.")


@app.command("set", cls=ApiCommand)
def set_fields(
    ctx: typer.Context,
    fields: Annotated[
        list[str], typer.Argument(metavar="FIELD=VALUE...", help="Like ack_window_s=20s or max_automatic=1.")
    ],
    *,
    client_group: Group = None,
    tag: Tag = None,
    computer: Computer = None,
) -> None:
    """Set fields of one level; the others of that level stay. FIELD= (without a value) unsets one.

    caisey policy set --group grp_… hold_expiry_s=4h automatic_for=read_only,idempotent
    """
    run = begin(ctx)
    given = [_field(text) for text in fields]
    path = _path(run, client_group, tag, computer)
    wanted = dict(run.api.get(path))
    for name, value in given:
        if value is _UNSET:
            wanted.pop(name, None)
        else:
            wanted[name] = value
    run.done(run.api.put(path, wanted), "Set.")


@app.command("effective", cls=ApiCommand)
def effective(
    ctx: typer.Context,
    computer: Annotated[
        str, typer.Argument(metavar="COMPUTER", help="Its name or id.", autocompletion=complete_endpoint)
    ],
) -> None:
    """What holds for one computer, and for each field where it comes from."""
    from caisey.cli import subject

    run = begin(ctx)
    endpoint_id = subject.endpoint(run.api, computer)["id"]
    fields = run.api.get("/policies/effective", endpoint=endpoint_id)
    if run.json:
        run.terminal.json(fields)
        return
    rows = []
    for name, field in fields.items():
        value, origin = (field.get("value"), field.get("from")) if isinstance(field, dict) else (field, "")
        rows.append((name, _value(name, value), str(origin or "").replace("_", " ")))
    run.terminal.table([Column("FIELD", keep=True), Column("VALUE"), Column("FROM")], rows, empty="No fields.")


def _path(run: Run, client_group: str | None, tag: str | None, computer: str | None) -> str:
    if sum(level is not None for level in (client_group, tag, computer)) > 1:
        raise UsageFault("--group, --tag and --computer exclude each other")
    if client_group is not None:
        return f"/client-groups/{client_group}/policy"
    if tag is not None:
        from urllib.parse import quote

        return f"/tags/{quote(tag, safe='')}/policy"
    if computer is not None:
        from caisey.cli import subject

        return f"/endpoints/{subject.endpoint(run.api, computer)['id']}/policy"
    return "/policy"


_UNSET = object()


def _field(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UsageFault(f"{text!r} is no field with a value", hint="Write FIELD=VALUE.")
    return name, _parsed(name, value) if value else _UNSET


def _parsed(name: str, text: str) -> Any:
    """Spans for `…_s`, lists for `automatic_for`, JSON for numbers and null, text otherwise."""
    if name.endswith("_s"):
        try:
            return parse_span(text) / 1000
        except ValueError as error:
            raise UsageFault(f"{name}: {error}") from error
    if name == "automatic_for":
        return [] if text == "nothing" else text.split(",")
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if value is None or isinstance(value, int | float) else text


def _value(name: str, value: Any) -> str:
    from caisey.cli.spans import size, span

    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nothing"
    if isinstance(value, int | float) and name.endswith("_s"):
        return span(value * 1000)
    if isinstance(value, int) and name.endswith("_bytes"):
        return size(value)
    return "" if value is None else str(value)
