"""A runtime that kills itself with SIGKILL at one named point, for the tests of the fence.

Run as `python -m tests.runtime.killed POINT run --state-dir DIR`. The product has no such points: this program wraps
the steps of the real one from outside, and then lives its life.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from caisey.runtime import hearing, outbox, records
from caisey.runtime.__main__ import main
from caisey.runtime.executor import Executor
from caisey.runtime.journal import Journal
from caisey.runtime.launcher import Shim
from caisey.runtime.processes import EndSeen, StartSeen


def die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_on(seen_kind: type) -> Callable[..., None]:
    see = Executor._see

    def wrapped(self: Executor, entry: Any, seen: Any) -> None:
        if isinstance(seen, seen_kind):
            die()
        see(self, entry, seen)

    return wrapped


def after(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **named: Any) -> Any:
        function(*arguments, **named)
        die()

    return wrapped


POINTS: dict[str, Callable[[], None]] = {
    "received, not acknowledged": lambda: setattr(hearing, "reply", die),
    "acknowledged, not spawned": lambda: setattr(Executor, "_try_start", die),
    "spawned, not claimed": lambda: setattr(Journal, "claim", die),
    "claimed, not let go": lambda: setattr(Shim, "go", die),
    "let go, not known to have started": lambda: setattr(Shim, "go", after(Shim.go)),
    "started, not said": lambda: setattr(Executor, "_see", dying_on(StartSeen)),
    "said, not ended": lambda: setattr(outbox, "started", after(records.started)),
    "ended, not journalled": lambda: setattr(Executor, "_see", dying_on(EndSeen)),
    "journalled, not said": lambda: setattr(outbox, "finished", die),
}


if __name__ == "__main__":
    POINTS[sys.argv[1]]()
    raise SystemExit(main(sys.argv[2:]))
