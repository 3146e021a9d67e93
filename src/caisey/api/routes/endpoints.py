"""`/endpoints` and `/runtimes`: which computers there are, whether they answer, what is known of them.

Owns what of an endpoint is shown. Its record is the directory's, its health and proofs are the hub's, its open work is
the sessions'.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from caisey.api import scope
from caisey.api.call import Answer, Call, Route
from caisey.api.documents import EndpointShown, FactShown, RemovingShown, RuntimeShown, SendableShown
from caisey.api.fields import GivenReason, Id, Name, Tag
from caisey.api.list_documents import EndpointsPage
from caisey.api.pages import PageQuery, decode_cursor, page_of
from caisey.api.times import at
from caisey.control import attention
from caisey.control.attention import Alarm
from caisey.control.directory import endpoints, facts, runtimes
from caisey.control.directory.records import Endpoint, Runtime
from caisey.control.directory.store import Draft
from caisey.control.roles import Role
from caisey.core.errors import Fault
from caisey.core.liveness import health_of, sendable
from caisey.core.states import AttemptState, Health
from caisey.core.view import EndpointView, RuntimeView

Tags = Annotated[tuple[Tag, ...], Meta(max_length=64)]
_WITH_TICKET: Final = f"""
    SELECT DISTINCT endpoint_id FROM sessions
    WHERE {scope.condition_of()}
        AND instr(lower(ticket), lower(?3)) > 0
"""  # noqa: S608  # constants only
_OPEN_SESSIONS: Final = """
    SELECT endpoint_id, count(*) FROM sessions
    WHERE state = 'open' AND endpoint_id IN (SELECT value FROM json_each(?)) GROUP BY endpoint_id
"""


class EndpointsQuery(PageQuery, frozen=True, kw_only=True):
    """`q` looks in name, signed-in user, address, serial, client group, tag and ticket; of several words each has to be
    there."""

    q: Annotated[str, Meta(max_length=200)] | None = None
    client_group: Id | None = None
    health: Literal["healthy", "unhealthy", "asleep", "offline", "never_seen", "removing"] | None = None
    tag: Annotated[str, Meta(max_length=64)] | None = None


class EndpointPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is absent stays. `removing` false takes a removal back."""

    name: Name | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    client_group_id: Id | UnsetType | None = UNSET
    removing: bool | UnsetType = UNSET


class JoinBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The endpoint whose runtimes become this one's."""

    other: Id = field(name="with")
    reason: Annotated[str, Meta(max_length=2_000)] | None = None


class ReasonBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a person decided so; it stands in the log."""

    reason: GivenReason


class RevokeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`compromised`: it is not even let in to report what it has finished."""

    reason: GivenReason
    compromised: bool = False


# -- reading -------------------------------------------------------------------------------------------------------


async def list_endpoints(call: Call) -> Answer:
    query: EndpointsQuery = call.query
    wanted = await _matching(call, query)
    if query.health is not None:
        health_of_one = call.services.live.health_of
        wanted = [endpoint for endpoint in wanted if health_of_one(endpoint.endpoint_id).value == query.health]
    ordered = sorted(wanted, key=_order)
    after = decode_cursor(query.cursor, tuple[str, str])
    if after is not None:
        ordered = [endpoint for endpoint in ordered if _order(endpoint) > after]
    found = ordered[: query.limit + 1]
    counts = _counts(call, found)
    page = page_of(found, query.limit, _order, lambda endpoint: _shown(call, endpoint, counts))
    return Answer(EndpointsPage(items=list(page.items), next=page.next, total=len(wanted)))


async def show_endpoint(call: Call) -> Answer:
    return Answer(_present(call, endpoints.find(call.services.directory, call.principal, call.path["endpoint_id"])))


async def _matching(call: Call, query: EndpointsQuery) -> list[Endpoint]:
    found = endpoints.visible(call.services.directory, call.principal)
    if query.client_group is not None:
        found = [endpoint for endpoint in found if endpoint.client_group_id == query.client_group]
    if query.tag is not None:
        found = [endpoint for endpoint in found if query.tag in endpoint.tags]
    if query.q is None:
        return found
    ticketed = await _with_ticket(call, query.q)
    fitting = {endpoint.endpoint_id for endpoint in call.services.texts.matching(found, query.q)} | ticketed
    return [endpoint for endpoint in found if endpoint.endpoint_id in fitting]


async def _with_ticket(call: Call, text: str) -> set[str]:
    rows = await call.services.log.query(_WITH_TICKET, (*scope.in_sight(call.principal), text))
    return {str(row[0]) for row in rows}


# -- what is shown -------------------------------------------------------------------------------------------------


class Counts(msgspec.Struct, frozen=True):
    """By endpoint."""

    open_sessions: dict[str, int]
    held: dict[str, int]


def _counts(call: Call, shown: list[Endpoint]) -> Counts:
    listed = [endpoint.endpoint_id for endpoint in shown]
    rows = call.services.query(_OPEN_SESSIONS, (msgspec.json.encode(listed).decode(),))
    held = {endpoint_id: _held(call, endpoint_id) for endpoint_id in listed}
    return Counts({str(row[0]): int(row[1]) for row in rows}, held)


def _held(call: Call, endpoint_id: str) -> int:
    """How many tries are kept back there: as decided, a moment before it is durable."""
    sessions = call.services.sessions
    found = [sessions.peek(session_id) for session_id in sessions.sessions_with_open_work(endpoint_id)]
    calls = [one for session in found if session is not None for one in session.live_calls()]
    return sum(a.state is AttemptState.HELD for one in calls for a in one.open_attempts)


def _present(call: Call, endpoint: Endpoint) -> EndpointShown:
    return _shown(call, endpoint, _counts(call, [endpoint]))


def _shown(call: Call, endpoint: Endpoint, counts: Counts) -> EndpointShown:
    directory = call.services.directory
    now = call.services.clock.now_ms()
    view = _as_recorded(call.services.live.view_of(endpoint.endpoint_id), endpoint)
    removing = endpoint.removing_since_ms
    group = directory.client_groups.get(endpoint.client_group_id or "")
    return EndpointShown(
        id=endpoint.endpoint_id,
        name=endpoint.name,
        hostname=endpoint.machine.hostname,
        client_group_id=endpoint.client_group_id,
        client_group=None if group is None else group.name,
        tags=list(endpoint.tags),
        health=view.health.value,
        health_since=at(view.since_ms or None),
        sendable=_sendable(view, now),
        runtimes=_runtimes(call, endpoint, view),
        open_sessions=counts.open_sessions.get(endpoint.endpoint_id, 0),
        held=counts.held.get(endpoint.endpoint_id, 0),
        facts=_facts(call, endpoint, now),
        review_needed=view.review_needed,
        like_endpoint_id=_like(call, endpoint),
        removing=None
        if removing is None
        else RemovingShown(since=at(removing), gone_at=at(removing + endpoints.REMOVAL_MS)),
        created_at=at(endpoint.created_at_ms),
    )


def _as_recorded(view: EndpointView, endpoint: Endpoint) -> EndpointView:
    """The view follows the directory only once a change is committed; the answer to that change is made before."""
    removing = endpoint.removing_since_ms is not None
    if removing == (view.health is Health.REMOVING):
        return view
    ever_seen = any(runtime.incarnation for runtime in view.runtimes)
    return msgspec.structs.replace(view, health=health_of(view.runtimes, ever_seen=ever_seen, removing=removing))


def _sendable(view: EndpointView, now_ms: int) -> SendableShown:
    found = sendable(view, now_ms)
    return SendableShown(value=found.value, reason=found.reason.value or None, proved_at=at(found.proved_at_ms or None))


def _runtimes(call: Call, endpoint: Endpoint, view: EndpointView) -> list[RuntimeShown]:
    records = call.services.directory.runtimes_of.get(endpoint.endpoint_id, {}).values()
    ordered = sorted(records, key=lambda record: (record.enrolled_at_ms, record.runtime_id))
    return [_runtime(record, view.runtime(record.runtime_id)) for record in ordered]


def _runtime(record: Runtime, live: RuntimeView | None) -> RuntimeShown:
    return RuntimeShown(
        id=record.runtime_id,
        incarnation=(live.incarnation or None) if live else None,
        boot_id=(live.boot_id or None) if live else None,
        bridges=list(live.bridges) if live else [],
        last_proof_at=at(live.proved_at_ms or None) if live else None,
        version=(live.version if live else "") or record.version,
        journal_id=(live.journal_id if live else "") or record.journal_id,
        enrolled_at=at(record.enrolled_at_ms),
        accepting=live.accepting if live else False,
        settle_only=live.settle_only if live else False,
        suspected_since=at(record.suspected_since_ms),
        revoked_at=at(record.revoked_at_ms),
        compromised=record.compromised,
    )


def _facts(call: Call, endpoint: Endpoint, now_ms: int) -> dict[str, FactShown]:
    return {
        name: FactShown(
            value=fact.value, at=at(fact.at_ms), age_s=max(0, now_ms - fact.at_ms) / 1000, source=fact.source
        )
        for name, fact in sorted(facts.known(call.services.directory, endpoint).items())
    }


def _like(call: Call, endpoint: Endpoint) -> str | None:
    """The other one with its fingerprint, where it is there and in sight."""
    other = call.services.directory.endpoints.get(endpoint.like_endpoint_id or "")
    if other is None or other.removed_at_ms is not None or not endpoints.sees(call.principal, other):
        return None
    return other.endpoint_id


def _order(endpoint: Endpoint) -> tuple[str, str]:
    return (endpoint.name.casefold(), endpoint.endpoint_id)


# -- changing ------------------------------------------------------------------------------------------------------


def change_endpoint(call: Call, draft: Draft) -> Answer:
    body: EndpointPatch = call.body
    wanted = endpoints.EndpointChange(
        name=body.name, tags=body.tags, client_group_id=body.client_group_id, removing=body.removing
    )
    changed = endpoints.change(call.services.directory, draft, call.principal, call.path["endpoint_id"], wanted)
    return Answer(_present(call, changed))


def remove_endpoint(call: Call, draft: Draft) -> Answer:
    removed = endpoints.remove(call.services.directory, draft, call.principal, call.path["endpoint_id"])
    return Answer(_present(call, removed), 202)


def join(call: Call, draft: Draft) -> Answer:
    body: JoinBody = call.body
    endpoint_id = call.path["endpoint_id"]
    directory = call.services.directory
    for found in (endpoint_id, body.other):
        endpoints.find(directory, call.principal, found)
    if call.services.sessions.sessions_with_open_work(body.other):
        raise Fault("endpoint.not_joinable", "The other one has open work; end or move it first.")
    _refuse_two_computers(call, endpoint_id, body.other)
    return Answer(_present(call, endpoints.join(directory, draft, call.principal, endpoint_id, body.other)))


def _refuse_two_computers(call: Call, *endpoint_ids: str) -> None:
    """Runtimes that are live together with different boot ids are two computers (PROTOCOL.md §2)."""
    views = [call.services.live.view_of(endpoint_id) for endpoint_id in endpoint_ids]
    boots = {runtime.boot_id for view in views for runtime in view.runtimes if runtime.bridges}
    if len(boots) > 1:
        raise Fault("endpoint.not_joinable", "Both are connected with different boot ids: they are two computers.")


def journal_reviewed(call: Call, draft: Draft) -> Answer:
    endpoint = endpoints.find(call.services.directory, call.principal, call.path["endpoint_id"])
    if not call.services.live.view_of(endpoint.endpoint_id).review_needed:
        raise Fault("endpoint.nothing_to_review")
    draft.note("endpoint.journal_reviewed", reason=call.body.reason, endpoint_id=endpoint.endpoint_id)
    draft.statements.append(attention.clear_alarm(Alarm.JOURNAL_REGRESSED, endpoint.endpoint_id))
    shown = msgspec.structs.replace(_present(call, endpoint), review_needed=False)
    return Answer(shown, after=lambda: call.services.live.journal_reviewed(endpoint.endpoint_id))


def accept_runtime(call: Call, draft: Draft) -> Answer:
    record = runtimes.accept(
        call.services.directory, draft, call.principal, call.path["runtime_id"], reason=call.body.reason
    )
    return Answer(_runtime(record, _live(call, record)))


def revoke_runtime(call: Call, draft: Draft) -> Answer:
    body: RevokeBody = call.body
    record = runtimes.revoke(
        call.services.directory,
        draft,
        call.principal,
        call.path["runtime_id"],
        reason=body.reason,
        compromised=body.compromised,
    )
    return Answer(_runtime(record, _live(call, record)))


def _live(call: Call, record: Runtime) -> RuntimeView | None:
    return call.services.live.view_of(record.endpoint_id).runtime(record.runtime_id)


ROUTES: Final = (
    Route(
        method="GET",
        path="/endpoints",
        role=Role.VIEWER,
        summary="Computers, by name",
        read=list_endpoints,
        query=EndpointsQuery,
        answers=EndpointsPage,
    ),
    Route(
        method="GET",
        path="/endpoints/{endpoint_id}",
        role=Role.VIEWER,
        summary="One computer",
        read=show_endpoint,
        answers=EndpointShown,
    ),
    Route(
        method="PATCH",
        path="/endpoints/{endpoint_id}",
        role=Role.ADMIN,
        summary="Change name, tags or client group; take a removal back",
        change=change_endpoint,
        body=EndpointPatch,
        answers=EndpointShown,
    ),
    Route(
        method="DELETE",
        path="/endpoints/{endpoint_id}",
        role=Role.ADMIN,
        summary="Begin the removal of a computer; it is gone after 7 days",
        change=remove_endpoint,
        status=202,
        answers=EndpointShown,
    ),
    Route(
        method="POST",
        path="/endpoints/{endpoint_id}/join",
        role=Role.ADMIN,
        summary="Two endpoints are one computer",
        change=join,
        body=JoinBody,
        answers=EndpointShown,
    ),
    Route(
        method="POST",
        path="/endpoints/{endpoint_id}/journal-reviewed",
        role=Role.TECHNICIAN,
        summary="A person has looked at a journal that went back in time",
        change=journal_reviewed,
        body=ReasonBody,
        answers=EndpointShown,
    ),
    Route(
        method="POST",
        path="/runtimes/{runtime_id}/accept",
        role=Role.ADMIN,
        summary="A suspected runtime is what it claims to be",
        change=accept_runtime,
        body=ReasonBody,
        answers=RuntimeShown,
    ),
    Route(
        method="POST",
        path="/runtimes/{runtime_id}/revoke",
        role=Role.ADMIN,
        summary="Nothing is sent to this runtime any more",
        change=revoke_runtime,
        body=RevokeBody,
        answers=RuntimeShown,
    ),
)
