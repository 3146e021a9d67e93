"""One writer for the journal: operations that come together share one commit, off the event loop.

Owns the order of writes (first come, first written) and what happens when the disk is full: what must be written uses
the reserve, everything else fails with `JournalUnwritableError`. An operation's result is given out after its commit,
never before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from caisey.runtime.database import Database, JournalUnwritableError
from caisey.runtime.journal import Journal

T = TypeVar("T")
Work = Callable[[], None]
Run = Callable[[Work], Awaitable[None]]
"""Carries work out away from the event loop, one at a time, and returns when it is done."""


@dataclass(slots=True)
class _Operation:
    act: Callable[[Journal], Any]
    vital: bool
    future: asyncio.Future[Any]
    result: Any = None
    error: JournalUnwritableError | None = None


class WriterThread:
    """The thread that the journal's file belongs to."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    async def __call__(self, work: Work) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        self._executor.shutdown()


class JournalWriter:
    """The only way to the journal for the loops of the runtime."""

    def __init__(self, database: Database, journal: Journal, run: Run) -> None:
        self._database = database
        self._journal = journal
        self._run = run
        self._waiting: list[_Operation] = []
        self._aside: list[Work] = []
        self._probing = False
        self._flushing: asyncio.Task[None] | None = None
        self.journal_id = journal.journal_id
        self.sequence = journal.sequence()
        """The highest `journal_sequence` that is on disk."""
        self.writable = True
        """Whether new work may be taken: the last write went well and the reserve is whole."""

    def submit(self, act: Callable[[Journal], T], *, vital: bool = False) -> asyncio.Future[T]:
        """Queue one operation now; the future gives its result once it is durable.

        `vital`: a closing or end record, which may use the reserve. Raises `JournalUnwritableError` in the future.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Operation(act, vital, future))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        return future

    def aside(self, work: Work) -> None:
        """Do this in the journal's thread too, after what was submitted: files to remove, off the event loop."""
        self._aside.append(work)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())

    async def probe(self) -> bool:
        """Try whether the journal can be written and the reserve can be held again."""
        await self._run(self._look_at_disk)
        return self.writable

    def probe_soon(self) -> None:
        """The same, for who cannot wait: a disk that hangs must not hold a heartbeat up."""
        if not self._probing:
            self._probing = True
            self.aside(self._look_at_disk)

    def _look_at_disk(self) -> None:
        """In the journal's thread."""
        self.writable = self._database.keep_reserve()
        self._probing = False

    async def drain(self) -> None:
        """Wait until everything that was submitted is written."""
        if self._flushing is not None:
            await self._flushing

    async def _flush(self) -> None:
        try:
            while self._waiting or self._aside:
                if not self._waiting:
                    await self._run(self._aside.pop(0))
                    continue
                batch, self._waiting = self._waiting, []
                try:
                    await self._run(lambda batch=batch: self._commit(batch))  # type: ignore[misc]
                except BaseException as defect:
                    for operation in [*batch, *self._waiting]:
                        if not operation.future.done():
                            operation.future.set_exception(defect)
                    raise
                for operation in batch:
                    self._give(operation)
        finally:
            self._flushing = None

    @staticmethod
    def _give(operation: _Operation) -> None:
        if operation.future.done():
            return  # whoever asked was cancelled; what was written stays written
        if operation.error is not None:
            operation.future.set_exception(operation.error)
        else:
            operation.future.set_result(operation.result)

    def _commit(self, batch: list[_Operation]) -> None:
        """In the journal's thread."""
        try:
            self._together(batch)
        except JournalUnwritableError as full:
            self.writable = False
            for operation in batch:
                operation.error = full
            vital = [operation for operation in batch if operation.vital]
            if vital and self._database.release_reserve():
                self._vital(vital)

    def _vital(self, batch: list[_Operation]) -> None:
        try:
            self._together(batch)
        except JournalUnwritableError:
            return  # even the reserve was not enough: nothing is promised
        for operation in batch:
            operation.error = None

    def _together(self, batch: list[_Operation]) -> None:
        with self._database.transaction():
            for operation in batch:
                operation.result = operation.act(self._journal)
            sequence = self._database.sequence()
        self.sequence = sequence
