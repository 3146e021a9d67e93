"""What the shell has to do once events are durable: verb and object, derived from events, safe to do twice.

An effect that is lost with the process is made again from the state: cancels, inputs, questions and confirmations on
every connection, dispatches by their deadline.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.session import Session
from caisey.core.states import ON_THE_WIRE, AttemptState, CancelWhy
from caisey.core.tool_call import ToolCall


class SendEffect(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Every effect derives from this."""

    endpoint_id: str
    session_id: str
    tool_call_id: str
    number: int


class SendDispatch(SendEffect, frozen=True, kw_only=True):
    """Sign and send one dispatch to the incarnation and bridge that were committed. If they are gone, do nothing."""

    runtime_id: str
    incarnation: str
    bridge: str
    journal_id: str
    consent: int
    tool: str
    tool_version: int
    arguments: dict[str, Any]
    effect: str
    time_ms: int | None
    output_bytes: int
    start_within_ms: int | None


class SendCancel(SendEffect, frozen=True, kw_only=True):
    """To every connected runtime of that journal. `unless_started`: a withdrawal, never ends a running command."""

    journal_id: str
    consent: int
    unless_started: bool


class SendInput(SendEffect, frozen=True, kw_only=True):
    """To the runtime that has the attempt, or any of the journal. `data` is None when it was sensitive and is gone."""

    journal_id: str
    sequence: int
    data: str | None
    close: bool
    sensitive: bool


class AskReconcile(SendEffect, frozen=True, kw_only=True):
    """Ask the named runtimes what their journal knows of the attempt."""

    runtime_ids: tuple[str, ...]
    consent: int


class AskCheck(SendEffect, frozen=True, kw_only=True):
    """Ping a runtime; with `nonce`, it has to sign."""

    runtime_id: str
    nonce: bool


class Confirm(SendEffect, frozen=True, kw_only=True):
    """Bytes below `offsets` are durable; `settled`: the journal may drop output, result and arguments."""

    journal_id: str
    offsets: dict[str, int]
    settled: bool


Effect = SendDispatch | SendCancel | SendInput | AskReconcile | AskCheck | Confirm


def effects_of(session: Session, records: Iterable[e.Recorded], output_limit: int) -> list[Effect]:
    """What follows from events that are durable now. `session` is the state after them."""
    effects: list[Effect] = []
    confirm: dict[tuple[str, int], None] = {}
    for record in records:
        event = record.event
        if isinstance(event, e.AttemptEvent):
            call = session.calls[event.tool_call_id]
            attempt = call.attempts[event.number - 1]
            effect = _of_event(session, call, attempt, event, output_limit)
            if effect is not None:
                effects.append(effect)
            if isinstance(event, e.AttemptReopened):  # when its runtime connected, nothing was owed to what had ended
                effects.extend(_owed(session, attempt))
            if isinstance(event, CONFIRMED):
                confirm[attempt.key] = None
    effects.extend(c for key in confirm if (c := confirmation(session, *key)) is not None)
    return effects


CONFIRMED = (
    e.OutputReceived,
    e.OutputConflicted,
    e.OutputGap,
    e.AttemptFinished,
    e.AttemptRefused,
    e.JournalStated,
    e.AttemptEnded,
    e.VerdictRefined,
)


def _of_event(session: Session, call: ToolCall, a: Attempt, event: e.AttemptEvent, output_limit: int) -> Effect | None:
    if isinstance(event, e.AttemptDispatched):
        return _dispatch(session, call, a, event, output_limit)
    if isinstance(event, e.CancelRequested):
        return cancel_of(session, a)
    if isinstance(event, e.InputGiven):
        return _input(session, a, event)
    if isinstance(event, e.ReconcileAsked) and event.runtime_ids:
        return AskReconcile(**_about(session, a), runtime_ids=event.runtime_ids, consent=a.consent)
    if isinstance(event, e.AttemptCheckAsked):
        return AskCheck(**_about(session, a), runtime_id=event.runtime_id, nonce=event.nonce)
    return None


def _about(session: Session, a: Attempt) -> dict[str, Any]:
    return {
        "endpoint_id": session.endpoint_id,
        "session_id": session.id,
        "tool_call_id": a.tool_call_id,
        "number": a.number,
    }


def _dispatch(
    session: Session, call: ToolCall, a: Attempt, event: e.AttemptDispatched, output_limit: int
) -> SendDispatch:
    limits = a.limits or call.spec.limits
    return SendDispatch(
        **_about(session, a),
        runtime_id=event.runtime_id,
        incarnation=event.incarnation,
        bridge=event.bridge,
        journal_id=event.journal_id,
        consent=event.consent,
        tool=call.spec.tool,
        tool_version=call.spec.tool_version,
        arguments=call.spec.arguments,
        effect=str(call.spec.effect),
        time_ms=limits.time_ms,
        output_bytes=limits.output_bytes or output_limit,
        start_within_ms=event.start_within_ms,
    )


def cancel_of(session: Session, a: Attempt) -> SendCancel | None:
    """The cancel to send for an attempt on the wire that somebody wants ended; None if there is none."""
    if a.cancel is None or a.journal_id is None or a.state not in ON_THE_WIRE:
        return None
    withdrawn = a.cancel.why is CancelWhy.WITHDRAWN
    return SendCancel(**_about(session, a), journal_id=a.journal_id, consent=a.consent, unless_started=withdrawn)


def _input(session: Session, a: Attempt, event: e.InputGiven) -> SendInput | None:
    if a.journal_id is None:
        return None
    return SendInput(
        **_about(session, a),
        journal_id=a.journal_id,
        sequence=event.sequence,
        data=event.data,
        close=event.close,
        sensitive=event.sensitive,
    )


def confirmation(session: Session, tool_call_id: str, number: int) -> Confirm | None:
    """What is durable of an attempt. Settled: its last word is kept, and all its bytes (or their gaps) are."""
    a = session.calls[tool_call_id].attempts[number - 1]
    if a.journal_id is None:
        return None
    offsets = {name: stream.confirmed for name, stream in a.streams.items()}
    settled = a.state is AttemptState.ENDED and a.final_word and _complete(a)
    return Confirm(**_about(session, a), journal_id=a.journal_id, offsets=offsets, settled=settled)


def _complete(a: Attempt) -> bool:
    if a.finished is None:
        return True
    if a.finished.stated:
        return False  # the frame with changes and result is still to come
    streams = (a.finished.execution or {}).get("streams")
    if not isinstance(streams, dict) or not a.finished.readable:
        return True
    for name, said in streams.items():
        size = said.get("bytes") if isinstance(said, dict) else None
        stored = a.streams.get(name)
        if isinstance(size, int) and size > (stored.confirmed if stored else 0):
            return False
    return True


def owed_on_connect(session: Session, journal_id: str) -> list[Effect]:
    """What a runtime with this journal is told again when it connects: cancels and inputs that were not answered."""
    attempts = (a for call in session.calls.values() for a in call.attempts if a.journal_id == journal_id)
    return [effect for a in attempts for effect in _owed(session, a)]


def _owed(session: Session, a: Attempt) -> list[Effect]:
    effects: list[Effect] = []
    cancel = cancel_of(session, a)
    if cancel is not None:
        effects.append(cancel)
    if a.state in ON_THE_WIRE:
        effects.extend(i for p in a.pending_inputs if (i := _input(session, a, p)) is not None)
    return effects
