"""Handing a session over: offered by its owner, taken by the next one (CONSOLE.md, strip).

Owns who may offer, take, decline and withdraw. Whose the session is changes only when it is taken: until then the one
who knows it best is still the one who is asked.
"""

from __future__ import annotations

from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.decide.draft import Draft
from caisey.core.errors import Fault


def offer(d: Draft, command: c.OfferHandover) -> None:
    """Raises session.closed."""
    if d.session.closed is not None:
        raise Fault("session.closed")
    if d.session.handover is not None:
        d.emit(e.HandoverEnded(outcome="withdrawn"), command.actor)
    d.emit(e.HandoverOffered(to=command.to, note=command.note, summary=command.summary), command.actor)


def end(d: Draft, command: c.EndHandover) -> None:
    """Raises session.no_handover, session.handover_not_yours."""
    offered = d.session.handover
    if offered is None:
        raise Fault("session.no_handover")
    mine = command.actor.id in (offered.by.id, d.session.owner)
    if mine if command.outcome != "withdrawn" else not mine:
        raise Fault("session.handover_not_yours")
    if command.outcome != "withdrawn" and offered.to not in (None, command.actor.id):
        raise Fault("session.handover_not_yours")
    d.emit(e.HandoverEnded(outcome=command.outcome), command.actor)
    if command.outcome == "accepted":
        d.emit(e.SessionUpdated(owner=command.actor.id), command.actor)
