"""`caisey serve`: the control plane in the foreground.

Owns the flags, which are the settings of `ServerSettings`, and the words when it cannot start.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from caisey.cli.command import LocalCommand, single
from caisey.cli.faults import CliFault, UsageFault

app = single()


@app.command("serve", cls=LocalCommand)
def serve(
    ctx: typer.Context,
    *,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", metavar="DIR", help="Everything it keeps.")] = None,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Where it answers. [default: 127.0.0.1:8700]")
    ] = None,
    public_url: Annotated[
        str | None, typer.Option("--public-url", metavar="URL", help="How computers reach it, if not as you do.")
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", metavar="FILE", help="Its certificate, with the chain (PEM).")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="The certificate's key.")] = None,
    log_level: Annotated[str | None, typer.Option("--log-level", help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option("--log-format", help="auto, json or text.")] = None,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="A settings file.")] = None,
) -> None:
    """Run the control plane in the foreground.

    It logs to stderr; SIGTERM or Ctrl-C ends it. While nobody has an account, it prints to stdout where the first one
    is made. Settings come from a file (--config, CAISEY_CONFIG, or caisey.toml in the data directory), from the
    environment (CAISEY_DATA_DIR, CAISEY_LISTEN, …) and from flags; what is named later here goes before what is named
    earlier.
    """
    from caisey.settings import ServerSettings, SettingsError, load

    flags = {
        "data_dir": data_dir,
        "listen": listen,
        "public_url": public_url,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "log_level": log_level,
        "log_format": log_format,
    }
    if (
        data_dir is None
        and not os.environ.get("CAISEY_DATA_DIR")
        and config is None
        and not os.environ.get("CAISEY_CONFIG")
    ):
        raise UsageFault("serve needs --data-dir", hint="An empty directory will do; it is made if it is missing.")
    try:
        settings = load(ServerSettings, flags=flags, environment=os.environ, file=config)
    except SettingsError as error:
        raise UsageFault(f"A setting does not fit: {error}") from error
    raise typer.Exit(_run(settings))


def _run(settings: object) -> int:
    """Serve until it is told to end."""
    from caisey import wiring
    from caisey.cli.local import storage_faults
    from caisey.control import logs
    from caisey.settings import ServerSettings

    assert isinstance(settings, ServerSettings)
    logs.set_up(settings.log_level, settings.log_format)
    _raise_open_files_limit()
    try:
        with storage_faults():
            return wiring.serve(settings, greet=_greet)
    except OSError as error:
        raise CliFault(
            f"It cannot listen at {settings.listen}: {error.strerror or error}",
            hint="Is the address this machine's, and the port free? Choose another with --listen.",
            code="server.cannot_listen",
        ) from error


def _greet(link: str) -> None:
    """To stdout: the log, which is on stderr, holds no secret."""
    print(f"Nobody has an account yet. Make the first one here (once, within 24 h):\n  {link}", flush=True)


def _raise_open_files_limit() -> None:
    """Each connected computer is an open file; systems start programs with far fewer than they allow."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):
            return  # macOS refuses what it says that it allows; `caisey doctor` shows the limit
