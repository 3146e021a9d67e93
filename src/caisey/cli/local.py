"""What needs no login because it is done on the control plane's own machine, as the owner of its data directory.

Owns the words for what can go wrong there, and where directories lie when none is named. The way there (a 0600 socket
while the server runs, else the directory under its lock) is `wiring`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caisey.cli.faults import CliFault, UsageFault

SYSTEM_DIRECTORY = Path("/var/lib/caisey")


def default_directory(environ: Mapping[str, str]) -> Path:
    """Where `caisey up` keeps everything: the system's directory for root, else the user's own."""
    if os.name == "posix" and os.geteuid() == 0:
        return SYSTEM_DIRECTORY
    below = environ.get("XDG_DATA_HOME")
    directory = Path(below) if below and Path(below).is_absolute() else Path.home() / ".local" / "share"
    return directory / "caisey"


def administer(data_dir: Path, what: Callable[..., dict[str, Any]], *arguments: Any, **fields: Any) -> dict[str, Any]:
    """Do one thing there. CliFault for what is refused, or cannot be done."""
    try:
        with storage_faults():
            return what(data_dir, *arguments, **fields)
    except TimeoutError as error:
        raise CliFault(
            f"{data_dir} is in use, and whoever uses it does not answer",
            hint="Does `caisey serve` start or end just now? `caisey doctor --data-dir` looks.",
        ) from error
    except ValueError as error:
        raise UsageFault(f"That does not fit: {error}") from error


@contextmanager
def storage_faults() -> Iterator[None]:
    """Turn what the control plane's parts raise at their start into words."""
    from caisey.core.errors import Fault
    from caisey.storage.contract import StorageError

    try:
        yield
    except Fault as fault:
        raise CliFault(fault.detail or fault.title, hint=fault.hint, code=fault.code) from fault
    except StorageError as error:
        raise CliFault(str(error), code="server.storage_failed") from error
