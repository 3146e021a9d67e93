"""`/attention` and `/work`: what waits for a person, what waits by itself, and what a person does about a line.

Owns the order of the list and who gets which line. The words are `attention_lines`'; the rules of putting aside are
`core.snooze`'s.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from caisey.api import attention_lines, scope
from caisey.api.attention_lines import COLUMNS, Row
from caisey.api.call import Answer, Call, Route
from caisey.api.fields import GivenReason, Id
from caisey.api.list_documents import AttentionPage, OpenWork
from caisey.api.pages import Page, PageQuery, decode_cursor, encode_cursor
from caisey.api.problem import shape_fault
from caisey.api.times import at, ms_of
from caisey.control import snoozes
from caisey.control.directory import endpoints
from caisey.control.directory.answered import Claim
from caisey.control.directory.store import Draft
from caisey.control.roles import Role
from caisey.core import commands as c
from caisey.core import snooze
from caisey.core.errors import Fault
from caisey.core.states import CallState
from caisey.protocol.frames import ShapeFault

READ_AT_ONCE: Final = 200
COUNTED: Final = 1_000
PIECES: Final = 10
"""So many times `READ_AT_ONCE` sessions are looked into for one page of open work."""

_SEEN_BY: Final = scope.condition_of("a")
# Approvals and holds by their end, the rest by age (CONSOLE.md, Attention).
_KEY: Final = """
    (CASE WHEN ?3 IS NULL OR a.owner IS NULL OR a.owner IS ?3 THEN 0 ELSE 1 END), a.rank,
    (CASE WHEN a.rank IN (30, 40) THEN coalesce(a.due_at_ms, a.since_ms) ELSE a.since_ms END), a.key
"""
_LIST: Final = f"""
    SELECT {_KEY}, {COLUMNS} FROM attention a LEFT JOIN attention_snoozes s ON s.key = a.key
    WHERE {_SEEN_BY} AND ({_KEY}) > (?4, ?5, ?6, ?7) ORDER BY {_KEY} LIMIT ?8
"""  # noqa: S608  # constants only
_ONE: Final = f"""
    SELECT {COLUMNS} FROM attention a LEFT JOIN attention_snoozes s ON s.key = a.key WHERE {_SEEN_BY} AND a.key = ?3
"""  # noqa: S608
_ASIDE: Final = f"""
    SELECT {COLUMNS} FROM attention_snoozes s CROSS JOIN attention a ON s.key = a.key
    WHERE {_SEEN_BY} AND s.until_ms > ?3
    LIMIT {COUNTED}
"""  # noqa: S608
_TOTAL: Final = f"SELECT count(*) FROM (SELECT 1 FROM attention a WHERE {_SEEN_BY} LIMIT {COUNTED})"  # noqa: S608
_NEWEST: Final = """
    SELECT sequence, at_ms FROM events WHERE organization_id = ? ORDER BY sequence DESC LIMIT 1
"""
# CROSS JOIN: open work is little, sessions are many; the planner would begin with the sessions.
_WORK: Final = f"""
    SELECT s.session_id, w.due_at_ms FROM open_work w CROSS JOIN sessions s ON s.session_id = w.session_id
    WHERE {scope.condition_of("s")}
        AND (?3 IS NULL OR w.endpoint_id = ?3) AND (w.due_at_ms, w.session_id) > (?4, ?5)
    ORDER BY w.due_at_ms, w.session_id LIMIT ?6
"""  # noqa: S608  # constants only
_FIRST: Final = (-1, -1, -(2**62), "")

AttentionKey = tuple[int, int, int, str]
Moment = Annotated[str, Meta(max_length=40)]


class AttentionQuery(PageQuery, frozen=True, kw_only=True):
    """`aside` says what becomes of lines that were put aside: `show` them with the rest (the default), `hide` them, or
    `only` them. `mine=first` puts one's own lines, and those that nobody has, before the others."""

    aside: Literal["show", "hide", "only"] = "show"
    mine: Literal["first"] | None = None


class WorkQuery(PageQuery, frozen=True, kw_only=True):
    """A page ends behind the session that fills it, so it may hold a few more than `limit`."""

    endpoint_id: Id | None = None
    tone: Literal["plain", "run", "wait", "ask"] | None = None


class SnoozeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Until when it is put aside, and why."""

    until: Moment
    reason: GivenReason


# -- reading -------------------------------------------------------------------------------------------------------


async def list_attention(call: Call) -> Answer:
    query: AttentionQuery = call.query
    now = call.services.clock.now_ms()
    newest = call.services.query(_NEWEST, (call.principal.organization_id,))
    aside = await _aside(call, now)
    found: list[tuple[AttentionKey, Row]] = []
    async for key, row in _rows(call, decode_cursor(query.cursor, tuple[int, int, int, str]) or _FIRST):
        if query.aside != "show" and (row.aside_until(now) is not None) != (query.aside == "only"):
            continue
        found.append((key, row))
        if len(found) > query.limit:
            break
    lines = found[: query.limit]
    total = call.services.query(_TOTAL, scope.in_sight(call.principal))
    page = AttentionPage(
        items=[await attention_lines.shown(call, row, now) for _, row in lines],
        next=encode_cursor(lines[-1][0]) if len(found) > query.limit else None,
        total=int(total[0][0]),
        aside=len(aside),
        back_at=at(min(aside, default=None)),
        changed_at=at(int(newest[0][1])) if newest else None,
        sequence=int(newest[0][0]) if newest else 0,
    )
    return Answer(page)


async def _rows(call: Call, after: AttentionKey) -> AsyncIterator[tuple[AttentionKey, Row]]:
    """Every line after that place, in order."""
    query: AttentionQuery = call.query
    mine = call.principal.id if query.mine is not None else None
    while True:
        values = (*scope.in_sight(call.principal), mine, *after, READ_AT_ONCE)
        rows = await call.services.log.query(_LIST, values)
        for row in rows:
            after = (row[0], row[1], row[2], row[3])
            yield after, Row(*row[4:])
        if len(rows) < READ_AT_ONCE:
            return


async def _aside(call: Call, now_ms: int) -> list[int]:
    """Until when each line that is put aside stays there."""
    rows = await call.services.log.query(_ASIDE, (*scope.in_sight(call.principal), now_ms))
    until = (Row(*row).aside_until(now_ms) for row in rows)
    return [found for found in until if found is not None]


async def list_work(call: Call) -> Answer:
    query: WorkQuery = call.query
    if query.endpoint_id is not None:
        endpoints.find(call.services.directory, call.principal, query.endpoint_id)
    place = decode_cursor(query.cursor, tuple[int, str]) or (-1, "")
    now = call.services.clock.now_ms()
    items: list[OpenWork] = []
    for _ in range(PIECES):
        values = (*scope.in_sight(call.principal), query.endpoint_id, *place, READ_AT_ONCE)
        rows = await call.services.log.query(_WORK, values)
        for session_id, due_ms in rows:
            place = (int(due_ms), str(session_id))
            items += await _work_of(call, str(session_id), now)
            if len(items) >= query.limit:
                return Answer(Page(items=items, next=encode_cursor(place)))
        if len(rows) < READ_AT_ONCE:
            return Answer(Page(items=items, next=None))
    return Answer(Page(items=items, next=encode_cursor(place)))


async def _work_of(call: Call, session_id: str, now_ms: int) -> list[OpenWork]:
    """What is live in a session. Most of what is looked for does not wait for a person: that is left out unread."""
    tone = call.query.tone
    session = await call.services.sessions.read(session_id)
    if session is None:
        return []
    live = [one for one in session.live_calls() if tone not in ("run", "wait") or one.state is not CallState.WAITING]
    lines = (attention_lines.open_work(call, session, one, now_ms) for one in live)
    return [line for line in lines if line is not None and tone in (None, line.tone)]


# -- deciding ------------------------------------------------------------------------------------------------------


def put_aside(call: Call, draft: Draft) -> Answer:
    body: SnoozeBody = call.body
    row = _find(call)
    until = ms_of(body.until)
    if until is None:
        fault = ShapeFault(pointer="/until", expected="an RFC 3339 time with a zone", found="another string")
        raise shape_fault("request.invalid_shape", [fault])
    kept = snooze.snoozed(row.line, until, draft.at_ms, alarm=row.alarm)
    draft.statements += snoozes.save(row.key, kept, body.reason, draft.actor.id, draft.at_ms)
    draft.note("attention.snoozed", reason=body.reason, until_ms=kept.until_ms, **_about(row))
    said = {"id": row.key, "until": at(kept.until_ms), "reason": body.reason}
    return Answer(said)


def take_back(call: Call, draft: Draft) -> Answer:
    row = _find(call)
    if row.aside_until(draft.at_ms) is None:
        raise Fault("attention.nothing_snoozed")
    draft.statements.append(snoozes.end(row.key))
    draft.note("attention.woken", **_about(row))
    return Answer(status=204)


async def take(call: Call, claim: Claim) -> Answer:
    """Of a tool call's line the session is taken; another line is taken by itself."""
    row = _find(call)
    principal = call.principal
    said = {"id": row.key, "owner": principal.id, "owner_name": attention_lines.name_of(call, principal.id)}
    if row.session_id is not None:
        session = scope.session_to_work_on(call, row.session_id)
        command = c.UpdateSession(actor=principal.actor, owner=principal.id)
        await call.services.sessions.handle(session.id, command, claim.remember(200, resource=row.key))
        return call.services.kept(claim, Answer(said))
    answer = Answer(said)
    async with call.services.directory.changing(principal.organization_id, principal.actor) as draft:
        _find(call.as_of_now())
        draft.statements.append(snoozes.own(row.key, principal.id))
        draft.statements += claim.remember(answer.status, body=answer.for_repeats())
        draft.note("attention.taken", owner=principal.id, **_about(row))
    return answer


async def taken_again(call: Call, key: str) -> Any:
    """What a repeated request is told where the first answer was lost."""
    principal = call.principal
    return {"id": key, "owner": principal.id, "owner_name": attention_lines.name_of(call, principal.id)}


def _find(call: Call) -> Row:
    values = (*scope.in_sight(call.principal.asking(Role.VIEWER)), call.path["attention_id"])
    rows = call.services.query(_ONE, values)
    if not rows:
        raise Fault("resource.not_found")
    row = Row(*rows[0])
    call.principal.require_group(row.client_group_id)
    return row


def _about(row: Row) -> dict[str, str | None]:
    """What an event about the line names; who may see the event follows from it."""
    return {
        "attention_id": row.key,
        "endpoint_id": row.endpoint_id,
        "about_session_id": row.session_id,
        "tool_call_id": row.tool_call_id,
    }


ROUTES: Final = (
    Route(
        method="GET",
        path="/attention",
        role=Role.VIEWER,
        summary="What waits for a person, most urgent first",
        read=list_attention,
        query=AttentionQuery,
        answers=AttentionPage,
    ),
    Route(
        method="POST",
        path="/attention/{attention_id}/snooze",
        role=Role.TECHNICIAN,
        summary="Put a line aside until later; its deadlines go on",
        change=put_aside,
        body=SnoozeBody,
        answers=dict[str, Any],
    ),
    Route(
        method="DELETE",
        path="/attention/{attention_id}/snooze",
        role=Role.TECHNICIAN,
        summary="Take a line back that was put aside",
        change=take_back,
        status=204,
    ),
    Route(
        method="POST",
        path="/attention/{attention_id}/take",
        role=Role.TECHNICIAN,
        summary="It is mine: of a tool call's line, its session",
        work=take,
        again=taken_again,
        answers=dict[str, Any],
    ),
    Route(
        method="GET",
        path="/work",
        role=Role.VIEWER,
        summary="Open work, the nearest deadline first: whose it is, until when, what then",
        read=list_work,
        query=WorkQuery,
        answers=Page[OpenWork],
    ),
)
