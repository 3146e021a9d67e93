"""`caisey runtime`: the runtime of this machine.

Owns the command lines; what they do is `caisey.runtime`'s. An endpoint without the command line's dependencies has the
same commands by `python -m caisey.runtime`, and `caisey runtime run` goes there directly (see `main`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from caisey.cli.command import LocalCommand, begin, group
from caisey.cli.faults import CliFault, Unreachable, UsageFault

app = group("The runtime of this machine: enroll, run, status, install.", lists=False)

TOKEN_VARIABLE = "CAISEY_ENROLLMENT_TOKEN"  # noqa: S105  # the name of a variable, no secret

StateDir = Annotated[
    Path, typer.Option("--state-dir", metavar="DIR", help="Its key, journal and spool; private to its owner.")
]
JournalDir = Annotated[
    Path | None,
    typer.Option(
        "--journal-dir", metavar="DIR", help="Journal and spool there; runtimes of one computer may share it."
    ),
]
Bridge = Annotated[str, typer.Option("--bridge", metavar="KIND", help="auto, websocket or longpoll.")]


@app.command("enroll", cls=LocalCommand)
def enroll(
    ctx: typer.Context,
    *,
    url: Annotated[str, typer.Option("--url", metavar="URL", help="The control plane's address.")],
    state_dir: StateDir,
    token: Annotated[
        str | None,
        typer.Option("--token", metavar="T|-", help=f"The enrollment token; - reads stdin. Else {TOKEN_VARIABLE}."),
    ] = None,
    journal_dir: JournalDir = None,
    insecure_http: Annotated[bool, typer.Option("--insecure-http", help="Allow http to another machine.")] = False,
) -> None:
    """Enroll this machine with a token, and print the runtime's id."""
    from caisey.runtime.enroll import EnrollmentError
    from caisey.runtime.enroll import enroll as do
    from caisey.runtime.state import StateError

    run = begin(ctx)
    text = sys.stdin.readline() if token == "-" else token or os.environ.get(TOKEN_VARIABLE, "")  # noqa: S105
    if not text.strip():
        raise UsageFault("No enrollment token", hint=f"Use --token -, or set {TOKEN_VARIABLE}.")
    try:
        enrolled = do(url, text.strip(), state_dir, journal_dir, insecure_http)
    except EnrollmentError as error:
        if error.code == "enrollment.unreachable":
            raise Unreachable(url, error.hint) from error
        raise CliFault("The runtime was not enrolled", hint=error.hint, code=error.code) from error
    except StateError as error:
        raise CliFault("The state directory cannot be used", hint=error.hint, code=error.code) from error
    if run.json:
        run.terminal.json(
            {
                "runtime_id": enrolled.runtime_id,
                "endpoint_id": enrolled.endpoint_id,
                "organization": enrolled.organization,
                "client_group": enrolled.client_group,
                "url": enrolled.url,
            }
        )
        return
    run.terminal.print(enrolled.runtime_id)
    run.terminal.say(f"Enrolled. Next: caisey runtime run --state-dir {state_dir}", "done")


@app.command("run", cls=LocalCommand)
def run_runtime(
    ctx: typer.Context, *, state_dir: StateDir, journal_dir: JournalDir = None, bridge: Bridge = "auto"
) -> None:
    """Run the runtime in the foreground. It logs to stderr; SIGTERM ends it, and what it started goes on."""
    from caisey.runtime.__main__ import main

    words = ["run", "--state-dir", str(state_dir), "--bridge", bridge]
    raise typer.Exit(main([*words, *(["--journal-dir", str(journal_dir)] if journal_dir else [])]))


@app.command("status", cls=LocalCommand)
def status(ctx: typer.Context, *, state_dir: StateDir) -> None:
    """What is known of the runtime from its files, running or not."""
    from caisey.runtime.assembly import status as read
    from caisey.runtime.state import StateError

    run = begin(ctx)
    try:
        known = read(state_dir)
    except StateError as error:
        raise CliFault("The state directory cannot be used", hint=error.hint, code=error.code) from error
    if run.json:
        run.terminal.json(known)
        return
    words = {True: "yes", False: "no", None: ""}
    run.terminal.fields((name.replace("_", " "), words.get(value, str(value))) for name, value in known.items())


@app.command("install", cls=LocalCommand)
def install(ctx: typer.Context, *, state_dir: StateDir, bridge: Bridge = "auto") -> None:
    """Install the runtime as a service of the system and start it."""
    from caisey.runtime.service import InstallError
    from caisey.runtime.service import install as do

    run = begin(ctx)
    try:
        where = do(state_dir, bridge)
    except InstallError as error:
        raise CliFault(
            f"The service was not installed: {error}",
            hint=f"By hand, under any supervisor: caisey runtime run --state-dir {state_dir}",
            code="runtime.not_installed",
        ) from error
    run.done({"path": str(where)}, f"Installed: {where}")
