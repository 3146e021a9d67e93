"""Handing a session over, and the note for the ticket.

Owns the mapping. Who may offer and take is decided in the core; both texts are the core's ticket note, as the session
stands at that moment.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from caisey.api import scope
from caisey.api.call import Answer, Call, Route
from caisey.api.documents import Anything
from caisey.api.fields import Id, Reason
from caisey.api.routes import sessions
from caisey.api.telling import telling_for
from caisey.control.access import Principal
from caisey.control.directory.answered import Claim
from caisey.control.directory.records import Member
from caisey.control.directory.store import Directory
from caisey.control.roles import Role, may_in
from caisey.core import commands as c
from caisey.core.errors import Fault
from caisey.core.session import Session
from caisey.core.ticket_note import Audience, ticket_note

MOST_COLLEAGUES: Final = 500


class HandOverBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`to` absent: for whoever takes it first."""

    to: Id | None = None
    note: Reason = ""


class EndBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """accepted and declined by the one it is offered to, withdrawn by the owner."""

    outcome: Literal["accepted", "declined", "withdrawn"]


class NoteQuery(msgspec.Struct, frozen=True, kw_only=True):
    """For colleagues, or for the customer: without commands, names and ids."""

    audience: Audience = "technician"


class NoteShown(msgspec.Struct, frozen=True, kw_only=True):
    """Plain text, ready to be pasted."""

    audience: str
    text: Annotated[str, Meta(max_length=200_000)]


class Colleague(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who could go on with the session."""

    id: str
    name: str


class Colleagues(msgspec.Struct, frozen=True, kw_only=True):
    """By name."""

    items: list[Colleague]


async def colleagues(call: Call) -> Answer:
    session = await scope.session(call, call.path["session_id"])
    members = (
        m
        for m in call.services.directory.members.values()
        if _can_take(call.services.directory, m, session, call.principal)
    )
    found = sorted(members, key=lambda member: (member.name.casefold(), member.member_id))[:MOST_COLLEAGUES]
    return Answer(Colleagues(items=[Colleague(id=member.member_id, name=member.name) for member in found]))


def _can_take(directory: Directory, member: Member, session: Session, principal: Principal) -> bool:
    """Of the organization, somebody else, a technician or more where the session is and where its computer is now."""
    if member.organization_id != principal.organization_id or member.removed_at_ms is not None:
        return False
    if member.member_id == principal.id:
        return False
    endpoint = directory.endpoints.get(session.endpoint_id)
    places = {session.client_group_id, session.client_group_id if endpoint is None else endpoint.client_group_id}
    return all(may_in(member, place, Role.TECHNICIAN) for place in places)


async def note(call: Call) -> Answer:
    query: NoteQuery = call.query
    session = await scope.session(call, call.path["session_id"])
    return Answer(NoteShown(audience=query.audience, text=_note(call, session, query.audience)))


def _note(call: Call, session: Session, audience: Audience = "technician") -> str:
    view = call.services.live.view_of(session.endpoint_id)
    return ticket_note(session, view, call.services.clock.now_ms(), audience, telling=telling_for(call))


async def offer(call: Call, claim: Claim) -> Answer:
    body: HandOverBody = call.body
    session = scope.session_to_work_on(call, call.path["session_id"])
    if body.to is not None:
        _check_colleague(call, session, body.to)
    command = c.OfferHandover(
        actor=call.principal.actor, to=body.to, note=body.note.strip(), summary=_note(call, session)
    )
    return await _handled(call, claim, session, command)


async def end(call: Call, claim: Claim) -> Answer:
    body: EndBody = call.body
    session = scope.session_to_work_on(call, call.path["session_id"])
    return await _handled(call, claim, session, c.EndHandover(actor=call.principal.actor, outcome=body.outcome))


def _check_colleague(call: Call, session: Session, member_id: str) -> None:
    """Raises `resource.not_found`."""
    member = call.services.directory.members.get(member_id)
    if member is None or not _can_take(call.services.directory, member, session, call.principal):
        raise Fault("resource.not_found", "to: no colleague who could go on with this session has this id.")


async def _handled(call: Call, claim: Claim, session: Session, command: c.OfferHandover | c.EndHandover) -> Answer:
    handled = await call.services.sessions.handle(session.id, command, claim.remember(200, resource=session.id))
    return call.services.kept(claim, Answer(sessions.shown(call, handled.session)))


ROUTES: Final = (
    Route(
        method="POST",
        path="/sessions/{session_id}/hand-over",
        role=Role.TECHNICIAN,
        summary="Offer the session to a colleague, or to whoever takes it first",
        work=offer,
        again=sessions.again,
        body=HandOverBody,
        answers=Anything,
    ),
    Route(
        method="POST",
        path="/sessions/{session_id}/hand-over/end",
        role=Role.TECHNICIAN,
        summary="Take an offered session, decline it, or withdraw the offer",
        work=end,
        again=sessions.again,
        body=EndBody,
        answers=Anything,
    ),
    Route(
        method="GET",
        path="/sessions/{session_id}/colleagues",
        role=Role.TECHNICIAN,
        summary="Who could go on with the session",
        read=colleagues,
        answers=Colleagues,
    ),
    Route(
        method="GET",
        path="/sessions/{session_id}/ticket-note",
        role=Role.VIEWER,
        summary="What was done, for the ticket: for colleagues or for the customer",
        read=note,
        query=NoteQuery,
        answers=NoteShown,
    ),
)
