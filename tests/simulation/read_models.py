"""What the lists show, against the sessions that they are made from.

Owns the comparison. Rows are written with the events that change them, by what changed; here all of them are derived
once more from the whole session, so a change that forgot its row is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from caisey.control.projection import NOT_A_STALL, attention_row
from caisey.core.decide import next_due
from caisey.core.events import Verdict
from caisey.core.session import Session
from caisey.core.states import CallState
from caisey.core.tool_call import NOT_A_TRY
from caisey.core.view import EndpointView

Rows = Callable[..., list[Any]]
ATTENTION = "SELECT key, type, rank, since_ms, due_at_ms, owner, reason FROM attention WHERE session_id = ?"


def differences(rows: Rows, organization_id: str, session: Session, view: EndpointView, now_ms: int) -> Iterator[str]:
    """Every row of the session that is not what the session says."""
    yield from _of_session(rows, session)
    yield from _prompts_and_calls(rows, session)
    yield from _open_work(rows, session, view)
    yield from _attention(rows, organization_id, session, view, now_ms)
    yield from _stalls(rows, session)


def _of_session(rows: Rows, session: Session) -> Iterator[str]:
    said = rows("SELECT title, ticket, owner, state FROM sessions WHERE session_id = ?", session.id)
    state = "closed" if session.closed is not None else "open"
    if said != [(session.title, session.ticket, session.owner, state)]:
        yield f"sessions: {said}"


def _prompts_and_calls(rows: Rows, session: Session) -> Iterator[str]:
    said: dict[str, str] = dict(rows("SELECT prompt_id, state FROM prompts WHERE session_id = ?", session.id))
    if said != {prompt.id: str(prompt.state) for prompt in session.prompts.values()}:
        yield f"prompts: {said}"
    known: dict[str, str] = dict(
        rows("SELECT tool_call_id, prompt_id FROM tool_calls WHERE session_id = ?", session.id)
    )
    if known != {call.id: call.prompt_id for call in session.calls.values()}:
        yield f"tool_calls: {known}"


def _open_work(rows: Rows, session: Session, view: EndpointView) -> Iterator[str]:
    """A row may be early, never late and never missing: a start looks at nothing before it."""
    said = rows("SELECT endpoint_id, due_at_ms FROM open_work WHERE session_id = ?", session.id)
    due = next_due(session, view) if session.live else None
    if due is None:
        if said:
            yield f"open_work: {said} though nothing is open"
    elif not said or said[0][0] != session.endpoint_id or said[0][1] > due:
        yield f"open_work: {said}, due {due}"


def _attention(rows: Rows, organization_id: str, session: Session, view: EndpointView, now_ms: int) -> Iterator[str]:
    said = {row[0]: row[1:] for row in rows(ATTENTION, session.id)}
    expected: dict[str, tuple[Any, ...]] = {}
    for call in session.calls.values():
        row = attention_row(organization_id, session, call, view, now_ms)
        if row is not None:  # the label is of the moment in which it was written
            expected[f"call:{call.id}"] = (row[6], *row[8:])
    handover = said.pop(f"handover:{session.id}", None)
    if (handover is None) != (session.handover is None):
        yield f"attention: hand-over {handover}, {session.handover}"
    for key in sorted(said.keys() | expected.keys()):
        if said.get(key) != expected.get(key):
            yield f"attention: {key} is {said.get(key)}, should be {expected.get(key)}"


def _stalls(rows: Rows, session: Session) -> Iterator[str]:
    """What was concluded once is kept as it was, also where the attempt was heard of after all."""
    said: dict[tuple[str, int], tuple[str, str, bool]] = {
        (call_id, number): (kind, ran, recovered is not None)
        for call_id, number, kind, ran, recovered in rows(
            "SELECT s.tool_call_id, s.number, s.kind, s.ran, s.recovered FROM stalls s"
            " JOIN tool_calls t ON t.tool_call_id = s.tool_call_id WHERE t.session_id = ?",
            session.id,
        )
    }
    for call in session.calls.values():
        ended = call.state is CallState.ENDED
        for a in call.attempts:
            row = said.pop((call.id, a.number), None)
            verdicts = [v for v in (*a.former, a.verdict) if v is not None and _is_stall(v)]
            if row is None and a.verdict is not None and _is_stall(a.verdict):
                yield f"stalls: {call.id} #{a.number} {a.verdict.kind} is missing"
            if row is not None and row[:2] not in [(str(v.kind), str(v.ran)) for v in verdicts]:
                yield f"stalls: {call.id} #{a.number} is {row}, was {verdicts}"
            if row is not None and ended and not row[2]:
                yield f"stalls: {call.id} has ended, and {row} #{a.number} was never recovered"
    if said:
        yield f"stalls: {said}"


def _is_stall(verdict: Verdict) -> bool:
    return verdict.kind not in NOT_A_STALL and verdict.code not in NOT_A_TRY and verdict.code != "runtime.busy"
