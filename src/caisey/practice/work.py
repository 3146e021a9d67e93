"""One attempt in the hands of a play: the verbs that it acts with.

Owns the order of RECOVERY.md §5 (journal first, then the frame). `say=False` writes down and stays silent; `send` says
anything at all and writes nothing down. Starts no process: pids and times are made up.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from typing import TYPE_CHECKING, Any

from caisey.practice.journal import ClaimError, Frame, Key, Record
from caisey.practice.said import Said
from caisey.protocol import limits
from caisey.protocol.frames import Dispatch, Input

if TYPE_CHECKING:
    from caisey.practice.runtime import Runtime

FIRST_PID = 1_000
_MAX_PID = 4_000_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def summary(data: bytes | bytearray, *, truncated: bool = False) -> Frame:
    """What `execution` says of one stream."""
    return {
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "blank": not data.strip(),
        "truncated": truncated,
    }


class Work:
    """What a play holds. `record` is there once the attempt is in the journal; `taken_up`: by a former life of it."""

    def __init__(self, runtime: Runtime, dispatch: Dispatch, record: Record | None = None) -> None:
        self.runtime = runtime
        self.dispatch = dispatch
        self.key: Key = (dispatch.attempt.tool_call_id, dispatch.attempt.number)
        self.record = record
        self.taken_up = record is not None
        self.inputs: asyncio.Queue[Input] = asyncio.Queue()
        self.inputs_seen: set[int] = set()
        self.started_ms = now_ms()

    @property
    def reference(self) -> Frame:
        return {"tool_call_id": self.key[0], "number": self.key[1]}

    @property
    def in_journal(self) -> Record:
        """The record. Call it only after `acknowledge`."""
        if self.record is None:
            raise RuntimeError("the play has not acknowledged yet")
        return self.record

    def frame(self, kind: str, **fields: Any) -> Frame:
        """A frame about this attempt, with the sequence of its record."""
        sequence = self.runtime.journal.sequence if self.record is None else self.record.sequence
        return {"type": kind, "attempt": self.reference, "journal_sequence": sequence, **fields}

    async def send(self, *said: Said) -> None:
        for one in said:
            await self.runtime.send(one)

    async def _receipt(self, frame: Frame, say: bool) -> Frame:
        record = self.in_journal
        record.receipts[frame["type"]] = frame
        self.runtime.journal.write(record, rising=False)
        if say:
            await self.send(frame)
        return frame

    async def acknowledge(self, *, say: bool = True) -> Frame:
        """Write it down, then say so."""
        runtime = self.runtime
        if self.record is None:
            consent = self.dispatch.consent
            if runtime.journal.judge(self.key, consent, runtime.digest(self.dispatch), runtime.incarnation) != "take":
                raise ClaimError(f"{self.key} was closed before it was written down")
            self.record = runtime.journal.receive(self.key, consent, runtime.digest(self.dispatch), runtime.owner)
        return await self._receipt(self.frame("acknowledged"), say)

    async def start(self, *, say: bool = True) -> Frame:
        """Claim it, then say that it started."""
        runtime = self.runtime
        if self.record is None:
            await self.acknowledge(say=say)
        record = self.in_journal
        pid = FIRST_PID + runtime.journal.sequence % _MAX_PID
        key = f"{runtime.identity.boot_id}:{pid}"
        self.started_ms = now_ms()
        runtime.journal.claim(record, runtime.owner, pid, key)
        runtime.starts.append((*self.key, record.consent))
        process = {
            "pid": pid,
            "process_key": key,
            "process_started_ms": self.started_ms,
            "user": "practice",
            "cwd": "/",
            "interpreter": "practice",
        }
        return await self._receipt(self.frame("started", **process), say)

    async def output(self, data: bytes | str, stream: str = "stdout", *, say: bool = True) -> None:
        """Write to a stream, and stream it."""
        text = data.encode() if isinstance(data, str) else data
        record = self.in_journal
        for start in range(0, len(text), limits.OUTPUT_CHUNK_BYTES):
            chunk = text[start : start + limits.OUTPUT_CHUNK_BYTES]
            held = record.streams.setdefault(stream, bytearray())
            offset = len(held)
            held += chunk
            if say:
                await self.send(self.output_frame(offset, chunk, stream))

    def output_frame(self, offset: int, data: bytes, stream: str = "stdout") -> Frame:
        return {
            "type": "output",
            "attempt": self.reference,
            "stream": stream,
            "offset": offset,
            "data": base64.b64encode(data).decode(),
        }

    async def progress(self, **fields: Any) -> None:
        """The process tree is alive; `cpu_ms`, `last_output_ms` and `waiting_for_input` by keyword."""
        known = {name: len(data) for name, data in self.in_journal.streams.items()}
        full = {"cpu_ms": 10, "bytes": known, "last_output_ms": self.started_ms, "waiting_for_input": False}
        await self.send(self.frame("progress", **{**full, **fields}))

    def execution(self, **fields: Any) -> Frame:
        """How it ended: well, unless `fields` say otherwise."""
        streams = self.in_journal.streams
        return {
            "exit_code": 0,
            "signal": None,
            "ended_by": "itself",
            "tree_ended": True,
            "started_ms": self.started_ms,
            "ended_ms": now_ms(),
            "streams": {name: summary(streams.get(name, b"")) for name in sorted({"stdout", "stderr", *streams})},
            **fields,
        }

    async def finish(self, *, say: bool = True, result: Any = None, changes: Any = None, **execution: Any) -> Frame:
        """The end. Fields of `execution` by keyword; `result` and `changes` are left out where they are None."""
        ended = self.execution(**execution)
        self.runtime.journal.finish(self.in_journal, ended)
        fields: Frame = {"execution": ended}
        if result is not None:
            fields["result"] = result
        if changes is not None:
            fields["changes"] = changes
        return await self._receipt(self.frame("finished", **fields), say)

    async def finish_as(self, spoiled: Frame | bytes, **execution: Any) -> None:
        """The end is written down right, and said wrong: `spoiled` goes instead, now and when it is repeated."""
        self.runtime.journal.finish(self.in_journal, self.execution(**execution))
        record = self.in_journal
        record.receipts["finished"] = spoiled if isinstance(spoiled, dict) else {"bytes": spoiled}
        self.runtime.journal.write(record, rising=False)
        await self.send(spoiled)

    async def refuse(self, code: str, hint: str = "Refused for practice.", *, say: bool = True) -> Frame:
        """The promise not to run it, after the closing record."""
        runtime = self.runtime
        self.record = runtime.journal.close_up_to(self.key, self.dispatch.consent, runtime.owner, "refused", code)
        return await self._receipt(self.frame("refused", code=code, hint=hint), say)
