"""`caisey tokens`: API tokens.

Owns the two ways in which one is made: by the API, and, with `--data-dir`, on the control plane's own machine, where
no login is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from caisey.cli.command import ApiCommand, begin, group
from caisey.cli.faults import UsageFault
from caisey.cli.local import administer
from caisey.cli.prompt import span_of
from caisey.cli.terminal import Column

app = group("API tokens.")

ROLES = ("owner", "admin", "technician", "approver", "viewer")
GROUP_ROLES = ("admin", "technician", "approver", "viewer", "none")
Groups = Annotated[
    list[str] | None, typer.Option("--group", metavar="ID", help="Only these client groups; repeat it for more.")
]

GroupRoles = Annotated[
    list[str] | None,
    typer.Option(
        "--group-role",
        metavar="ID=ROLE",
        help="Another role in this client group, or `none`; repeat it for more.",
    ),
]


@app.command("list", cls=ApiCommand)
def list_tokens(ctx: typer.Context) -> None:
    """The tokens, newest first. None of them is shown."""
    from caisey.cli import spans

    run = begin(ctx)
    items = list(run.api.items("/tokens"))
    if run.json:
        run.terminal.json({"items": items})
        return
    rows = [
        (
            item["id"],
            str(item.get("name") or ""),
            item["role"],
            groups_words(item),
            spans.ago(item.get("expires_at"), run.api.now_ms()) or "never",
        )
        for item in items
    ]
    columns = [Column("TOKEN", keep=True), Column("NAME"), Column("ROLE"), Column("CLIENT GROUPS"), Column("ENDS")]
    run.terminal.table(columns, rows, empty="No tokens.")


@app.command("create", cls=ApiCommand)
def create(
    ctx: typer.Context,
    *,
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help=f"One of {', '.join(ROLES)}.")],
    name: Annotated[str, typer.Option("--name", help="What it is for.")] = "",
    client_group: Groups = None,
    group_role: GroupRoles = None,
    expires_in: Annotated[
        str | None, typer.Option("--expires-in", metavar="TIME", help="It ends after this long, like 30d.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help="On the control plane's machine: no login needed.")
    ] = None,
    organization: Annotated[
        str, typer.Option("--organization", metavar="NAME", help="With --data-dir: of this organization.")
    ] = "default",
) -> None:
    """Make a token. It is shown once, here."""
    run = begin(ctx)
    if role not in ROLES:
        raise UsageFault(f"{role!r} is no role", hint=f"One of {', '.join(ROLES)}.")
    expires_in_s = None if expires_in is None else span_of(expires_in, "--expires-in") / 1000
    named = named_roles(group_role)
    if data_dir is not None:
        if named:
            raise UsageFault("--group-role and --data-dir exclude each other")
        from caisey import wiring

        made = administer(
            data_dir,
            wiring.create_token,
            organization,
            role,
            name=name,
            client_group_ids=tuple(client_group) if client_group else None,
            expires_in_s=expires_in_s,
        )
    else:
        body: dict[str, Any] = {"role": role, "name": name, "client_group_ids": client_group}
        body |= {"group_roles": named} if named else {}
        made = run.api.post("/tokens", body | ({} if expires_in_s is None else {"expires_in_s": expires_in_s}))
    if run.json:
        run.terminal.json(made)
        return
    run.terminal.print(str(made["token"]))
    run.terminal.say("Keep it now: it is not shown again.", "ask")


@app.command("revoke", cls=ApiCommand)
def revoke(ctx: typer.Context, token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id: tok_….")]) -> None:
    """End a token. Streams that it opened close within 5 s."""
    run = begin(ctx)
    run.api.delete(f"/tokens/{token}")
    run.done({"id": token, "revoked": True}, "Revoked.")


def groups_words(item: dict[str, Any]) -> str:
    """Which client groups something reaches, and in which of them with another role."""
    groups = item.get("client_group_ids", item.get("client_groups"))
    reached = "all" if groups is None else ", ".join(map(str, groups)) or "none"
    named = (f"{one['client_group_id']}={one['role']}" for one in item.get("group_roles") or ())
    return "; ".join((reached, *named))


def named_roles(given: list[str] | None) -> list[dict[str, str]]:
    """From `--group-role ID=ROLE`."""
    named = []
    for one in given or ():
        group, found, role = one.partition("=")
        if not (group and found) or role not in GROUP_ROLES:
            raise UsageFault(f"{one!r} is not ID=ROLE", hint=f"ROLE is one of {', '.join(GROUP_ROLES)}.")
        named.append({"client_group_id": group, "role": role})
    return named
