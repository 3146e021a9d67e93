"""`/reports` and `/audit`: what came back, what was done.

Owns which rows a reader gets. The counting is `control.reports`', the chain of the audit is the log's.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, field

from caisey.api import scope
from caisey.api.call import Answer, Call, Route, Sending
from caisey.api.documents import (
    AuditKey,
    EventShown,
    RecoveryLine,
    Report,
    Seconds,
    ShapeLine,
    ShapeSeen,
)
from caisey.api.pages import Page, PageQuery, decode_cursor, encode_cursor, page_of
from caisey.api.problem import shape_fault
from caisey.api.routes.events import READ_AT_ONCE, EventsQuery
from caisey.api.sending import Lines
from caisey.api.times import at, ms_of
from caisey.control import reports
from caisey.control.access import Role
from caisey.control.reports import SHOWN, ShapeGroup, ShapeRow, StallGroup, StallRow
from caisey.control.signed_heads import newest_head
from caisey.protocol.frames import ShapeFault
from caisey.storage.contract import Stored

DEFAULT_DAYS: Final = 30
DAY_MS: Final = 86_400_000
ROWS: Final = 50_000
"""A report counts at most this many rows, the newest."""

_SHAPES: Final = """
    SELECT fingerprint, client_group_id, endpoint_id, runtime_version, tool, tool_version, side, shape, count,
        first_at_ms, last_at_ms
    FROM shapes
    WHERE organization_id = ?1 AND (?2 IS NULL OR client_group_id IN (SELECT value FROM json_each(?2)))
        AND last_at_ms >= ?3 AND first_at_ms <= ?4
    ORDER BY last_at_ms DESC LIMIT ?5
"""
_STALLS: Final = """
    SELECT kind, ran, client_group_id, endpoint_id, tool, at_ms, known_after_ms, recovered
    FROM stalls
    WHERE organization_id = ?1 AND (?2 IS NULL OR client_group_id IN (SELECT value FROM json_each(?2)))
        AND at_ms BETWEEN ?3 AND ?4
    ORDER BY at_ms DESC LIMIT ?5
"""

Moment = Annotated[str, Meta(max_length=40)]


class SpanQuery(PageQuery, frozen=True, kw_only=True):
    """From when until when; RFC 3339 times, or dates. By default the last 30 days."""

    since: Moment | None = field(default=None, name="from")
    until: Moment | None = field(default=None, name="to")


class ShapesQuery(SpanQuery, frozen=True, kw_only=True):
    """What to count together."""

    group_by: Literal["fingerprint", "tool", "endpoint", "runtime_version", "client_group"] = "fingerprint"


class RecoveryQuery(SpanQuery, frozen=True, kw_only=True):
    """What to count together."""

    group_by: Literal["verdict", "tool", "endpoint", "client_group", "day"] = "verdict"


# -- reports -------------------------------------------------------------------------------------------------------


class Span(NamedTuple):
    """Milliseconds since the epoch; both ends belong to it."""

    since_ms: int
    until_ms: int


def _span(call: Call) -> Span:
    query: SpanQuery = call.query
    now = call.services.clock.now_ms()
    since, until = _moment("from", query.since), _moment("to", query.until)
    until = now if until is None else until
    return Span(until - DEFAULT_DAYS * DAY_MS if since is None else since, until)


def _moment(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    found = ms_of(text)
    if found is None:
        fault = ShapeFault(pointer=f"/{name}", expected="an RFC 3339 time or a date", found="another string")
        raise shape_fault("request.invalid_query", [fault])
    return found


async def shapes(call: Call) -> Answer:
    query: ShapesQuery = call.query
    span = _span(call)
    found = await call.services.log.query(_SHAPES, (*scope.in_sight(call.principal), *span, ROWS))
    groups = await asyncio.to_thread(reports.shape_groups, [ShapeRow(*row) for row in found], query.group_by)
    lines, following = _page(groups, query)
    return Answer(_report([_shape_line(group) for group in lines], following, span, query.group_by))


def _shape_line(group: ShapeGroup) -> ShapeLine:
    rows = group.rows
    return ShapeLine(
        group=group.group,
        count=group.count,
        endpoints=len({row.endpoint_id for row in rows}),
        fingerprints=len({row.fingerprint for row in rows}),
        likelier_cause=group.cause.side,
        why=group.cause.why,
        tools=_listed(row.tool_words for row in rows),
        endpoint_ids=_listed(row.endpoint_id for row in rows),
        runtime_versions=_listed(row.runtime_version for row in rows),
        client_group_ids=_listed(row.client_group_id or "" for row in rows),
        shapes=_shapes_seen(rows),
        first_at=at(min(row.first_at_ms for row in rows)),
        last_at=at(max(row.last_at_ms for row in rows)),
    )


def _listed(texts: Any) -> list[str]:
    return sorted({text for text in texts if text})[:SHOWN]


def _shapes_seen(rows: list[ShapeRow]) -> list[ShapeSeen]:
    by_shape: dict[tuple[str, str], list[ShapeRow]] = {}
    for row in rows:
        by_shape.setdefault((row.fingerprint, row.side), []).append(row)
    seen = []
    for (fingerprint, side), mine in by_shape.items():
        shape = msgspec.json.decode(mine[0].shape)
        seen.append(
            ShapeSeen(
                fingerprint=fingerprint,
                side=side,
                count=sum(row.count for row in mine),
                endpoints=len({row.endpoint_id for row in mine}),
                errors=shape.get("errors", []),
                outline=shape.get("outline"),
            )
        )
    return sorted(seen, key=lambda one: (-one.count, one.fingerprint))[:SHOWN]


async def recovery(call: Call) -> Answer:
    query: RecoveryQuery = call.query
    span = _span(call)
    found = await call.services.log.query(_STALLS, (*scope.in_sight(call.principal), *span, ROWS))
    groups = await asyncio.to_thread(reports.stall_groups, [StallRow(*row) for row in found], query.group_by)
    lines, following = _page(groups, query)
    return Answer(_report([_recovery_line(group) for group in lines], following, span, query.group_by))


def _recovery_line(group: StallGroup) -> RecoveryLine:
    named = dict(group.group)
    if "day_ms" in named:
        named = {"day": at(named["day_ms"])[:10]}
    return RecoveryLine(
        group=named,
        stalls=group.stalls,
        by_verdict=group.by_verdict,
        by_ran=group.by_ran,
        seconds_until_known=Seconds(p50=group.p50_s, p90=group.p90_s, max=group.max_s),
        recovered_without_a_person=group.automatic,
        recovered_by_a_person=group.person,
        not_recovered=group.not_recovered,
    )


def _page(groups: list[Any], query: PageQuery) -> tuple[list[Any], str | None]:
    """A page by place: a report is counted anew for each."""
    first = decode_cursor(query.cursor, tuple[int])
    start = max(0, first[0]) if first is not None else 0
    end = start + query.limit
    return groups[start:end], encode_cursor((end,)) if end < len(groups) else None


def _report(items: list[Any], following: str | None, span: Span, group_by: str) -> Report[Any]:
    return Report(items=items, next=following, since=at(span.since_ms), until=at(span.until_ms), group_by=group_by)


# -- audit ---------------------------------------------------------------------------------------------------------


async def audit(call: Call) -> Answer:
    query: EventsQuery = call.query
    last = decode_cursor(query.cursor, tuple[int])
    after = query.after if last is None else max(query.after, last[0])
    events = await call.services.log.read_organization(call.principal.organization_id, after, query.limit + 1)
    return Answer(page_of(events, query.limit, lambda event: (event.sequence,), Stored.to_public))


async def audit_key(call: Call) -> Answer:
    """What to check the signature of a head with, offline."""
    public_key = base64.b64encode(call.services.control_plane_key).decode()
    return Answer(AuditKey(algorithm="Ed25519", public_key=public_key))


async def export(call: Call) -> Sending:
    """Every event up to a head that is signed now, and that head as the last line."""
    services = call.services
    organization_id = call.principal.organization_id
    newest = services.query("SELECT max(sequence) FROM events WHERE organization_id = ?", (organization_id,))
    last = int(newest[0][0] or 0)
    head = await newest_head(services.log, services.sign, organization_id, last, services.clock.now_ms())
    return Lines(_lines(call, organization_id, head), f"audit-{organization_id}.jsonl")


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
        path="/reports/shapes",
        role=Role.VIEWER,
        summary="The ledger of shapes, counted, with the likelier cause",
        read=shapes,
        query=ShapesQuery,
        answers=Report[ShapeLine],
    ),
    Route(
        method="GET",
        path="/reports/recovery",
        role=Role.VIEWER,
        summary="Stalls by verdict, seconds until known, recovered without a person",
        read=recovery,
        query=RecoveryQuery,
        answers=Report[RecoveryLine],
    ),
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
