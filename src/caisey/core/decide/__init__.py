"""`decide(session, command, view, now) -> events`: the only place where a session's future is chosen.

Pure: the session, the command, the view of the endpoint and the time are everything it knows. It raises `Fault` for
what is refused and changes nothing then. One file per theme; this one only routes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.decide import actions, connections, deadlines, handover, receipts, sending, settle
from caisey.core.decide.draft import Draft
from caisey.core.errors import Fault
from caisey.core.session import Session
from caisey.core.states import CallState
from caisey.core.view import EndpointView

MAX_OPEN_CALLS = 500

__all__ = ["decide", "decided", "next_due"]
next_due = deadlines.next_due


def decide(session: Session, command: c.Command, view: EndpointView, now_ms: int) -> list[e.Recorded]:
    """The events that follow from the command. Raises Fault; the session stays as it is."""
    return decided(session, command, view, now_ms)[0]


def decided(
    session: Session, command: c.Command, view: EndpointView, now_ms: int, first_sequence: int = 0
) -> tuple[list[e.Recorded], Session]:
    """`decide`, and the session after the events. With `first_sequence` the events are numbered from there."""
    draft = Draft(session, view, now_ms, first_sequence)
    _ROUTES[type(command)](draft, command)
    settle.settle_prompts(draft)
    return draft.records, draft.session


def _create(d: Draft, command: c.CreateSession) -> None:
    d.emit(
        e.SessionCreated(
            session_id=command.session_id,
            endpoint_id=d.view.endpoint_id,
            client_group_id=command.client_group_id,
            title=command.title,
            ticket=command.ticket,
            owner=command.actor.id,
        ),
        command.actor,
    )


def _update(d: Draft, command: c.UpdateSession) -> None:
    d.emit(
        e.SessionUpdated(title=command.title, ticket=command.ticket, owner=command.owner), command.actor, command.reason
    )


def _close(d: Draft, command: c.CloseSession) -> None:
    if d.session.closed is not None:
        raise Fault("session.closed")
    named = {*command.drop, *command.keep}
    still_open = [k for k in d.session.calls.values() if k.state is not CallState.ENDED]
    missing = [k for k in still_open if k.id not in named]
    if missing:
        items = [{"tool_call_id": k.id, "tool": k.spec.tool, "state": str(k.state)} for k in still_open]
        raise Fault("session.open_work", open=items)
    for call in still_open:
        if call.id in command.drop:
            fresh = d.call(call.id)
            if fresh.state is not CallState.ENDED:
                cancel = c.Act(actor=command.actor, tool_call_id=call.id, action="cancel", reason="session closed")
                actions.act(d, cancel)
    d.emit(e.SessionClosed(outcome=command.outcome, verified=command.verified), command.actor)


def _accept(d: Draft, command: c.AcceptPrompt) -> None:
    if d.session.closed is not None:
        raise Fault("session.closed")
    if len(d.session.live) + len(command.calls) > MAX_OPEN_CALLS:
        raise Fault("prompt.too_many", f"At most {MAX_OPEN_CALLS} calls may be open in one session.")
    d.emit(
        e.PromptAccepted(
            prompt_id=command.prompt_id,
            calls=command.calls,
            text=command.text,
            side_by_side=command.side_by_side,
            origin=command.origin,
        ),
        command.actor,
    )
    settle.next_step(d, d.session.prompts[command.prompt_id])


def _tick(d: Draft, command: c.Tick) -> None:
    deadlines.tick(d)


def _step_clock(d: Draft, command: c.StepClock) -> None:
    if d.session.live:
        d.emit(e.ClockStepped(by_ms=command.by_ms))


def _advance(d: Draft, command: c.Advance) -> None:
    sending.send_what_can(d, command.freed_runtime_id)
    connections.look_again(d)


Route = Callable[[Draft, Any], None]
_ROUTES: dict[type[c.Command], Route] = {
    c.CreateSession: _create,
    c.UpdateSession: _update,
    c.CloseSession: _close,
    c.OfferHandover: handover.offer,
    c.EndHandover: handover.end,
    c.AcceptPrompt: _accept,
    c.Act: actions.act,
    c.ReceiveReceipt: receipts.receipt,
    c.ReceiveFinished: receipts.finished,
    c.ReceiveStatement: receipts.statement,
    c.ReceiveOutput: receipts.output,
    c.ReceiveGap: receipts.gap,
    c.ReceiveProgress: receipts.progress,
    c.ReceiveInputAccepted: receipts.input_accepted,
    c.ReceiveShapeFault: receipts.shape_fault,
    c.RuntimeConnected: connections.connected,
    c.StatementsRead: connections.statements_read,
    c.BridgeClosed: connections.closed,
    c.RuntimeLeaving: connections.leaving,
    c.RuntimeSlept: connections.slept,
    c.Advance: _advance,
    c.Tick: _tick,
    c.StepClock: _step_clock,
}
