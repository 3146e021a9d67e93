"""The life of one incarnation: take stock, connect, serve, reconnect, leave.

Owns the loops' lifetimes. Two groups: what belongs to the incarnation (running commands, writes) outlives any
connection; what belongs to a connection (sending, hearing, the heartbeat) ends with it. Every part is given from
outside, so that the simulation runs this very code over simulated time, transport and processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.protocol import limits
from caisey.protocol.codec import encode
from caisey.protocol.fields import LeavingReason
from caisey.protocol.frames import Hello, Leaving, Load, Owner, Reference, Statement, Welcome
from caisey.protocol.handshake import RejectCode, RuntimeHandshake
from caisey.runtime.attempts import Attempts
from caisey.runtime.clock import Chance, Clock
from caisey.runtime.connecting import (
    Backoff,
    BridgeChoice,
    HandshakeError,
    challenge_of,
    handshake_timeout,
    welcome_of,
)
from caisey.runtime.database import JournalUnwritableError
from caisey.runtime.executor import Executor, Toolbox
from caisey.runtime.hearing import Hearing, Trust
from caisey.runtime.judge import State
from caisey.runtime.outbox import Outbox
from caisey.runtime.processes import Census
from caisey.runtime.progress import ProgressWatch
from caisey.runtime.pulse import Pulse
from caisey.runtime.records import AttemptRecord, Key, is_refusal, statement
from caisey.runtime.spool import Spool
from caisey.runtime.writer import JournalWriter
from caisey.transport.bridge import Bridge, BridgeClosedError, Connector

log = logging.getLogger(__name__)

HELLO_BYTES: Final = 512 * limits.KIB
"""Statements beyond this go as frames of their own, so that a hello stays below a frame's limit."""
LEAVING_S: Final = 2.0


class _GoneError(Exception):
    """Ends the groups of an agent that left."""


class SelfWatch(Protocol):
    """What the runtime itself uses."""

    def load(self) -> Load:
        """Since the last time it was asked."""


@dataclass(frozen=True, slots=True)
class Incarnation:
    """This life of the runtime, as `hello` tells it."""

    me: Owner
    start_number: int
    boot_id: str
    machine_fingerprint: str
    runtime_version: str
    private_key: Ed25519PrivateKey
    runs_as: str | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that an agent works with."""

    incarnation: Incarnation
    trust: Trust
    writer: JournalWriter
    executor: Executor
    attempts: Attempts
    toolbox: Toolbox
    spool: Spool
    census: Census
    clock: Clock
    chance: Chance
    self_watch: SelfWatch
    connectors: Sequence[Connector]


class Agent:
    """One incarnation. `run` returns after `leave`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._me = parts.incarnation.me
        self._bridges = BridgeChoice(parts.connectors)
        self._backoff = Backoff(parts.chance)
        self._leaving: LeavingReason | None = None
        self._left = asyncio.Event()
        self._going = asyncio.Event()
        self._outbox: Outbox | None = None
        self._pulse: Pulse | None = None
        self.connected = asyncio.Event()
        """Set while a welcome holds."""

    # -- life ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live until told to leave. A defect in any loop ends the incarnation; the journal carries on to the next."""
        try:
            async with asyncio.TaskGroup() as group:
                self._parts.executor.use(group)
                await self._parts.writer.probe()
                await self._take_stock()
                group.create_task(self._parts.executor.run())
                group.create_task(self._stay_connected(group))
                await self._left.wait()
                await self._parts.executor.quiesce()
                raise _GoneError
        except* _GoneError:
            pass
        finally:
            for entry in self._parts.attempts:
                if entry.execution is not None:
                    entry.execution.detach()

    def leave(self, reason: LeavingReason) -> None:
        """Say goodbye and go. Commands go on without us; with `drain` those that run are awaited first."""
        self._leaving = reason
        self._parts.executor.draining = True
        self._going.set()
        if self._outbox is None:
            self._left.set()
            return
        self._outbox.post(Leaving(reason=reason))
        if self._pulse is not None:
            self._pulse.beat_soon()

    async def _stay_connected(self, group: asyncio.TaskGroup) -> None:
        while not self._left.is_set():
            closed: BridgeClosedError | None = None
            try:
                await self._connect_and_serve(group)
            except BridgeClosedError as error:
                closed = error
                log.info("bridge closed: %s", error)
            except (HandshakeError, TimeoutError) as error:
                self._bridges.failed()
                log.warning("handshake failed: %s", str(error) or "it took too long")
            except JournalUnwritableError as error:
                log.error("the journal cannot be written: %s", error)
            if self._leaving is not None:
                self._left.set()
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._backoff.next_s(closed)):
                    await self._left.wait()

    async def _connect_and_serve(self, group: asyncio.TaskGroup) -> None:
        connector = self._bridges.next()
        try:
            async with handshake_timeout():
                bridge = await connector.connect()
        except BridgeClosedError as error:
            if not error.nobody_there:
                self._bridges.failed()
            raise
        try:
            async with handshake_timeout():
                welcome, rest = await self._greet(bridge)
            self._bridges.worked()
            self._backoff.reset()
            await self._serve(bridge, welcome, rest, group)
        finally:
            self.connected.clear()
            with contextlib.suppress(BridgeClosedError):
                await bridge.close()

    # -- the handshake ------------------------------------------------------------------------------------------------

    async def _greet(self, bridge: Bridge) -> tuple[Welcome, list[Statement]]:
        """The handshake; returns the statements that the hello had no room for."""
        incarnation = self._parts.incarnation
        nonce = self._parts.chance.token(limits.NONCE_BYTES)
        trusted = self._parts.trust.trusted()[0]
        handshake = RuntimeHandshake(
            nonce=nonce, runtime_id=self._me.runtime_id, incarnation=self._me.incarnation, trusted_key=trusted
        )
        challenge = await challenge_of(bridge, handshake)
        statements = await self._take_stock()
        fitting = _fitting(statements)
        hello = Hello(
            protocol=limits.PROTOCOL_VERSION,
            challenge=challenge.nonce,
            nonce=nonce,
            control_plane_key=trusted,
            runtime_id=self._me.runtime_id,
            incarnation=self._me.incarnation,
            start_number=incarnation.start_number,
            boot_id=incarnation.boot_id,
            journal_id=self._parts.writer.journal_id,
            journal_sequence=self._parts.writer.sequence,
            machine_fingerprint=incarnation.machine_fingerprint,
            runtime_version=incarnation.runtime_version,
            bridge=bridge.kind,
            time_ms=self._parts.clock.wall_ms(),
            tools=self._parts.toolbox.offers(),
            statements=tuple(statements[:fitting]),
            more=len(statements) > fitting,
            runs_as=incarnation.runs_as,
        )
        signed = handshake.hello(hello, incarnation.private_key)
        try:
            return await welcome_of(bridge, handshake, signed), statements[fitting:]
        except HandshakeError as error:
            if error.reject is not None and error.reject.code == RejectCode.KEY_UNKNOWN:
                self._parts.trust.try_another()
            raise

    async def _take_stock(self) -> list[Statement]:
        """What the journal says of everything that is not settled; what runs without a watcher is adopted."""
        records = await self._parts.writer.submit(lambda journal: journal.unsettled(), vital=True)
        statements = []
        for record in records:
            if record.state is State.STARTED:
                current = await self._adopt(record.key) or record
            else:
                current = record
                self._parts.executor.bring_up_to_date(record, ours=self._ours_to_report(record))
            statements.append(statement(current, self._parts.writer.journal_id))
        return statements

    def _ours_to_report(self, record: AttemptRecord) -> bool:
        """Whether its last word is ours to repeat: it was ours, in any life, or its owner lives no more."""
        if record.state not in (State.FINISHED, State.PROCESS_GONE) and not is_refusal(record):
            return False
        owner = record.owner
        if owner is None or owner.runtime_id == self._me.runtime_id:
            return True
        return not self._parts.census.incarnation_lives(owner.runtime_id, owner.incarnation)

    async def _adopt(self, key: Key) -> AttemptRecord | None:
        """Watch a running attempt from now on, unless another living runtime of this journal does."""
        entry = self._parts.attempts.get(key)
        if entry is not None and entry.execution is not None:
            return entry.record
        try:
            record = await self._parts.writer.submit(lambda journal: journal.adopt(key), vital=True)
        except JournalUnwritableError:
            return None  # it is asked for again at the next connection
        if record is not None:
            await self._parts.executor.adopt(record)
        return record

    # -- a connection -------------------------------------------------------------------------------------------------

    async def _serve(self, bridge: Bridge, welcome: Welcome, rest: list[Statement], lasting: asyncio.TaskGroup) -> None:
        parts = self._parts
        outbox = Outbox(
            send=bridge.send, attempts=parts.attempts, spool=parts.spool, clock=parts.clock,
            journal_id=parts.writer.journal_id, chunk_bytes=welcome.output_chunk_bytes,
        )  # fmt: skip
        pulse = Pulse(
            clock=parts.clock, chance=parts.chance, condition=_Condition(parts),
            interval_ms=welcome.heartbeat_interval_ms, post=outbox.post,
        )  # fmt: skip
        hearing = Hearing(
            me=self._me, private_key=parts.incarnation.private_key, trust=parts.trust, writer=parts.writer,
            executor=parts.executor, attempts=parts.attempts, pulse=pulse, mode=welcome.mode, adopt=self._adopt,
            group=lasting,
        )  # fmt: skip
        for confirm in welcome.confirm:
            await hearing.confirm(confirm)
        parts.attempts.attach(outbox.post, outbox.changed)
        self._outbox, self._pulse = outbox, pulse
        for said in rest:
            outbox.post(said)
        self.connected.set()
        try:
            await _first_to_end(
                outbox.run(),
                outbox.repeat(),
                pulse.run(),
                ProgressWatch(parts.attempts, parts.census).run(),
                self._listen(bridge, hearing),
                self._goodbye(outbox),
            )
        finally:
            parts.attempts.detach()
            self._outbox = self._pulse = None

    async def _listen(self, bridge: Bridge, hearing: Hearing) -> None:
        while True:
            await hearing.hear(await bridge.receive())

    async def _goodbye(self, outbox: Outbox) -> None:
        """Return when we may go: at once, or when what runs has ended."""
        await self._going.wait()
        if self._leaving == "drain":
            await self._parts.executor.idle()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVING_S):
                await outbox.idle()


class _Condition:
    """What a heartbeat tells."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def in_flight(self) -> tuple[Reference, ...]:
        keys = self._parts.attempts.in_flight(self._parts.incarnation.me.incarnation)
        return tuple(key.reference for key in keys)

    def accepting(self) -> bool:
        self._parts.writer.probe_soon()
        return self._parts.writer.writable and not self._parts.executor.draining

    def journal_sequence(self) -> int:
        return self._parts.writer.sequence

    def load(self) -> Load:
        return self._parts.self_watch.load()


def _fitting(statements: list[Statement]) -> int:
    """How many statements a hello may carry."""
    size = 0
    for count, said in enumerate(statements[: limits.STATEMENTS_PER_HELLO]):
        size += len(encode(said))
        if size > HELLO_BYTES:
            return count
    return min(len(statements), limits.STATEMENTS_PER_HELLO)


async def _first_to_end(*loops: Coroutine[Any, Any, None]) -> None:
    """Run the loops of a connection until one of them ends, and end the others with it."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
