"""Who gets the processor first, where somebody measures: the programs under test ahead of everything else.

Owns the scheduling class of their threads, and gives it back. Without it a figure tells of the machine's other work. It
takes a privilege; without that, or off Linux, nothing is changed and the report says so.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PRIORITY = 5


@contextlib.contextmanager
def before_everything_else(*pids: int) -> Iterator[bool]:
    """These processes, what they started, and this one, while the block runs. Whether it was permitted."""
    changed: list[int] = []
    try:
        yield _promoted(pids, changed)
    finally:
        for thread in changed:
            with contextlib.suppress(OSError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def like_everything_else(pid: int) -> None:
    """A program that was started by one that goes first, and is to have no part in it."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def _promoted(pids: tuple[int, ...], changed: list[int]) -> bool:
    if not hasattr(os, "sched_setscheduler"):
        return False
    for pid in (*pids, os.getpid()):
        for process in (pid, *(_below(pid) if pid != os.getpid() else ())):
            for thread in _threads(process):
                try:
                    os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(PRIORITY))
                except ProcessLookupError:
                    continue
                except OSError:
                    return False
                changed.append(thread)
    return True


def _threads(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
    return []


def _below(pid: int) -> list[int]:
    found: list[int] = []
    for thread in _threads(pid):
        with contextlib.suppress(OSError):
            children = [int(word) for word in Path(f"/proc/{pid}/task/{thread}/children").read_text().split()]
            found += [process for child in children for process in (child, *_below(child))]
    return found
