"""A durable troubleshooting conversation on one endpoint: the unit of serial decision.

Owns `Session`, `Prompt`, their tables and `evolve`. Commands are decided in `decide/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from caisey.core import attempt as attempts
from caisey.core import events as e
from caisey.core import tool_call as calls
from caisey.core.states import CallState, PromptState
from caisey.core.tool_call import Consent, ToolCall

PROMPT_TRANSITIONS: dict[PromptState, dict[type[e.Event], PromptState]] = {
    PromptState.RUNNING: {e.PromptWaiting: PromptState.WAITING, e.PromptEnded: PromptState.ENDED},
    PromptState.WAITING: {e.PromptResumed: PromptState.RUNNING, e.PromptEnded: PromptState.ENDED},
    PromptState.ENDED: {e.PromptResumed: PromptState.RUNNING, e.PromptWaiting: PromptState.WAITING},
}


ABOUT_A_CALL = (e.AttemptEvent, e.CallEvent)


class Prompt(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One request; its calls by id, in order of position, then of age."""

    id: str
    accepted_at_ms: int
    actor: e.Actor
    call_ids: tuple[str, ...]
    state: PromptState = PromptState.RUNNING
    text: str | None = None
    side_by_side: bool = False
    origin: e.Origin | None = None


class Handover(msgspec.Struct, frozen=True, gc=False):
    """An offer that nobody has taken yet."""

    by: e.Actor
    at_ms: int
    to: str | None
    note: str
    summary: str


class Session(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Everything that was recorded of one session."""

    id: str = ""
    endpoint_id: str = ""
    client_group_id: str | None = None
    title: str = ""
    ticket: str | None = None
    owner: str = ""
    created_at_ms: int = 0
    closed: e.SessionClosed | None = None
    handover: Handover | None = None
    prompts: dict[str, Prompt] = {}
    calls: dict[str, ToolCall] = {}
    live: frozenset[str] = frozenset()  # calls that still have something to happen
    sequence: int = 0

    def prompt_of(self, call: ToolCall) -> Prompt:
        """The prompt a call belongs to."""
        return self.prompts[call.prompt_id]

    def calls_of(self, prompt: Prompt) -> list[ToolCall]:
        """In order of position, a replacement after what it replaces."""
        return sorted((self.calls[i] for i in prompt.call_ids), key=lambda c: c.spec.position)

    def prompt_sequence(self, prompt: Prompt) -> int:
        """The highest sequence over its calls: what `seen` carries (API.md)."""
        return max((self.calls[i].sequence for i in prompt.call_ids), default=0)

    def live_calls(self) -> list[ToolCall]:
        """Calls that are running or waiting, or whose journal owes a word; oldest first."""
        if len(self.live) < 2:
            return [self.calls[i] for i in self.live]
        return [c for c in self.calls.values() if c.id in self.live]


def is_live(call: ToolCall) -> bool:
    """Something may still happen to it by itself, or a person is waited for."""
    if call.state in (CallState.RUNNING, CallState.WAITING):
        return True
    return any(a.open or calls.unresolved(a) for a in call.attempts)


def evolve(session: Session, record: e.Recorded) -> Session:
    """The session after one event. Raises where a table has no such step: that is a defect of ours."""
    event = record.event
    if isinstance(event, ABOUT_A_CALL):
        call = calls.evolve(session.calls[event.tool_call_id], record)
        session = _with_call(session, call, record)
        if isinstance(event, e.ToolCallReplaced):
            session = _added(session, call, record, event)
        return session
    return _OWN[type(event)](session, record, event)


def replay(records: Iterable[e.Recorded], session: Session | None = None) -> Session:
    """Fold events, oldest first."""
    session = session or Session()
    for record in records:
        session = evolve(session, record)
    return session


def _with_call(session: Session, call: ToolCall, record: e.Recorded) -> Session:
    live = session.live
    if is_live(call) != (call.id in live):
        live = live - {call.id} if call.id in live else live | {call.id}
    return replace(
        session, calls=session.calls | {call.id: call}, live=live, sequence=max(session.sequence, record.sequence)
    )


def _new_call(spec: e.CallSpec, prompt_id: str, record: e.Recorded) -> ToolCall:
    consent = Consent(1, record.at_ms, record.at_ms, record.actor)
    return ToolCall(spec=spec, prompt_id=prompt_id, consents=(consent,), sequence=record.sequence)


def _added(session: Session, old: ToolCall, record: e.Recorded, event: e.ToolCallReplaced) -> Session:
    prompt = session.prompts[old.prompt_id]
    at = prompt.call_ids.index(old.id) + 1
    ids = (*prompt.call_ids[:at], event.call.id, *prompt.call_ids[at:])
    call = _new_call(event.call, prompt.id, record)
    return replace(
        session,
        calls=session.calls | {call.id: call},
        prompts=session.prompts | {prompt.id: replace(prompt, call_ids=ids)},
    )


def _created(session: Session, record: e.Recorded, event: e.SessionCreated) -> Session:
    return Session(
        id=event.session_id,
        endpoint_id=event.endpoint_id,
        client_group_id=event.client_group_id,
        title=event.title,
        ticket=event.ticket,
        owner=event.owner,
        created_at_ms=record.at_ms,
        sequence=record.sequence,
    )


def _updated(session: Session, record: e.Recorded, event: e.SessionUpdated) -> Session:
    """A new owner is asked from now on, also about what waits already."""
    taken = (
        {} if event.owner is None else {c.id: replace(c, owner=event.owner) for c in session.calls.values() if c.owner}
    )
    return replace(
        session,
        calls=session.calls | taken,
        title=session.title if event.title is None else event.title,
        ticket=session.ticket if event.ticket is None else event.ticket,
        owner=session.owner if event.owner is None else event.owner,
        handover=session.handover if event.owner is None else None,
        sequence=max(session.sequence, record.sequence),
    )


def _closed(session: Session, record: e.Recorded, event: e.SessionClosed) -> Session:
    return replace(session, closed=event, handover=None, sequence=max(session.sequence, record.sequence))


def _offered(session: Session, record: e.Recorded, event: e.HandoverOffered) -> Session:
    handover = Handover(record.actor, record.at_ms, event.to, event.note, event.summary)
    return replace(session, handover=handover, sequence=max(session.sequence, record.sequence))


def _offer_ended(session: Session, record: e.Recorded, event: e.HandoverEnded) -> Session:
    return replace(session, handover=None, sequence=max(session.sequence, record.sequence))


def _accepted(session: Session, record: e.Recorded, event: e.PromptAccepted) -> Session:
    prompt = Prompt(
        id=event.prompt_id,
        accepted_at_ms=record.at_ms,
        actor=record.actor,
        call_ids=tuple(c.id for c in event.calls),
        text=event.text,
        side_by_side=event.side_by_side,
        origin=event.origin,
    )
    added = {c.id: _new_call(c, prompt.id, record) for c in event.calls}
    return replace(
        session,
        prompts=session.prompts | {prompt.id: prompt},
        calls=session.calls | added,
        sequence=max(session.sequence, record.sequence),
    )


def _prompt_moved(
    session: Session, record: e.Recorded, event: e.PromptWaiting | e.PromptResumed | e.PromptEnded
) -> Session:
    prompt = session.prompts[event.prompt_id]
    state = PROMPT_TRANSITIONS[prompt.state][type(event)]
    return replace(
        session,
        prompts=session.prompts | {prompt.id: replace(prompt, state=state)},
        sequence=max(session.sequence, record.sequence),
    )


def _stepped(session: Session, record: e.Recorded, event: e.ClockStepped) -> Session:
    moved: dict[str, ToolCall] = {}
    for call in session.live_calls():
        due = None if call.due_at_ms is None else call.due_at_ms + event.by_ms
        items = tuple(attempts.shifted(a, event.by_ms) if a.open else a for a in call.attempts)
        moved[call.id] = replace(call, due_at_ms=due, attempts=items)
    return replace(session, calls=session.calls | moved, sequence=max(session.sequence, record.sequence))


_OWN: dict[type[e.Event], Callable[[Session, e.Recorded, Any], Session]] = {
    e.SessionCreated: _created,
    e.SessionUpdated: _updated,
    e.SessionClosed: _closed,
    e.HandoverOffered: _offered,
    e.HandoverEnded: _offer_ended,
    e.PromptAccepted: _accepted,
    e.PromptWaiting: _prompt_moved,
    e.PromptResumed: _prompt_moved,
    e.PromptEnded: _prompt_moved,
    e.ClockStepped: _stepped,
}
