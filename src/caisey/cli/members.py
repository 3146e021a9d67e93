"""`caisey members`: who belongs to the organization, in which role, and how they get in.

Owns the two ways in which a one-time link is made: by the API for a member, and, with `--data-dir`, on the control
plane's own machine for an owner, where no login is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from caisey.cli.command import ApiCommand, LocalCommand, begin, group
from caisey.cli.faults import UsageFault
from caisey.cli.local import administer
from caisey.cli.terminal import Column
from caisey.cli.tokens import GroupRoles, Groups, groups_words, named_roles

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
        (
            item["id"],
            str(item.get("name") or ""),
            str(item.get("email") or ""),
            item["role"],
            groups_words(item),
            _signs_in(item),
        )
        for item in items
    ]
    columns = [
        Column("MEMBER", keep=True),
        Column("NAME"),
        Column("ADDRESS"),
        Column("ROLE"),
        Column("CLIENT GROUPS"),
        Column("SIGNS IN"),
    ]
    run.terminal.table(columns, rows, empty="No members.")


def _signs_in(item: dict[str, Any]) -> str:
    """How, if at all."""
    if not item.get("can_sign_in"):
        return "not yet"
    return "password and code" if item.get("second_factor") else "password"


@app.command("add", cls=ApiCommand)
def add(
    ctx: typer.Context,
    email: Annotated[str, typer.Argument(metavar="ADDRESS", help="Their e-mail address.")],
    *,
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="owner, admin, technician, approver or viewer.")],
    name: Annotated[str, typer.Option("--name", help="How others read them.")] = "",
    client_group: Groups = None,
    group_role: GroupRoles = None,
) -> None:
    """Add a member."""
    run = begin(ctx)
    body: dict[str, Any] = {"email": email, "role": role, "name": name, "client_group_ids": client_group}
    if group_role:
        body["group_roles"] = named_roles(group_role)
    member = run.api.post("/members", body)
    run.done(member, f"Added: {member['id']}. Next: caisey members invite {member['id']}")


@app.command("edit", cls=ApiCommand)
def edit(
    ctx: typer.Context,
    member: MemberId,
    *,
    role: Annotated[str | None, typer.Option("--role", metavar="ROLE", help="A new role.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
    client_group: Groups = None,
    all_groups: Annotated[bool, typer.Option("--all-groups", help="Every client group.")] = False,
    group_role: GroupRoles = None,
    no_group_roles: Annotated[
        bool, typer.Option("--no-group-roles", help="The role in general counts in every client group.")
    ] = False,
) -> None:
    """Change a member's role, name, client groups or the roles in them. `--group-role` replaces all that were named."""
    run = begin(ctx)
    if group_role and no_group_roles:
        raise UsageFault("--group-role and --no-group-roles exclude each other")
    if client_group and all_groups:
        raise UsageFault("--group and --all-groups exclude each other")
    body: dict[str, Any] = {name: value for name, value in (("role", role), ("name", name)) if value is not None}
    if client_group or all_groups:
        body["client_group_ids"] = client_group
    if group_role or no_group_roles:
        body["group_roles"] = named_roles(group_role)
    if not body:
        raise UsageFault("Nothing is to be changed", hint="Use --role, --name, --group, --all-groups or --group-role.")
    run.done(run.api.patch(f"/members/{member}", body), "Changed.")


@app.command("remove", cls=ApiCommand)
def remove(ctx: typer.Context, member: MemberId) -> None:
    """Remove a member. Streams that they opened close within 5 s."""
    run = begin(ctx)
    run.api.delete(f"/members/{member}")
    run.done({"id": member, "removed": True}, "Removed.")


@app.command("invite", cls=ApiCommand)
def invite(
    ctx: typer.Context,
    member: MemberId,
    *,
    clear_second_factor: Annotated[
        bool, typer.Option("--clear-second-factor", help="Turn their second factor off too: the device is lost.")
    ] = False,
) -> None:
    """Make a one-time link by which a member chooses a password: an invitation, or a reset.

    It works once, within 24 h, and is shown once, here. A former one is over.
    """
    run = begin(ctx)
    made = run.api.post(f"/members/{member}/link", {"clear_second_factor": clear_second_factor})
    if run.json:
        run.terminal.json(made)
        return
    run.terminal.print(str(made["url"]))
    if str(made["url"]).startswith("/"):
        run.terminal.say("Put the console's address before it, or set `public_url`.")
    run.terminal.say("Give it to them in private: whoever opens it first chooses the password.", "ask")


@app.command("sign-out", cls=ApiCommand)
def sign_out(ctx: typer.Context, member: MemberId) -> None:
    """Sign every browser of a member out. They can sign in again."""
    run = begin(ctx)
    run.api.post(f"/members/{member}/sign-out")
    run.done({"id": member, "signed_out": True}, "Signed out everywhere.")


@app.command("set-up-link", cls=LocalCommand)
def set_up_link(
    ctx: typer.Context,
    *,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", metavar="DIR", envvar="CAISEY_DATA_DIR", help="The control plane's directory.")
    ],
    organization: Annotated[
        str, typer.Option("--organization", metavar="NAME", help="Of this organization.")
    ] = "default",
) -> None:
    """Make a one-time link that makes an owner, on the control plane's own machine.

    For the first run, and for when every owner is locked out. It works once, within 24 h.
    """
    from caisey import wiring

    run = begin(ctx)
    made = administer(data_dir, wiring.create_set_up_link, organization)
    if run.json:
        run.terminal.json(made)
        return
    run.terminal.print(f"{str(made['address'] or '').rstrip('/')}{made['path']}")
    if made["address"] is None:
        run.terminal.say("Put the console's address before it, once `caisey serve` runs.")
