"""From taken to started, and from exit to journalled end (RECOVERY.md §5).

Owns the queue of acknowledged calls, the places for running ones, and the order record → spawn → claim → go. Lets a
command go only after its claim was committed, and speaks of nothing that is not in the journal. Never decides whether a
dispatch may be taken: the journal's table does.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from caisey.core.canonical import canonical
from caisey.protocol import limits
from caisey.protocol.frames import Dispatch, InputAccepted, Owner, ToolReference
from caisey.runtime.attempts import Attempts, Entry
from caisey.runtime.clock import Clock
from caisey.runtime.database import JournalUnwritableError
from caisey.runtime.facts import account
from caisey.runtime.journal import Outcome, Refusal, Surroundings
from caisey.runtime.judge import Asked, State, Take, TakeUpAgain
from caisey.runtime.processes import (
    EndSeen,
    Execution,
    InputSeen,
    Launcher,
    LaunchError,
    Order,
    OrderIn,
    OutputSeen,
    Seen,
    StartSeen,
)
from caisey.runtime.records import AttemptRecord, Key, born, is_refusal, key_of, statement
from caisey.runtime.spool import Budget, Spool, layouts_of
from caisey.runtime.writer import JournalWriter

log = logging.getLogger(__name__)

EXPIRY_LOOK_S: Final = 0.25
"""How often waiting calls are asked for their age; a wake from sleep is seen within this."""
UNWRITABLE_RETRY_S: Final = 1.0
BUSY: Final = Refusal("runtime.busy", "This agent runs and holds as many calls as it may. Send it again later.")
TOO_OLD: Final = Refusal("dispatch.too_old", "It waited on the endpoint for longer than it may. Send it again.")


@dataclass(frozen=True, slots=True)
class Planned:
    """How a tool call becomes a command."""

    order_in: OrderIn
    cwd: str
    interpreter: str
    account: str | None = None
    """Whom it runs as, where that is not the agent's own account."""


class Toolbox(Protocol):
    """The tools of this endpoint."""

    def offers(self) -> tuple[ToolReference, ...]:
        """Every tool with its version and the digest of its definition."""

    def knows(self, tool: str, version: int) -> Refusal | None:
        """Why a tool cannot be had here; `None`: it can."""

    def plan(self, tool: str, version: int, arguments: Mapping[str, Any]) -> Planned | Refusal:
        """The command for these arguments, or why there is none."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    dispatch: Dispatch
    received_ms: int

    def too_old(self, now_ms: int) -> bool:
        limit = self.dispatch.limits.start_within_ms
        return limit is not None and now_ms - self.received_ms > limit


class Executor:
    """Starts what was taken, at most 32 at once, in the order in which it came."""

    def __init__(
        self, *, writer: JournalWriter, launcher: Launcher, toolbox: Toolbox, spool: Spool, budget: Budget,
        attempts: Attempts, clock: Clock, me: Owner,
    ) -> None:  # fmt: skip
        self._me = me
        self._starting: set[Key] = set()
        self._adopting: set[Key] = set()
        self._writer = writer
        self._launcher = launcher
        self._toolbox = toolbox
        self._spool = spool
        self._budget = budget
        self._attempts = attempts
        self._clock = clock
        self._waiting: OrderedDict[Key, _Waiting] = OrderedDict()
        self._judging = 0
        self._places = limits.RUNNING_CALLS
        self._group: asyncio.TaskGroup | None = None
        self._work = asyncio.Event()
        self._changed = asyncio.Event()
        self.draining = False

    def use(self, group: asyncio.TaskGroup) -> None:
        """Every task of the executor lives in this group, and dies with it."""
        self._group = group

    # -- taking -------------------------------------------------------------------------------------------------------

    @property
    def load(self) -> int:
        """How many calls run, wait, or are being judged."""
        return limits.RUNNING_CALLS - self._places + len(self._waiting) + self._judging

    async def take(self, dispatch: Dispatch) -> Outcome:
        """Have a dispatch judged, and line it up where the table takes it. Raises `JournalUnwritableError`."""
        received_ms = self._clock.boottime_ms()
        key = key_of(dispatch.attempt)
        asked = Asked(key.number, dispatch.consent, hashlib.sha256(canonical(dispatch.arguments)).hexdigest())
        refusal = self._reason_to_refuse(dispatch)
        self._judging += 1
        try:
            outcome = await self._writer.submit(lambda journal: journal.dispatch(key.tool_call_id, asked, refusal))
        finally:
            self._judging -= 1
        self.note(outcome)
        if isinstance(outcome.judgement, Take | TakeUpAgain) or self._forgotten(outcome):
            self._attempts.put(outcome.record)
            self._waiting[key] = _Waiting(dispatch, received_ms)
            self._work.set()
        return outcome

    def _forgotten(self, outcome: Outcome) -> bool:
        """Ours to start, and not lined up: its commit was thought to have failed. The claim keeps a second one out."""
        record = outcome.record
        mine = record.state is State.RECEIVED and record.owner == self._me
        return mine and record.key not in self._waiting and record.key not in self._starting

    def _reason_to_refuse(self, dispatch: Dispatch) -> Refusal | None:
        if self.load >= limits.RUNNING_CALLS + limits.WAITING_CALLS:
            return BUSY
        return self._toolbox.knows(dispatch.tool, dispatch.tool_version)

    def note(self, outcome: Outcome) -> None:
        """Bring what is in memory up to what was written: what waits no more, and refusals to repeat."""
        for record in (*outcome.others, outcome.record):
            self.bring_up_to_date(record, ours=is_refusal(record))

    def bring_up_to_date(self, record: AttemptRecord, *, ours: bool) -> None:
        """Know a record as it was written. `ours`: its last word is for us to report and repeat."""
        never_starts = record.state in (State.CLOSED, State.SUPERSEDED)
        if never_starts:
            self._waiting.pop(record.key, None)
        if ours or (not never_starts and self._attempts.get(record.key) is not None):
            self._attempts.put(record)
        elif never_starts:
            self._attempts.drop(record.key)

    # -- starting -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start what waits, as places come free, until cancelled. What runs is left running."""
        while True:
            await self._wait_for_work()
            self._refuse_what_is_too_old()
            while self._waiting and self._places > 0 and not self.draining:
                key, waiting = self._waiting.popitem(last=False)
                self._places -= 1
                self._spawn(self._start(key, waiting))

    async def quiesce(self) -> None:
        """Start nothing more, and wait until every start under way is either let go or given up."""
        self.draining = True
        while self._starting:
            self._changed.clear()
            await self._changed.wait()

    async def idle(self) -> None:
        """Wait until nothing runs."""
        while self._places < limits.RUNNING_CALLS:
            self._changed.clear()
            await self._changed.wait()

    async def _wait_for_work(self) -> None:
        """Until something may be done; while calls wait for a place, their age is looked at as time passes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EXPIRY_LOOK_S if self._waiting else None):
                await self._work.wait()
        self._work.clear()

    def _refuse_what_is_too_old(self) -> None:
        now_ms = self._clock.boottime_ms()
        for key in [key for key, waiting in self._waiting.items() if waiting.too_old(now_ms)]:
            del self._waiting[key]
            self._spawn(self._refuse(key, TOO_OLD))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """A defect in one of these ends the runtime; the next life goes on from the journal."""
        if self._group is None:
            raise RuntimeError("the executor was given no task group")
        self._group.create_task(work)

    async def _start(self, key: Key, waiting: _Waiting) -> None:
        """Plan, prepare a shim, claim, go. The place is given back here unless the command was let go."""
        started = False
        self._starting.add(key)
        try:
            started = await self._try_start(key, waiting)
        except JournalUnwritableError:
            self._waiting[key] = waiting
            self._waiting.move_to_end(key, last=False)
            await asyncio.sleep(UNWRITABLE_RETRY_S)
        finally:
            self._starting.discard(key)
            self._changed.set()
            if not started:
                self._give_place_back()

    async def _try_start(self, key: Key, waiting: _Waiting) -> bool:
        dispatch = waiting.dispatch
        planned = self._toolbox.plan(dispatch.tool, dispatch.tool_version, dispatch.arguments)
        if isinstance(planned, Refusal):
            await self._refuse(key, planned)
            return False
        name = f"{key.tool_call_id}.{key.number}"
        share, cut = self._budget.hold(name, dispatch.limits.output_bytes)

        def order_in(folder: str) -> Order:
            order = planned.order_in(folder)
            return replace(order, time_ms=dispatch.limits.time_ms, output_bytes=share, cut=cut)

        try:
            prepared = await self._launcher.prepare(order_in)
        except LaunchError as error:
            self._budget.release(name)
            await self._refuse(key, Refusal("runtime.cannot_start", str(error)))
            return False
        if waiting.too_old(self._clock.boottime_ms()):
            prepared.abandon()
            self._budget.release(name)
            await self._refuse(key, TOO_OLD)
            return False
        around = Surroundings(planned.account or account(), planned.cwd, planned.interpreter)
        try:
            claimed = await self._writer.submit(lambda journal: journal.claim(key, prepared.shelter, around))
        except BaseException:
            prepared.abandon()
            self._budget.release(name)
            raise
        if claimed is None:
            prepared.abandon()
            self._budget.release(name)
            await self._tell_what_became(key)
            return False
        entry = self._attempts.put(claimed)
        entry.execution = prepared.go(lambda seen: self._see(entry, seen))
        return True

    async def _refuse(self, key: Key, refusal: Refusal) -> None:
        """Close one that waited, and promise that it will not run."""
        try:
            record = await self._writer.submit(lambda journal: journal.refuse_waiting(key, refusal), vital=True)
            if record is not None:
                self._attempts.changed(self._attempts.put(record))
            else:
                await self._tell_what_became(key)
        except JournalUnwritableError:
            return  # no promise; it stays received, and the control plane takes it back or sends it again

    async def _tell_what_became(self, key: Key) -> None:
        """Another one closed, superseded or took it: say what the journal has."""
        record = await self._writer.submit(lambda journal: journal.record(key))
        self._attempts.drop(key)
        if record is not None:
            self._attempts.post(statement(record, self._writer.journal_id))

    def _give_place_back(self) -> None:
        self._places += 1
        self._work.set()
        self._changed.set()

    # -- watching -----------------------------------------------------------------------------------------------------

    async def adopt(self, record: AttemptRecord) -> None:
        """Watch an execution that a former life, or another runtime of this journal, let go. One watcher, one place:
        where it is being let go or adopted just now, this only waits for that."""
        key = record.key
        if key in self._starting or key in self._adopting:
            while key in self._starting or key in self._adopting:
                self._changed.clear()
                await self._changed.wait()
            return
        known = self._attempts.get(key)
        if known is not None and known.execution is not None:
            return
        entry = self._attempts.put(record)
        entry.let_go = True
        self._places -= 1
        self._adopting.add(key)
        try:
            entry.execution = await self._watch(entry)
        finally:
            self._adopting.discard(key)
            self._changed.set()
            if entry.execution is None:
                self._give_place_back()

    async def _watch(self, entry: Entry) -> Execution:
        """As soon as there are descriptors for it: a command that nobody watches would seem to run for ever."""
        while True:
            try:
                return await self._launcher.adopt(entry.record.shelter, lambda seen: self._see(entry, seen))
            except LaunchError as error:
                log.warning("a running command cannot be watched yet: %s", error)
                await asyncio.sleep(UNWRITABLE_RETRY_S)

    def _see(self, entry: Entry, seen: Seen) -> None:
        """Something was seen of a running command."""
        match seen:
            case StartSeen():
                entry.record = born(entry.record, seen)
                entry.let_go = True
            case OutputSeen(written, kept, last_output_ms):
                entry.written, entry.kept, entry.last_output_ms = written, kept, last_output_ms
            case InputSeen(sequence):
                self._spawn(self._accept_input(entry, sequence))
                return
            case EndSeen():
                if not entry.closing:
                    entry.closing = True
                    self._spawn(self._end(entry))
                return
        self._attempts.changed(entry)

    async def _end(self, entry: Entry) -> None:
        """Journal how it ended; then, and only then, it may be said."""
        key = entry.key
        record = await self._look(key)
        entry.closing = False
        if record is None or record.state is State.STARTED:
            return
        if entry.execution is not None:
            entry.execution.detach()
            entry.execution = None
            self._give_place_back()
        self._budget.shrink(f"{key.tool_call_id}.{key.number}", kept_bytes(record))
        self._attempts.changed(self._attempts.put(record))

    async def _look(self, key: Key) -> AttemptRecord | None:
        """The end record is in the spool and waits there for as long as the journal cannot be written."""
        while True:
            with contextlib.suppress(JournalUnwritableError):
                return await self._writer.submit(lambda journal: journal.look(key), vital=True)
            await asyncio.sleep(UNWRITABLE_RETRY_S)

    def cancel(self, entry: Entry) -> None:
        """End the process tree of one that was let go; `finished` follows when it has ended."""
        if entry.execution is not None:
            entry.execution.cancel()

    async def _accept_input(self, entry: Entry, sequence: int) -> None:
        try:
            written = await self._writer.submit(lambda journal: journal.input_accepted(entry.key, sequence), vital=True)
        except JournalUnwritableError:
            return  # it is asked for again, and the shim will not write it twice
        self._attempts.post(InputAccepted(attempt=entry.key.reference, sequence=sequence, journal_sequence=written))

    def settle(self, record: AttemptRecord) -> None:
        """The control plane holds its last word: what the spool has of it may go."""
        self._attempts.drop(record.key)
        self._budget.release(f"{record.tool_call_id}.{record.number}")
        if record.spool is not None:
            folder = record.spool
            self._writer.aside(lambda: self._spool.drop(folder))


def kept_bytes(record: AttemptRecord) -> int:
    """How much of an ended execution lies in the spool."""
    return sum(layout.head + layout.tail for layout in layouts_of(record.layout).values())
