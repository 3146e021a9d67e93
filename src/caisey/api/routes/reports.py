"""`/reports`: which shapes came back, and how stalls were recovered.

Owns which rows a reader gets, and the names beside ids. The counting is `control.reports`'.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal

import msgspec
from msgspec import field

from caisey.api import scope
from caisey.api.call import Answer, Call, Route
from caisey.api.documents import (
    RecoveryLine,
    Report,
    Seconds,
    ShapeLine,
    ShapeSeen,
)
from caisey.api.pages import PageQuery, decode_cursor, encode_cursor
from caisey.api.spans import Moment, Span, span_of
from caisey.api.times import at
from caisey.control import reports
from caisey.control.directory import endpoints
from caisey.control.reports import SHOWN, ShapeGroup, ShapeRow, StallGroup, StallRow
from caisey.control.roles import Role

DEFAULT_DAYS: Final = 30
ROWS: Final = 50_000
"""A report counts at most this many rows, the newest."""

_SHAPES: Final = f"""
    SELECT fingerprint, client_group_id, endpoint_id, runtime_version, tool, tool_version, side, shape, count,
        first_at_ms, last_at_ms
    FROM shapes
    WHERE {scope.condition_of()}
        AND last_at_ms >= ?3 AND first_at_ms <= ?4
    ORDER BY last_at_ms DESC LIMIT ?5
"""  # noqa: S608  # constants only
_STALLS: Final = f"""
    SELECT kind, ran, client_group_id, endpoint_id, tool, at_ms, known_after_ms, recovered
    FROM stalls
    WHERE {scope.condition_of()}
        AND at_ms BETWEEN ?3 AND ?4
    ORDER BY at_ms DESC LIMIT ?5
"""  # noqa: S608  # constants only


class SpanQuery(PageQuery, frozen=True, kw_only=True):
    """From when until when; RFC 3339 times, or dates. By default the last 30 days."""

    since: Moment | None = field(default=None, name="from")
    until: Moment | None = field(default=None, name="to")


class ShapesQuery(SpanQuery, frozen=True, kw_only=True):
    """What to count together."""

    group_by: Literal["fingerprint", "tool", "endpoint", "runtime_version", "client_group"] = "fingerprint"


class RecoveryQuery(SpanQuery, frozen=True, kw_only=True):
    """What to count together."""

    group_by: Literal["verdict", "tool", "endpoint", "client_group", "day", "all"] = "verdict"


# -- reports -------------------------------------------------------------------------------------------------------


def _span(call: Call) -> Span:
    return span_of(call, call.query.since, call.query.until, DEFAULT_DAYS)


async def shapes(call: Call) -> Answer:
    query: ShapesQuery = call.query
    span = _span(call)
    found = await call.services.log.query(_SHAPES, (*scope.in_sight(call.principal), *span, ROWS))
    groups = await asyncio.to_thread(reports.shape_groups, [ShapeRow(*row) for row in found], query.group_by)
    lines, following = _page(groups, query)
    return Answer(_report([_shape_line(call, group) for group in lines], following, span, query.group_by))


def _shape_line(call: Call, group: ShapeGroup) -> ShapeLine:
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
        name=_name(call, group.group),
        likelier_endpoint_id=group.cause.endpoint_id,
        likelier_endpoint=_endpoint_name(call, group.cause.endpoint_id),
    )


def _name(call: Call, group: dict[str, Any]) -> str | None:
    """What people call the computer or the client group that a line is about."""
    if group.get("client_group_id") is not None:
        found = call.services.directory.client_groups.get(group["client_group_id"])
        return None if found is None else found.name
    return _endpoint_name(call, group.get("endpoint_id"))


def _endpoint_name(call: Call, endpoint_id: str | None) -> str | None:
    found = call.services.directory.endpoints.get(endpoint_id or "")
    return None if found is None or not endpoints.sees(call.principal, found) else found.name


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
    return Answer(_report([_recovery_line(call, group) for group in lines], following, span, query.group_by))


def _recovery_line(call: Call, group: StallGroup) -> RecoveryLine:
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
        name=_name(call, group.group),
    )


def _page(groups: list[Any], query: PageQuery) -> tuple[list[Any], str | None]:
    """A page by place: a report is counted anew for each."""
    first = decode_cursor(query.cursor, tuple[int])
    start = max(0, first[0]) if first is not None else 0
    end = start + query.limit
    return groups[start:end], encode_cursor((end,)) if end < len(groups) else None


def _report(items: list[Any], following: str | None, span: Span, group_by: str) -> Report[Any]:
    return Report(items=items, next=following, since=at(span.since_ms), until=at(span.until_ms), group_by=group_by)


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
)
