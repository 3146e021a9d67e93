"""`caisey practice`: a practice computer in the foreground. What it plays is `caisey.practice`'s.

Owns the command line, and the way from Ctrl-C to a quiet end.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from caisey.cli.command import LocalCommand, Run, begin, single
from caisey.cli.faults import CliFault, Unreachable, UsageFault

app = single()

TOKEN_VARIABLE = "CAISEY_ENROLLMENT_TOKEN"  # noqa: S105  # the name of a variable, no secret


@app.command("practice", cls=LocalCommand)
def practice(
    ctx: typer.Context,
    *,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", metavar="DIR", help="Its key and journal; private to its owner.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="The control plane, to enroll it.")] = None,
    token: Annotated[
        str | None,
        typer.Option("--token", metavar="T|-", help=f"To enroll it; - reads stdin. Else {TOKEN_VARIABLE}."),
    ] = None,
    hostname: Annotated[str, typer.Option("--hostname", metavar="NAME", help="How it is called.")] = "practice",
    bridge: Annotated[str, typer.Option("--bridge", metavar="KIND", help="websocket or longpoll.")] = "websocket",
    insecure_http: Annotated[bool, typer.Option("--insecure-http", help="Allow http to another machine.")] = False,
    show_plays: Annotated[bool, typer.Option("--list", help="What it can play, and nothing else.")] = False,
) -> None:
    """Run a practice computer, which executes nothing and stalls as it is asked to.

    It is enrolled like any computer, and marked: tag and fact `practice`. Send it `practice: no reply`, `practice: die
    after start`, … in place of a command and see what is shown, what happens by itself, and what is offered.
    """
    run = begin(ctx)
    if show_plays:
        _show_plays(run)
        return
    if state_dir is None:
        raise UsageFault("No state directory", hint="Use --state-dir DIR.")
    if bridge not in ("websocket", "longpoll"):
        raise UsageFault(f"There is no bridge {bridge}", hint="Use websocket or longpoll.")
    text = sys.stdin.readline() if token == "-" else token or os.environ.get(TOKEN_VARIABLE, "")  # noqa: S105
    _enroll(run, state_dir, url=url, token=text.strip(), hostname=hostname, insecure_http=insecure_http)
    asyncio.run(_live(run, state_dir, bridge))


def _show_plays(run: Run) -> None:
    from caisey.practice.plays import PLAYS, PREFIX

    if run.json:
        run.terminal.json(
            [
                {"command": f"{PREFIX} {p.name}", "takes": p.takes, "default": p.default, "summary": p.summary}
                for p in PLAYS
            ]
        )
        return
    run.terminal.fields((f"{PREFIX} {p.name}" + (f" [{p.takes}]" if p.takes else ""), p.summary) for p in PLAYS)


def _enroll(run: Run, state_dir: Path, *, url: str | None, token: str, hostname: str, insecure_http: bool) -> None:
    """Enroll it, unless it is enrolled already."""
    from caisey.practice.identity import Home, PracticeError, enroll

    try:
        identity = Home(state_dir).identity()
        if identity is not None and identity.runtime_id:
            return
        if not token or url is None:
            raise UsageFault("It is not enrolled yet", hint=f"Use --url and --token -, or set {TOKEN_VARIABLE}.")
        identity = enroll(Home(state_dir), url, token, hostname=hostname, insecure_http=insecure_http)
    except PracticeError as error:
        if error.code == "enrollment.unreachable":
            raise Unreachable(url or "", error.hint) from error
        raise CliFault("The practice computer cannot be used", hint=error.hint, code=error.code) from error
    run.terminal.say(f"Enrolled as {identity.hostname} ({identity.endpoint_id}).", "done")


async def _live(run: Run, state_dir: Path, bridge: str) -> None:
    from caisey.practice.identity import Home, PracticeError
    from caisey.practice.runtime import Runtime

    try:
        runtime = Runtime(Home(state_dir), bridge="longpoll" if bridge == "longpoll" else "websocket")
    except PracticeError as error:
        raise CliFault("The practice computer cannot be used", hint=error.hint, code=error.code) from error
    loop = asyncio.get_running_loop()
    if os.name == "posix":
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, runtime.stop)
    life = asyncio.create_task(runtime.run())
    said = asyncio.create_task(runtime.connected())
    await asyncio.wait((life, said), return_when=asyncio.FIRST_COMPLETED)
    if said.done():
        run.terminal.say("Connected. It executes nothing. `caisey practice --list` says what it plays.", "done")
        run.terminal.say("Ctrl-C ends it.")
    await life
    said.cancel()
    if runtime.closed is not None and runtime.refused:
        raise CliFault(
            "The control plane wants no more of it", hint=runtime.closed.reason, code="practice.refused"
        ) from runtime.closed
