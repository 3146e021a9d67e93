"""A simulated computer: its clocks, its disk, its processes, and the shims that outlive a runtime.

Owns everything below the runtime that the operating system would be. The spool's files, the started marker, the end
record and the sinks are the product's own; the shim's loop and the commands are simulated. Every command that is let
go is counted here, where nobody can lie about it: this is what the invariants compare everything with.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from caisey.runtime import database as db
from caisey.runtime.database import Database, JournalUnwritableError
from caisey.runtime.judge import State
from caisey.runtime.platforms import Usage
from caisey.runtime.processes import (
    End,
    EndSeen,
    Identity,
    InputSeen,
    LaunchError,
    Order,
    OrderIn,
    OutputSeen,
    Seen,
    Shelter,
    StartSeen,
    Watcher,
)
from caisey.runtime.shim.marks import set_marker, write_child, write_end
from caisey.runtime.shim.sink import Sink
from caisey.runtime.spool import Budget, Spool, child_in
from tests.simulation.clockwork import WORLD, Life, SimLoop

VITAL_ROOM = 60
"""Writes that the reserve has room for."""


@dataclass(slots=True)
class Plan:
    """What a command will do; written into its arguments, so that it is the same at every start."""

    take_ms: int
    size: int
    chunks: int
    exit_code: int
    asks: bool = False
    forever: bool = False

    def text(self) -> str:
        """As an argument."""
        return f"{self.take_ms} {self.size} {self.chunks} {self.exit_code} {int(self.asks)} {int(self.forever)}"

    @classmethod
    def of(cls, text: str) -> Plan:
        """From an argument."""
        take, size, chunks, code, asks, forever = map(int, text.split())
        return cls(take, size, chunks, code, bool(asks), bool(forever))


@dataclass(slots=True)
class Start:
    """A command that was really let go."""

    call_id: str
    number: int
    consent: int
    journal_id: str
    runtime_id: str
    machine: str
    epoch: int
    at: float
    spool: str
    claimed: bool
    content: bytes = b""
    written: int = 0
    ended_by: str = ""


class Journal:
    """A journal's disk: one SQLite database in memory, and the folder of its spool. Survives every process."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        self.connection = self._fresh()
        self.full = False
        self.reserve = False
        self.room = 0
        self.writes = 0

    @staticmethod
    def _fresh() -> sqlite3.Connection:
        return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

    def picture(self) -> tuple[bytes, Path]:
        """A copy of everything."""
        copy = self.folder.with_name(
            f"{self.folder.name}.picture{self.writes}-{len(list(self.folder.parent.iterdir()))}"
        )
        shutil.copytree(self.folder, copy)
        return self.connection.serialize(), copy

    def restore(self, picture: tuple[bytes, Path]) -> None:
        """Everything as it was."""
        data, copy = picture
        self.connection.close()
        self.connection = self._fresh()
        self.connection.deserialize(data)
        shutil.rmtree(self.folder)
        shutil.copytree(copy, self.folder)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """What is durable there."""
        try:
            return self.connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError:
            return []  # before its first start there are no tables

    def spools(self, about: dict[str, Any]) -> list[str]:
        """The folder of an attempt, if it has one."""
        sql = "SELECT spool FROM attempts WHERE tool_call_id = ? AND number = ? AND spool IS NOT NULL"
        return [row[0] for row in self.query(sql, about["tool_call_id"], about["number"])]

    def sequence(self) -> int:
        """Its highest journal_sequence."""
        rows = self.query("SELECT value FROM journal WHERE name = 'sequence'")
        return int(rows[0][0]) if rows else 0


class SimDatabase(Database):
    """The product's journal database over a `Journal`: only what touches the file system is replaced."""

    def __init__(self, disk: Journal) -> None:
        self._disk = disk
        self._connection = disk.connection
        with self.transaction():
            for table in db._TABLES:
                self._connection.execute(table)
            self._connection.execute("INSERT OR IGNORE INTO journal VALUES ('journal_id', ?)", (disk.name,))
            self._connection.execute("INSERT OR IGNORE INTO journal VALUES ('sequence', 0)")
        self.journal_id = str(self._value("journal_id"))
        self.keep_reserve()

    def close(self) -> None:
        """The disk stays."""

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Database.transaction`; a full disk fails at the COMMIT."""
        with super().transaction():
            yield
            disk = self._disk
            if disk.full and disk.room <= 0:
                raise JournalUnwritableError("SQLITE_FULL")
            disk.room -= disk.full
            disk.writes += 1

    def keep_reserve(self) -> bool:
        """See `Database.keep_reserve`."""
        if not self._disk.full:
            self._disk.reserve, self._disk.room = True, 0
        return not self._disk.full

    def release_reserve(self) -> bool:
        """See `Database.release_reserve`."""
        held, self._disk.reserve = self._disk.reserve, False
        if held:
            self._disk.room = VITAL_ROOM
        return held


class Job:
    """A shim with its command: simulated, in the product's own spool folder."""

    def __init__(
        self, machine: Machine, disk: Journal, name: str, order: Order, *, key: tuple[str, int], runtime_id: str
    ) -> None:
        self.machine, self.disk, self.name, self.order, self.key = machine, disk, name, order, key
        self.runtime_id = runtime_id
        self.folder = disk.folder / name
        self.folder.mkdir()
        (self.folder / "started.part").write_text("{}")
        self.shim = machine.process()
        self.child: Identity | None = None
        self.plan = Plan.of(order.argv[0])
        self.life = Life(f"shim {name}", machine.boot)
        self.watchers: list[tuple[Life, Watcher]] = []
        self.start: Start | None = None
        self.seen_input = 0
        self.over = False
        self.gone = False  # go was said
        limit = order.output_bytes
        self.sinks = {stream: Sink(str(self.folder), stream, limit, order.cut) for stream in ("stdout", "stderr")}

    def tell(self, seen: Seen) -> None:
        """To every runtime that watches, a moment later."""
        for life, watcher in self.watchers:
            self.machine.loop.call_later(self.machine.moment(), watcher, seen, context=life.context())

    # -- life ----------------------------------------------------------------------------------------------------------

    def go(self) -> None:
        """The go byte is on its way: it arrives whatever becomes of who sent it."""
        self.gone = True
        self.machine.loop.call_later(self.machine.moment(), self._begin, context=self.life.context())

    def abandon(self) -> None:
        """The socket closed before go: nothing runs."""
        if not self.gone:
            self.machine.die(self.shim)
            self.life.end()

    def _begin(self) -> None:
        set_marker(str(self.folder))
        self.child = self.machine.process()
        self.start = self.machine.started(self)
        at_ms = self.machine.wall_ms()
        write_child(
            str(self.folder), {"pid": self.child.pid, "process_key": self.child.key, "process_started_ms": at_ms}
        )
        self.tell(StartSeen(self.child, at_ms))
        loop, context = self.machine.loop, self.life.context()
        step = self.plan.take_ms / 1000 / (self.plan.chunks + 1)
        for place in range(self.plan.chunks):
            loop.call_later(step * (place + 1), self._write, place, context=context)
        if not self.plan.asks and not self.plan.forever:
            loop.call_later(self.plan.take_ms / 1000, self.end, "itself", context=context)
        if self.order.time_ms:
            loop.call_later(self.order.time_ms / 1000, self.end, "time_limit", context=context)

    def _write(self, place: int) -> None:
        if self.over or self.start is None or self.shim not in self.machine.alive:
            return
        share = -(-len(self.start.content) // max(1, self.plan.chunks))
        data = self.start.content[place * share : (place + 1) * share]
        sink = self.sinks["stdout"]
        if self.disk.full and sink.why != "spool_full":
            sink._give_up()
        sink.take(data)
        self.start.written += len(data)
        self.tell(
            OutputSeen({"stdout": sink.bytes, "stderr": 0}, {"stdout": sink.head, "stderr": 0}, self.machine.wall_ms())
        )

    def take_input(self, sequence: int) -> None:
        """Written once; a command that asked goes on."""
        if self.over or self.shim not in self.machine.alive:
            return
        fresh = sequence > self.seen_input
        self.seen_input = max(self.seen_input, sequence)
        self.tell(InputSeen(sequence))
        if fresh and self.plan.asks:
            self.machine.loop.call_later(0.05, self.end, "itself", context=self.life.context())

    def end(self, ended_by: str) -> None:
        """The command ended, or is ended; the shim writes the end record if it still lives."""
        if self.over or self.child is None or self.start is None:
            return
        self.over = True
        self.start.ended_by = ended_by
        self.machine.die(self.child)
        if self.shim not in self.machine.alive:
            self.tell(EndSeen())
            return
        itself = ended_by == "itself"
        execution = {
            "exit_code": self.plan.exit_code if itself else None,
            "signal": None if itself else 9,
            "ended_by": ended_by,
            "tree_ended": True,
            "started_ms": self.machine.wall_ms() - 5,
            "ended_ms": self.machine.wall_ms(),
            "streams": {name: sink.summary() for name, sink in self.sinks.items()},
        }
        for sink in self.sinks.values():
            sink.close()
        layouts = {name: sink.layout() for name, sink in self.sinks.items()}
        write_end(str(self.folder), {"execution": execution, "spool": layouts})
        self.machine.die(self.shim)
        self.tell(EndSeen())

    def kill_shim(self) -> None:
        """The shim alone dies; the command goes on, and nobody writes down how it ends."""
        self.machine.die(self.shim)
        for sink in self.sinks.values():
            sink.close()
        if self.child is None:
            self.tell(EndSeen())  # go was on its way to it, and its socket closed
            self.life.end()

    def kill_all(self) -> None:
        """Shim and command die at once."""
        self.kill_shim()
        if not self.over and self.start is not None:
            self.over, self.start.ended_by = True, "killed"
        if self.child is not None:
            self.machine.die(self.child)
        self.tell(EndSeen())
        self.life.end()


def finish(done: asyncio.Future[None]) -> None:
    """Unless nobody waits any more."""
    if not done.done():
        done.set_result(None)


class Held:
    """`processes.Prepared` and `processes.Execution` for one runtime."""

    def __init__(self, job: Job, life: Life, shelter: Shelter) -> None:
        self._job, self._life, self.shelter = job, life, shelter
        self._entry: tuple[Life, Watcher] | None = None

    def go(self, watcher: Watcher) -> Held:
        """See `Prepared.go`."""
        self.watch(watcher)
        self._job.go()
        return self

    def watch(self, watcher: Watcher) -> Held:
        """Hear of it from now on."""
        self._entry = (self._life, watcher)
        self._job.watchers.append(self._entry)
        return self

    def abandon(self) -> None:
        """See `Prepared.abandon`."""
        self._job.abandon()

    def cancel(self) -> None:
        """See `Execution.cancel`."""
        job = self._job
        context = (job.life if job.shim in job.machine.alive else job.machine.boot).context()
        job.machine.loop.call_later(0.003, job.end, "cancel", context=context)

    def input(self, sequence: int, data: bytes, *, close: bool) -> None:
        """See `Execution.input`."""
        job = self._job
        job.machine.loop.call_later(0.001, job.take_input, sequence, context=job.life.context())

    def detach(self) -> None:
        """See `Execution.detach`."""
        if self._entry in self._job.watchers:
            self._job.watchers.remove(self._entry)


class LastHeld(Budget):
    """The product's budget; it also remembers for which attempt space was set aside last."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""

    def hold(self, name: str, wanted: int) -> Any:
        self.last = name
        return super().hold(name, wanted)


class SimLauncher:
    """`processes.Launcher` over simulated shims."""

    def __init__(
        self, machine: Machine, disk: Journal, life: Life, *, incarnation: str, budget: LastHeld, runtime_id: str
    ) -> None:
        self._machine, self._disk, self._life, self._budget = machine, disk, life, budget
        self._incarnation, self._runtime_id = incarnation, runtime_id
        self._count = 0

    async def prepare(self, order_in: OrderIn) -> Held:
        """See `Launcher.prepare`."""
        call_id, _, number = self._budget.last.rpartition(".")
        self._count += 1
        name = f"{self._incarnation}-{self._count}"
        await self._machine.pause()
        if self._machine.no_forks:
            raise LaunchError("no process could be made")
        job = Job(
            self._machine,
            self._disk,
            name,
            order_in(str(self._disk.folder / name)),
            key=(call_id, int(number)),
            runtime_id=self._runtime_id,
        )
        self._machine.jobs[self._disk.name, name] = job
        self._life.when_it_ends(partial(self._hang_up, job))
        return Held(job, self._life, Shelter(job.shim, None, name, None))

    def _hang_up(self, job: Job) -> None:
        """The socket between a runtime that died and its shim."""
        self._machine.loop.call_later(0.002, job.abandon, context=WORLD.context())

    async def adopt(self, shelter: Shelter, watcher: Watcher) -> Held:
        """See `Launcher.adopt`."""
        await self._machine.pause()
        job = self._machine.jobs.get((self._disk.name, shelter.spool)) or Lost(self._machine)
        held = Held(job, self._life, shelter)
        held.watch(watcher)
        alive = self._machine.alive
        if job.over or (job.shim not in alive and (job.child is None or job.child not in alive)):
            job.tell(EndSeen())
        return held

    async def close(self) -> None:
        """See `Launcher.close`."""


class Lost(Job):
    """An execution that a reboot or a copy of the disk left without processes."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.life = machine, machine.boot
        self.watchers = []
        self.shim, self.child = Identity(0, ""), None
        self.over = True

    def end(self, ended_by: str) -> None:
        """Nothing to end."""

    def take_input(self, sequence: int) -> None:
        """Nobody reads it."""


class SimCensus:
    """`processes.Census` over the simulated computer."""

    def __init__(self, machine: Machine, disk: Journal, me: tuple[str, str]) -> None:
        self._machine, self._spool, self._me, self._disk = machine, Spool(disk.folder), me, disk

    def alive(self, process: Identity) -> bool:
        return process in self._machine.alive

    def child_of(self, spool: str) -> StartSeen | None:
        return child_in(self._spool.folder(spool))

    def strays(self, shim: Identity) -> bool:
        return any(j.shim == shim and j.child in self._machine.alive for j in self._machine.jobs.values())

    def end_record(self, spool: str) -> End | None:
        return self._spool.end_record(spool)

    def incarnation_lives(self, runtime_id: str, incarnation: str) -> bool:
        if runtime_id == self._me[0]:
            return incarnation == self._me[1]
        return self._machine.incarnations.get((self._disk.name, runtime_id)) == incarnation

    def usage(self, shelter: Shelter) -> Usage:
        job = self._machine.jobs.get((self._disk.name, shelter.spool))
        asks = job is not None and job.plan.asks and job.seen_input == 0
        return Usage(7, asks)


@dataclass(slots=True)
class Picture:
    """A snapshot of a computer's disks."""

    at: float
    journals: dict[str, tuple[bytes, Path]]
    start_numbers: dict[str, int]
    sequences: dict[str, int] = field(default_factory=dict)


class Machine:
    """One computer."""

    def __init__(
        self, name: str, loop: SimLoop, dice: random.Random, folder: Path, counted: Callable[[Start], None]
    ) -> None:
        self.name, self.loop, self.dice, self.folder = name, loop, dice, folder
        self.folder.mkdir()
        self._counted = counted
        self.disks: dict[str, Journal] = {}
        self.jobs: dict[tuple[str, str], Job] = {}
        self.alive: set[Identity] = set()
        self.incarnations: dict[tuple[str, str], str] = {}
        self.start_numbers: dict[str, int] = {}
        self.skew_ms = dice.choice([0, 0, -3_600_000, 86_400_000])
        self.epoch = 0
        self.boots = 0
        self.no_forks = False
        self._pid = 100
        self.slept = 0.0
        self.switch_on()

    # -- on and off ----------------------------------------------------------------------------------------------------

    def switch_on(self) -> None:
        """Another boot."""
        self.boots += 1
        self.boot_id = f"boot-{self.name}-{self.boots}"
        self.boot = Life(self.boot_id, WORLD)
        self.booted_at = self.loop.time()
        self.slept = 0.0

    def switch_off(self) -> None:
        """Every process is gone at once; what they wrote stays."""
        for job in self.jobs.values():
            if job.start is not None and not job.over:
                job.start.ended_by = "killed"
        self.boot.end()
        self.alive.clear()
        self.jobs.clear()
        self.incarnations.clear()

    def sleep(self, seconds: float) -> None:
        """Nothing runs for a while."""
        self.boot.freeze(self.loop.time() + seconds)
        self.slept += seconds

    def picture(self) -> Picture:
        """Copy the disks."""
        journals = {name: disk.picture() for name, disk in self.disks.items()}
        sequences = {name: disk.sequence() for name, disk in self.disks.items()}
        return Picture(self.loop.time(), journals, dict(self.start_numbers), sequences)

    def set_back(self, picture: Picture) -> None:
        """Switch off, and put the disks back as they were."""
        self.switch_off()
        for name, copy in picture.journals.items():
            self.disks[name].restore(copy)
        self.start_numbers = dict(picture.start_numbers)
        self.epoch += 1

    # -- time ----------------------------------------------------------------------------------------------------------

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + int(self.loop.time() * 1000) + self.skew_ms

    def monotonic_ms(self) -> int:
        return int((self.loop.time() - self.booted_at - self.slept) * 1000) + 1_000

    def boottime_ms(self) -> int:
        return int((self.loop.time() - self.booted_at) * 1000) + 1_000

    def moment(self) -> float:
        """How long a small thing takes."""
        return 0.0002 + self.dice.random() * 0.003

    async def pause(self) -> None:
        """A small thing takes its time."""
        done = self.loop.create_future()
        self.loop.call_later(self.moment(), finish, done)
        await done

    # -- processes -----------------------------------------------------------------------------------------------------

    def process(self) -> Identity:
        """A new process. Pids come again after a while, as they do."""
        self._pid = 100 + (self._pid - 99) % 40
        identity = Identity(self._pid, f"{self.boot_id}:{int(self.loop.time() * 1_000_000)}")
        self.alive.add(identity)
        return identity

    def runs(self, disk: str, spool: str) -> bool:
        """Whether the command of an execution lives."""
        job = self.jobs.get((disk, spool))
        return job is not None and job.child in self.alive

    def die(self, process: Identity) -> None:
        self.alive.discard(process)

    def started(self, job: Job) -> Start:
        """Count it: this happened, whatever anybody says."""
        call_id, number = job.key
        rows = job.disk.query(
            "SELECT consent, state FROM attempts WHERE tool_call_id = ? AND number = ?", call_id, number
        )
        consent = int(rows[0][0]) if rows else 0
        text = f"{job.name} of {self.name}:".encode()
        content = (text * (job.plan.size // len(text) + 1))[: job.plan.size]
        claimed = bool(rows) and rows[0][1] not in (State.RECEIVED, State.CLOSED, State.SUPERSEDED)
        start = Start(
            call_id, number, consent, job.disk.name, job.runtime_id, self.name, self.epoch, self.loop.time(), job.name,
            claimed, content,
        )  # fmt: skip
        self._counted(start)
        return start
