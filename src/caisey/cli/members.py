"""`caisey members`: who belongs to the organization, and in which role."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from caisey.cli.command import ApiCommand, begin, group
from caisey.cli.faults import UsageFault
from caisey.cli.terminal import Column
from caisey.cli.tokens import Groups, groups_words

app = group("Who belongs to the organization, in which role.")

MemberId = Annotated[str, typer.Argument(metavar="MEMBER", help="Their id: usr_….")]


@app.command("list", cls=ApiCommand)
def list_members(ctx: typer.Context) -> None:
    """The members, by name."""
    run = begin(ctx)
    items = list(run.api.items("/members"))
    if run.json:
        run.terminal.json({"items": items})
        return
    rows = [
        (item["id"], str(item.get("name") or ""), str(item.get("email") or ""), item["role"], groups_words(item))
        for item in items
    ]
    columns = [Column("MEMBER", keep=True), Column("NAME"), Column("ADDRESS"), Column("ROLE"), Column("CLIENT GROUPS")]
    run.terminal.table(columns, rows, empty="No members.")


@app.command("add", cls=ApiCommand)
def add(
    ctx: typer.Context,
    email: Annotated[str, typer.Argument(metavar="ADDRESS", help="Their e-mail address.")],
    *,
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="owner, admin, technician, approver or viewer.")],
    name: Annotated[str, typer.Option("--name", help="How others read them.")] = "",
    client_group: Groups = None,
) -> None:
    """Add a member."""
    run = begin(ctx)
    body = {"email": email, "role": role, "name": name, "client_group_ids": client_group}
    member = run.api.post("/members", body)
    run.done(member, f"Added: {member['id']}.")


@app.command("edit", cls=ApiCommand)
def edit(
    ctx: typer.Context,
    member: MemberId,
    *,
    role: Annotated[str | None, typer.Option("--role", metavar="ROLE", help="A new role.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
    client_group: Groups = None,
    all_groups: Annotated[bool, typer.Option("--all-groups", help="Every client group.")] = False,
) -> None:
    """Change a member's role, name or client groups."""
    run = begin(ctx)
    if client_group and all_groups:
        raise UsageFault("--group and --all-groups exclude each other")
    body: dict[str, Any] = {name: value for name, value in (("role", role), ("name", name)) if value is not None}
    if client_group or all_groups:
        body["client_group_ids"] = client_group
    if not body:
        raise UsageFault("Nothing is to be changed", hint="Use --role, --name, --group or --all-groups.")
    run.done(run.api.patch(f"/members/{member}", body), "Changed.")


@app.command("remove", cls=ApiCommand)
def remove(ctx: typer.Context, member: MemberId) -> None:
    """Remove a member. Streams that they opened close within 5 s."""
    run = begin(ctx)
    run.api.delete(f"/members/{member}")
    run.done({"id": member, "removed": True}, "Removed.")
