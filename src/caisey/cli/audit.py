"""`caisey audit`: the log of everything that was done: read it, export it, verify an export offline.

Owns the commands and the words of a report. The chain and its verification are `core.audit`'s; `verify` needs no
control plane, no network and no login, only the file and the public key.
"""

from __future__ import annotations

import base64
import binascii
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caisey.cli import exit_codes
from caisey.cli.command import ApiCommand, LocalCommand, begin, group
from caisey.cli.faults import CliFault, UsageFault
from caisey.cli.terminal import Terminal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from caisey.core.audit import Report

app = group("The audit log: read it, export it, verify an export offline.")

KEY_BYTES = 32
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="On the control plane's machine: its own key.")
]


@app.command("list", cls=ApiCommand)
def list_events(
    ctx: typer.Context,
    *,
    after: Annotated[int, typer.Option("--after", metavar="N", min=0, help="Only after this sequence.")] = 0,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, help="At most so many.")] = 100,
) -> None:
    """Every event of the organization, oldest first; with --json one document on each line."""
    from caisey.cli.sessions import event_line

    run = begin(ctx)
    for event in run.api.items("/audit", most=most, after=after):
        if run.json:
            run.terminal.json_line(event)
        else:
            run.terminal.print(event_line(event))


@app.command("export", cls=ApiCommand)
def export(
    ctx: typer.Context,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there instead of stdout.")
    ] = None,
) -> None:
    """The whole chain as JSON lines, ended by a signed head. It takes an admin without group limits."""
    run = begin(ctx)
    lines = run.api.text("/audit/export")
    if output is None:
        for data in lines:
            run.terminal.write_bytes(data)
        return
    try:
        with output.open("xb") as file:
            for data in lines:
                file.write(data)
    except FileExistsError as error:
        raise UsageFault(f"{output} is there already", hint="Move it away: an export is never overwritten.") from error
    except OSError as error:
        raise CliFault(f"{output} cannot be written: {error.strerror or error}") from error
    run.terminal.say(f"Written to {output}. Check it: caisey audit verify {output}", "done")


@app.command("verify", cls=LocalCommand)
def verify(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An export; - reads stdin.")],
    *,
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY|FILE", help="The public key (base64), or a file with it.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Check an export offline: every event is there, none was changed, and the end is signed.

    Without a key the chain is checked, but not who signed it. `caisey audit key` prints the key on the control plane's
    machine; keep it apart from the export. Exit code 1 if it does not hold.
    """
    run = begin(ctx)
    if key and data_dir:
        raise UsageFault("--key and --data-dir exclude each other")
    keys = [_key(key)] if key else _keys_of(data_dir) if data_dir else []
    report = _verified(file, keys)
    broken = report.broken
    if run.json:
        import msgspec

        run.terminal.json({"ok": report.ok, **msgspec.to_builtins(report)})
    elif broken is not None:
        run.terminal.say(f"It does not hold at event {broken.sequence}: {broken.detail} ({broken.what}).", "alarm")
        if report.holds_to is not None:
            run.terminal.say(f"  It holds up to the signed head {report.holds_to}.")
    else:
        _praise(run.terminal, report)
    raise typer.Exit(exit_codes.OK if report.ok else exit_codes.FAULT)


@app.command("key", cls=LocalCommand)
def key(ctx: typer.Context, *, data_dir: DataDir = None) -> None:
    """Print the control plane's public key, on its own machine."""
    run = begin(ctx)
    if data_dir is None:
        raise UsageFault("key needs --data-dir")
    encoded = [base64.b64encode(one.public_bytes_raw()).decode() for one in _keys_of(data_dir)]
    if run.json:
        run.terminal.json({"keys": encoded})
        return
    for text in encoded:
        run.terminal.print(text)


def _praise(terminal: Terminal, report: Report) -> None:
    terminal.say(f"It holds: {report.events} events, up to the signed head {report.holds_to}.", "done")
    if report.redacted_fields:
        terminal.say(f"  {report.redacted_fields} fields were redacted; the chain holds without them.")
    if not report.signatures_checked:
        terminal.say("  Who signed it was not checked: give the control plane's --key.", "ask")


def _verified(file: Path, keys: list[Ed25519PublicKey]) -> Report:
    """The report with the first key that fits; a control plane may have had others before."""
    from caisey.core.audit import Broken

    try:
        lines = sys.stdin.buffer.readlines() if str(file) == "-" else None
        report = _report(file, lines, keys[0] if keys else None)
        for one in keys[1:]:
            if report.broken is None or report.broken.what is not Broken.HEAD_SIGNATURE:
                break
            report = _report(file, lines, one)
    except OSError as error:
        raise UsageFault(f"{file} cannot be read: {error.strerror or error}") from error
    return report


def _report(file: Path, lines: list[bytes] | None, key: Ed25519PublicKey | None) -> Report:
    """What one key says of the lines that were read already, or of the file."""
    from caisey.core.audit import verify_file

    if lines is not None:
        return verify_file(lines, key)
    with file.open("rb") as opened:
        return verify_file(opened, key)


def _key(given: str) -> Ed25519PublicKey:
    """A public key, given as it is or in a file: base64 of its 32 bytes, or PEM."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        text = Path(given).read_bytes() if Path(given).is_file() else given.encode()
        if b"BEGIN PUBLIC KEY" in text:
            loaded = load_pem_public_key(text)
            if isinstance(loaded, Ed25519PublicKey):
                return loaded
        raw = base64.b64decode(text.strip(), validate=True)
        return Ed25519PublicKey.from_public_bytes(raw)
    except (OSError, ValueError, binascii.Error) as error:
        raise UsageFault("--key is no Ed25519 public key", hint="`caisey audit key` prints it.") from error


def _keys_of(data_dir: Path) -> list[Ed25519PublicKey]:
    """The public keys of a control plane's data directory, the current one first. Nothing is made there."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from caisey.cli.local import storage_faults
    from caisey.control import key_file

    if not (data_dir / key_file.NAME).is_file():
        raise UsageFault(f"{data_dir} holds no key of a control plane")
    with storage_faults():
        ring = key_file.load_or_make(data_dir)
    return [Ed25519PublicKey.from_public_bytes(raw) for raw in ring.public_keys]
