"""The real parts of a runtime, put together: state directory, journal, shims, bridges.

Owns the names of the implementations on the endpoint, and the order in which they are opened and closed. The simulation
puts other parts into the same agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from caisey import __version__
from caisey.protocol.frames import Load, Owner
from caisey.runtime.accounts import Accounts
from caisey.runtime.agent import Agent, Incarnation, Parts
from caisey.runtime.attempts import Attempts
from caisey.runtime.census import AlreadyRunningError, LocalCensus, hold_lock
from caisey.runtime.clock import Clock, SystemChance, SystemClock
from caisey.runtime.executor import Executor, kept_bytes
from caisey.runtime.facts import account, machine_fingerprint
from caisey.runtime.journal import Journal
from caisey.runtime.journal_folder import JournalFolder
from caisey.runtime.launcher import ShimLauncher
from caisey.runtime.platforms import Platform, this_platform
from caisey.runtime.spool import Budget, Spool
from caisey.runtime.state import Enrolled, StateDirectory, StateError
from caisey.runtime.toolbox import PLATFORM_NAMES, LocalToolbox
from caisey.runtime.writer import JournalWriter, WriterThread
from caisey.transport.bridge import Connector

BridgeName = Literal["auto", "websocket", "longpoll"]
INCARNATION_BYTES: Final = 16


class StoredTrust:
    """The control plane's keys, kept in the state directory."""

    def __init__(self, state: StateDirectory, enrolled: Enrolled) -> None:
        self._state = state
        self._enrolled = enrolled

    def trusted(self) -> tuple[bytes, ...]:
        return self._enrolled.control_plane_keys

    def replace(self, keys: tuple[bytes, ...]) -> None:
        if keys and keys != self._enrolled.control_plane_keys:
            self._enrolled = msgspec.structs.replace(self._enrolled, control_plane_keys=keys)
            self._state.keep(self._enrolled)

    def try_another(self) -> None:
        first, *others = self._enrolled.control_plane_keys
        self._enrolled = msgspec.structs.replace(self._enrolled, control_plane_keys=(*others, first))


class OwnLoad:
    """CPU time and memory of the runtime itself."""

    def __init__(self, platform: Platform, clock: Clock) -> None:
        self._platform = platform
        self._clock = clock
        self._cpu_ms = platform.own_cpu_ms()
        self._at_ms = clock.monotonic_ms()

    def load(self) -> Load:
        cpu_ms, now_ms = self._platform.own_cpu_ms(), self._clock.monotonic_ms()
        share = 100.0 * (cpu_ms - self._cpu_ms) / max(1, now_ms - self._at_ms)
        self._cpu_ms, self._at_ms = cpu_ms, now_ms
        return Load(cpu_percent=round(max(0.0, share), 1), rss_bytes=self._platform.own_rss_bytes())


def connectors(enrolled: Enrolled, bridge: BridgeName) -> Sequence[Connector]:
    """The bridges to try, the preferred one first."""
    from caisey.transport.longpoll import LongPollConnector

    long_poll = LongPollConnector(enrolled.url, insecure_http=enrolled.insecure_http)
    if bridge == "longpoll":
        return [long_poll]
    from caisey.transport.websocket import WebSocketConnector

    websocket = WebSocketConnector(enrolled.url, insecure_http=enrolled.insecure_http)
    return [websocket] if bridge == "websocket" else [websocket, long_poll]


@contextlib.asynccontextmanager
async def assembled(state: StateDirectory, journal_dir: Path | None, bridge: BridgeName) -> AsyncIterator[Agent]:
    """An agent with its real parts, closed in order afterwards. Raises `StateError`."""
    state.check()
    enrolled = state.enrolled()
    if enrolled is None:
        raise StateError("state.not_enrolled", f"{state.path} has no runtime yet. Enroll it first.")
    private_key = state.private_key()
    platform = this_platform()
    async with contextlib.AsyncExitStack() as closing:
        try:
            closing.callback(_unlock, hold_lock(state.lock))
        except AlreadyRunningError as error:
            raise StateError("state.in_use", f"A runtime runs on {state.path} already.") from error
        me = Owner(runtime_id=enrolled.runtime_id, incarnation=secrets.token_hex(INCARNATION_BYTES))
        start_number = state.next_start_number()
        folder = JournalFolder(state.journal(enrolled, journal_dir))
        spool = Spool(folder.spool)
        try:
            census = LocalCensus(platform, spool, folder.live, me)
        except AlreadyRunningError as error:
            raise StateError("state.in_use", f"This runtime runs on {folder.path} already.") from error
        closing.callback(census.close)
        database = folder.open()
        thread = WriterThread()
        closing.callback(database.close)
        closing.callback(thread.close)
        journal = Journal(database, census, me)
        writer = JournalWriter(database, journal, thread)
        closing.push_async_callback(writer.drain)
        launcher = ShimLauncher(platform, folder.spool, me.incarnation)
        await launcher.open()
        closing.push_async_callback(launcher.close)
        budget = Budget()
        _count_spool(journal, spool, budget, census)
        clock, attempts = SystemClock(platform), Attempts()
        state.undo.mkdir(mode=0o700, exist_ok=True)
        system = PLATFORM_NAMES[platform.name]
        toolbox = LocalToolbox(system, state.undo, Accounts(system))
        executor = Executor(
            writer=writer, launcher=launcher, toolbox=toolbox, spool=spool, budget=budget, attempts=attempts,
            clock=clock, me=me,
        )  # fmt: skip
        incarnation = Incarnation(
            me=me, start_number=start_number, boot_id=platform.boot_id(),
            machine_fingerprint=machine_fingerprint(platform), runtime_version=__version__, private_key=private_key,
            runs_as=account(),
        )  # fmt: skip
        yield Agent(
            Parts(
                incarnation=incarnation, trust=StoredTrust(state, enrolled), writer=writer, executor=executor,
                attempts=attempts, toolbox=toolbox, spool=spool, census=census, clock=clock, chance=SystemChance(),
                self_watch=OwnLoad(platform, clock), connectors=connectors(enrolled, bridge),
            )
        )  # fmt: skip


def _unlock(fd: int) -> None:
    os.close(fd)


def _count_spool(journal: Journal, spool: Spool, budget: Budget, census: LocalCensus) -> None:
    """At start-up: what former lives left is counted, and what nobody needs any more goes."""
    records = journal.everything_unsettled()
    needed = {record.spool for record in records if record.spool is not None}
    spool.sweep(needed, census.live_incarnations())
    budget.holds({f"{record.tool_call_id}.{record.number}": kept_bytes(record) for record in records})


def run(state_dir: str | Path, journal_dir: str | Path | None = None, bridge: BridgeName = "auto") -> int:
    """Run in the foreground until SIGTERM or SIGINT. Returns the exit code. Raises `StateError`."""
    given = Path(journal_dir) if journal_dir is not None else None
    asyncio.run(_run(StateDirectory(Path(state_dir).absolute()), given, bridge))
    return 0


async def _run(state: StateDirectory, journal_dir: Path | None, bridge: BridgeName) -> None:
    async with assembled(state, journal_dir, bridge) as agent:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, agent.leave, "shutdown")
        if hasattr(signal, "SIGUSR1"):
            loop.add_signal_handler(signal.SIGUSR1, agent.leave, "drain")
        await agent.run()


def status(state_dir: str | Path) -> dict[str, Any]:
    """What can be told of a runtime from its files, running or not."""
    state = StateDirectory(Path(state_dir).absolute())
    state.check()
    enrolled = state.enrolled()
    known: dict[str, Any] = {"enrolled": enrolled is not None, "start_number": state.start_number()}
    try:
        _unlock(hold_lock(state.lock))
        known["running"] = False
    except AlreadyRunningError:
        known["running"] = True
    if enrolled is not None:
        database = JournalFolder(state.journal(enrolled)).open()
        try:
            known["journal_id"], known["journal_sequence"] = database.journal_id, database.sequence()
            known["unsettled"] = database.count_unsettled()
        finally:
            database.close()
        known |= {
            "url": enrolled.url,
            "runtime_id": enrolled.runtime_id,
            "endpoint_id": enrolled.endpoint_id,
            "organization": enrolled.organization,
            "client_group": enrolled.client_group,
        }
    return known
