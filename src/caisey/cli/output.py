"""`caisey output`: the bytes of a step as they came, also of partial and malformed answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caisey.cli.command import ApiCommand, begin, single
from caisey.cli.faults import CliFault, UsageFault
from caisey.cli.safe_text import VisibleStream

app = single()


@app.command("output", cls=ApiCommand)
def output(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="PROMPT|CALL", help="A step (tcl_…), or a request (pmt_…).")],
    *,
    step: Annotated[int | None, typer.Option("--step", metavar="N", min=1, help="Which step of the request.")] = None,
    attempt: Annotated[
        int | None, typer.Option("--try", metavar="N", min=1, help="Which try; else the newest.")
    ] = None,
    stream: Annotated[str, typer.Option("--stream", metavar="NAME", help="stdout, stderr or result.")] = "stdout",
    offset: Annotated[int, typer.Option("--offset", metavar="N", min=0, help="From this byte on.")] = 0,
    raw: Annotated[bool, typer.Option("--raw", help="Write the bytes as they are, also to a terminal.")] = False,
    file: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write them there.")] = None,
) -> None:
    """The bytes of a step as they came.

    They go up to the next gap; --offset goes on behind it. A file gets them exactly; a terminal and a pipe get them
    made visible, unless --raw.
    """
    from caisey.cli import subject

    run = begin(ctx)
    call_id = what
    if not what.startswith("tcl_"):
        found = subject.subject(run.api, what, step=step)
        calls = [found.call] if found.call else found.prompt["tool_calls"]
        if len(calls) != 1:
            raise UsageFault(f"The request has {len(calls)} steps", hint="Name one with --step.")
        call_id = calls[0]["id"]
    data = run.api.text(f"/tool-calls/{call_id}/output", attempt=attempt, stream=stream, offset=offset)
    if file is not None:
        try:
            size = file.write_bytes(b"".join(data))
        except OSError as error:
            raise CliFault(f"{file} cannot be written: {error.strerror or error}") from error
        run.terminal.say(f"{size} bytes written to {file}.", "done")
        return
    visible = VisibleStream()
    for piece in data:
        if raw:
            run.terminal.write_bytes(piece)
        else:
            run.terminal.write_text(visible.feed(piece))
    run.terminal.write_text(visible.finish())
