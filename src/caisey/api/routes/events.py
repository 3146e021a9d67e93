"""Events of a session and of the organization, as pages and as streams; transcripts.

Owns which events of the organization a stream shows: health and attention, of what the reader may see.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from caisey.api import scope
from caisey.api.call import Answer, Call, Route, Sending
from caisey.api.documents import ActorShown, Anything, EventShown, PresenceShown, PresentShown
from caisey.api.event_stream import NEWEST, PAGE, EventStream, aside, position
from caisey.api.pages import Page, PageQuery, decode_cursor, page_of
from caisey.api.sending import Page as Printed
from caisey.api.telling import Names, telling_of
from caisey.api.times import at
from caisey.control.access import Principal
from caisey.control.roles import Role
from caisey.control.signed_heads import newest_head
from caisey.core.transcript import markdown, transcript
from caisey.core.transcript_html import html
from caisey.protocol.limits import MAX_SIGNED_INTEGER
from caisey.storage.contract import Stored

Sequence = Annotated[int, Meta(ge=0, le=MAX_SIGNED_INTEGER)]
READ_AT_ONCE: Final = 1_000

ATTENTION_TYPES: Final = frozenset(
    {
        "session.created",
        "session.updated",
        "session.closed",
        "prompt.waiting",
        "prompt.resumed",
        "prompt.ended",
        "tool_call.waiting",
        "tool_call.reminded",
        "tool_call.escalated",
        "tool_call.replaced",
        "tool_call.ended",
        "attempt.held",
        "attempt.released",
        "attempt.approval_asked",
        "attempt.approval_given",
        "attempt.noticed",
        "attempt.lost",
        "attempt.found",
        "attempt.reopened",
        "attempt.ended",
        "attempt.verdict_refined",
    }
)
"""Events of sessions that change what the attention list says."""
LIVE_PREFIXES: Final = ("endpoint.", "runtime.", "journal.", "attention.")
"""Events that say how computers and runtimes stand, and what was done about lines of the attention list."""


class EventsQuery(PageQuery, frozen=True, kw_only=True):
    """Events with a sequence above `after`."""

    after: Sequence = 0


class StreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Where to begin without a `Last-Event-ID`."""

    after: Sequence | None = None


class SessionStreamQuery(StreamQuery, frozen=True, kw_only=True):
    """`presence`: also tell who has the session open, as events `presence` without an id."""

    presence: bool = False


class TranscriptQuery(msgspec.Struct, frozen=True, kw_only=True):
    """For machines, for a ticket, for people."""

    format: Literal["json", "markdown", "html"] = "json"


async def list_events(call: Call) -> Answer:
    query: EventsQuery = call.query
    session = await scope.session(call, call.path["session_id"])
    last = decode_cursor(query.cursor, tuple[int])
    after = query.after if last is None else max(query.after, last[0])
    events = await call.services.log.read_session(session.id, after, query.limit + 1)
    return Answer(page_of(events, query.limit, lambda event: (event.sequence,), Stored.to_public))


async def stream_session(call: Call) -> Sending:
    query: SessionStreamQuery = call.query
    session = await scope.session(call, call.path["session_id"])
    services, log = call.services, call.services.log
    return EventStream(
        call,
        session.id,
        position(call, query.after or 0),
        lambda last: log.read_session(session.id, last, PAGE),
        lambda last: log.newest_of_session(session.id, last, NEWEST),
        lambda event: True,
        around=lambda: services.presence.here(session.id, call.principal.actor, services.clock.now_ms()),
        aside=(lambda: aside("presence", _present(call, session.id).items)) if query.presence else None,
    )


async def show_presence(call: Call) -> Answer:
    session = await scope.session(call, call.path["session_id"])
    return Answer(_present(call, session.id))


def _present(call: Call, session_id: str) -> PresenceShown:
    names = Names(call.services.directory, call.principal.organization_id)
    return PresenceShown(
        items=[
            PresentShown(
                actor=ActorShown(kind=here.actor.kind, id=here.actor.id),
                name=names.get(here.actor.id),
                since=at(here.since_ms),
                you=here.actor == call.principal.actor,
            )
            for here in call.services.presence.of(session_id)
        ]
    )


async def stream_organization(call: Call) -> Sending:
    organization_id = call.principal.organization_id
    log = call.services.log
    after = position(call, call.query.after if call.query.after is not None else _newest(call))
    sight = Sight(call)
    return EventStream(
        call,
        organization_id,
        after,
        lambda last: log.read_organization(organization_id, last, PAGE),
        lambda last: log.newest_of_organization(organization_id, last, NEWEST),
        sight.shows,
    )


def _newest(call: Call) -> int:
    rows = call.services.query(
        "SELECT max(sequence) FROM events WHERE organization_id = ?", (call.principal.organization_id,)
    )
    return int(rows[0][0] or 0)


class Sight:
    """Which events of the organization a reader of `/stream` gets."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._groups: dict[str, str | None] = {}

    def shows(self, event: Stored) -> bool:
        """Health or attention, and of something that the reader may see."""
        if event.session_id is not None:
            return event.type in ATTENTION_TYPES and self._principal.sees_group(self._group_of(event.session_id))
        if not event.type.startswith(LIVE_PREFIXES):
            return False
        about = event.payload.get("about_session_id")
        if about is not None:
            return self._principal.sees_group(self._group_of(str(about)))
        endpoint = self._call.services.directory.endpoints.get(str(event.payload.get("endpoint_id", "")))
        return endpoint is not None and self._principal.sees_group(endpoint.client_group_id)

    @property
    def _principal(self) -> Principal:
        return self._call.principal

    def _group_of(self, session_id: str) -> str | None:
        if self._principal.everywhere:
            return None
        if session_id not in self._groups:
            rows = self._call.services.query("SELECT client_group_id FROM sessions WHERE session_id = ?", (session_id,))
            if len(self._groups) >= READ_AT_ONCE:
                self._groups.clear()
            self._groups[session_id] = rows[0][0] if rows else None
        return self._groups[session_id]


async def show_transcript(call: Call) -> Answer | Sending:
    session = await scope.session(call, call.path["session_id"])
    services = call.services
    events = await _all_events(call, session.id)
    last = int(events[-1]["sequence"]) if events else 0
    head = await newest_head(services.log, services.sign, call.principal.organization_id, last, services.clock.now_ms())
    view = services.live.view_of(session.endpoint_id)
    telling = await telling_of(call, session, None)
    now = services.clock.now_ms()

    def made() -> Answer | Sending:
        document = transcript(session, view, now, events, head, telling=telling)
        if call.query.format == "markdown":
            return Printed(markdown(document), "text/markdown", f"{session.id}.md", inline=False)
        if call.query.format == "html":
            return Printed(html(document), "text/html", f"{session.id}.html", inline=True)
        return Answer(document)

    # A long session takes a tenth of a second and more: everybody else's work goes on meanwhile.
    return await asyncio.to_thread(made)


async def _all_events(call: Call, session_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = 0
    while True:
        events = await call.services.log.read_session(session_id, after, READ_AT_ONCE)
        found += (event.to_public() for event in events)
        if len(events) < READ_AT_ONCE:
            return found
        after = events[-1].sequence


ROUTES: Final = (
    Route(
        method="GET",
        path="/sessions/{session_id}/events",
        role=Role.VIEWER,
        summary="The events of a session, oldest first",
        read=list_events,
        query=EventsQuery,
        answers=Page[EventShown],
    ),
    Route(
        method="GET",
        path="/sessions/{session_id}/stream",
        role=Role.VIEWER,
        summary="The events of a session as they happen, from the first or from Last-Event-ID on",
        read=stream_session,
        query=SessionStreamQuery,
        media_types=("text/event-stream",),
        endless=True,
    ),
    Route(
        method="GET",
        path="/sessions/{session_id}/presence",
        role=Role.VIEWER,
        summary="Who has the session open now: whose streams of it are open",
        read=show_presence,
        answers=PresenceShown,
    ),
    Route(
        method="GET",
        path="/stream",
        role=Role.VIEWER,
        summary="Health and attention of the organization as they change, from now or from Last-Event-ID on",
        read=stream_organization,
        query=StreamQuery,
        media_types=("text/event-stream",),
        endless=True,
    ),
    Route(
        method="GET",
        path="/sessions/{session_id}/transcript",
        role=Role.VIEWER,
        summary="The whole session as one document",
        read=show_transcript,
        query=TranscriptQuery,
        answers=Anything,
        media_types=("application/json", "text/markdown", "text/html"),
    ),
)
