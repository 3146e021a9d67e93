"""A runtime in the simulation: the product's own agent over a simulated computer.

Owns the assembly (`runtime.assembly` with other parts), its life under a service manager that starts it again, and the
points where it can be made to crash: before and after every write of its journal.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.protocol import limits
from caisey.protocol.fields import BridgeKind
from caisey.protocol.frames import Load, Owner, ToolReference
from caisey.runtime.agent import Agent, Incarnation, Parts
from caisey.runtime.attempts import Attempts
from caisey.runtime.database import JournalUnwritableError
from caisey.runtime.executor import Executor, Planned
from caisey.runtime.journal import Journal as JournalView
from caisey.runtime.journal import Refusal
from caisey.runtime.processes import Order
from caisey.runtime.spool import Spool
from caisey.runtime.toolbox import LocalToolbox
from caisey.runtime.writer import JournalWriter
from caisey.transport.bridge import Bridge
from tests.simulation.clockwork import WORLD, Life, SimLoop
from tests.simulation.machine import Journal, LastHeld, Machine, SimCensus, SimDatabase, SimLauncher
from tests.simulation.network import ClientBridge
from tests.simulation.polls import SimPolls

VERSION = "0.1.0"
Connect = Callable[["Node", BridgeKind], Awaitable["ClientBridge | SimPolls"]]


class SimToolbox(LocalToolbox):
    """The product's toolbox; a command's text is its plan, and no program runs."""

    _offers: tuple[ToolReference, ...] | None = None

    def offers(self) -> tuple[ToolReference, ...]:
        if SimToolbox._offers is None:
            SimToolbox._offers = super().offers()[:2]
        return SimToolbox._offers

    def plan(self, tool: str, version: int, arguments: Any) -> Planned | Refusal:
        def order_in(folder: str) -> Order:
            return Order((arguments["command"],), {}, None, None, {}, None)

        return Planned(order_in, "/", "sim")


class BusyExecutor(Executor):
    """The product's own; with four calls it has as many as others with all their places and all their waiting ones."""

    @property
    def load(self) -> int:
        return super().load + limits.RUNNING_CALLS + limits.WAITING_CALLS - 4


class Dice:
    """`runtime.clock.Chance` from the seed."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def uniform(self, low: float, high: float) -> float:
        return self._dice.uniform(low, high)

    def token(self, size: int) -> bytes:
        return self._dice.randbytes(size)


class NoLoad:
    """`agent.SelfWatch`."""

    def load(self) -> Load:
        return Load(cpu_percent=0.1, rss_bytes=1)


class StaticTrust:
    """`hearing.Trust`: one key for ever."""

    def __init__(self, key: bytes) -> None:
        self._keys: tuple[bytes, ...] = (key,)

    def trusted(self) -> tuple[bytes, ...]:
        return self._keys

    def replace(self, keys: tuple[bytes, ...]) -> None:
        self._keys = keys

    def try_another(self) -> None:
        """There is one."""


class Node:
    """One enrolled runtime on one computer. `connect` opens a bridge; `wrong` hears of what must not happen."""

    def __init__(
        self, *, runtime_id: str, machine: Machine, disk: Journal, key: Ed25519PrivateKey, plane_key: bytes,
        fingerprint: str, loop: SimLoop, seed: str, connect: Connect, wrong: Callable[[str], None],
        bridges: tuple[BridgeKind, ...],
    ) -> None:  # fmt: skip
        self.runtime_id, self.machine, self.disk, self.key = runtime_id, machine, disk, key
        self.fingerprint, self._plane_key = fingerprint, plane_key
        self._loop, self._seed, self._connect, self._wrong = loop, seed, connect, wrong
        self.bridges = bridges
        self.bridge: ClientBridge | SimPolls | None = None  # the one it opened last
        self.lives = 0
        self.life: Life | None = None
        self.agent: Agent | None = None
        self.wanted = True  # the service manager starts it
        self.crash_at: tuple[int, str] | None = None  # writes from now, "before" or "after"
        self.incarnation = ""
        self.crashes = 0

    @property
    def running(self) -> bool:
        return self.life is not None and not self.life.dead

    def start(self) -> None:
        """Unless it runs, or is not wanted, or the computer is off."""
        if self.running or not self.wanted or self.machine.boot.dead:
            return
        self.lives += 1
        dice = random.Random(f"{self._seed} {self.lives}")
        self.incarnation = dice.randbytes(8).hex()
        numbers = self.machine.start_numbers
        numbers[self.runtime_id] = numbers.get(self.runtime_id, 0) + 1
        self.life = Life(f"{self.runtime_id} life {self.lives}", self.machine.boot)
        place = (self.disk.name, self.runtime_id)
        self.machine.incarnations[place] = self.incarnation
        mine = self.incarnation

        def gone() -> None:
            if self.machine.incarnations.get(place) == mine:
                del self.machine.incarnations[place]

        self.life.when_it_ends(gone)
        self._loop.spawn(self._live(dice, self.life), self.life)

    def crash(self, again_in: float | None = 1.0) -> None:
        """kill -9; the service manager starts it again."""
        if self.running and self.life is not None:
            self.crashes += 1
            self.life.end()
            self.again(again_in)

    def again(self, seconds: float | None) -> None:
        """Start it in a while, if the computer is on by then."""
        if seconds is not None:
            self._loop.call_later(seconds, self.start, context=self.machine.boot.context())

    async def _live(self, dice: random.Random, life: Life) -> None:
        try:
            self.agent = self._assemble(dice, life)
            await self.agent.run()
        except* JournalUnwritableError:
            pass
        except* BaseException as group:  # noqa: BLE001
            self._wrong(f"runtime {self.runtime_id} died of a defect: {group.exceptions!r}")
        self._loop.call_soon(self.crash, 1.5, context=WORLD.context())

    def _assemble(self, dice: random.Random, life: Life) -> Agent:
        machine, disk, loop = self.machine, self.disk, self._loop
        me = Owner(runtime_id=self.runtime_id, incarnation=self.incarnation)
        census = SimCensus(machine, disk, (self.runtime_id, self.incarnation))
        database = SimDatabase(disk)
        journal = JournalView(database, census, me)

        def run(work: Callable[[], None], done: Callable[[BaseException | None], None]) -> None:
            loop.call_later(machine.moment(), self._write, work, done)

        writer = JournalWriter(database, journal, run)
        budget, attempts, spool = LastHeld(), Attempts(), Spool(disk.folder)
        toolbox = SimToolbox("linux", disk.folder)
        launcher = SimLauncher(
            machine, disk, life, incarnation=self.incarnation, budget=budget, runtime_id=self.runtime_id
        )
        executor = BusyExecutor(
            writer=writer, launcher=launcher, toolbox=toolbox, spool=spool, budget=budget, attempts=attempts,
            clock=machine, me=me,
        )  # fmt: skip
        incarnation = Incarnation(
            me=me, start_number=machine.start_numbers[self.runtime_id], boot_id=machine.boot_id,
            machine_fingerprint=self.fingerprint, runtime_version=VERSION, private_key=self.key,
        )  # fmt: skip
        return Agent(
            Parts(
                incarnation=incarnation, trust=StaticTrust(self._plane_key), writer=writer, executor=executor,
                attempts=attempts, toolbox=toolbox, spool=spool, census=census, clock=machine, chance=Dice(dice),
                self_watch=NoLoad(), connectors=[Way(self, kind) for kind in self.bridges],
            )
        )  # fmt: skip

    def _write(self, work: Callable[[], None], done: Callable[[BaseException | None], None]) -> None:
        """The journal's thread, with a death before or after what it does."""
        if self.crash_at is not None:
            left, when = self.crash_at
            self.crash_at = (left - 1, when) if left > 1 else None
            if left <= 1:
                if when == "after":
                    with contextlib.suppress(JournalUnwritableError):
                        work()
                self.crash()
                return
        error: BaseException | None = None
        try:
            work()
        except Exception as raised:  # noqa: BLE001  (as the thread does: it is raised where it was asked for)
            error = raised
        self._loop.call_later(self.machine.moment() / 4, done, error)

    async def connect(self, kind: BridgeKind) -> Bridge:
        """A bridge of this kind. Raises `BridgeClosedError`."""
        self.bridge = await self._connect(self, kind)
        return self.bridge


class Way:
    """`transport.bridge.Connector` for one kind of bridge."""

    def __init__(self, node: Node, kind: BridgeKind) -> None:
        self._node, self.kind = node, kind

    async def connect(self) -> Bridge:
        """See `Connector.connect`."""
        return await self._node.connect(self.kind)
