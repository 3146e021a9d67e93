"""A connection that breaks while a command is being let go: the new one takes stock, and one watcher stays one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from caisey.protocol.frames import Owner
from caisey.runtime.attempts import Attempts
from caisey.runtime.executor import Executor, _Waiting
from caisey.runtime.judge import State
from caisey.runtime.processes import EndSeen, Identity, Shelter, StartSeen
from caisey.runtime.records import AttemptRecord, Key

KEY = Key("tcl_1", 1)
SHELTER = Shelter(shim=Identity(7, "boot:7"), child=None, spool="one", cgroup=None)


def record(state: State, sequence: int) -> AttemptRecord:
    return AttemptRecord(
        tool_call_id=KEY.tool_call_id, number=1, consent=1, state=state, sequence=sequence, owner_runtime="rtm_1",
        owner_incarnation="inc_1", shim_pid=7, shim_key="boot:7", spool="one",
    )  # fmt: skip


class Shim:
    """A prepared shim or an adopted one; it counts how often it was let go of."""

    shelter = SHELTER

    def __init__(self) -> None:
        self.watcher: Callable[[Any], None] | None = None
        self.detached = 0

    def go(self, watcher: Callable[[Any], None]) -> Shim:
        self.watcher = watcher
        return self

    def detach(self) -> None:
        self.detached += 1


class Launcher:
    """One shim that is prepared, and as many as are asked for that are adopted."""

    def __init__(self) -> None:
        self.prepared = Shim()
        self.adopted: list[Shim] = []

    async def prepare(self, order_in: Any) -> Shim:
        return self.prepared

    async def adopt(self, shelter: Shelter, watcher: Callable[[Any], None]) -> Shim:
        shim = Shim().go(watcher)
        self.adopted.append(shim)
        await asyncio.sleep(0)  # as a real one, which connects to the shim's socket
        return shim


class Writer:
    """Answers in turn, once each answer is let through."""

    def __init__(self, *answers: AttemptRecord) -> None:
        self._answers = list(answers)
        self.gate = asyncio.Event()
        self.asked = asyncio.Event()

    async def submit(self, act: Any, *, vital: bool = False) -> AttemptRecord:
        self.asked.set()
        await self.gate.wait()
        return self._answers.pop(0)


class Anything:
    """What this story does not look at: a budget, a plan, a clock."""

    def hold(self, name: str, wanted: int) -> tuple[int, str]:
        return 1, "limit"

    def plan(self, tool: str, version: int, arguments: Any) -> Any:
        return Anything()

    def boottime_ms(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        return Anything()

    def __call__(self, *_: Any, **__: Any) -> Any:
        return Anything()


def executor(writer: Any, launcher: Any) -> tuple[Executor, Attempts]:
    attempts = Attempts()
    other: Any = Anything()
    made = Executor(
        writer=writer, launcher=launcher, toolbox=other, spool=other, budget=other, attempts=attempts, clock=other,
        me=Owner(runtime_id="rtm_1", incarnation="inc_1"),
    )  # fmt: skip
    return made, attempts


async def ended(made: Executor, shim: Shim) -> None:
    assert shim.watcher is not None
    shim.watcher(StartSeen(Identity(8, "boot:8"), 0))
    shim.watcher(EndSeen())
    async with asyncio.timeout(30):
        await made.idle()


class _Limits:
    time_ms = output_bytes = start_within_ms = None


class _Dispatch:
    tool, tool_version, limits = "shell", 1, _Limits()
    arguments: Mapping[str, Any] = MappingProxyType({})


def test_a_start_under_way_is_not_adopted_as_well() -> None:
    """Two watchers of one command took two of the 32 places, and gave one back; the first was forgotten unwatched."""

    async def story() -> None:
        writer, launcher = Writer(record(State.STARTED, 2), record(State.FINISHED, 3)), Launcher()
        made, attempts = executor(writer, launcher)
        async with asyncio.TaskGroup() as group:
            made.use(group)
            attempts.put(record(State.RECEIVED, 1))
            running = group.create_task(made.run())
            made._waiting[KEY] = _Waiting(_Dispatch(), 0)  # type: ignore[arg-type]
            made._work.set()
            await writer.asked.wait()  # its claim is being committed
            adopting = group.create_task(made.adopt(record(State.STARTED, 2)))
            await asyncio.sleep(0)
            entry: Any = attempts.get(KEY)
            assert not entry.let_go, "`started` may be said only once the shim's marker is on disk"
            writer.gate.set()
            async with asyncio.timeout(30):
                await adopting
            assert launcher.adopted == []
            assert entry.execution is launcher.prepared
            await ended(made, launcher.prepared)
            assert (made.load, launcher.prepared.detached) == (0, 1)
            running.cancel()

    asyncio.run(story())


def test_two_that_take_stock_at_once_adopt_once() -> None:
    async def story() -> None:
        writer, launcher = Writer(record(State.FINISHED, 3)), Launcher()
        writer.gate.set()
        made, attempts = executor(writer, launcher)
        async with asyncio.TaskGroup() as group:
            made.use(group)
            await asyncio.gather(*(made.adopt(record(State.STARTED, 2)) for _ in range(3)))
            [shim] = launcher.adopted
            assert made.load == 1
            await ended(made, shim)
            assert (made.load, shim.detached) == (0, 1)
            assert attempts.get(KEY) is not None

    asyncio.run(story())
