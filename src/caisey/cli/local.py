"""What needs no login because it is done on the control plane's own machine, as the owner of its data directory.

Owns the way there: a 0600 socket in the data directory while the server runs, else the directory itself under its lock.
Both are `caisey.wiring`'s; this module turns its faults into words.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from caisey.cli.faults import CliFault


def administer(data_dir: Path, what: str, /, **fields: Any) -> dict[str, Any]:
    """Do one thing there; fields that are None are left out. CliFault for what is refused, or cannot be done."""
    from importlib import import_module

    from caisey.core.errors import Fault
    from caisey.storage.contract import StorageError

    wiring = import_module("caisey.wiring")

    given = {name: value for name, value in fields.items() if value is not None and value != ""}
    do = getattr(wiring, what)
    try:
        made = do(data_dir, **given)
        document: dict[str, Any] = _run(made) if inspect.isawaitable(made) else made
    except Fault as fault:
        raise CliFault(fault.detail or fault.title, hint=fault.hint, code=fault.code) from fault
    except StorageError as error:
        raise CliFault(str(error)) from error
    except OSError as error:
        raise CliFault(
            f"The data directory {data_dir} cannot be used: {error.strerror or error}",
            hint="Is it the one of `caisey serve`, and are you its owner? `caisey doctor --data-dir` looks.",
        ) from error
    return document


def _run(awaitable: Any) -> Any:
    import asyncio

    async def wait() -> Any:
        return await awaitable

    return asyncio.run(wait())
