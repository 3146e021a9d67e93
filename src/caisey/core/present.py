"""Sessions and prompts as the API shows them (API.md `GET /prompts/{id}`, `GET /sessions/{id}`).

Owns the shape of the answers. Pure: session, view, time and reader are arguments, and the output's bytes come in with
the `Telling` (see `present_output.wanted`). Names of fields are public and never change; more may stand beside them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from caisey.core import events as e
from caisey.core.decide.settle import REMINDER_MS
from caisey.core.next_actions import decisions, links
from caisey.core.plain_text import literal
from caisey.core.present_attempt import Standing, attempt, spoken, standing
from caisey.core.present_output import Wanted, wanted
from caisey.core.present_step import moved_ms, present_step, waits
from caisey.core.scene import PLAINLY, Scene, Telling, actor_words
from caisey.core.session import Prompt, Session
from caisey.core.spoken import optional_rfc3339, rfc3339
from caisey.core.states import CallState
from caisey.core.tool_call import ToolCall
from caisey.core.values import helper_id
from caisey.core.variants import leading
from caisey.core.view import EndpointView
from caisey.core.words import of_scene

__all__ = ["Telling", "Wanted", "present_call", "present_prompt", "present_session", "wanted"]

MAX_PROMPTS = 200  # of a session, in one answer; the newest ones


def present_prompt(
    session: Session, prompt_id: str, view: EndpointView, now_ms: int, telling: Telling = PLAINLY
) -> dict[str, Any]:
    """`GET /prompts/{id}`. Raises KeyError for a prompt that the session does not have."""
    prompt = session.prompts[prompt_id]
    return {
        "id": prompt.id,
        "session_id": session.id,
        "endpoint_id": session.endpoint_id,
        "created_at": rfc3339(prompt.accepted_at_ms),
        "actor": actor(prompt.actor),
        "who": str(actor_words(prompt.actor, telling)),
        "text": prompt.text,
        "origin": None if prompt.origin is None else _origin(prompt.origin),
        "sequence": session.prompt_sequence(prompt),
        "state": prompt.state.value,
        "tool_calls": [present_call(Scene(session, c, view, now_ms, telling)) for c in session.calls_of(prompt)],
    }


def present_call(scene: Scene) -> dict[str, Any]:
    """One tool call with all its attempts, and `now`: how it stands, in words, with what may be done."""
    call = scene.call
    stands = call_standing(scene)
    return {
        "id": call.id,
        "position": call.spec.position,
        "tool": call.spec.tool,
        "tool_version": call.spec.tool_version,
        "arguments": call.spec.arguments,
        "effect": call.spec.effect.value,
        "limits": {"time_ms": call.spec.limits.time_ms, "output_bytes": call.spec.limits.output_bytes},
        "consents": len(call.consents),
        "state": call.state.value,
        "ran": scene.ran.value,
        "attempts": [attempt(scene, a) for a in call.attempts],
        "outcome": call.outcome,
        "owner": stands.owner if stands else None,
        "due_at": rfc3339(stands.due_at_ms) if stands else None,
        "next_state": stands.next_state if stands else None,
        "now": now_of(scene),
        "literal": literal(call.spec.tool, call.spec.arguments),
        "check": call.spec.check,
        "waits": waits(scene),
        "waiting_why": call.waiting_why,
        "escalated_to": call.escalated_to,
        "replaced_by": call.replaced_by,
        "ended_at": optional_rfc3339(call.ended_at_ms if call.state is CallState.ENDED else None),
    }


def now_of(scene: Scene) -> dict[str, Any]:
    """How the call stands now: words, and the one place where its buttons are."""
    words = of_scene(scene)
    return spoken(words) | {"next_actions": decisions(scene, words), "links": links(scene, words)}


def call_standing(scene: Scene) -> Standing | None:
    """Owner, deadline and next state of a call that has not ended (RECOVERY.md §9, 1)."""
    call = scene.call
    if call.state is CallState.ENDED:
        return None
    person = helper_id(call, scene.view.policy, scene.session.owner)
    if call.state is CallState.WAITING:
        due = max(call.due_at_ms or scene.now, scene.view.grace_until_ms)
        return Standing(call.owner or person, due, CallState.WAITING.value)
    if call.state is CallState.RUNNING:
        open_now = leading(scene)
        stands = standing(scene, open_now) if open_now is not None else None
        return stands or Standing("control_plane", max(scene.now, scene.view.grace_until_ms), CallState.ENDED.value)
    return _pending_standing(scene, person)


def _pending_standing(scene: Scene, person: str) -> Standing:
    """A step that was not sent stands with the step in its way; if that one is closed, with a person."""
    before = scene.stopped_before
    if before is not None and before.state in (CallState.RUNNING, CallState.WAITING):
        stands = call_standing(Scene(scene.session, before, scene.view, scene.now, scene.telling))
        assert stands is not None
        return Standing(stands.owner, stands.due_at_ms, CallState.RUNNING.value)
    since = (before.ended_at_ms if before is not None else None) or scene.prompt.accepted_at_ms
    reminders = max(0, scene.now - since) // REMINDER_MS + 1
    return Standing(person, since + reminders * REMINDER_MS, CallState.PENDING.value)


def present_session(
    session: Session,
    view: EndpointView,
    now_ms: int,
    telling: Telling = PLAINLY,
    *,
    before: str | None = None,
    open_only: bool = False,
    also: Collection[str] = (),
) -> dict[str, Any]:
    """`GET /sessions/{id}`: the session with its prompts in short, newest last.

    `before`: only those older than that prompt. `open_only`: only those of which something is open, the checks of it,
    the newest one, and `also`. Raises KeyError for a prompt that the session does not have.
    """
    prompts = list(session.prompts.values())
    open_calls = [c for c in session.calls.values() if c.state is not CallState.ENDED]
    older = prompts if before is None else prompts[: prompts.index(session.prompts[before])]
    if open_only:
        needed = _needed(session, prompts) | set(also)
        older = [p for p in older if p.id in needed]
    shown = older[-MAX_PROMPTS:]
    numbers = {p.id: number for number, p in enumerate(prompts, 1)}
    return {
        "id": session.id,
        "endpoint_id": session.endpoint_id,
        "client_group_id": session.client_group_id,
        "title": session.title,
        "ticket": session.ticket,
        "owner": session.owner,
        "owner_name": str(actor_words(e.Actor("user", session.owner), telling)),
        "computer": view.name,
        "client": view.client,
        "created_at": rfc3339(session.created_at_ms),
        "sequence": session.sequence,
        "state": "open" if session.closed is None else "closed",
        "closed": None
        if session.closed is None
        else {"outcome": session.closed.outcome, "verified": session.closed.verified},
        "handover": _handover(session, telling),
        "open_tool_calls": len(open_calls),
        "prompts_total": len(prompts),
        "prompts_before": numbers[shown[0].id] - 1 if shown else 0,
        "changed_at": rfc3339(_changed_ms(session)),
        "prompts": [_short(session, p, numbers[p.id], view, now_ms, telling) for p in shown],
    }


def _changed_ms(session: Session) -> int:
    """When something was last asked, began or ended."""
    accepted = [p.accepted_at_ms for p in session.prompts.values()]
    moved = [moved_ms(c.newest) for c in session.calls.values() if c.newest is not None]
    ended = [c.ended_at_ms or 0 for c in session.calls.values()]
    return max([session.created_at_ms, *accepted, *moved, *ended])


def _handover(session: Session, telling: Telling) -> dict[str, Any] | None:
    """The offer that nobody has taken yet; `to` null: for whoever takes it first."""
    offered = session.handover
    if offered is None:
        return None
    return {
        "to": offered.to,
        "to_name": None if offered.to is None else str(actor_words(e.Actor("user", offered.to), telling)),
        "by": actor(offered.by),
        "by_name": str(actor_words(offered.by, telling)),
        "at": rfc3339(offered.at_ms),
        "note": offered.note,
        "summary": offered.summary,
    }


def _needed(session: Session, prompts: list[Prompt]) -> set[str]:
    """What has to be known to say what is open: that itself, the checks of it, the newest prompt and the last check."""
    open_calls = {c.id: c for c in session.calls.values() if c.state is not CallState.ENDED or _is_news(c)}
    checks = [p for p in prompts if p.origin is not None]
    found = {c.prompt_id for c in open_calls.values()} | {p.id for p in (*prompts[-1:], *checks[-1:])}
    return found | {p.id for p in checks if p.origin is not None and p.origin.tool_call_id in open_calls}


def _is_news(call: ToolCall) -> bool:
    """Something came late that changed what is shown of it."""
    return any(a.late and a.former for a in call.attempts)


def _short(
    session: Session, prompt: Prompt, number: int, view: EndpointView, now_ms: int, telling: Telling
) -> dict[str, Any]:
    return {
        "id": prompt.id,
        "number": number,
        "created_at": rfc3339(prompt.accepted_at_ms),
        "actor": actor(prompt.actor),
        "who": str(actor_words(prompt.actor, telling)),
        "text": prompt.text,
        "origin": None if prompt.origin is None else _origin(prompt.origin),
        "sequence": session.prompt_sequence(prompt),
        "state": prompt.state.value,
        "tool_calls": [_step(Scene(session, c, view, now_ms, telling)) for c in session.calls_of(prompt)],
    }


def _step(scene: Scene) -> dict[str, Any]:
    return present_step(scene, call_standing(scene))


def actor(who: e.Actor) -> dict[str, str]:
    """Kind and id, as events show it."""
    return {"kind": who.kind, "id": who.id}


def _origin(origin: e.Origin) -> dict[str, str]:
    return {"action": origin.action, "tool_call_id": origin.tool_call_id}
