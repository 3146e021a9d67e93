"""`/sessions`: opened, listed, changed, closed.

Owns the mapping; a session's life is decided in the core and written by `control.sessions`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from caisey.api import scope
from caisey.api.call import Answer, Call, Route
from caisey.api.documents import Anything, SessionShown
from caisey.api.fields import Id, Ticket, Title
from caisey.api.pages import Page, PageQuery, decode_cursor, page_of
from caisey.api.telling import Names, telling_for
from caisey.api.times import at
from caisey.control.directory import endpoints
from caisey.control.directory.answered import Claim
from caisey.control.directory.store import Draft
from caisey.control.roles import Role
from caisey.core import commands as c
from caisey.core import ids
from caisey.core.errors import Fault
from caisey.core.present import present_session
from caisey.core.session import Session

Calls = Annotated[tuple[Id, ...], Meta(max_length=10_000)]
_LIST: Final = f"""
    SELECT session_id, endpoint_id, client_group_id, title, ticket, owner, state, created_at_ms, updated_at_ms,
        (SELECT count(*) FROM attention WHERE attention.session_id = sessions.session_id)
    FROM sessions
    WHERE {scope.condition_of()}
        AND (?3 IS NULL OR endpoint_id = ?3) AND (?4 IS NULL OR state = ?4) AND (?5 IS NULL OR ticket = ?5)
        AND (?6 IS NULL OR owner = ?6) AND (created_at_ms, session_id) < (?7, ?8)
    ORDER BY created_at_ms DESC, session_id DESC LIMIT ?9
"""  # noqa: S608  # constants only
_NEWEST: Final = (2**63 - 1, "")


class SessionsQuery(PageQuery, frozen=True, kw_only=True):
    """Newest first."""

    endpoint_id: Id | None = None
    endpoint: Id | None = None
    state: Literal["open", "closed"] | None = None
    ticket: Ticket | None = None
    owner: Id | None = None


class SessionBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A conversation on one endpoint."""

    endpoint_id: Id
    title: Title = ""
    ticket: Ticket | None = None


class SessionPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is absent stays."""

    owner: Annotated[str, Meta(min_length=1, max_length=128)] | UnsetType = UNSET
    title: Title | UnsetType = UNSET
    ticket: Ticket | UnsetType = UNSET
    reason: Annotated[str, Meta(max_length=2_000)] | None = None


class CloseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`verified` says how the outcome was checked, or whether it was. `drop` and `keep` name open tool calls."""

    outcome: Annotated[str, Meta(min_length=1, max_length=2_000)]
    verified: bool | Annotated[str, Meta(max_length=2_000)] | None = None
    drop: Calls = ()
    keep: Calls = ()


class SessionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`before`: only requests older than that one. `only=open`: those of which something is open with the checks of it,
    the newest one, and those that `also` names, with commas."""

    before: Id | None = None
    only: Literal["open", "all"] = "all"
    also: Annotated[str, Meta(max_length=4_000)] | None = None


ALL: Final = SessionQuery()


async def list_sessions(call: Call) -> Answer:
    query: SessionsQuery = call.query
    after = decode_cursor(query.cursor, tuple[int, str]) or _NEWEST
    filters = (query.endpoint_id or query.endpoint, query.state, query.ticket, query.owner)
    values = (*scope.in_sight(call.principal), *filters, *after, query.limit + 1)
    rows = await call.services.log.query(_LIST, values)
    return Answer(page_of(rows, query.limit, lambda row: (row[7], row[0]), lambda row: _line(call, row)))


def _line(call: Call, row: tuple[Any, ...]) -> SessionShown:
    directory = call.services.directory
    endpoint = directory.endpoints.get(row[1])
    group = directory.client_groups.get(row[2] or "")
    return SessionShown(
        endpoint=None if endpoint is None else endpoint.name,
        client_group=None if group is None else group.name,
        owner_name=Names(directory, call.principal.organization_id).get(row[5]),
        waiting=int(row[9]),
        id=row[0],
        endpoint_id=row[1],
        client_group_id=row[2],
        title=row[3],
        ticket=row[4],
        owner=row[5],
        state=row[6],
        created_at=at(row[7]),
        updated_at=at(row[8]),
    )


async def create(call: Call, claim: Claim) -> Answer:
    body: SessionBody = call.body
    endpoint = endpoints.find(call.services.directory, call.principal, body.endpoint_id)
    if endpoint.removing_since_ms is not None:
        raise Fault("endpoint.removing")
    session_id = Draft.new_id(ids.SESSION)
    session = await call.services.sessions.create(
        organization_id=endpoint.organization_id,
        endpoint_id=endpoint.endpoint_id,
        actor=call.principal.actor,
        title=body.title,
        ticket=body.ticket,
        client_group_id=endpoint.client_group_id,
        writes=claim.remember(201, resource=session_id),
        session_id=session_id,
    )
    return call.services.kept(claim, Answer(shown(call, session), 201))


async def show(call: Call) -> Answer:
    query: SessionQuery = call.query
    session = await scope.session(call, call.path["session_id"])
    if query.before is not None and query.before not in session.prompts:
        raise Fault("resource.not_found")
    return Answer(shown(call, session, query))


async def change(call: Call, claim: Claim) -> Answer:
    body: SessionPatch = call.body
    session = scope.session_to_work_on(call, call.path["session_id"])
    command = c.UpdateSession(
        actor=call.principal.actor,
        title=None if body.title is UNSET else body.title,
        ticket=None if body.ticket is UNSET else body.ticket,
        owner=None if body.owner is UNSET else body.owner,
        reason=body.reason,
    )
    handled = await call.services.sessions.handle(session.id, command, claim.remember(200, resource=session.id))
    return call.services.kept(claim, Answer(shown(call, handled.session)))


async def close(call: Call, claim: Claim) -> Answer:
    body: CloseBody = call.body
    session = scope.session_to_work_on(call, call.path["session_id"])
    command = c.CloseSession(
        actor=call.principal.actor,
        outcome=body.outcome,
        verified=_verified(body.verified),
        drop=body.drop,
        keep=body.keep,
    )
    handled = await call.services.sessions.handle(session.id, command, claim.remember(200, resource=session.id))
    return call.services.kept(claim, Answer(shown(call, handled.session)))


async def again(call: Call, session_id: str) -> dict[str, Any]:
    """What a repeated request is told where the first answer was lost."""
    return shown(call, await scope.session(call, session_id))


def _verified(said: str | bool | None) -> str | None:
    if isinstance(said, bool):
        return "yes" if said else "no"
    return said


def shown(call: Call, session: Session, query: SessionQuery = ALL) -> dict[str, Any]:
    """The session as the API shows it."""
    view = call.services.live.view_of(session.endpoint_id)
    now, telling = call.services.clock.now_ms(), telling_for(call)
    also = query.also.split(",") if query.also else ()
    return present_session(session, view, now, telling, before=query.before, open_only=query.only == "open", also=also)


ROUTES: Final = (
    Route(
        method="GET",
        path="/sessions",
        role=Role.VIEWER,
        summary="Sessions, newest first",
        read=list_sessions,
        query=SessionsQuery,
        answers=Page[SessionShown],
    ),
    Route(
        method="POST",
        path="/sessions",
        role=Role.TECHNICIAN,
        summary="Open a session on a computer",
        work=create,
        again=again,
        body=SessionBody,
        status=201,
        answers=Anything,
    ),
    Route(
        method="GET",
        path="/sessions/{session_id}",
        role=Role.VIEWER,
        summary="One session with its prompts in short",
        read=show,
        query=SessionQuery,
        answers=Anything,
    ),
    Route(
        method="PATCH",
        path="/sessions/{session_id}",
        role=Role.TECHNICIAN,
        summary="Change owner, title or ticket",
        work=change,
        again=again,
        body=SessionPatch,
        answers=Anything,
    ),
    Route(
        method="POST",
        path="/sessions/{session_id}/close",
        role=Role.TECHNICIAN,
        summary="Close a session; open work is dropped or kept by name",
        work=close,
        again=again,
        body=CloseBody,
        answers=Anything,
    ),
)
