"""The only writer of sessions: decide in order, append, and act once it is durable.

Owns the cache of sessions and their serial order. Decisions of one session follow each other at once, on the event
loop's thread; their appends commit in that order; effects, answers and notices leave after COMMIT (invariant 2).
A failed append drops the cache: the log is the truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import structlog

from caisey.control.news import News, Then
from caisey.control.projection import Projection, Write
from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.attempt import ImpossibleTransition
from caisey.core.decide import decided, next_due
from caisey.core.effects import Effect, SendInput, effects_of
from caisey.core.errors import Fault
from caisey.core.ids import SESSION, new_id
from caisey.core.session import Session, evolve, replay
from caisey.core.states import AttemptState, CallState, HoldReason
from caisey.core.states import Effect as ToolEffect
from caisey.core.tool_call import ImpossibleStep
from caisey.core.view import Change, EndpointView
from caisey.storage.contract import AppendFailed, Entry, Log, Overloaded

logger = structlog.get_logger(__name__)
MAX_CACHED = 20_000
# What a wrong decision of ours would raise. It must stop this one command, never another session (invariant 7).
DEFECTS = (ImpossibleTransition, ImpossibleStep, AssertionError, LookupError, TypeError, ValueError, AttributeError)


class Times(Protocol):
    """The control plane's clock, steady against steps."""

    def now_ms(self) -> int: ...


class Surroundings(Protocol):
    """What the hub knows and does."""

    def view_of(self, endpoint_id: str) -> EndpointView:
        """The endpoint as it is at this moment."""

    def run_effects(self, effects: Sequence[Effect]) -> None:
        """Send what has to be sent. Called after COMMIT only."""

    def record_change(self, endpoint_id: str, change: Change) -> None:
        """A mutating call started there."""

    def mark_regressed(self, endpoint_id: str, journal_id: str) -> None:
        """A journal went back in time."""


@dataclass(slots=True)
class Slot:
    """One session in memory, with what its last append still waits for."""

    session: Session
    organization_id: str
    pending: int = 0  # appends under way
    last: asyncio.Future[None] | None = None
    projection: Projection = field(default_factory=Projection)


@dataclass(frozen=True, slots=True)
class Handled:
    """A command that is durable: its events with their sequences, and the session after them."""

    records: list[e.Recorded]
    session: Session


@dataclass(frozen=True, slots=True)
class Committed:
    """Told to followers after COMMIT."""

    organization_id: str
    session_id: str
    endpoint_id: str
    records: list[e.Recorded]


class Sessions:
    """See the module's page. Every method runs on the event loop's thread."""

    def __init__(
        self, log: Log, clock: Times, surroundings: Surroundings, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._log = log
        self._clock = clock
        self._hub = surroundings
        self._random = random_bytes
        self._slots: dict[str, Slot] = {}
        self._by_endpoint: dict[str, set[str]] = {}
        self._followers: list[Callable[[Committed], None]] = []
        self._wake: Callable[[str, int | None], None] = lambda session_id, due: None
        self.news = News(self.submit)
        log.on_failure(self._forget_all)

    # -- commands ------------------------------------------------------------------------------------------------

    async def create(
        self,
        organization_id: str,
        endpoint_id: str,
        actor: e.Actor,
        title: str,
        ticket: str | None,
        client_group_id: str | None = None,
        writes: Sequence[Write] = (),
        session_id: str | None = None,
    ) -> Session:
        """A new session, durable. `session_id` is a fresh id where `writes` have to name it."""
        session_id = session_id or new_id(SESSION, self._random(17))
        command = c.CreateSession(
            actor=actor, session_id=session_id, client_group_id=client_group_id, title=title, ticket=ticket
        )
        slot = Slot(Session(id=session_id, endpoint_id=endpoint_id), organization_id, projection=Projection(fresh=True))
        self._keep(session_id, slot)
        try:
            return (await self._decide(slot, command, writes)).session
        except Fault:
            self._forget(session_id)
            raise

    async def handle(self, session_id: str, command: c.Command, writes: Sequence[Write] = ()) -> Handled:
        """Decide and append; returns after COMMIT. Raises Fault where the command is refused."""
        return await self.submit(session_id, command, writes)

    def submit(self, session_id: str, command: c.Command, writes: Sequence[Write] = ()) -> asyncio.Future[Handled]:
        """Decide now, in order; the future resolves after COMMIT. `writes` go into the same transaction."""
        try:
            slot = self._load(session_id)
        except Fault as fault:
            return self._failed(fault)
        return self._decide(slot, command, writes)

    def tell(self, session_id: str, command: c.Command, then: Then | None = None) -> None:
        """The same for what nobody waits for and nobody says twice: it is decided also if the log fails now."""
        self.news.tell(session_id, command, then)

    def _failed(self, fault: Exception) -> asyncio.Future[Handled]:
        future: asyncio.Future[Handled] = asyncio.get_running_loop().create_future()
        future.set_exception(fault)
        return future

    def _decide(self, slot: Slot, command: c.Command, writes: Sequence[Write]) -> asyncio.Future[Handled]:
        before = slot.session
        now = self._clock.now_ms()
        view = self._hub.view_of(before.endpoint_id)
        try:
            first = self._log.next_sequence(slot.organization_id)
            records, after = decided(before, command, view, now, first)
        except Fault as fault:
            return self._failed(fault)
        except DEFECTS:
            logger.exception("session.defect", session_id=before.id, command=type(command).__name__)
            return self._failed(Fault("server.internal"))
        if not records and not writes:
            due = self._due(before, view)
            writes = slot.projection.nearer(before, due)
            if not writes:
                self._wake(before.id, due)
                return self._after_pending(slot)
        entries = [self._entry(slot, after.id, record) for record in records]
        due = self._due(after, view)
        more = slot.projection.project(slot.organization_id, before, after, records, due, view, now)
        try:
            appended = self._log.append(entries, [*writes, *more])
        except Overloaded:
            slot.projection = Projection()  # what it noted was not written; it looks at the tables anew
            return self._failed(Fault("server.overloaded"))
        if records and appended.sequences[0] != first:  # a failed commit gave sequences back in between
            records, after = _renumbered(before, records, appended.sequences)
        slot.session = after
        slot.pending += 1
        slot.last = appended.committed
        self._wake(after.id, due)
        secret = command.data if isinstance(command, c.Act) and command.sensitive else None
        effects = effects_of(after, records, view.policy.output_limit_bytes)
        if secret is not None:
            effects = [msgspec.structs.replace(x, data=secret) if isinstance(x, SendInput) else x for x in effects]
        return self._when_committed(slot, appended.committed, Handled(records, after), effects)

    def _entry(self, slot: Slot, session_id: str, record: e.Recorded) -> Entry:
        return Entry(
            organization_id=slot.organization_id,
            session_id=session_id,
            type=e.type_of(record.event),
            at_ms=record.at_ms,
            actor=record.actor,
            reason=record.reason,
            payload=e.to_payload(record.event),
        )

    @staticmethod
    def _due(session: Session, view: EndpointView) -> int | None:
        return next_due(session, view) if session.live else None

    # -- after COMMIT --------------------------------------------------------------------------------------------

    def _when_committed(
        self, slot: Slot, committed: asyncio.Future[None], handled: Handled, effects: list[Effect]
    ) -> asyncio.Future[Handled]:
        done: asyncio.Future[Handled] = asyncio.get_running_loop().create_future()

        def settle(future: asyncio.Future[None]) -> None:
            slot.pending -= 1
            error = future.exception() if not future.cancelled() else AppendFailed("cancelled")
            if error is not None:
                if self._slots.get(handled.session.id) is slot:  # else it was read again, and decided upon, since
                    self._forget(handled.session.id)
                if not any(isinstance(record.event, e.SessionCreated) for record in handled.records):
                    self._wake(handled.session.id, self._clock.now_ms())  # its deadlines are those of the log again
                if not done.done():
                    done.set_exception(Fault("server.storage_failed"))
                    done.exception()  # retrieved here: a submitter may not look
                return
            if effects:
                self._hub.run_effects(effects)
            self._tell(slot, handled)
            if not done.done():
                done.set_result(handled)

        committed.add_done_callback(settle)
        return done

    def _after_pending(self, slot: Slot) -> asyncio.Future[Handled]:
        """Nothing to append: the answer still waits for what was appended before (nothing leaves before COMMIT).

        Should that fail, it fails as well: that nothing was to be done was decided from what never came to be.
        """
        done: asyncio.Future[Handled] = asyncio.get_running_loop().create_future()
        handled = Handled([], slot.session)

        def settle(last: asyncio.Future[None]) -> None:
            if done.done():
                return
            if last.cancelled() or last.exception() is not None:
                done.set_exception(Fault("server.storage_failed"))
                done.exception()  # retrieved here: a submitter may not look
            else:
                done.set_result(handled)

        if slot.last is None or slot.last.done():
            done.set_result(handled)
        else:
            slot.last.add_done_callback(settle)
        return done

    def follow(self, follower: Callable[[Committed], None]) -> None:
        """Be told of every committed decision, in order per session."""
        self._followers.append(follower)

    def on_due(self, wake: Callable[[str, int | None], None]) -> None:
        """Be told when a session has to be looked at next (the sweeper)."""
        self._wake = wake

    def _tell(self, slot: Slot, handled: Handled) -> None:
        session = handled.session
        for record in handled.records:
            event = record.event
            if isinstance(event, e.AttemptStarted):
                self._changed(session, event, record.at_ms)
            elif isinstance(event, e.AttemptEnded | e.VerdictRefined):
                self._freed(session, event)
            elif isinstance(event, e.EvidenceNoted) and event.fact == "journal_regressed":
                self._hub.mark_regressed(session.endpoint_id, str(event.detail.get("journal_id", "")))
        told = Committed(slot.organization_id, session.id, session.endpoint_id, handled.records)
        for follower in self._followers:
            follower(told)

    def _changed(self, session: Session, event: e.AttemptStarted, at_ms: int) -> None:
        """A mutating call started: others on that endpoint have to know before they start theirs."""
        call = session.calls[event.tool_call_id]
        if call.spec.effect is not ToolEffect.MUTATING:
            return
        actor = call.consent(call.attempts[event.number - 1].consent).actor
        change = Change(at_ms, actor.id, session.id, event.tool_call_id)
        self._hub.record_change(session.endpoint_id, change)
        for other_id in list(self._by_endpoint.get(session.endpoint_id, ())):
            other = self._slots.get(other_id)
            if other is not None and other_id != session.id and _overtaken(other.session, actor.id):
                self.tell(other_id, c.Advance())

    def _freed(self, session: Session, event: e.AttemptEnded | e.VerdictRefined) -> None:
        runtime_id = session.calls[event.tool_call_id].attempts[event.number - 1].runtime_id
        if runtime_id is None or event.verdict.code == "runtime.busy":
            return
        for other_id in list(self._by_endpoint.get(session.endpoint_id, ())):
            other = self._slots.get(other_id)
            if other is not None and _held_busy(other.session):
                self.tell(other_id, c.Advance(freed_runtime_id=runtime_id))

    # -- reading -------------------------------------------------------------------------------------------------

    async def read(self, session_id: str) -> Session | None:
        """The session as it is durable; None if there is none."""
        try:
            slot = self._load(session_id)
        except Fault:
            return None
        session, last = slot.session, slot.last  # later decisions do not hold this answer up
        if last is not None and not last.done():
            await asyncio.wait([last])
            if self._slots.get(session_id) is not slot:
                return await self.read(session_id)
        return session

    def peek(self, session_id: str) -> Session | None:
        """The session as decided, perhaps not durable yet: for decisions only, never to be shown."""
        try:
            return self._load(session_id).session
        except Fault:
            return None

    def organization_of(self, session_id: str) -> str | None:
        """The organization a session belongs to."""
        slot = self._slots.get(session_id)
        if slot is not None:
            return slot.organization_id
        rows = self._log.query_now("SELECT organization_id FROM sessions WHERE session_id = ?", (session_id,))
        return str(rows[0][0]) if rows else None

    def session_of_call(self, tool_call_id: str) -> tuple[str, str, str] | None:
        """(session, endpoint, organization) of a tool call."""
        rows = self._log.query_now(
            "SELECT session_id, endpoint_id, organization_id FROM tool_calls WHERE tool_call_id = ?", (tool_call_id,)
        )
        if rows:
            return str(rows[0][0]), str(rows[0][1]), str(rows[0][2])
        return None

    def sessions_with_open_work(self, endpoint_id: str) -> list[str]:
        """Sessions of the endpoint in which something may still happen."""
        rows = self._log.query_now("SELECT session_id FROM open_work WHERE endpoint_id = ?", (endpoint_id,))
        known = {str(row[0]) for row in rows}
        for session_id in self._by_endpoint.get(endpoint_id, ()):
            if self._slots[session_id].session.live:
                known.add(session_id)
        return sorted(known)

    def open_deadlines(self) -> Iterable[tuple[str, int]]:
        """(session, due) of all open work, as it stands in the log: read once at start."""
        for row in self._log.query_now("SELECT session_id, due_at_ms FROM open_work", ()):
            yield str(row[0]), int(row[1])

    def view_of(self, session: Session) -> EndpointView:
        """The session's endpoint as it is now."""
        return self._hub.view_of(session.endpoint_id)

    # -- the cache -----------------------------------------------------------------------------------------------

    def _keep(self, session_id: str, slot: Slot) -> None:
        if len(self._slots) >= MAX_CACHED:
            self._evict()
        self._slots[session_id] = slot
        self._by_endpoint.setdefault(slot.session.endpoint_id, set()).add(session_id)

    def _load(self, session_id: str) -> Slot:
        slot = self._slots.get(session_id)
        if slot is not None:
            return slot
        rows = self._log.query_now(
            "SELECT at_ms, type, actor_kind, actor_id, reason, payload, sequence, organization_id"
            " FROM events WHERE session_id = ? ORDER BY sequence",
            (session_id,),
        )
        if not rows:
            raise Fault("resource.not_found")
        session = replay(
            e.Recorded(r[0], e.Actor(r[2], r[3]), e.from_payload(r[1], msgspec.json.decode(r[5])), r[4], r[6])
            for r in rows
            if r[1] in e.EVENT_TYPES
        )
        slot = Slot(session, str(rows[0][7]))
        self._keep(session_id, slot)
        return slot

    def _evict(self) -> None:
        """Settled sessions go first; they come back from the log when somebody asks."""
        idle = [i for i, s in self._slots.items() if not s.session.live and not s.pending]
        for session_id in idle[: MAX_CACHED // 4]:
            self._forget(session_id)

    def _forget(self, session_id: str) -> None:
        slot = self._slots.pop(session_id, None)
        if slot is not None:
            self._by_endpoint.get(slot.session.endpoint_id, set()).discard(session_id)

    def _forget_all(self) -> None:
        self._slots.clear()
        self._by_endpoint.clear()


def _renumbered(before: Session, records: list[e.Recorded], sequences: list[int]) -> tuple[list[e.Recorded], Session]:
    """The same events with the sequences that they really have."""
    session, numbered = before, []
    for record, sequence in zip(records, sequences, strict=True):
        numbered.append(msgspec.structs.replace(record, sequence=sequence))
        session = evolve(session, numbered[-1])
    return numbered, session


def _overtaken(session: Session, actor_id: str) -> bool:
    """It has mutating work that was not started, by the consent of somebody else."""
    return any(
        a.state in (AttemptState.ACKNOWLEDGED, AttemptState.DISPATCHED)
        and call.spec.effect is ToolEffect.MUTATING
        and call.consent(a.consent).actor.id != actor_id
        for call in session.live_calls()
        if call.state is CallState.RUNNING
        for a in call.open_attempts
    )


def _held_busy(session: Session) -> bool:
    return any(
        a.hold is not None and a.hold.reason is HoldReason.BUSY
        for call in session.live_calls()
        for a in call.open_attempts
    )
