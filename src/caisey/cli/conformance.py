"""`caisey conformance`: the failure matrix against a control plane, and PROTOCOL.md against somebody's runtime.

Owns the command lines, the control plane that `--local` starts, and how a run is shown. What is specified and how it is
played is `caisey.conformance`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caisey.cli import machine
from caisey.cli.command import ApiCommand, Group, LocalCommand, Run, asked, begin
from caisey.cli.exit_codes import FAULT
from caisey.cli.faults import CliFault, Unreachable, UsageFault
from caisey.cli.local import administer
from caisey.cli.profiles import Target, is_loopback, resolve
from caisey.cli.terminal import Column

if TYPE_CHECKING:
    from caisey.conformance.form import Cell
    from caisey.conformance.report import Line

MATRIX = "matrix"


class MatrixGroup(Group):
    """The matrix is what is meant where no command is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `matrix` where no command stands."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [MATRIX, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    cls=MatrixGroup,
    help="Play every failure against a control plane, or test a runtime of your own.",
)


@app.callback()
def conformance() -> None:
    """The commands of the group."""


@app.command(MATRIX, cls=ApiCommand)
def matrix(
    ctx: typer.Context,
    *,
    local: Annotated[
        bool, typer.Option("--local", help="Against a control plane of its own, started for this and ended after it.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="TEXT", help="Only rows whose group, name or effect holds this; repeat for more."
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="The matrix as a page.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="The matrix as docs/failure-matrix.md.")
    ] = None,
    slack: Annotated[
        float, typer.Option("--slack", metavar="SECONDS", help="How much later than its window a thing may be known.")
    ] = 0.5,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the test's computers and sessions there.")] = False,
) -> None:
    """Play the published failure matrix, and compare each cell with what is specified.

    It enrolls practice computers into a client group of its own, `Conformance test`, which has short windows and no
    other computer, stalls them in every way there is, and removes them. It takes an admin's token and a minute. With
    --local the control plane is killed as well.
    The exit code is 1 if any cell is not as specified.

    caisey conformance --local
    """
    run = begin(ctx)
    if slack < 0:
        raise UsageFault("--slack is at least 0")
    with (
        tempfile.TemporaryDirectory(prefix="caisey-conformance-") as name,
        _plane(run, ctx, local, Path(name)) as plane,
    ):
        playing = _play(run, plane, directory=Path(name), only=tuple(only or ()), slack_s=slack, keep=keep)
        outcome = asyncio.run(playing)
    _write(run, outcome, html, markdown)
    raise typer.Exit(FAULT if outcome["document"]["cells_not_as_specified"] else 0)


@dataclass
class Plane:
    """What is tested. `child`: the control plane that `--local` started, which may be killed."""

    target: Target
    child: machine.Child | None = None

    def restart(self) -> None:
        """`kill -9`, and the same again on the same data. Blocking."""
        if self.child is None:
            raise LookupError("this control plane is not ours to kill")
        self.child.kill()
        self.child = self.child.again()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        if self.child is not None:
            url = self.target.url
            machine.wait_until(lambda: machine.is_ready(url), "The start of the control plane", self.child)


@contextlib.contextmanager
def _plane(run: Run, ctx: typer.Context, local: bool, directory: Path) -> Iterator[Plane]:
    """The control plane that is asked for; with `local` one of its own for as long as the block lasts."""
    given = asked(ctx)
    if not local:
        yield Plane(
            resolve(
                os.environ, url=given.url, token_file=given.token_file, profile=given.profile,
                insecure_http=given.insecure_http,
            )
        )  # fmt: skip
        return
    from caisey import wiring

    if given.url or given.profile or given.token_file:
        raise UsageFault("--local starts a control plane of its own", hint="Leave --url, --profile, --token-file out.")
    with contextlib.closing(socket.socket()) as probe:  # free now; runtimes keep the address
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    data_dir = directory / "control-plane"
    run.terminal.say(f"Starting a control plane at http://{listen}.", "wait")
    child = machine.Child("control plane", machine.serve_words(data_dir, listen), directory / "control-plane.log")
    plane = Plane(Target(f"http://{listen}", ""), child)
    try:
        plane.wait_until_ready()
        made = administer(data_dir, wiring.create_token, "default", "owner")
        plane.target = Target(plane.target.url, str(made["token"]))
        yield plane
    finally:
        if plane.child is not None:
            plane.child.stop()


# -- the matrix -------------------------------------------------------------------------------------------------------


async def _play(
    run: Run, plane: Plane, *, directory: Path, only: tuple[str, ...], slack_s: float, keep: bool
) -> dict[str, Any]:
    import httpx

    from caisey import __version__
    from caisey.conformance import report
    from caisey.conformance.client import Client
    from caisey.conformance.run import play_all, selected
    from caisey.conformance.stage import Stage, StageError
    from caisey.conformance.stalls import STALLS

    ours = plane.child is not None
    cells = [(stall, effect) for stall, effect in selected(STALLS, only) if ours or not stall.restarts]
    if not cells:
        raise UsageFault(f"No row has {' or '.join(only)} in its name", hint="Leave --only out. Some take --local.")
    to = plane.target
    client = Client(to.url, to.token, trust_env=not is_loopback(to.url))

    async def restart() -> None:
        await asyncio.to_thread(plane.restart)

    stage = Stage(
        client, directory / "computers", keep=keep, insecure_http=run.asked.insecure_http,
        restart=restart if ours else None,
    )  # fmt: skip
    show = _Show(run, [(stall.group, stall.name) for stall, _ in cells])
    began = datetime.now(UTC)
    try:
        async with stage:
            played = await play_all(stage, cells, show.told, slack_s)
    except StageError as error:
        raise CliFault(
            "The control plane cannot be tested as things are", hint=str(error), code="cli.no_stage"
        ) from error
    except httpx.TransportError as error:
        raise Unreachable(to.url, f"{type(error).__name__}: {error}") from error
    finally:
        await client.close()
        run.terminal.clear_status()
    document = report.document(
        played, control_plane=to.url, at=began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        version=__version__, slack_s=slack_s, left=stage.left,
    )  # fmt: skip
    return {"document": document, "lines": report.measured(played)}


class _Show:
    """A run on the terminal: a line that is renewed, and each group's table once its last cell is in."""

    def __init__(self, run: Run, cells: list[tuple[str, str]]) -> None:
        self._run = run
        self._total = len(cells)
        self._left = {group: sum(1 for other, _ in cells if other == group) for group, _ in cells}
        self._cells: dict[str, list[Cell]] = {}
        self._wrong = 0

    def told(self, cell: Cell) -> None:
        """One more cell."""
        group = cell.stall.group
        self._cells.setdefault(group, []).append(cell)
        self._left[group] -= 1
        self._wrong += not cell.ok
        terminal = self._run.terminal
        for difference in cell.differences:
            said = f"{cell.name}: {difference.column}: expected {difference.expected}, found {difference.found}"
            terminal.say(said, "alarm")
        played = sum(map(len, self._cells.values()))
        wrong = f", {self._wrong} not as specified" if self._wrong else ""
        terminal.status(f"{played} of {self._total} cells{wrong} · {cell.name}", f"{played} of {self._total}{wrong}")
        if not self._left[group] and not self._run.json:
            self._table(group)

    def _table(self, group: str) -> None:
        from caisey.conformance import report
        from caisey.conformance.stalls import STALLS

        order = {stall.name: place for place, stall in enumerate(STALLS)}
        cells = sorted(self._cells[group], key=lambda cell: order[cell.stall.name])
        terminal = self._run.terminal
        terminal.clear_status()
        terminal.print(f"\n{group}", "bold")
        columns = [
            Column("", keep=True), Column("WHAT GOES WRONG"), Column("EFFECT"), Column("DETECTED AS"), Column("RAN"),
            Column("KNOWN AFTER"), Column("BY ITSELF"), Column("THEN"), Column("OFFERED"),
        ]  # fmt: skip
        terminal.table(columns, [_row(line) for line in report.measured(cells)], empty="")


def _row(line: Line) -> list[str]:
    known = line.known if line.seconds == line.known else f"{line.seconds} ({line.known})"
    mark = "✓" if line.ok else "✗"
    return [mark, line.name, line.effects, line.detected, line.ran, known, line.by_itself, line.then, line.offered]


def _write(run: Run, outcome: dict[str, Any], html: Path | None, markdown: Path | None) -> None:
    from caisey.conformance import html as as_html
    from caisey.conformance import page as as_page

    document, lines = outcome["document"], outcome["lines"]
    try:
        if html is not None:
            html.write_text(as_html.page(lines, document), "utf-8")
        if markdown is not None:
            markdown.write_text(as_page.page(lines), "utf-8")
    except OSError as error:
        raise CliFault(f"{error.filename} cannot be written: {error.strerror}", code="cli.not_written") from error
    if run.json:
        run.terminal.json(document)
    played, wrong = document["cells_played"], document["cells_not_as_specified"]
    for left in document["left"]:
        run.terminal.say(f"Left behind: {left}", "ask")
    again = sum(cell["times_played"] > 1 for cell in document["cells"])
    if again:
        run.terminal.say(f"Played once more, alone: {again}. Beside the others they were not as specified.", "wait")
    if wrong:
        run.terminal.say(f"{wrong} of {played} cells are not as specified.", "alarm")
    else:
        run.terminal.say(f"All {played} cells are as specified.", "done")


# -- a runtime under test ---------------------------------------------------------------------------------------------


@app.command("runtime", cls=LocalCommand)
def runtime(
    ctx: typer.Context,
    *,
    enroll: Annotated[
        str, typer.Option("--enroll", metavar="COMMAND", help="Enrolls the runtime, and ends. Without it: by hand.")
    ] = "",
    launch: Annotated[
        str, typer.Option("--launch", metavar="COMMAND", help="Runs it; killed and started again. Else: by hand.")
    ] = "",
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where the played control plane listens.")
    ] = "127.0.0.1:0",
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="TEXT", help="Only checks whose group or name holds this; repeat for more."),
    ] = None,
    within: Annotated[
        float, typer.Option("--within", metavar="SECONDS", help="How long a check waits for a frame.")
    ] = 10.0,
) -> None:
    """Test a runtime of your own against PROTOCOL.md.

    It plays a control plane: it lets your runtime enroll, shakes hands, sends work, lies, breaks connections, kills it,
    and checks what comes back. Commands are split into words and started without a shell; in each word {url}, {token}
    and {state_dir} are filled in. The exit code is 1 if any check fails. Run it on the machine of the runtime.

    caisey conformance runtime --enroll 'my-runtime enroll {url} {token} {state_dir}' --launch 'my-runtime run
    {state_dir}'
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageFault(f"{listen!r} is no HOST:PORT")
    if within <= 0:
        raise UsageFault("--within is above 0")
    from caisey.cli.under_test import Plan, check

    plan = Plan(host.strip("[]"), int(port), enroll, launch, tuple(only or ()), within)
    raise typer.Exit(check(begin(ctx), plan))
