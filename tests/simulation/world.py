"""The whole simulated world: two computers, three runtimes, a control plane, a network, two technicians.

Owns how each kind of event of a story is carried out, the end of all faults, and the demand that everything settles
after it. Decides nothing about the product and nothing about what is right: that is `oracle`.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.control.directory.records import Endpoint, Organization, PolicyLevel, Runtime
from caisey.control.directory.records import Machine as MachineRecord
from caisey.core import events as e
from caisey.core.policy import PolicyFields
from caisey.core.session import Session
from caisey.core.states import CallState, CancelWhy
from caisey.core.tool_call import ToolCall
from caisey.protocol.fields import BridgeKind
from caisey.transport.bridge import BridgeClosedError
from tests.simulation.clockwork import WORLD, SimLoop, SpinError
from tests.simulation.endpoint import VERSION, Node
from tests.simulation.faults import Faults
from tests.simulation.machine import Job, Journal, Machine, Picture
from tests.simulation.network import ClientBridge, ServerSide, Weather, Wire, short
from tests.simulation.oracle import ORGANIZATION, Oracle
from tests.simulation.people import TECHNICIANS, People
from tests.simulation.plane import PlaneNode
from tests.simulation.polls import HttpWire, SimPolls, serve
from tests.simulation.story import SPAN_S, Event, Story

PATIENCE_S = 420.0
"""So long after the last fault everything has settled, or waits for a person."""
LOOK_S = 1.0
PAGES_EVERY = 8
BRIDGES: dict[str, tuple[BridgeKind, ...]] = {
    "websocket": ("websocket",), "longpoll": ("longpoll",), "both": ("websocket", "longpoll"),
}  # fmt: skip
FOLDER = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
POLICY = {
    "heartbeat_interval_s": 6.0,
    "ack_window_s": 2.0,
    "reconcile_window_s": 8.0,
    "sleep_expiry_s": 20.0,
    "stall_after_s": 5.0,
    "hold_expiry_s": 20.0,
    "mutating_age_s": 30.0,
    "approval_expiry_s": 20.0,
}


W = TypeVar("W", bound=Wire)


class Outcome(NamedTuple):
    """What a run came to."""

    steps: int
    faults: int
    broken: str
    settled_after_s: float
    starts: int
    events: int
    cells: Counter[tuple[str, str]]
    fault_cells: set[tuple[str, str, str]]
    happened: Counter[str]


class World:
    """One story, carried out."""

    def __init__(self, story: Story, tracing: bool = False) -> None:
        self.story = story
        self.trace: list[str] | None = [] if tracing else None
        self.broken: list[str] = []
        self.happened: Counter[str] = Counter()
        self._looks = 0
        self._active: Counter[str] = Counter()
        self._folder = tempfile.TemporaryDirectory(prefix="caisey-sim-", dir=FOLDER)
        root = Path(self._folder.name)
        self.loop = SimLoop(self._uncaught)  # type: ignore[abstract]  # what is not there is never asked for
        WORLD._below.clear()
        WORLD._mourners.clear()
        seed = story.seed
        self.oracle = Oracle(self)
        self.dice = random.Random(f"{seed} world")
        self.plane = PlaneNode(root / "caisey.db", self.loop, f"{seed} plane", WORLD, self.oracle.committed)
        self.plane.commit_s = story.commit_s
        self.plane.on_ready.append(self._plane_is_ready)
        self.plane.on_crash.append(self._plane_crashed)
        self.any_garbled = False
        self.unseen_step = False  # the clock stepped while nobody could compare it
        self.stepped_at = 0.0
        self.plane_ready_at = 0.0
        self._closing = False
        self.plane_again_s = 1.0
        self.restoring = False
        self.wires: list[Wire] = []
        self.machines = [
            Machine(name, self.loop, random.Random(f"{seed} {name}"), root / name, self.oracle.started)
            for name in ("one", "two")
        ]
        self.pictures: dict[str, Picture] = {}
        self.nodes = self._nodes(seed)
        self.weather = {node: Weather(latency_s=story.latency_s) for node in self.nodes}
        self.no_websockets: Counter[Node] = Counter()
        self.sessions: list[str] = []
        self.people, self.faults = People(self), Faults(self)

    # -- who there is --------------------------------------------------------------------------------------------------

    def _nodes(self, seed: str) -> list[Node]:
        one, two = self.machines
        first = Journal("jrn_one", one.folder)
        second = first if self.story.shared else Journal("jrn_other", one.folder)
        third = Journal("jrn_two", two.folder)
        for machine, disk in ((one, first), (one, second), (two, third)):
            machine.disks[disk.name] = disk
        return [
            self.node(f"rtm_{i}", m, d, seed) for i, (m, d) in enumerate(((one, first), (one, second), (two, third)))
        ]

    def node(self, runtime_id: str, machine: Machine, disk: Journal, seed: str, twin: str = "") -> Node:
        key = Ed25519PrivateKey.from_private_bytes(random.Random(f"{seed} {runtime_id}").randbytes(32))
        return Node(
            runtime_id=runtime_id, machine=machine, disk=disk, key=key, plane_key=self.plane.keyring.current_public,
            fingerprint="f" * 63 + ("2" if machine.name == "two" else "1"), loop=self.loop,
            seed=f"{seed} {runtime_id} {twin}", connect=self._connect, wrong=self.wrong,
            bridges=BRIDGES[self.story.bridges[int(runtime_id[-1])]],
        )  # fmt: skip

    async def _found(self) -> None:
        """Once: the organization, its policy, the computers, the runtimes, the sessions."""
        plane = self.plane
        async with plane.directory.changing(ORGANIZATION, e.CONTROL_PLANE) as draft:
            draft.save(Organization(organization_id=ORGANIZATION, name="default", created_at_ms=draft.at_ms))
            fields = PolicyFields(**POLICY, when_unhealthy=self.story.when_unhealthy)  # type: ignore[arg-type]
            draft.save(
                PolicyLevel(
                    organization_id=ORGANIZATION,
                    level="organization",
                    subject="",
                    fields=fields,
                    updated_at_ms=draft.at_ms,
                )
            )
            for machine in self.machines:
                draft.save(
                    Endpoint(
                        endpoint_id=f"ept_{machine.name}", organization_id=ORGANIZATION, client_group_id=None,
                        name=machine.name, tags=(), created_at_ms=draft.at_ms,
                        machine=MachineRecord(hostname="h", os="linux", os_version="12", arch="x"),
                        machine_fingerprint="f" * 63 + ("2" if machine.name == "two" else "1"),
                    )
                )  # fmt: skip
            for node in self.nodes:
                draft.save(
                    Runtime(
                        runtime_id=node.runtime_id, organization_id=ORGANIZATION,
                        endpoint_id=f"ept_{node.machine.name}", journal_id=node.disk.name,
                        public_key=node.key.public_key().public_bytes_raw(), machine_fingerprint=node.fingerprint,
                        version=VERSION, boot_id="", enrolled_at_ms=draft.at_ms,
                    )
                )  # fmt: skip
        for endpoint_id, actor in (("ept_one", "anna"), ("ept_one", "bert"), ("ept_two", "anna")):
            session = await plane.sessions.create(ORGANIZATION, endpoint_id, TECHNICIANS[actor], "t", None)
            self.sessions.append(session.id)

    # -- the network ---------------------------------------------------------------------------------------------------

    async def _connect(self, node: Node, kind: BridgeKind) -> ClientBridge | SimPolls:
        weather = self.weather[node]
        await node.machine.pause()
        if not (weather.up and weather.down):
            waiting: asyncio.Future[None] = self.loop.create_future()
            await waiting
        if kind == "longpoll":
            polls = SimPolls(
                self.loop, lambda bridge: self._open_line(node, bridge), lambda data: self._up("polls", node, data)
            )
            await polls.start()
            return polls
        if self.no_websockets[node]:
            raise BridgeClosedError(None, "HTTP 400")
        wire = self._wire(Wire, node)
        if wire is None:
            raise BridgeClosedError(None, "refused", nobody_there=True)
        place = f"wire {self.happened['wire']}"
        side = ServerSide(wire, lambda data: self._down(place, data))
        self.in_plane(self.plane.socket(side.scope, side.receive, side.send))
        return ClientBridge(wire, lambda data: self._up(place, node, data))

    def _open_line(self, node: Node, bridge: SimPolls) -> HttpWire | None:
        """A connection for polls, where somebody listens."""
        wire = self._wire(HttpWire, node)
        if wire is not None:
            wire.bridge = bridge
            place = f"line {self.happened['wire']}"
            seen = partial(self._down, place)
            self.in_plane(serve(wire, self.plane.poll, seen, self.in_plane))
        return wire

    def _wire(self, kind: type[W], node: Node) -> W | None:
        if not self.plane.ready or node.life is None:
            return None
        dice = random.Random(f"{self.story.seed} {node.runtime_id} {node.lives} {self.happened['wire']}")
        wire = kind(self.loop, self.weather[node], dice, client=node.life, server=self.plane.life, count=self._fault)
        self.happened["wire"] += 1
        self.wires = [kept for kept in self.wires if not kept.over]
        self.wires.append(wire)
        return wire

    def _down(self, place: str, data: bytes) -> None:
        self.tell("control plane", f"says on {place}: {short(data)}" if self.trace is not None else "")
        self.oracle.from_plane(data)

    def _up(self, place: str, node: Node, data: bytes) -> None:
        self.tell(node.runtime_id, f"says on {place}: {short(data)}" if self.trace is not None else "")
        self.oracle.from_runtime(node, data)

    def tell(self, who: str, what: str) -> None:
        """One line of the story, where somebody wants to read it."""
        if self.trace is not None:
            self.trace.append(f"{self.loop.time() - 1000:9.3f}  {who} {what}")

    def in_plane(self, work: Coroutine[Any, Any, Any]) -> None:
        context = self.plane.life.context()
        task = context.run(self.loop.create_task, work, context=context)
        task.add_done_callback(self._defect)

    def _defect(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._uncaught("a task of the control plane", task.exception())

    # -- what the product must not do ----------------------------------------------------------------------------------

    def wrong(self, what: str) -> None:
        """An invariant is broken; the first one counts."""
        if not self._closing:
            self.broken.append(what)
            self.loop.halted = True

    def _uncaught(self, where: str, error: BaseException | None) -> None:
        if self._closing:
            return
        lines = traceback.format_exception(error) if error is not None else []
        self.wrong(f"defect: {where}: {error!r}\n{''.join(lines[-6:])}")

    def _fault(self, kind: str) -> None:
        self.happened[kind] += 1
        if kind == "frame garbled":
            self.any_garbled = True

    def faults_now(self) -> list[str]:
        """The kinds of faults that are in force."""
        return [kind for kind, count in self._active.items() if count > 0] or ["calm"]

    def during(self, kind: str, seconds: float, over: Callable[[], None]) -> None:
        """A fault in force for a while."""
        self._active[kind] += 1

        def ends() -> None:
            self._active[kind] -= 1
            over()

        self.loop.call_later(seconds, ends, context=WORLD.context())

    # -- looking -------------------------------------------------------------------------------------------------------

    def plane_rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """What the control plane's data directory says, if it is open."""
        return self.plane.log.query_now(sql, values) if self.plane.up and hasattr(self.plane, "log") else []

    def plane_busy(self) -> bool:
        """It cannot be blamed for being late: frozen, or its disk is slow or sick."""
        frozen = self.plane.life.thaws_at + 1.0 > self.loop.time()
        return frozen or self.plane.commit_s > 0.1 or bool(self.plane._failures) or self._active["plane_disk"] > 0

    def calls_of(self, session_id: str) -> list[ToolCall]:
        """Every step of a session, as decided."""
        session = self.plane.sessions.peek(session_id)
        return list(session.calls.values()) if session is not None else []

    def session_of(self, call_id: str) -> Session | None:
        """As decided."""
        if not self.plane.ready:
            return None
        for session_id in self.sessions:
            session = self.plane.sessions.peek(session_id)
            if session is not None and call_id in session.calls:
                return session
        return None

    def _plane_is_ready(self) -> None:
        self.plane_ready_at = self.loop.time()
        self.plane.sessions.follow(self.oracle.decided)
        if self.restoring:
            self.restoring = False
            self.oracle.forget_what_was_lost()
        self.oracle.plane_is_back()

    def _plane_crashed(self) -> None:
        if self.loop.time() < self.stepped_at + 3.0:
            self.unseen_step = True
        self.loop.call_later(self.plane_again_s, self.plane.start, context=WORLD.context())

    # -- a run ---------------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Carry the story out; the world is closed afterwards."""
        settled = 0.0
        try:
            settled = self._run()
        except SpinError as spin:
            self.wrong(f"spin: {spin}")
        finally:
            self._closing = True
            events = sum(self.oracle.cells.values())
            self._close()
        faults = sum(
            count
            for kind, count in self.happened.items()
            if kind not in ("wire", "prompt", "act", "act_twice", "hand_over")
        )
        return Outcome(
            self.loop.steps, faults, self.broken[0] if self.broken else "", settled, len(self.oracle.starts), events,
            self.oracle.cells, self.oracle.fault_cells, self.happened,
        )  # fmt: skip

    def _run(self) -> float:
        asyncio._set_running_loop(self.loop)
        try:
            self.plane.start()
        finally:
            asyncio._set_running_loop(None)
        self.loop.run_until(self.loop.time() + 5.0, lambda: self.plane.ready)
        founded = asyncio.Event()

        async def found() -> None:
            await self._found()
            founded.set()

        self.in_plane(found())
        self.loop.run_until(self.loop.time() + 20.0, founded.is_set)
        assert founded.is_set() or self.broken
        begin = self.loop.time()
        for node in self.nodes:
            node.start()
        for event in self.story.events:
            self.loop.call_at(begin + event.at, self._happen, event, context=WORLD.context())
        end = begin + SPAN_S + 5.0
        while self.loop.time() < end and not self.broken:
            self.loop.run_until(min(end, self.loop.time() + LOOK_S))
            self.oracle.no_deadline_forgotten()
            self.oracle.nobody_waits_in_vain()
            self._look_at_pages()
            self.faults.tell_lies()
        if not self.broken:
            self._stop_faults()
        return self._settle()

    def _settle(self) -> float:
        begin = self.loop.time()
        while not self.broken and self.loop.time() < begin + PATIENCE_S:
            self.loop.run_until(self.loop.time() + LOOK_S)
            self._let_commands_end()
            self.oracle.no_deadline_forgotten()
            self.oracle.nobody_waits_in_vain()
            self._look_at_pages()
            if not self.unsettled():
                break
        if self.broken:
            return 0.0
        left = self.unsettled()
        if left:
            self.wrong(f"liveness: {PATIENCE_S:.0f} s after the last fault: {'; '.join(left[:4])}")
        else:
            self.oracle.end()
        return self.loop.time() - begin

    def _look_at_pages(self) -> None:
        """Making every page is costly: now and then, and at the end."""
        self._looks += 1
        if self._looks % PAGES_EVERY == 0 and not self.broken:
            self.oracle.look_at_what_is_shown()

    def unsettled(self) -> list[str]:
        """What neither has settled nor waits for a person."""
        if not self.plane.ready:
            return ["no control plane"]
        left: list[str] = []
        for session_id in self.sessions:
            session = self.plane.sessions.peek(session_id)
            if session is None:
                continue  # an older backup does not know it
            slot = self.plane.sessions._slots[session_id]
            if slot.pending:
                left.append(f"{session_id} commits")
            for call in session.calls.values():
                left += [f"{call.id} #{a.number} is {a.state}" for a in call.open_attempts]
                if call.state is CallState.RUNNING:
                    left.append(f"{call.id} runs")
                for a in call.attempts:
                    if a.journal_id is not None and self.oracle.whole(a.journal_id) and not a.final_word:
                        left.append(f"{call.id} #{a.number} has no last word of its journal")
        left += self._unsettled_in_journals()
        return left

    def _unsettled_in_journals(self) -> list[str]:
        left = []
        for disk in {id(node.disk): node.disk for node in self.nodes}.values():
            for call_id, number, state in disk.query(
                "SELECT tool_call_id, number, state FROM attempts WHERE settled = 0"
            ):
                session = self.session_of(call_id)
                attempt = session.calls[call_id].attempt(number) if session is not None else None
                if attempt is not None and attempt.journal_id == disk.name and self.oracle.whole(disk.name):
                    left.append(f"{disk.name} still has {call_id} #{number} {state}")
        return left

    def _close(self) -> None:
        asyncio._set_running_loop(self.loop)
        try:
            self.loop.close()
            if self.plane.up and hasattr(self.plane, "log"):
                self.plane.log.let_go()
        finally:
            asyncio._set_running_loop(None)
        for machine in self.machines:
            for disk in machine.disks.values():
                disk.connection.close()
        self._folder.cleanup()

    # -- no more faults ------------------------------------------------------------------------------------------------

    def _stop_faults(self) -> None:
        self._active.clear()
        self.no_websockets.clear()
        self.faults.stop()
        for weather in self.weather.values():
            weather.calm()
        for wire in self.wires:
            wire.healed()
            # Frames that were lost on the way, or a question whose COMMIT only seemed to fail, come with the next one.
            if wire.was_wild or self.any_garbled or self.happened["plane_disk"]:
                wire.end_bridge()
        self.plane.commit_s = self.story.commit_s
        self.plane._death, self.plane._failures = None, []
        for node in self.nodes:
            node.wanted, node.crash_at = True, None
            node.again(0.1)
        self._look_after()

    def _look_after(self) -> None:
        """A person reviews journals, and accepts runtimes, until the end."""
        if self.plane.ready:
            for machine in self.machines:
                self.people.look_over(machine)
            for node in self.nodes:
                self.in_plane(self.plane.accept(node.runtime_id))
        self.loop.call_later(20.0, self._look_after, context=WORLD.context())

    def _let_commands_end(self) -> None:
        for machine in self.machines:
            for job in list(machine.jobs.values()):
                if (job.plan.forever or job.plan.asks) and not self._cancelled(job):
                    self.loop.call_soon(job.end, "itself", context=job.life.context())

    def _cancelled(self, job: Job) -> bool:
        """A person wants it ended: the product has to see to that."""
        session = self.session_of(job.key[0])
        attempt = session.calls[job.key[0]].attempt(job.key[1]) if session is not None else None
        wanted = attempt is not None and attempt.cancel is not None and attempt.cancel.why is CancelWhy.CANCEL
        return wanted and self.oracle.whole(job.disk.name)

    # -- what happens --------------------------------------------------------------------------------------------------

    def _happen(self, event: Event) -> None:
        self.happened[event.kind] += 1
        self.tell("***", f"{event.kind} {event.args}")
        who = self.people if hasattr(self.people, event.kind) else self.faults
        getattr(who, event.kind)(*event.args)
