"""One attempt in a runtime's hands, and the scripts that say what becomes of it.

A script is an async function of a `Work`. The verbs of `Work` keep the order of RECOVERY.md §5 (journal first, then
the frame); `say=False` journals and stays silent, `send` says anything at all and journals nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tests.foreign.journal import ClaimFailedError, Record
from tests.foreign.wire import Attempt, Frame, attempt_of, encode, named, now_ms, stream_facts

if TYPE_CHECKING:
    from tests.foreign.runtime import Runtime

Script = Callable[["Work"], Awaitable[None]]


class Gate:
    """Opened by the test's thread, waited for by a script."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._lock = threading.Lock()

    def open(self) -> None:
        with self._lock:
            self._open.set()
            for loop, event in self._waiting:
                loop.call_soon_threadsafe(event.set)

    async def passed(self) -> None:
        event = asyncio.Event()
        with self._lock:
            if self._open.is_set():
                return
            self._waiting.append((asyncio.get_running_loop(), event))
        await event.wait()


class Work:
    """What a script holds. `record` is there once the attempt is in the journal."""

    def __init__(self, runtime: Runtime, dispatch: Frame, record: Record | None = None) -> None:
        self.runtime = runtime
        self.dispatch = dispatch
        self.attempt: Attempt = attempt_of(dispatch)
        self.record = record
        self.inputs: asyncio.Queue[Frame] = asyncio.Queue()

    @property
    def arguments(self) -> Frame:
        return dict(self.dispatch["arguments"])

    def frame(self, kind: str, **fields: Any) -> Frame:
        return {"type": kind, "attempt": named(self.attempt), **fields}

    async def send(self, frame: Frame | str | bytes) -> None:
        await self.runtime.send(frame)

    async def _receipt(self, record: Record, kind: str, say: bool, **fields: Any) -> Frame:
        frame = self.frame(kind, journal_sequence=record.sequence, **fields)
        record.receipts[kind] = frame
        if say:
            await self.send(frame)
        return frame

    async def acknowledge(self, *, say: bool = True) -> Frame:
        if self.record is None:
            journal = self.runtime.journal
            if self.runtime.manners.judge and journal.judge(self.dispatch, self.runtime.incarnation) != "take":
                raise ClaimFailedError(f"{self.attempt} was closed before it was written down")
            self.record = journal.receive(self.dispatch, self.runtime.owner)
        return await self._receipt(self.record, "acknowledged", say)

    async def start(self, *, say: bool = True, **fields: Any) -> Frame:
        if self.record is None:
            await self.acknowledge(say=say)
        assert self.record is not None
        pid = 1000 + self.runtime.journal.sequence
        process = {
            "pid": pid,
            "process_key": f"{self.runtime.machine.boot_id}:{pid}",
            "process_started_ms": now_ms(),
            "user": "root",
            "cwd": "/",
            "interpreter": "/bin/sh",
        }
        self.runtime.journal.claim(self.record, self.runtime.owner, process)
        return await self._receipt(self.record, "started", say, **{**process, **fields})

    async def output(self, data: bytes, stream: str = "stdout", *, say: bool = True) -> Frame:
        assert self.record is not None
        spool = self.record.streams.setdefault(stream, bytearray())
        frame = self.frame("output", stream=stream, offset=len(spool), data=encode(data))
        spool += data
        if say:
            await self.send(frame)
        return frame

    async def progress(self, **fields: Any) -> None:
        known = {name: len(data) for name, data in self.record.streams.items()} if self.record else {}
        full = {"cpu_ms": 10, "bytes": known, "last_output_ms": now_ms(), "waiting_for_input": False}
        await self.send(self.frame("progress", **{**full, **fields}))

    def execution(self, **fields: Any) -> Frame:
        spools = self.record.streams if self.record else {}
        return {
            "exit_code": 0,
            "signal": None,
            "ended_by": "itself",
            "tree_ended": True,
            "started_ms": now_ms() - 5,
            "ended_ms": now_ms(),
            "streams": {name: stream_facts(bytes(spools.get(name, b""))) for name in {"stdout", "stderr", *spools}},
            **fields,
        }

    async def finish(self, *, say: bool = True, result: Any = None, changes: Any = None, **execution: Any) -> Frame:
        """The end. Fields of `execution` by keyword; `result` and `changes` are left out where they are None."""
        assert self.record is not None
        full = self.execution(**execution)
        self.runtime.journal.finish(self.record, full)
        fields: Frame = {"execution": full}
        if result is not None:
            fields["result"] = result
        if changes is not None:
            fields["changes"] = changes
        return await self._receipt(self.record, "finished", say, **fields)

    async def refuse(self, code: str, hint: str = "not here", *, say: bool = True) -> Frame:
        """The promise not to run it, after the closing record."""
        self.record = self.runtime.journal.close(
            self.attempt, self.dispatch["consent"], self.runtime.owner, "refused", code
        )
        return await self._receipt(self.record, "refused", say, code=code, hint=hint)


# -- scripts ---------------------------------------------------------------------------------------------------------


def answers(
    stdout: bytes = b"ok\n", *, stderr: bytes = b"", result: Any = None, changes: Any = None, **execution: Any
) -> Script:
    """Acknowledges, starts, writes and finishes."""

    async def script(work: Work) -> None:
        await work.acknowledge()
        await work.start()
        if stdout:
            await work.output(stdout)
        if stderr:
            await work.output(stderr, "stderr")
        await work.finish(result=result, changes=changes, **execution)

    return script


async def silent(work: Work) -> None:
    """As if the frame had never arrived."""


async def journals_silently(work: Work) -> None:
    """It is in the journal, and the acknowledgement got lost."""
    await work.acknowledge(say=False)


async def acknowledges_only(work: Work) -> None:
    await work.acknowledge()


async def dies_before_the_journal(work: Work) -> None:
    await work.runtime.die_now()


async def acknowledges_then_dies(work: Work) -> None:
    await work.acknowledge()
    await work.runtime.die_now()


async def starts_then_dies(work: Work) -> None:
    """The command was let go; then its runtime and it are gone, and nothing wrote the end."""
    await work.start()
    await work.runtime.die_now()


def refuses(code: str) -> Script:
    async def script(work: Work) -> None:
        await work.refuse(code)

    return script


def runs_until(gate: Gate, then: Script | None = None, stdout: bytes = b"running\n", **execution: Any) -> Script:
    """Starts, writes, waits for the gate; then finishes, or does what `then` says."""

    async def script(work: Work) -> None:
        await work.start()
        if stdout:
            await work.output(stdout)
        await gate.passed()
        if then is not None:
            await then(work)
        else:
            await work.finish(**execution)

    return script


def in_turn(*scripts: Script) -> Script:
    """The first dispatch gets the first script, and so on; the last one serves all the rest."""
    left = list(scripts)

    async def script(work: Work) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(work)

    return script


def by_command(**scripts: Script) -> Script:
    """Each shell command by its first word; others answer."""

    async def script(work: Work) -> None:
        word = str(work.arguments.get("command", "")).partition(" ")[0]
        await scripts.get(word, answers())(work)

    return script
