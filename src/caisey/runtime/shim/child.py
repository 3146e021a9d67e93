"""The process that becomes the command: forked while the shim is warm, held at a gate, replaced by `exec`.

Owns what happens between the gate and `exec`. If the shim dies before it opens the gate, the pipe ends and this process
exits without having run anything.
"""

from __future__ import annotations

import json
import os
import signal
from typing import Any, NoReturn

from caisey.runtime.shim.wire import read_exactly, unpack_length

NOT_STARTED = 127


def wait_and_become(gate: int, failure: int, stdio: tuple[int, int, int], result: int) -> NoReturn:
    """Wait for the order and for the gate to open, then `exec`. Reports a failed `exec` on `failure`."""
    try:
        length = read_exactly(gate, 4)
        order = json.loads(read_exactly(gate, unpack_length(length))) if length else None
        if order is None or not read_exactly(gate, 1):
            os._exit(0)
        _become(order, stdio, result)
    except OSError as error:
        _report(failure, error.strerror or type(error).__name__)
    except (ValueError, MemoryError) as error:
        _report(failure, type(error).__name__)
    os._exit(NOT_STARTED)


def _report(failure: int, text: str) -> None:
    os.write(failure, text.encode())


def _become(order: dict[str, Any], stdio: tuple[int, int, int], result: int) -> None:
    os.setpgid(0, 0)
    for target, source in enumerate(stdio):
        os.dup2(source, target)
    if order["result_fd"] is not None:
        os.dup2(result, order["result_fd"])
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(order["umask"])
    if order["cwd"] is not None:
        os.chdir(order["cwd"])
    os.execvpe(order["argv"][0], order["argv"], order["env"])  # noqa: S606  (no shell is the point)
