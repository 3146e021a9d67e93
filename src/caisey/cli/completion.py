"""`caisey completion`: the script that teaches a shell the commands, the options, and the names of computers."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from caisey.cli.command import LocalCommand, begin, single
from caisey.cli.faults import UsageFault

app = single()

SHELLS = ("bash", "zsh", "fish", "powershell")


@app.command("completion", cls=LocalCommand)
def completion(
    ctx: typer.Context,
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh, fish or powershell.")],
) -> None:
    """Print the completion script for a shell.

    bash, in ~/.bashrc: eval "$(caisey completion bash)"

    zsh, in ~/.zshrc: eval "$(caisey completion zsh)"

    fish: caisey completion fish > ~/.config/fish/completions/caisey.fish

    PowerShell, in $PROFILE: caisey completion powershell | Out-String | Invoke-Expression
    """
    begin(ctx)
    if shell not in SHELLS:
        raise UsageFault(f"{shell!r} is no shell that is known here", hint=f"One of {', '.join(SHELLS)}.")
    # The program writes the script itself when this variable asks for it; the script sets it to ask for completions.
    os.environ["_CAISEY_COMPLETE"] = f"source_{shell}"
    root: Any = ctx.find_root().command
    root.main(args=[], prog_name="caisey")
