"""`caisey tools`: what computers can be asked for, with the arguments and what each may change."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from caisey.cli.calls import EFFECT_WORDS
from caisey.cli.command import ApiCommand, begin, group
from caisey.cli.faults import CliFault
from caisey.cli.safe_text import safe_json
from caisey.cli.terminal import Column

app = group("The tools, their arguments and what each may change.")

Document = dict[str, Any]


@app.command("list", cls=ApiCommand)
def list_tools(ctx: typer.Context) -> None:
    """Every tool, one line each."""
    run = begin(ctx)
    items = list(run.api.items("/tools"))
    if run.json:
        run.terminal.json({"items": items})
        return
    rows = [
        (item["name"], str(item["version"]), effect_of(item), ", ".join(item.get("platforms") or []), _arguments(item))
        for item in items
    ]
    columns = [Column("TOOL", keep=True), Column("VERSION"), Column("EFFECT"), Column("PLATFORMS"), Column("ARGUMENTS")]
    run.terminal.table(columns, rows, empty="No tools.")


@app.command("show", cls=ApiCommand)
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="TOOL")],
    version: Annotated[int | None, typer.Argument(metavar="[VERSION]", help="Else the newest.")] = None,
) -> None:
    """One tool with its schemas and an example."""
    run = begin(ctx)
    if version is None:
        versions = [int(item["version"]) for item in run.api.items("/tools") if item["name"] == name]
        if not versions:
            raise CliFault(f"There is no tool {name}", hint="`caisey tools` lists them.", code="resource.not_found")
        version = max(versions)
    tool = run.api.get(f"/tools/{name}/{version}")
    if run.json:
        run.terminal.json(tool)
        return
    platforms = ", ".join(tool.get("platforms") or [])
    run.terminal.fields([("tool", f"{name} version {version}"), ("effect", effect_of(tool)), ("platforms", platforms)])
    run.terminal.print()
    run.terminal.print(f"caisey prompt COMPUTER --tool {name} {_example(tool)}".rstrip())
    for title, schema in (("Arguments", tool.get("arguments_schema")), ("Result", tool.get("result_schema"))):
        run.terminal.print()
        run.terminal.print(f"{title}:" if schema else f"{title}: none; its output is the answer.")
        if schema:
            run.terminal.write_text(safe_json(schema, indent=2) + "\n")


def effect_of(tool: Document) -> str:
    """What a call of it may do, in words."""
    if tool.get("effect_by_call"):
        return "said with each call, else may change things"
    return EFFECT_WORDS.get(str(tool.get("effect")), "depends on its arguments")


def _arguments(tool: Document) -> str:
    """Names of the arguments; those that may be left out in brackets."""
    schema = tool.get("arguments_schema") or {}
    required = schema.get("required") or []
    return " ".join(name if name in required else f"[{name}]" for name in schema.get("properties") or {})


def _example(tool: Document) -> str:
    schema = tool.get("arguments_schema") or {}
    properties = schema.get("properties") or {}
    words = []
    for name in schema.get("required") or []:
        schema_of = properties.get(name) or {}
        choices = schema_of.get("enum") or []
        text = schema_of.get("type") == "string" or (bool(choices) and all(isinstance(one, str) for one in choices))
        words.append(f"--arg {name}=TEXT" if text else f"--arg {name}:=JSON")
    return " ".join(words)
