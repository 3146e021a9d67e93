"""What was: an endpoint's health, what was changed there, the newest answers of its tools; and all computers in
numbers.

Owns the queries. Shows of another client group's sessions nothing, also where the computer was moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, field

from caisey.api import scope
from caisey.api.attention_lines import LITERAL_LENGTH, scene_of
from caisey.api.call import Answer, Call, Route
from caisey.api.list_documents import (
    ChangeShown,
    EndpointsSummary,
    GroupCount,
    HealthHistory,
    HealthPeriod,
    Look,
    TagCount,
)
from caisey.api.pages import Page, PageQuery, decode_cursor, page_of
from caisey.api.spans import Moment, span_of
from caisey.api.telling import telling_for
from caisey.api.times import at
from caisey.control.directory import endpoints
from caisey.control.roles import Role
from caisey.core.events import Actor
from caisey.core.plain_text import literal
from caisey.core.scene import actor_words
from caisey.core.session import Session
from caisey.core.tool_call import ToolCall
from caisey.core.words import of_scene

DEFAULT_DAYS: Final = 7
PERIODS: Final = 2_000

_IN_SIGHT: Final = scope.condition_of("s")
_HEALTH: Final = """
    SELECT at_ms, json_extract(payload, '$.health'), json_extract(payload, '$.before') FROM events
    WHERE organization_id = ?1 AND type = 'endpoint.health_changed' AND json_extract(payload, '$.endpoint_id') = ?2
    ORDER BY sequence DESC LIMIT ?3
"""
_CHANGES: Final = f"""
    SELECT c.at_ms, c.tool_call_id, c.actor_id, c.session_id
    FROM changes c JOIN sessions s ON s.session_id = c.session_id
    WHERE {_IN_SIGHT} AND c.endpoint_id = ?3 AND (c.at_ms, c.tool_call_id) < (?4, ?5)
    ORDER BY c.at_ms DESC, c.tool_call_id DESC LIMIT ?6
"""  # noqa: S608  # constants only
_LOOKS: Final = f"""
    SELECT r.tool, r.subject, r.session_id, r.tool_call_id, r.number, r.at_ms
    FROM latest_results r JOIN sessions s ON s.session_id = r.session_id
    WHERE {_IN_SIGHT} AND r.endpoint_id = ?3 AND (?4 IS NULL OR r.tool = ?4) AND (r.tool, r.subject) > (?5, ?6)
    ORDER BY r.tool, r.subject LIMIT ?7
"""  # noqa: S608
_LAST: Final = "SELECT max(sequence) FROM events WHERE organization_id = ?"
_NEWEST: Final = (2**63 - 1, "")


class HealthQuery(msgspec.Struct, frozen=True, kw_only=True):
    """From when until when; RFC 3339 times, or dates. By default the last 7 days."""

    since: Moment | None = field(default=None, name="from")
    until: Moment | None = field(default=None, name="to")


class LooksQuery(PageQuery, frozen=True, kw_only=True):
    """With `tool` the answers themselves come too."""

    tool: Annotated[str, Meta(max_length=64)] | None = None


# -- health --------------------------------------------------------------------------------------------------------


async def show_health(call: Call) -> Answer:
    query: HealthQuery = call.query
    endpoint = endpoints.find(call.services.directory, call.principal, call.path["endpoint_id"])
    span = span_of(call, query.since, query.until, DEFAULT_DAYS)
    rows = await call.services.log.query(_HEALTH, (endpoint.organization_id, endpoint.endpoint_id, PERIODS + 1))
    changes = [(int(row[0]), str(row[1]), str(row[2])) for row in reversed(rows)]
    first = changes[0][2] if changes else call.services.live.health_of(endpoint.endpoint_id).value
    begun = [(endpoint.created_at_ms, first), *((since, health) for since, health, _ in changes)]
    ends: list[int | None] = [since for since, _ in begun[1:]]
    periods = [
        HealthPeriod(health=health, since=at(since), until=at(until))
        for (since, health), until in zip(begun, [*ends, None], strict=True)
        if since <= span.until_ms and (until is None or until >= span.since_ms)
    ]
    truncated = len(rows) > PERIODS and int(rows[-1][0]) > span.since_ms
    return Answer(HealthHistory(since=at(span.since_ms), until=at(span.until_ms), periods=periods, truncated=truncated))


# -- changes -------------------------------------------------------------------------------------------------------


async def list_changes(call: Call) -> Answer:
    query: PageQuery = call.query
    endpoint = endpoints.find(call.services.directory, call.principal, call.path["endpoint_id"])
    after = decode_cursor(query.cursor, tuple[int, str]) or _NEWEST
    values = (*scope.in_sight(call.principal), endpoint.endpoint_id, *after, query.limit + 1)
    rows = await call.services.log.query(_CHANGES, values)
    shown = [line async for line in _changes(call, rows[: query.limit])]
    page = page_of(rows, query.limit, lambda row: (int(row[0]), str(row[1])), lambda row: row)
    return Answer(Page(items=shown, next=page.next))


async def _changes(call: Call, rows: list[tuple[Any, ...]]) -> AsyncIterator[ChangeShown]:
    now = call.services.clock.now_ms()
    telling = telling_for(call)
    for at_ms, tool_call_id, actor_id, session_id in rows:
        found = await _call_in(call, session_id, tool_call_id)
        if found is None:
            continue
        session, one = found
        words = of_scene(scene_of(call, session, one, now))
        kind = next((consent.actor.kind for consent in one.consents if consent.actor.id == actor_id), "user")
        recorded = [dict(change) for a in one.attempts if a.finished is not None for change in a.finished.changes]
        yield ChangeShown(
            at=at(at_ms),
            actor_id=actor_id,
            who=str(actor_words(Actor(kind, actor_id), telling)),
            session_id=session.id,
            title=session.title,
            prompt_id=one.prompt_id,
            tool_call_id=one.id,
            position=one.spec.position,
            literal=literal(one.spec.tool, one.spec.arguments, LITERAL_LENGTH),
            label=words.label,
            tone=words.tone.value,
            ran_label=words.ran_label,
            changes=recorded,
        )


async def _call_in(call: Call, session_id: str, tool_call_id: str) -> tuple[Session, ToolCall] | None:
    session = await call.services.sessions.read(session_id)
    found = None if session is None else session.calls.get(tool_call_id)
    return None if session is None or found is None else (session, found)


# -- answers -------------------------------------------------------------------------------------------------------


async def list_looks(call: Call) -> Answer:
    query: LooksQuery = call.query
    endpoint = endpoints.find(call.services.directory, call.principal, call.path["endpoint_id"])
    after = decode_cursor(query.cursor, tuple[str, str]) or ("", "")
    values = (*scope.in_sight(call.principal), endpoint.endpoint_id, query.tool, *after, query.limit + 1)
    rows = await call.services.log.query(_LOOKS, values)
    page = page_of(rows, query.limit, lambda row: (str(row[0]), str(row[1])), lambda row: row)
    items = [line async for line in _looks(call, rows[: query.limit], whole=query.tool is not None)]
    return Answer(Page(items=items, next=page.next))


async def _looks(call: Call, rows: list[tuple[Any, ...]], *, whole: bool) -> AsyncIterator[Look]:
    now = call.services.clock.now_ms()
    for tool, subject, session_id, tool_call_id, number, at_ms in rows:
        found = await _call_in(call, session_id, tool_call_id)
        attempt = None if found is None else found[1].attempt(int(number))
        if found is None or attempt is None or attempt.finished is None:
            continue
        spec = found[1].spec
        yield Look(
            tool=tool,
            subject=subject,
            at=at(at_ms),
            age_s=max(0, now - at_ms) / 1000,
            session_id=session_id,
            prompt_id=found[1].prompt_id,
            tool_call_id=tool_call_id,
            attempt=int(number),
            literal=literal(spec.tool, spec.arguments, LITERAL_LENGTH),
            result=attempt.finished.result if whole else None,
        )


# -- all of them ---------------------------------------------------------------------------------------------------


async def summary(call: Call) -> Answer:
    directory = call.services.directory
    newest = call.services.query(_LAST, (call.principal.organization_id,))
    found = endpoints.visible(directory, call.principal)
    health = Counter(call.services.live.health_of(endpoint.endpoint_id).value for endpoint in found)
    tags = Counter(tag for endpoint in found for tag in endpoint.tags)
    groups = Counter(endpoint.client_group_id for endpoint in found)
    seen = (
        group
        for group in directory.groups_of(call.principal.organization_id)
        if call.principal.sees_group(group.client_group_id)
    )
    return Answer(
        EndpointsSummary(
            total=len(found),
            by_health=dict(health),
            tags=[TagCount(tag=tag, count=count) for tag, count in sorted(tags.items())],
            client_groups=[
                GroupCount(id=group.client_group_id, name=group.name, count=groups[group.client_group_id])
                for group in seen
            ],
            sequence=int(newest[0][0] or 0),
        )
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/endpoints/summary",
        role=Role.VIEWER,
        summary="Computers in numbers: by health, tag and client group",
        read=summary,
        answers=EndpointsSummary,
    ),
    Route(
        method="GET",
        path="/endpoints/{endpoint_id}/health",
        role=Role.VIEWER,
        summary="How the health of a computer has changed",
        read=show_health,
        query=HealthQuery,
        answers=HealthHistory,
    ),
    Route(
        method="GET",
        path="/endpoints/{endpoint_id}/changes",
        role=Role.VIEWER,
        summary="Steps on a computer that may have changed things, newest first",
        read=list_changes,
        query=PageQuery,
        answers=Page[ChangeShown],
    ),
    Route(
        method="GET",
        path="/endpoints/{endpoint_id}/looks",
        role=Role.VIEWER,
        summary="The newest answers of the tools that look at a computer, also while it is offline",
        read=list_looks,
        query=LooksQuery,
        answers=Page[Look],
    ),
)
