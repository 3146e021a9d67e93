"""`caisey transcript`: a session from its first line to its last.

Owns where it is written. A terminal gets it made visible; a file or a pipe gets the bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caisey.cli.command import ApiCommand, begin, single
from caisey.cli.completing import complete_session
from caisey.cli.faults import CliFault, UsageFault

app = single()

FORMATS = ("markdown", "json", "html")


@app.command("transcript", cls=ApiCommand)
def transcript(
    ctx: typer.Context,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="Its id: ses_….", autocompletion=complete_session)],
    *,
    form: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="markdown (default), json or html.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there instead of stdout.")
    ] = None,
) -> None:
    """A session from its first line to its last."""
    from caisey.cli.safe_text import VisibleStream

    run = begin(ctx)
    chosen = form or ("json" if run.json else "markdown")
    if chosen not in FORMATS:
        raise UsageFault(f"{chosen!r} is no format", hint=f"One of {', '.join(FORMATS)}.")
    data = b"".join(run.api.text(f"/sessions/{session}/transcript", format=chosen))
    if output is not None:
        try:
            output.write_bytes(data)
        except OSError as error:
            raise CliFault(f"{output} cannot be written: {error.strerror or error}") from error
        run.terminal.say(f"Written to {output}.", "done")
    elif run.terminal.stdout_is_terminal:
        visible = VisibleStream()
        run.terminal.write_text(visible.feed(data) + visible.finish())
    else:
        run.terminal.write_bytes(data)
