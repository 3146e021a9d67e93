"""What the control plane says, frame by frame (PROTOCOL.md §4 to §8).

Owns the checks before anything is journalled: can it be read, is it meant for this incarnation, does the signature fit.
What fails one of them is told as a `problem` and leaves no trace in the journal. Frames are judged in the order in
which they came; their commits are shared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.protocol.codec import Received, decode_from_control_plane
from caisey.protocol.faults import FrameFault, unexpected
from caisey.protocol.fields import Mode
from caisey.protocol.frames import (
    Cadence,
    Cancel,
    Confirm,
    Dispatch,
    FromControlPlane,
    HeartbeatAck,
    Input,
    InputAccepted,
    Keys,
    Owner,
    Ping,
    Problem,
    Question,
    Reconcile,
    Reference,
)
from caisey.protocol.signatures import pong_for, verify
from caisey.runtime.attempts import Attempts
from caisey.runtime.database import JournalUnwritableError
from caisey.runtime.executor import Executor
from caisey.runtime.judge import Asked, EndTree, State
from caisey.runtime.records import Key, key_of
from caisey.runtime.words import problem, reply
from caisey.runtime.writer import JournalWriter

AT_ONCE: Final = 512
"""Frames that are being judged at the same time; the bridge waits beyond that."""


class Trust(Protocol):
    """The keys of the control plane that this runtime believes, and how they change."""

    def trusted(self) -> tuple[bytes, ...]:
        """Public keys; the first one is named in `hello`."""

    def replace(self, keys: tuple[bytes, ...]) -> None:
        """Believe these from now on, durably."""

    def try_another(self) -> None:
        """The control plane does not know the first key: name the next one the next time."""


class Pulse(Protocol):
    """Who keeps the heartbeat."""

    def acknowledged(self, sequence: int) -> None:
        """The control plane heard that beat."""

    def cadence(self, interval_ms: int) -> None:
        """Beat at this interval from now on."""


class Hearing:
    """The receiving side of one connection."""

    def __init__(
        self, *, me: Owner, private_key: Ed25519PrivateKey, trust: Trust, writer: JournalWriter, executor: Executor,
        attempts: Attempts, pulse: Pulse, mode: Mode, adopt: Callable[[Key], Coroutine[Any, Any, object]],
        group: asyncio.TaskGroup,
    ) -> None:  # fmt: skip
        self._me = me
        self._private_key = private_key
        self._trust = trust
        self._writer = writer
        self._executor = executor
        self._attempts = attempts
        self._pulse = pulse
        self._mode = mode
        self._adopt = adopt
        self._group = group
        self._room = asyncio.Semaphore(AT_ONCE)

    async def hear(self, data: bytes | str) -> None:
        """Take one frame. What must be written is written by a task that outlives this connection."""
        received = decode_from_control_plane(data)
        if isinstance(received, FrameFault):
            self._tell_fault(received)
            return
        frame = received.frame
        match frame:
            case HeartbeatAck(sequence=sequence):
                self._pulse.acknowledged(sequence)
            case Cadence(heartbeat_interval_ms=interval_ms):
                self._pulse.cadence(interval_ms)
            case Ping(id=ping_id, nonce=nonce):
                self._attempts.post(pong_for(ping_id, nonce, self._private_key))
            case Reconcile(attempts=attempts):
                for question in attempts:
                    await self._soon(self._reconcile(question))
            case Confirm():
                if not frame.settled or self._proved(received, frame):
                    await self._soon(self.confirm(frame))
            case Dispatch() | Cancel() | Input() | Keys():
                if self._proved(received, frame):
                    await self._act(frame, received.data)
            case Problem():
                pass  # it is on record at the control plane, and never answered
            case _:
                self._tell_fault(unexpected(received.data))

    async def _act(self, frame: Dispatch | Cancel | Input | Keys, data: bytes) -> None:
        match frame:
            case Dispatch():
                if self._mode != "work":
                    self._tell_fault(unexpected(data))
                else:
                    await self._soon(self._dispatch(frame))
            case Cancel():
                await self._soon(self._cancel(frame))
            case Input():
                await self._soon(self._input(frame))
            case Keys():
                self._trust.replace(tuple(key.public_key for key in frame.keys))

    async def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin in order, go on side by side: what is begun first reaches the journal first."""
        await self._room.acquire()
        task = self._group.create_task(work)
        task.add_done_callback(lambda _: self._room.release())

    # -- checks -------------------------------------------------------------------------------------------------------

    def _proved(self, received: Received[FromControlPlane], frame: Dispatch | Cancel | Input | Keys | Confirm) -> bool:
        """Whether it is meant for this incarnation and journal, and signed by a trusted key."""
        about = None if isinstance(frame, Keys) else frame.attempt
        meant_for_us = (frame.runtime_id, frame.incarnation) == (self._me.runtime_id, self._me.incarnation)
        if isinstance(frame, Dispatch):
            meant_for_us = meant_for_us and frame.journal_id == self._writer.journal_id
        frame_type = str(frame.__struct_config__.tag)
        if not any(verify(received.document, frame_type, key) for key in self._trust.trusted()):
            self._attempts.post(problem("dispatch.signature", about))
            return False
        if not meant_for_us:
            self._attempts.post(problem("dispatch.misaddressed", about))
            return False
        return True

    def _tell_fault(self, fault: FrameFault) -> None:
        if fault.answerable:
            self._attempts.post(fault.problem())

    def _tell_full(self, about: Reference) -> None:
        self._attempts.post(problem("journal.full", about))

    # -- work ---------------------------------------------------------------------------------------------------------

    async def _dispatch(self, frame: Dispatch) -> None:
        if not self._writer.writable and not await self._writer.probe():
            self._tell_full(frame.attempt)
            return
        try:
            outcome = await self._executor.take(frame)
        except JournalUnwritableError:
            self._tell_full(frame.attempt)
            return
        for said in reply(outcome, self._writer.journal_id):
            self._attempts.post(said)

    async def _cancel(self, frame: Cancel) -> None:
        key = key_of(frame.attempt)
        asked = Asked(key.number, frame.consent)
        try:
            outcome = await self._writer.submit(lambda journal: journal.cancel(key.tool_call_id, asked), vital=True)
        except JournalUnwritableError:
            self._tell_full(frame.attempt)
            return
        self._executor.note(outcome)
        for said in reply(outcome, self._writer.journal_id):
            self._attempts.post(said)
        if isinstance(outcome.judgement, EndTree):
            entry = self._attempts.get(key)
            if entry is None or entry.execution is None:
                await self._executor.adopt(outcome.record)  # another runtime of this journal let it go
                entry = self._attempts.get(key)
            if entry is not None:
                self._executor.cancel(entry)

    async def _reconcile(self, question: Question) -> None:
        key = Key(question.tool_call_id, question.number)
        asked = Asked(key.number, question.consent)
        try:
            outcome = await self._writer.submit(lambda journal: journal.reconcile(key.tool_call_id, asked), vital=True)
        except JournalUnwritableError:
            self._tell_full(key.reference)
            return
        self._executor.note(outcome)
        for said in reply(outcome, self._writer.journal_id):
            self._attempts.post(said)
        if outcome.record.state is State.STARTED:
            await self._adopt(outcome.record.key)

    async def _input(self, frame: Input) -> None:
        key = key_of(frame.attempt)
        entry = self._attempts.get(key)
        if entry is None or entry.execution is None or entry.record.state is not State.STARTED:
            self._attempts.post(problem("frame.unexpected", frame.attempt))
            return
        execution = entry.execution
        sequence, size = frame.sequence, len(frame.data)
        try:
            # Vital: on a disk that is full, the answer to a command may be what frees it.
            new = await self._writer.submit(
                lambda journal: journal.take_input(key, sequence, size, sensitive=frame.sensitive), vital=True
            )
        except JournalUnwritableError:
            self._tell_full(frame.attempt)
            return
        if new:
            execution.input(sequence, frame.data, close=frame.close)
        else:
            self._attempts.post(InputAccepted(attempt=frame.attempt, sequence=sequence))

    async def confirm(self, frame: Confirm) -> None:
        """Note what the control plane holds; what is settled goes from the spool."""
        key = key_of(frame.attempt)
        offsets = {str(stream): count for stream, count in frame.offsets.items()}
        try:
            record = await self._writer.submit(lambda journal: journal.confirm(key, offsets, settled=frame.settled))
        except JournalUnwritableError:
            return  # it is confirmed again, or sent again and taken as the same bytes
        if record is not None and record.settled:
            self._executor.settle(record)
        elif record is not None and self._attempts.get(key) is not None:
            self._attempts.put(record)
