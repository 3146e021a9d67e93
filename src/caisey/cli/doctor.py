"""`caisey doctor`: what is wrong with this machine, the data directory, the way to the control plane; and what to do.

Owns the checks. Each says what it found and, where that is not well, what to do; none changes anything but a file of
its own that it removes again. Exit code 1 if something is wrong; a warning is not.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import stat
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from caisey.cli import exit_codes
from caisey.cli.command import ApiCommand, Run, begin, single
from caisey.cli.faults import CliFault
from caisey.cli.local import default_directory

app = single()

WELL, WARNING, WRONG, SKIPPED = "well", "warning", "wrong", "skipped"

DISK_WRONG_BYTES = 200_000_000
DISK_WARNING_BYTES = 2_000_000_000
FSYNCS = 40
FSYNC_SLOW_MS = 25.0
FSYNC_TOO_FAST_MS = 0.02
OPEN_FILES_LEAST = 4096
SKEW_WARNING_S = 2.0
SKEW_WRONG_S = 60.0
BUILT_AFTER = 1_735_689_600  # 2025-01-01: a clock before that was never set


class Finding(NamedTuple):
    """One check's outcome. `do` is empty where nothing has to be done."""

    name: str
    state: str
    found: str
    do: str = ""


@app.command("doctor", cls=ApiCommand)
def doctor(
    ctx: typer.Context,
    *,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help="The control plane's; else that of `caisey up`.")
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", metavar="DIR", help="The runtime's; else that of `caisey up`.")
    ] = None,
    listen: Annotated[str | None, typer.Option("--listen", metavar="HOST:PORT", help="Could it listen there?")] = None,
) -> None:
    """Check this machine and the way to the control plane.

    It says what to do about what is wrong, and ends with 1 if something is.
    """
    run = begin(ctx)
    home = default_directory(os.environ)
    data = data_dir or home / "control-plane"
    checks: list[Callable[[], Iterator[Finding]]] = [
        _program,
        _clock,
        _open_files,
        lambda: _data_directory(data, asked=data_dir is not None),
        lambda: _runtime(state_dir or home / "runtime", asked=state_dir is not None),
        lambda: _port(listen),
        lambda: _control_plane(run),
    ]
    findings: list[Finding] = []
    for check in checks:
        for finding in check():
            findings.append(finding)
            if not run.json:
                _print(run, finding)
    wrong = any(finding.state == WRONG for finding in findings)
    if run.json:
        run.terminal.json({"ok": not wrong, "checks": [finding._asdict() for finding in findings]})
    elif not wrong:
        run.terminal.say("Nothing is wrong.", "done")
    raise typer.Exit(exit_codes.FAULT if wrong else exit_codes.OK)


def _print(run: Run, finding: Finding) -> None:
    icons = {WELL: "✓", WARNING: "!", WRONG: "✗", SKIPPED: "-"}
    run.terminal.print(f"{icons[finding.state]} {finding.name}: {finding.found}")
    if finding.do:
        run.terminal.print(f"    {finding.do}")


# -- this machine -----------------------------------------------------------------------------------------------------


def _program() -> Iterator[Finding]:
    from caisey import __version__

    found = f"caisey {__version__}, Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("program", WELL, found)


def _clock() -> Iterator[Finding]:
    now = time.time()
    found = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < BUILT_AFTER:
        yield Finding("clock", WRONG, found, "Set it: every deadline and every record depends on it (NTP).")
        return
    yield Finding("clock", WELL, found)


def _open_files() -> Iterator[Finding]:
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"at most {_limit(hard)} (now {_limit(soft)}; `caisey serve` takes all it may)"
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES_LEAST:
        do = "Each connected computer takes one: LimitNOFILE= of the service, or ulimit -Hn."
        yield Finding("open files", WARNING, found, do)
        return
    yield Finding("open files", WELL, found)


def _limit(value: int) -> str:
    return "any number" if value < 0 or value >= 1 << 62 else str(value)


def _port(listen: str | None) -> Iterator[Finding]:
    if listen is None:
        return
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal():
        yield Finding("port", WRONG, f"{listen} is no HOST:PORT", "Write it like 127.0.0.1:8700.")
        return
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host.strip("[]"), int(port)), family=family):
            yield Finding("port", WELL, f"{listen} is free")
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        yield Finding("port", WRONG, f"{listen}: {why}", "Find who has it (ss -ltnp), or use another --listen.")


# -- the data directory -----------------------------------------------------------------------------------------------


def _data_directory(path: Path, *, asked: bool) -> Iterator[Finding]:
    name = "data directory"
    if not path.is_dir():
        state, do = (WRONG, "Check --data-dir; `caisey serve` makes it.") if asked else (SKIPPED, "")
        yield Finding(name, state, f"{path} is not there" + ("" if asked else "; name one with --data-dir"), do)
        return
    yield from _private(name, path)
    yield _lock(path)
    yield _disk(path)
    yield _fsync(path)


def _private(name: str, path: Path) -> Iterator[Finding]:
    """The directory and the files in it are their owner's alone."""
    try:
        entries = [path, *(entry for entry in path.iterdir() if not entry.is_symlink())]
        modes = [(entry, entry.stat()) for entry in entries]
    except OSError as error:
        yield Finding(name, WRONG, f"{path}: {error.strerror}", "Run it as the owner of the directory.")
        return
    if os.name == "posix":
        for entry, found in modes:
            mode = stat.S_IMODE(found.st_mode)
            if mode & 0o077:
                wanted = "700" if entry.is_dir() else "600"
                do = f"chmod {wanted} {entry}"
                yield Finding(name, WRONG, f"others may use {entry} (mode {mode:o})", do)
                return
            if found.st_uid != os.geteuid() and os.geteuid() != 0:
                yield Finding(name, WRONG, f"{entry} belongs to user {found.st_uid}", "Run it as that user.")
                return
    yield Finding(name, WELL, f"{path}, private")


def _lock(path: Path) -> Finding:
    try:
        import fcntl
    except ImportError:
        return Finding("lock", SKIPPED, "not on this system")
    lock = path / "lock"
    try:
        with lock.open("rb") as file:
            owner = file.read(32).decode("ascii", "replace").strip()
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return Finding("lock", WELL, f"a control plane runs on it (process {owner or 'unknown'})")
    except FileNotFoundError:
        return Finding("lock", WELL, "never used")
    except OSError as error:
        return Finding("lock", WRONG, f"{lock}: {error.strerror}", "Run it as the owner of the directory.")
    return Finding("lock", WELL, "free: no control plane runs on it")


def _disk(path: Path) -> Finding:
    from caisey.cli.spans import size

    usage = shutil.disk_usage(path)
    found = f"{size(usage.free)} free of {size(usage.total)}"
    if usage.free < DISK_WRONG_BYTES:
        return Finding("disk", WRONG, found, "Free some: without space nothing more is accepted.")
    if usage.free < DISK_WARNING_BYTES:
        return Finding("disk", WARNING, found, "Free some soon.")
    return Finding("disk", WELL, found)


def _fsync(path: Path) -> Finding:
    """How long the disk takes to promise that a write is there; every accepted request waits for one."""
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            times = [_timed_fsync(file) for _ in range(FSYNCS)]
    except OSError as error:
        return Finding("fsync", WRONG, str(error.strerror or error), "The directory cannot be written.")
    median = statistics.median(times)
    found = f"{median:.2f} ms each, slowest {max(times):.1f} ms (about {1000 / max(median, 0.001):.0f} a second)"
    if median < FSYNC_TOO_FAST_MS:
        do = "No disk is that fast: it is memory, or it does not wait. A power cut would lose what was promised."
        return Finding("fsync", WARNING, found, do)
    if median > FSYNC_SLOW_MS:
        return Finding("fsync", WARNING, found, "Every accepted request waits for one: use a faster disk.")
    return Finding("fsync", WELL, found)


def _timed_fsync(file: Any) -> float:
    file.write(b"x" * 4096)
    file.flush()
    began = time.perf_counter()
    os.fsync(file.fileno())
    return (time.perf_counter() - began) * 1000


# -- the runtime, the control plane -----------------------------------------------------------------------------------


def _runtime(path: Path, *, asked: bool) -> Iterator[Finding]:
    name = "runtime"
    if not path.is_dir():
        state, do = (WRONG, "Check --state-dir; `caisey runtime enroll` makes it.") if asked else (SKIPPED, "")
        yield Finding(name, state, f"{path} is not there" + ("" if asked else "; name one with --state-dir"), do)
        return
    from caisey.runtime.assembly import status
    from caisey.runtime.state import StateError

    try:
        known = status(path)
    except StateError as error:
        yield Finding(name, WRONG, f"{path}: {error.code}", error.hint)
        return
    if not known.get("enrolled"):
        yield Finding(name, WRONG, "not enrolled", f"caisey runtime enroll --url URL --token - --state-dir {path}")
        return
    if not known.get("running"):
        do = f"caisey runtime run --state-dir {path}"
        yield Finding(name, WARNING, f"{known['runtime_id']} of {known['url']} does not run", do)
        return
    yield Finding(name, WELL, f"{known['runtime_id']} of {known['url']} runs, {known['unsettled']} calls unsettled")


def _control_plane(run: Run) -> Iterator[Finding]:
    name = "control plane"
    try:
        api = run.api
    except CliFault as fault:
        state = SKIPPED if fault.exit_code == exit_codes.USAGE and not _is_named(run) else WRONG
        yield Finding(name, state, fault.message, fault.hint or "")
        return
    began = time.perf_counter()
    try:
        api.get("/endpoints", limit=1)
    except CliFault as fault:
        yield Finding(name, WRONG, fault.message, fault.hint or "")
        return
    took_ms = (time.perf_counter() - began) * 1000
    yield Finding(name, WELL, f"{api.url} answers in {took_ms:.0f} ms; the token is good")
    yield _skew(api.skew_s)


def _is_named(run: Run) -> bool:
    asked = run.asked
    return bool(asked.url or asked.profile or os.environ.get("CAISEY_URL") or os.environ.get("CAISEY_PROFILE"))


def _skew(skew_s: float) -> Finding:
    found = f"{abs(skew_s):.0f} s {'behind' if skew_s > 0 else 'ahead of'} the control plane's"
    if abs(skew_s) > SKEW_WRONG_S:
        return Finding("clocks", WRONG, found, "Set one of the two by NTP.")
    if abs(skew_s) > SKEW_WARNING_S:
        return Finding("clocks", WARNING, found, "Let both follow NTP.")
    return Finding("clocks", WELL, "this machine's and the control plane's agree")
