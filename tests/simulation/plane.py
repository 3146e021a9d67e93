"""A control plane in the simulation: the product's own log, directory, sessions, hub, sweeper and runtime entrance.

Owns the assembly (`wiring` without HTTP around it), the log whose writer runs in virtual time instead of a thread, and
the points where the process can die: before and after every COMMIT.
"""

from __future__ import annotations

import asyncio
import functools
import random
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.api.runtime_poll import RuntimePoll
from caisey.api.runtime_socket import RuntimeSocket
from caisey.control import clock_while_away
from caisey.control.clock import Clock
from caisey.control.directory.store import Directory
from caisey.control.hub import Hub
from caisey.control.keyring import Keyring
from caisey.control.ledger import Ledger
from caisey.control.sessions import Sessions
from caisey.control.sweeper import SteadyClock, Sweeper
from caisey.control.traffic import Parts
from caisey.core.events import CONTROL_PLANE
from caisey.storage.contract import Appended, Entry, Stored, Write
from caisey.storage.migrations import migrate
from caisey.storage.output import Output
from caisey.storage.sqlite.connections import open_reader, open_writer
from caisey.storage.sqlite.log import SqliteLog
from caisey.storage.sqlite.rows import COLUMNS, stored
from caisey.storage.sqlite.writer import Unit, Writer
from tests.simulation.clockwork import Life, SimLoop
from tests.simulation.machine import finish

_ALL = f"SELECT {COLUMNS} FROM events WHERE organization_id = ? AND sequence > ? ORDER BY sequence LIMIT ?"  # noqa: S608


class FailingConnection:
    """The writer's connection; a COMMIT fails, or happens and says that it failed."""

    def __init__(self, connection: sqlite3.Connection, writer: SimWriter) -> None:
        self._connection, self._writer = connection, writer

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """As sqlite3; only COMMIT may fail."""
        fail = self._writer.fail if sql == "COMMIT" else ""
        if fail == "before":
            raise _disk_error()
        done = self._connection.execute(sql, *values)
        if fail == "after":
            raise _disk_error()
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class SimWriter(Writer):
    """The product's writer without its thread; `fail` makes a COMMIT fail, or only seem to."""

    fail = ""

    def _commit(self, batch: list[Unit]) -> None:
        if self._connection is not None and not isinstance(self._connection, FailingConnection):
            self._connection = FailingConnection(self._connection, self)  # type: ignore[assignment]
        super()._commit(batch)


def _disk_error() -> sqlite3.Error:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    error.sqlite_errorname = "SQLITE_FULL"
    return error


class NoCheckpoints:
    """Where the log asks for the size of the WAL."""

    wal_bytes = 0


class SimLog(SqliteLog):
    """The product's log on a real file. Commits take virtual time; a crash loses what was not committed."""

    _writer: SimWriter

    def __init__(self, path: Path, loop: SimLoop, dice: random.Random, plane: PlaneNode) -> None:
        self._loop = loop
        self._sim = loop
        self._dice = dice
        self._plane = plane
        self._writer = SimWriter(path, self, threading.Lock())
        self._checkpointer = NoCheckpoints()  # type: ignore[assignment]
        self._reader = open_reader(path)
        self._waiting = {}
        self._waiting_bytes = 0
        self._next_key = 0
        self._untold = []
        self._on_failure = []
        self._commits = self._units = self._events = self._failures = 0
        self._closed = False
        self._closing = None
        self._ended = asyncio.Event()
        self._pumping = False

    def append(self, entries: Sequence[Entry], writes: Sequence[Write] = ()) -> Appended:
        """See `contract.Log.append`."""
        appended = super().append(entries, writes)
        if not self._pumping:
            self._pumping = True
            self._sim.call_later(
                self._plane.commit_s * (0.3 + self._dice.random()), self._pump, context=self._plane.life.context()
            )
        return appended

    def _pump(self) -> None:
        self._pumping = False
        if self._writer.queue.empty() and not self._writer._backlog:
            return
        plane = self._plane
        if plane.dies_now("before"):
            return
        batch = self._writer._take()
        self._writer.fail = plane.take_failure()
        self._writer._write(batch)
        if self._writer.fail != "before":
            plane.committed([entry for unit in batch for entry in unit.entries])
        if plane.dies_now("after"):
            return
        if not self._writer.queue.empty() or self._writer._backlog:
            self._pumping = True
            self._sim.call_later(plane.commit_s, self._pump, context=plane.life.context())

    def query_now(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """See `contract.Log.query_now`."""
        return self._reader.execute(sql, tuple(params)).fetchall()

    async def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """See `contract.Log.query`."""
        done = self._sim.create_future()
        self._sim.call_later(0.0005, finish, done)
        await done
        return self.query_now(sql, params)

    def everything(self, organization_id: str) -> list[Stored]:
        """Every event of the organization."""
        return [stored(row) for row in self._reader.execute(_ALL, (organization_id, 0, 1_000_000))]

    def let_go(self) -> None:
        """After the process died: its files are closed by the system."""
        self._reader.close()
        connection = self._writer._connection
        if connection is not None:
            connection.close()
            self._writer._connection = None


class SimClock(Clock):
    """The control plane's machine: its wall clock may step."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self.step_ms = 0

    def now_ms(self) -> int:
        return 1_700_000_000_000 + int(self._loop.time() * 1000 + 0.001) + self.step_ms

    def monotonic_ms(self) -> int:
        return int(self._loop.time() * 1000 + 0.001)


class PlaneNode:
    """The control plane's process and its data directory."""

    def __init__(
        self, path: Path, loop: SimLoop, seed: str, parent: Life, committed: Callable[[list[Entry]], None]
    ) -> None:
        self.path, self._loop, self._seed, self._parent = path, loop, seed, parent
        self.committed = committed
        self.dice = random.Random(seed)
        self.key = Ed25519PrivateKey.from_private_bytes(random.Random(f"{seed} key").randbytes(32))
        self.keyring = Keyring([self.key])
        self.clock = SimClock(loop)
        self.lives = 0
        self.life = Life("no control plane", parent)
        self.life.end()
        self.ready = False
        self.commit_s = 0.002
        self._death: tuple[int, str] | None = None
        self._failures: list[str] = []
        self.crashes = 0
        self.on_ready: list[Callable[[], None]] = []
        self.on_crash: list[Callable[[], None]] = []
        path.write_bytes(_fresh())

    # -- faults --------------------------------------------------------------------------------------------------------

    def die_in(self, commits: int, when: str) -> None:
        """kill -9 before or after so many COMMITs from now."""
        self._death = (commits, when)

    def dies_now(self, when: str) -> bool:
        """Whether this is the moment."""
        if self._death is None or self._death[1] != when:
            return False
        left, _ = self._death
        self._death = (left - 1, when) if left > 1 else None
        if left > 1:
            return False
        self.crash()
        return True

    def fail_commits(self, kinds: list[str]) -> None:
        """The next COMMITs fail."""
        self._failures = kinds

    def take_failure(self) -> str:
        """What the next COMMIT does."""
        return self._failures.pop(0) if self._failures else ""

    @property
    def up(self) -> bool:
        return not self.life.dead

    def crash(self) -> None:
        """kill -9."""
        if self.up:
            self.crashes += 1
            self.ready = False
            self.life.end()
            self.log.let_go()
            for told in self.on_crash:
                told()

    def picture(self) -> bytes:
        """A backup of the data directory."""
        source = sqlite3.connect(self.path)
        try:
            return source.serialize()
        finally:
            source.close()

    def restore(self, picture: bytes) -> None:
        """Down: put an older backup in place."""
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.path.write_bytes(picture)

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Unless it is up."""
        if self.up:
            return
        self.lives += 1
        self._death = None
        self._failures = []
        self.life = Life(f"control plane {self.lives}", self._parent)
        self._loop.spawn(self._live(), self.life)

    async def _live(self) -> None:
        random_bytes = random.Random(f"{self._seed} {self.lives}").randbytes
        self.log = SimLog(self.path, self._loop, self.dice, self)
        self.steady = SteadyClock(self.clock)
        self.directory = Directory(self.log, self.steady)
        await self.directory.refresh()
        self.output = Output(self.log)
        parts = Parts(self.log, self.output, self.directory, self.keyring, self.steady, random_bytes, Ledger())
        self.hub = Hub(parts)
        self.sessions = Sessions(self.log, self.steady, self.hub, random_bytes)
        self.hub.connect(self.sessions)
        await self.hub.load()
        self.sweeper = Sweeper(self.sessions, self.steady, self.hub.paused)
        await clock_while_away.follow(self.log, self.sessions, self.steady.now_ms())
        self.sweeper.start(self.steady.now_ms())
        self.socket = RuntimeSocket(self.hub, random_bytes, self._seconds)
        self.poll = RuntimePoll(self.hub, random_bytes, self.steady.monotonic_ms, self._seconds)
        self._loops = [asyncio.create_task(self.hub.run()), asyncio.create_task(self.sweeper.run())]
        for task in self._loops:
            task.add_done_callback(_must_not_end)
        self.ready = True
        for told in self.on_ready:
            told()

    def _seconds(self) -> float:
        return self.steady.monotonic_ms() / 1000

    async def accept(self, runtime_id: str) -> None:
        """A person says that the runtime may come again."""
        runtime = self.directory.runtimes[runtime_id]
        if runtime.suspected_since_ms is None:
            return
        async with self.directory.changing(runtime.organization_id, CONTROL_PLANE) as draft:
            draft.save(msgspec.structs.replace(self.directory.runtimes[runtime_id], suspected_since_ms=None))


@functools.cache
def _fresh() -> bytes:
    """A data directory that was migrated and not used: the same for every world."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "caisey.db"
        connection = open_writer(path)
        migrate(connection, str(path))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return path.read_bytes()


def _must_not_end(task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    raise RuntimeError(f"a loop of the control plane ended: {error!r}") from error
