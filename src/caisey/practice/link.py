"""One connection of a practice runtime: the handshake, the heartbeat, what is repeated (PROTOCOL.md §3, §6, §7).

Owns a bridge from its opening to its end. Sends nothing before the welcome was checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from typing import TYPE_CHECKING

from caisey.practice import hearing, said
from caisey.protocol import limits
from caisey.protocol.codec import decode_from_control_plane, encode
from caisey.protocol.frames import Challenge, Heartbeat, Hello, Reference, Welcome
from caisey.protocol.handshake import Rejected, RuntimeHandshake
from caisey.tools.catalogue import on_platform
from caisey.transport.bridge import Bridge, BridgeClosedError
from caisey.transport.websocket import WebSocketBridge

if TYPE_CHECKING:
    from caisey.practice.runtime import Runtime

MISSED = 2
ACCOUNT = "practice"
"""Whom its commands would run as, if there were any."""
REFUSED_CODES = {
    "handshake.protocol_unsupported": limits.CLOSE_PROTOCOL,
    "runtime.revoked": limits.CLOSE_REVOKED,
    "runtime.clone_suspected": limits.CLOSE_CLONE,
}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Link:
    """One bridge. `run` raises `BridgeClosedError` when it is over."""

    def __init__(self, runtime: Runtime, bridge: Bridge) -> None:
        self._runtime = runtime
        self._bridge = bridge
        self._interval_ms = limits.HEARTBEAT_INTERVAL_MS
        self._sequence = 0
        self._acked = 0
        self._hurry = asyncio.Event()
        self.welcomed = False

    async def run(self) -> None:
        """From the challenge to the end. Raises `BridgeClosedError`."""
        async with asyncio.timeout(limits.HANDSHAKE_MS / 1000):
            welcome = await self._shake_hands()
        self._interval_ms = welcome.heartbeat_interval_ms
        for confirm in welcome.confirm:
            said.take_confirmation(self._runtime.journal, confirm)
        self.welcomed = True
        self._runtime.on_welcome(self)
        tasks = [asyncio.create_task(each) for each in (self._listen(), self._beat(), self._repeat())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self.welcomed = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def send(self, data: bytes) -> None:
        await self._bridge.send(data)

    async def hang_up(self) -> None:
        """End it as a crash does: without a goodbye."""
        self.welcomed = False
        if isinstance(self._bridge, WebSocketBridge):
            self._bridge.abort()
        else:
            await self._bridge.close()

    async def close(self) -> None:
        self.welcomed = False
        await self._bridge.close()

    def heard_ack(self, sequence: int) -> None:
        self._acked = max(self._acked, sequence)

    def set_interval(self, interval_ms: int) -> None:
        self._interval_ms = max(limits.MIN_HEARTBEAT_INTERVAL_MS, interval_ms)
        self._hurry.set()

    def beat_soon(self) -> None:
        self._hurry.set()

    # -- the handshake ------------------------------------------------------------------------------------------------

    async def _shake_hands(self) -> Welcome:
        runtime = self._runtime
        identity = runtime.identity
        handshake = RuntimeHandshake(
            nonce=secrets.token_bytes(limits.NONCE_BYTES),
            runtime_id=identity.runtime_id,
            incarnation=runtime.incarnation,
            trusted_key=identity.control_plane_keys[0],
        )
        challenge = handshake.receive_challenge(decode_from_control_plane(await self._bridge.receive()))
        if not isinstance(challenge, Challenge):
            raise BridgeClosedError(None, "no challenge came")
        hello = self._hello(challenge, handshake)
        await self._bridge.send(encode(handshake.hello(hello, identity.key)))
        welcome = handshake.receive_welcome(decode_from_control_plane(await self._bridge.receive()))
        if isinstance(welcome, Rejected):
            code = REFUSED_CODES.get(welcome.frame.code, limits.CLOSE_IDENTITY)
            raise BridgeClosedError(code, f"{welcome.frame.code}: {welcome.frame.hint}")
        if not isinstance(welcome, Welcome):
            raise BridgeClosedError(None, "the welcome does not prove the control plane")
        return welcome

    def _hello(self, challenge: Challenge, handshake: RuntimeHandshake) -> Hello:
        runtime = self._runtime
        identity = runtime.identity
        unsettled = runtime.journal.unsettled()
        statements = tuple(said.statement(runtime.journal, record, identity.journal_id) for record in unsettled)
        return Hello(
            protocol=limits.PROTOCOL_VERSION,
            challenge=challenge.nonce,
            nonce=handshake.nonce,
            control_plane_key=identity.control_plane_keys[0],
            runtime_id=identity.runtime_id,
            incarnation=runtime.incarnation,
            start_number=identity.start_number,
            boot_id=identity.boot_id,
            journal_id=identity.journal_id,
            journal_sequence=runtime.journal.sequence,
            machine_fingerprint=identity.machine_fingerprint,
            runtime_version=runtime.version,
            runs_as=ACCOUNT,
            bridge=self._bridge.kind,
            time_ms=now_ms(),
            tools=tuple(tool.reference for tool in on_platform("linux")),
            statements=statements[: limits.STATEMENTS_PER_HELLO],
            more=False,
        )

    # -- afterwards ---------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            data = await self._bridge.receive()
            if not self._runtime.frozen:
                await hearing.hear(self._runtime, self, data)

    async def _repeat(self) -> None:
        """What is not settled, on every connection and every 30 s (PROTOCOL.md §6, RECOVERY.md §5)."""
        while True:
            for record in self._runtime.journal.unsettled():
                if record.key in self._runtime.ignored:
                    continue
                for frame in said.output_again(record):
                    await self._runtime.send(frame)
                await hearing.repeat_last(self._runtime, record)
            await asyncio.sleep(limits.REPEAT_UNSETTLED_MS / 1000)

    async def _beat(self) -> None:
        while True:
            if self._sequence - self._acked >= MISSED and not self._runtime.frozen:
                raise BridgeClosedError(None, f"{MISSED} heartbeats were not answered")
            await self._one_beat()
            jitter = random.uniform(1 - limits.HEARTBEAT_JITTER, 1 + limits.HEARTBEAT_JITTER)  # noqa: S311
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_ms * jitter / 1000):
                    await self._hurry.wait()

    async def _one_beat(self) -> None:
        runtime = self._runtime
        if runtime.frozen:
            return
        self._sequence += 1
        slept_ms, runtime.slept_ms = runtime.slept_ms, 0
        beat = Heartbeat(
            sequence=self._sequence,
            time_ms=now_ms(),
            monotonic_ms=time.monotonic_ns() // 1_000_000,
            interval_ms=self._interval_ms,
            journal_sequence=runtime.journal.sequence,
            accepting=runtime.accepting,
            in_flight=tuple(Reference(*key) for key in runtime.in_flight()),
            slept_ms=slept_ms,
        )
        await runtime.send(beat)
