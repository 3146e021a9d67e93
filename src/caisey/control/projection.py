"""Read models of a session, as statements for the transaction of the events that they follow from.

Owns what is written to `sessions`, `prompts`, `tool_calls`, `open_work`, `attention`, `stalls` and `changes`. Nothing
here is the truth: all of it is made again from the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.session import Session
from caisey.core.states import AttemptState, CallState, Effect, HoldReason, Kind, Notice, Ran
from caisey.core.tool_call import NOT_A_TRY, ToolCall, deciding, may_change_things, ran
from caisey.core.view import EndpointView
from caisey.core.words import describe

Write = tuple[str, tuple[object, ...]]

# Ranks of the attention list, most urgent first (CONSOLE.md, Attention).
RANK_MAY_HAVE_CHANGED = 10
RANK_QUESTION = 20
RANK_APPROVAL = 30
RANK_HOLD = 40
RANK_REST = 50
REASONS = {
    RANK_MAY_HAVE_CHANGED: "may have changed the computer",
    RANK_QUESTION: "the command asks a question",
    RANK_APPROVAL: "an approval ends",
    RANK_HOLD: "waits for a yes before it is sent",
    RANK_REST: "by age",
}
LABEL_HANDOVER = "A session is handed over"
REASON_HANDOVER = "somebody waits for you to take it"
NOT_A_STALL = frozenset({Kind.ANSWERED, Kind.EMPTY, Kind.CANCELLED})


@dataclass(slots=True)
class Projection:
    """What the read models already say of one session, so that only changes are written."""

    due_row_ms: int | None = None
    known: bool = False  # whether `due_row_ms` is what the table says
    fresh: bool = False  # the session began in this process: what is not in the fields below is not in the tables
    attention: dict[str, tuple[object, ...] | None] = field(default_factory=dict)
    stalled: set[str] = field(default_factory=set)

    def project(
        self,
        organization_id: str,
        before: Session,
        after: Session,
        records: Iterable[e.Recorded],
        due_ms: int | None,
        view: EndpointView,
        now_ms: int,
    ) -> list[Write]:
        """The statements for these events."""
        writes: list[Write] = []
        touched: set[str] = set()
        for record in records:
            event = record.event
            if isinstance(event, e.AttemptEvent):
                touched.add(event.tool_call_id)
                self._attempt(writes, organization_id, after, record, event)
            elif isinstance(event, e.CallEvent):
                touched.add(event.tool_call_id)
                self._call(writes, organization_id, after, record, event)
            else:
                _session(writes, organization_id, after, record, now_ms)
                if before.handover != after.handover:
                    writes.append(_handover(organization_id, after))
                if isinstance(event, e.ClockStepped) or (
                    isinstance(event, e.SessionUpdated) and event.owner is not None
                ):
                    touched |= after.live  # whose they are, and until when, stands in the list
        self._open_work(writes, after, due_ms)
        for call_id in touched:
            self._attend(writes, organization_id, after, after.calls[call_id], view, now_ms)
        return writes

    def nearer(self, session: Session, due_ms: int | None) -> list[Write]:
        """The statement for a deadline that came nearer without an event: a clock step, a quicker heartbeat."""
        writes: list[Write] = []
        if due_ms is not None and self.due_row_ms is not None and due_ms < self.due_row_ms:
            self._open_work(writes, session, due_ms)
        return writes

    def _open_work(self, writes: list[Write], session: Session, due_ms: int | None) -> None:
        """A row that is early is harmless (one look too many after a restart); a late one would not be."""
        if due_ms is None:
            if self.due_row_ms is not None or not self.known:
                writes.append(("DELETE FROM open_work WHERE session_id = ?", (session.id,)))
            self.due_row_ms, self.known = None, True
        elif self.due_row_ms is None or due_ms < self.due_row_ms:
            writes.append(
                (
                    (
                        "INSERT INTO open_work (session_id, endpoint_id, due_at_ms) VALUES (?, ?, ?)"
                        " ON CONFLICT (session_id) DO UPDATE SET due_at_ms = excluded.due_at_ms"
                    ),
                    (session.id, session.endpoint_id, due_ms),
                )
            )
            self.due_row_ms, self.known = due_ms, True

    # -- stalls and changes --------------------------------------------------------------------------------------

    def _attempt(
        self, writes: list[Write], organization_id: str, after: Session, record: e.Recorded, event: e.AttemptEvent
    ) -> None:
        call = after.calls[event.tool_call_id]
        a = call.attempts[event.number - 1]
        if isinstance(event, e.AttemptEnded | e.VerdictRefined):
            self._stall(writes, organization_id, after, call, a, record, event.verdict)
        elif isinstance(event, e.AttemptFinished):
            writes.extend(_latest_result(after, call, event, record.at_ms))
        elif isinstance(event, e.AttemptStarted) and call.spec.effect is Effect.MUTATING:
            actor = call.consent(a.consent).actor
            writes.append(
                (
                    (
                        "INSERT OR IGNORE INTO changes (endpoint_id, at_ms, actor_id, session_id, tool_call_id)"
                        " VALUES (?, ?, ?, ?, ?)"
                    ),
                    (after.endpoint_id, record.at_ms, actor.id, after.id, call.id),
                )
            )

    def _stall(
        self,
        writes: list[Write],
        organization_id: str,
        session: Session,
        call: ToolCall,
        a: Attempt,
        record: e.Recorded,
        verdict: e.Verdict,
    ) -> None:
        if verdict.code in NOT_A_TRY or verdict.code == "runtime.busy":
            return
        if verdict.kind in NOT_A_STALL:
            if isinstance(record.event, e.VerdictRefined):
                writes.append(("DELETE FROM stalls WHERE tool_call_id = ? AND number = ?", (call.id, a.number)))
            return
        self.stalled.add(call.id)
        since = a.dispatched_at_ms or a.queued_at_ms
        writes.append(
            (
                (
                    "INSERT INTO stalls (tool_call_id, number, kind, ran, organization_id, client_group_id,"
                    " endpoint_id, tool, at_ms, known_after_ms, recovered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (tool_call_id, number) DO UPDATE SET kind = excluded.kind, ran = excluded.ran"
                ),
                (
                    call.id,
                    a.number,
                    str(verdict.kind),
                    str(verdict.ran),
                    organization_id,
                    session.client_group_id,
                    session.endpoint_id,
                    call.spec.tool,
                    record.at_ms,
                    record.at_ms - since,
                    _recovered(call) if call.state is CallState.ENDED else None,  # known only after the end
                ),
            )
        )

    def _call(
        self, writes: list[Write], organization_id: str, after: Session, record: e.Recorded, event: e.CallEvent
    ) -> None:
        call = after.calls[event.tool_call_id]
        if isinstance(event, e.ToolCallReplaced):
            writes.append(_tool_call(organization_id, after, event.call.id, call.prompt_id))
        if isinstance(event, e.ToolCallEnded | e.ToolCallReplaced) and (call.id in self.stalled or not self.fresh):
            writes.append(
                (
                    "UPDATE stalls SET recovered = ? WHERE tool_call_id = ? AND recovered IS NULL",
                    (_recovered(call), call.id),
                )
            )
            self.stalled.discard(call.id)

    # -- attention -----------------------------------------------------------------------------------------------

    def _attend(
        self,
        writes: list[Write],
        organization_id: str,
        session: Session,
        call: ToolCall,
        view: EndpointView,
        now_ms: int,
    ) -> None:
        key = f"call:{call.id}"
        row = attention_row(organization_id, session, call, view, now_ms)
        if row == self.attention.get(key) and (self.fresh or key in self.attention):
            return
        self.attention[key] = row
        if row is None:
            writes.append(("DELETE FROM attention WHERE key = ?", (key,)))
            return
        writes.append(
            (
                (
                    "INSERT OR REPLACE INTO attention (key, organization_id, client_group_id, endpoint_id, session_id,"
                    " prompt_id, tool_call_id, type, label, rank, since_ms, due_at_ms, owner, reason)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                ),
                (key, *row),
            )
        )


BY_PERSON = frozenset({"retry", "requeue", "reroute", "resume", "hold"})


def _recovered(call: ToolCall) -> str:
    """Who brought a call to its end."""
    by_person = call.outcome != "done" or any(a.why in BY_PERSON for a in call.attempts)
    return "person" if by_person else "automatic"


def attention_row(
    organization_id: str, session: Session, call: ToolCall, view: EndpointView, now_ms: int
) -> tuple[object, ...] | None:
    """The call's line in the attention list, without its key; None if it asks nothing of a person."""
    found = _asks(session, call)
    if found is None:
        return None
    type_, attempt, rank, since, due = found
    label = describe(session, call, attempt, view, now_ms).label
    return (
        organization_id,
        session.client_group_id,
        session.endpoint_id,
        session.id,
        call.prompt_id,
        call.id,
        type_,
        label,
        rank,
        since,
        due,
        call.owner or session.owner,
        REASONS[rank],
    )


def _asks(session: Session, call: ToolCall) -> tuple[str, Attempt | None, int, int, int | None] | None:
    if call.state is CallState.WAITING:
        best = deciding(call)
        risky = may_change_things(call) and ran(call) in (Ran.PARTLY, Ran.UNCONFIRMED)
        rank = RANK_MAY_HAVE_CHANGED if risky else RANK_REST
        kind = str(best.verdict.kind) if best and best.verdict else "waiting"
        return kind, best, rank, call.waiting_since_ms or 0, call.due_at_ms
    for a in call.open_attempts:
        if a.state is AttemptState.AWAITING_APPROVAL:
            return "awaiting_approval", a, RANK_APPROVAL, a.queued_at_ms, a.due_at_ms
        if a.hold is not None and a.hold.reason is HoldReason.WORLD_CHANGED:
            return "held", a, RANK_HOLD, a.hold.since_ms, a.hold.until_ms
        if a.hold is not None and call.escalated_to is not None:
            return "held", a, RANK_HOLD, a.hold.since_ms, a.hold.until_ms
        if a.notice in (Notice.WAITS_FOR_INPUT, Notice.SILENT_IDLE):
            return "stalled", a, RANK_QUESTION, a.quiet_since_ms or 0, a.due_at_ms
    return None


# -- what a computer said last -----------------------------------------------------------------------------------

LOOKS: dict[str, str | None] = {
    "system_info": None,
    "processes": None,
    "disk_usage": None,
    "network": None,
    "event_log": None,
    "service": "name",
}
"""Tools whose newest answer is kept at hand for each computer; the argument that says what was asked about."""


def _latest_result(session: Session, call: ToolCall, event: e.AttemptFinished, at_ms: int) -> Iterable[Write]:
    if call.spec.tool not in LOOKS or not event.has_result or event.faults:
        return
    about = LOOKS[call.spec.tool]
    subject = "" if about is None else str(call.spec.arguments.get(about, ""))
    yield (
        (
            "INSERT INTO latest_results (endpoint_id, tool, subject, session_id, tool_call_id, number, at_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (endpoint_id, tool, subject) DO UPDATE SET"
            " session_id = excluded.session_id, tool_call_id = excluded.tool_call_id, number = excluded.number,"
            " at_ms = excluded.at_ms WHERE excluded.at_ms >= latest_results.at_ms"
        ),
        (session.endpoint_id, call.spec.tool, subject, session.id, call.id, event.number, at_ms),
    )


# -- session, prompt ---------------------------------------------------------------------------------------------


def _handover(organization_id: str, session: Session) -> Write:
    """An offered session stands in the list until somebody takes it."""
    key, offered = f"handover:{session.id}", session.handover
    if offered is None:
        return ("DELETE FROM attention WHERE key = ?", (key,))
    return (
        (
            "INSERT OR REPLACE INTO attention (key, organization_id, client_group_id, endpoint_id, session_id, type,"
            " label, rank, since_ms, owner, reason) VALUES (?, ?, ?, ?, ?, 'session.handover', ?, ?, ?, ?, ?)"
        ),
        (
            key,
            organization_id,
            session.client_group_id,
            session.endpoint_id,
            session.id,
            LABEL_HANDOVER,
            RANK_QUESTION,
            offered.at_ms,
            offered.to,
            REASON_HANDOVER,
        ),
    )


def _tool_call(organization_id: str, session: Session, tool_call_id: str, prompt_id: str) -> Write:
    return (
        (
            "INSERT OR IGNORE INTO tool_calls (tool_call_id, prompt_id, session_id, endpoint_id, organization_id)"
            " VALUES (?, ?, ?, ?, ?)"
        ),
        (tool_call_id, prompt_id, session.id, session.endpoint_id, organization_id),
    )


def _session(writes: list[Write], organization_id: str, session: Session, record: e.Recorded, now_ms: int) -> None:
    event = record.event
    if isinstance(event, e.PromptAccepted):
        writes.append(
            (
                "INSERT INTO prompts (prompt_id, session_id, state, created_at_ms) VALUES (?, ?, 'running', ?)",
                (event.prompt_id, session.id, record.at_ms),
            )
        )
        writes.extend(_tool_call(organization_id, session, k.id, event.prompt_id) for k in event.calls)
    elif isinstance(event, e.PromptEnded | e.PromptWaiting | e.PromptResumed):
        state = session.prompts[event.prompt_id].state
        writes.append(("UPDATE prompts SET state = ? WHERE prompt_id = ?", (str(state), event.prompt_id)))
    elif isinstance(event, e.SessionCreated):
        writes.append(
            (
                (
                    "INSERT INTO sessions (session_id, organization_id, client_group_id, endpoint_id, title, ticket,"
                    " owner, state, created_at_ms, updated_at_ms, sequence)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?, ?, 0)"
                ),
                (
                    event.session_id,
                    organization_id,
                    event.client_group_id,
                    event.endpoint_id,
                    event.title,
                    event.ticket,
                    event.owner,
                    record.at_ms,
                    now_ms,
                ),
            )
        )
    elif isinstance(event, e.SessionUpdated | e.SessionClosed):
        openness = "closed" if session.closed is not None else "open"
        writes.append(
            (
                (
                    "UPDATE sessions SET title = ?, ticket = ?, owner = ?, state = ?, updated_at_ms = ?"
                    " WHERE session_id = ?"
                ),
                (session.title, session.ticket, session.owner, openness, now_ms, session.id),
            )
        )
