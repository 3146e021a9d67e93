"""One connection of one incarnation: challenge, hello, welcome, then frames both ways and heartbeats."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from tests.foreign.bridges import Bridge, BridgeClosedError
from tests.foreign.checks import shape_faults
from tests.foreign.wire import Frame, NotAFrameError, named, nonce, now_ms, parse

if TYPE_CHECKING:
    from tests.foreign.runtime import Runtime


class Link:
    def __init__(self, runtime: Runtime, bridge: Bridge, number: int) -> None:
        self.runtime = runtime
        self.bridge = bridge
        self.number = number
        self.welcome: Frame | None = None
        self.interval_ms = 15_000
        self.beats = 0
        self._own_nonce = nonce()
        self._cadence = asyncio.Event()

    @property
    def live(self) -> bool:
        return self.welcome is not None

    async def run(self) -> BridgeClosedError:
        """From open to closed. Returns why it closed; never raises `BridgeClosedError`."""
        heart: asyncio.Task[None] | None = None
        try:
            await self.bridge.open()
            self._note("opened")
            await self._shake_hands()
            await self.runtime.welcomed(self)
            heart = asyncio.create_task(self._beat())
            while True:
                frame = await self._receive()
                if not self.runtime.manners.deaf:
                    await self.runtime.hear(self, frame)
        except BridgeClosedError as closed:
            self._note("closed", code=closed.code, reason=closed.reason)
            return closed
        except OSError as error:
            self._note("closed", code=0, reason=type(error).__name__)
            return BridgeClosedError(0, type(error).__name__)
        finally:
            self.welcome = None
            if heart:
                heart.cancel()
            self.bridge.abort()

    def set_interval(self, interval_ms: int) -> None:
        self.interval_ms = interval_ms
        self._cadence.set()

    async def send(self, payload: Frame | str | bytes) -> None:
        """Says it, after the runtime's manners had their word."""
        manners = self.runtime.manners
        if manners.deaf:
            return
        for said in manners.outgoing(payload) if isinstance(payload, dict) else (payload,):
            frame = said if isinstance(said, dict) else {"raw": said[:200]}
            self.runtime.recording.add("out", str(frame.get("type", "raw")), frame, self.number)
            await self.bridge.send(said)

    async def _receive(self) -> Frame:
        message = await self.bridge.receive()
        recording = self.runtime.recording
        try:
            frame = message if isinstance(message, dict) else parse(message)
        except (NotAFrameError, ValueError) as error:
            recording.fault(f"unreadable frame: {error}")
            return {"type": "unreadable"}
        recording.add("in", str(frame.get("type")), frame, self.number)
        for fault in shape_faults(frame):
            recording.fault(fault)
        return frame

    async def _shake_hands(self) -> None:
        challenge = await self._expect("challenge")
        hello = self.runtime.hello(self.bridge.kind, challenge["nonce"], self._own_nonce)
        self.runtime.recording.add("out", "hello", hello, self.number)
        await self.bridge.send(hello)
        welcome = await self._expect("welcome")
        self.runtime.check_trust(welcome)
        if welcome.get("nonce") != self._own_nonce:
            self.runtime.recording.fault("welcome: not the runtime's nonce")
        self.interval_ms = int(welcome["heartbeat_interval_ms"])
        self.welcome = welcome

    async def _expect(self, kind: str) -> Frame:
        while True:
            frame = await self._receive()
            if frame["type"] == kind:
                return frame
            if frame["type"] not in ("reject", "problem"):
                self.runtime.recording.fault(f"{frame['type']} where {kind} was due")

    async def _beat(self) -> None:
        runtime = self.runtime
        try:
            while True:
                if runtime.manners.heartbeats:
                    self.beats += 1
                    await self.send(runtime.manners.heartbeat(self._heartbeat()))
                self._cadence.clear()
                # Jitter only downwards: a shared, busy machine adds the other half by itself.
                seconds = self.interval_ms / 1000 * random.uniform(0.9, 1.0)
                try:
                    await asyncio.wait_for(self._cadence.wait(), seconds)
                except TimeoutError:
                    continue
        except BridgeClosedError:
            return

    def _heartbeat(self) -> Frame:
        runtime = self.runtime
        return {
            "type": "heartbeat",
            "sequence": self.beats,
            "time_ms": now_ms(),
            "monotonic_ms": time.monotonic_ns() // 1_000_000,
            "interval_ms": self.interval_ms,
            "journal_sequence": runtime.journal.sequence,
            "accepting": runtime.manners.accepting,
            "in_flight": [named(attempt) for attempt in runtime.in_flight()],
            "load": {"cpu_percent": 1, "rss_bytes": 20_000_000},
            "slept_ms": runtime.manners.slept_ms,
        }

    def _note(self, kind: str, **fields: object) -> None:
        self.runtime.recording.add("note", kind, dict(fields), self.number)
