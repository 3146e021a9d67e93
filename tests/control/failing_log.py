"""A log that fails at a moment of the test's choice: it is full and takes nothing, or takes it and the COMMIT fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import pytest

from caisey.storage.contract import Appended, Entry, Overloaded, Write
from tests.control.plane import Plane

CANNOT_BE_WRITTEN: Final[Write] = ("INSERT INTO no_such_table VALUES (1)", ())

Fails = Callable[[Sequence[Entry], Sequence[Write]], bool]


def of_type(name: str) -> Fails:
    """Whatever holds an event of this type."""
    return lambda entries, _: any(entry.type == name for entry in entries)


def of_a_session(entries: Sequence[Entry], _: Sequence[Write]) -> bool:
    """Whatever is of a session."""
    return any(entry.session_id for entry in entries)


@contextmanager
def log_is_full(plane: Plane, monkeypatch: pytest.MonkeyPatch, which: Fails) -> Iterator[list[int]]:
    """What is chosen is not taken; how often that was tried."""
    real, tries = plane.log.append, [0]

    def append(entries: Sequence[Entry], writes: Sequence[Write] = ()) -> Appended:
        if which(entries, writes):
            tries[0] += 1
            raise Overloaded("full")
        return real(entries, writes)

    with monkeypatch.context() as patched:
        patched.setattr(plane.log, "append", append)
        yield tries


@contextmanager
def commits_fail(plane: Plane, monkeypatch: pytest.MonkeyPatch, which: Fails) -> Iterator[None]:
    """What is chosen is taken by the log, and its COMMIT fails."""
    real = plane.log.append

    def append(entries: Sequence[Entry], writes: Sequence[Write] = ()) -> Appended:
        return real(entries, [*writes, CANNOT_BE_WRITTEN] if which(entries, writes) else writes)

    with monkeypatch.context() as patched:
        patched.setattr(plane.log, "append", append)
        yield
