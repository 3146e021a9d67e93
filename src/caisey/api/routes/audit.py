"""`/audit`: everything that was done: read, searched, exported, verified.

Owns the mapping. The chain is the log's; what holds is `core.audit`'s to say.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, field

from caisey.api.call import Answer, Call, Route, Sending
from caisey.api.documents import AuditKey, EventShown
from caisey.api.fields import Id
from caisey.api.list_documents import AuditSearch, AuditVerified, BreakShown
from caisey.api.pages import Cursor, Page, PageQuery, decode_cursor, encode_cursor, page_of
from caisey.api.routes.events import READ_AT_ONCE, EventsQuery
from caisey.api.sending import Lines
from caisey.api.spans import Moment, moment
from caisey.api.telling import Names
from caisey.api.times import at
from caisey.control import verification
from caisey.control.roles import Role
from caisey.control.signed_heads import newest_head
from caisey.storage.contract import EventsWanted, Stored

_TYPE: Final = r"^[a-z_]+(\.[a-z_]*)?$(?!\n)"
_ACTOR: Final = r"^[A-Za-z0-9_-]+$(?!\n)"


class SearchQuery(PageQuery, frozen=True, kw_only=True):
    """`type` is a whole type, or its beginning with a dot (`attempt.`). `actor` is an id or a kind. `q` looks into
    reasons and payloads, in any case. One answer looks at a bounded piece of the log: `searched_to` says how far."""

    type: Annotated[str, Meta(max_length=64, pattern=_TYPE)] | None = None
    actor: Annotated[str, Meta(max_length=64, pattern=_ACTOR)] | None = None
    session_id: Id | None = None
    endpoint_id: Id | None = None
    q: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    since: Moment | None = field(default=None, name="from")
    until: Moment | None = field(default=None, name="to")


class VerifyQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The cursor goes on where the last answer ended."""

    cursor: Cursor | None = None


async def audit(call: Call) -> Answer:
    query: EventsQuery = call.query
    last = decode_cursor(query.cursor, tuple[int])
    after = query.after if last is None else max(query.after, last[0])
    events = await call.services.log.read_organization(call.principal.organization_id, after, query.limit + 1)
    return Answer(page_of(events, query.limit, lambda event: (event.sequence,), Stored.to_public))


async def search(call: Call) -> Answer:
    query: SearchQuery = call.query
    organization_id = call.principal.organization_id
    last = decode_cursor(query.cursor, tuple[int])
    before = _newest(call) + 1 if last is None else last[0]
    wanted = EventsWanted(
        type=query.type,
        actor=query.actor,
        session_id=query.session_id,
        endpoint_id=query.endpoint_id,
        text=query.q,
        since_ms=moment("from", query.since),
        until_ms=moment("to", query.until),
    )
    found = await call.services.log.search_organization(organization_id, wanted, before, query.limit)
    following = encode_cursor((found.searched_to,)) if found.searched_to > 1 else None
    return Answer(
        AuditSearch(
            items=[event.to_public() for event in found.events],
            names=_names(call, found.events),
            next=following,
            searched_to=found.searched_to,
            searched_from=before - 1,
        )
    )


def _names(call: Call, events: list[Stored]) -> dict[str, str]:
    """What people call the actors and computers in these events."""
    directory, organization_id = call.services.directory, call.principal.organization_id
    actors = Names(directory, organization_id)
    found = {event.actor.id: actors[event.actor.id] for event in events if event.actor.id in actors}
    for event in events:
        endpoint = directory.endpoints.get(str(event.payload.get("endpoint_id", "")))
        if endpoint is not None and endpoint.organization_id == organization_id:
            found[endpoint.endpoint_id] = endpoint.name
    return found


async def audit_key(call: Call) -> Answer:
    """What to check the signature of a head with, offline."""
    public_key = base64.b64encode(call.services.control_plane_key).decode()
    return Answer(AuditKey(algorithm="Ed25519", public_key=public_key))


async def verify(call: Call) -> Answer:
    """One piece of the chain. At its beginning a head is signed, so that the end is vouched for."""
    services, organization_id = call.services, call.principal.organization_id
    last = decode_cursor(call.query.cursor, tuple[int, str, int, int])
    if last is None:
        head = await newest_head(services.log, services.sign, organization_id, _newest(call), services.clock.now_ms())
        place = verification.beginning(0 if head is None else int(head["sequence"]))
    else:
        place = verification.Place(*last)
    found = await verification.check(services.log, organization_id, services.public_keys, place)
    broken = found.broken
    return Answer(
        AuditVerified(
            events=found.place.events,
            verified_to=found.place.sequence,
            target=found.place.target,
            head_sequence=None if found.head is None else found.head.sequence,
            head_at=None if found.head is None else found.head.at,
            head_digest=None if found.head is None else found.head.digest,
            holds=broken is None and found.next is None,
            broken=None
            if broken is None
            else BreakShown(what=broken.what.value, sequence=broken.sequence, detail=broken.detail),
            at=at(services.clock.now_ms()),
            next=None if found.next is None else encode_cursor(found.next),
        )
    )


async def export(call: Call) -> Sending:
    """Every event up to a head that is signed now, and that head as the last line."""
    services = call.services
    organization_id = call.principal.organization_id
    head = await newest_head(services.log, services.sign, organization_id, _newest(call), services.clock.now_ms())
    return Lines(_lines(call, organization_id, head), f"audit-{organization_id}.jsonl")


def _newest(call: Call) -> int:
    newest = call.services.query(
        "SELECT max(sequence) FROM events WHERE organization_id = ?", (call.principal.organization_id,)
    )
    return int(newest[0][0] or 0)


async def _lines(call: Call, organization_id: str, head: dict[str, Any] | None) -> AsyncIterator[dict[str, Any]]:
    after = 0
    end = 0 if head is None else int(head["sequence"])
    while after < end:
        events = await call.services.log.read_organization(organization_id, after, min(READ_AT_ONCE, end - after))
        if not events:
            return
        for event in events:
            yield event.to_public()
        after = events[-1].sequence
    if head is not None:
        yield head


ROUTES: Final = (
    Route(
        method="GET",
        path="/audit",
        role=Role.ADMIN,
        summary="Every event of the organization, oldest first",
        read=audit,
        query=EventsQuery,
        whole_organization=True,
        answers=Page[EventShown],
    ),
    Route(
        method="GET",
        path="/audit/search",
        role=Role.ADMIN,
        summary="Events of the organization, newest first, by type, actor, session, computer or text",
        read=search,
        query=SearchQuery,
        whole_organization=True,
        answers=AuditSearch,
    ),
    Route(
        method="GET",
        path="/audit/verify",
        role=Role.ADMIN,
        summary="Check the chain, piece by piece, up to a head that is signed now",
        read=verify,
        query=VerifyQuery,
        whole_organization=True,
        answers=AuditVerified,
    ),
    Route(
        method="GET",
        path="/audit/key",
        role=Role.VIEWER,
        summary="The public key that signs heads",
        read=audit_key,
        answers=AuditKey,
    ),
    Route(
        method="GET",
        path="/audit/export",
        role=Role.ADMIN,
        summary="The whole chain as JSON lines, ended by a signed head",
        read=export,
        whole_organization=True,
        media_types=("application/jsonl",),
    ),
)
