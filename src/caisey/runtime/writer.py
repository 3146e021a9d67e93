"""One writer for the journal: operations that come together share one commit, off the event loop.

Owns the order of writes (first come, first written) and what happens when the disk is full: what must be written uses
the reserve, everything else fails with `JournalUnwritableError`. An operation's result is given out after its commit,
never before.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from caisey.runtime.database import Database, JournalUnwritableError
from caisey.runtime.journal import Journal

T = TypeVar("T")
Work = Callable[[], None]
Done = Callable[[BaseException | None], None]
Run = Callable[[Work, Done], None]
"""Carries work out away from the event loop, one at a time; then `done` is called in the loop, with what it raised."""


ASIDE_MOST: Final = 64
"""Work aside that may pile up before it goes first."""


@dataclass(slots=True)
class _Operation:
    act: Callable[[Journal], Any]
    vital: bool
    future: asyncio.Future[Any]
    result: Any = None
    error: JournalUnwritableError | None = None


class WriterThread:
    """The thread that the journal's file belongs to. Made inside the event loop that it serves."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[tuple[Work, Done] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._live, name="journal", daemon=True)
        self._thread.start()

    def __call__(self, work: Work, done: Done) -> None:
        self._queue.put((work, done))

    def _live(self) -> None:
        while (order := self._queue.get()) is not None:
            work, done = order
            error: BaseException | None = None
            try:
                work()
            except BaseException as raised:  # noqa: BLE001  (it is raised again where it was asked for)
                error = raised
            self._loop.call_soon_threadsafe(done, error)

    def close(self) -> None:
        """After everything was drained."""
        self._queue.put(None)
        self._thread.join()


class JournalWriter:
    """The only way to the journal for the loops of the runtime."""

    def __init__(self, database: Database, journal: Journal, run: Run) -> None:
        self._database = database
        self._journal = journal
        self._run = run
        self._waiting: list[_Operation] = []
        self._aside: list[tuple[Work, asyncio.Future[None] | None]] = []
        self._busy = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._probing = False
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
        self._go_on()
        return future

    def aside(self, work: Work) -> None:
        """Do this in the journal's thread too, when it has nothing to write: files to remove, off the event loop."""
        self._aside.append((work, None))
        self._go_on()

    async def probe(self) -> bool:
        """Try whether the journal can be written and the reserve can be held again."""
        looked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._aside.append((self._look_at_disk, looked))
        self._go_on()
        await looked
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
        await self._idle.wait()

    def _go_on(self) -> None:
        """Hand over what waits, unless something is under way: then it goes together, when that is done."""
        if self._busy:
            return
        if self._waiting and len(self._aside) < ASIDE_MOST:
            batch, self._waiting = self._waiting, []
            self._start(lambda: self._commit(batch), lambda error: self._written(batch, error))
        elif self._aside:
            work, future = self._aside.pop(0)
            self._start(work, lambda error: self._given(future, None, error))
        else:
            self._idle.set()

    def _start(self, work: Work, done: Done) -> None:
        def finished(error: BaseException | None) -> None:
            self._busy = False
            done(error)
            self._go_on()

        self._busy = True
        self._idle.clear()
        self._run(work, finished)

    def _written(self, batch: list[_Operation], defect: BaseException | None) -> None:
        for operation in batch:
            self._given(operation.future, operation.result, defect or operation.error)

    @staticmethod
    def _given(future: asyncio.Future[Any] | None, result: Any, error: BaseException | None) -> None:
        if future is None and error is not None:
            raise error
        if future is None or future.done():
            return  # nobody asked, or whoever did was cancelled; what was written stays written
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

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
