"""What a person sees before something is sent again (RECOVERY.md §7, API.md `GET /prompts/{id}/awareness`).

Owns the list of what already ran, who else worked there since, and what will be sent, literally. It decides nothing:
`seen` is checked in `decide/actions.py`.
"""

from __future__ import annotations

from typing import Any

from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.filling import fill
from caisey.core.plain_text import literal
from caisey.core.present import actor
from caisey.core.present_attempt import spoken
from caisey.core.scene import PLAINLY, Scene, Telling
from caisey.core.session import Prompt, Session
from caisey.core.spoken import optional_rfc3339, rfc3339
from caisey.core.states import CallState, Effect, Ran
from caisey.core.tool_call import ToolCall, may_change_things
from caisey.core.view import EndpointView
from caisey.core.words import of_one, of_scene

MAX_OTHERS = 50
LINE_LENGTH = 200


def present_awareness(
    session: Session,
    prompt_id: str,
    view: EndpointView,
    now_ms: int,
    *,
    tool_call_id: str | None = None,
    telling: Telling = PLAINLY,
) -> dict[str, Any]:
    """What already ran, and what would be sent: from `tool_call_id` on, by default from the first step that never
    started, else the step that waits. Raises KeyError for a prompt or call that the session does not have.
    """
    prompt = session.prompts[prompt_id]
    calls = [c for c in session.calls_of(prompt) if c.outcome != "replaced"]
    target = session.calls[tool_call_id] if tool_call_id is not None else first_to_send(calls)
    sends = sent_from(calls, target)
    return {
        "prompt_id": prompt.id,
        "as_of": rfc3339(now_ms),
        "computer": view.name,
        "seen": session.prompt_sequence(prompt),
        "steps": [_step(Scene(session, c, view, now_ms, telling)) for c in calls],
        "others": others(session, prompt, view, now_ms, telling),
        "will_send": [will_send(c) for c in sends],
        "starts_at": None if target is None else target.spec.position,
        "options": [
            {"position": c.spec.position, "tool_call_id": c.id, "default": target is not None and c.id == target.id}
            for c in calls
            if c.state in (CallState.PENDING, CallState.WAITING)
        ],
        "may_change_things": any(may_change_things(c) for c in sends),
    }


def first_to_send(calls: list[ToolCall]) -> ToolCall | None:
    """Where `resume` starts: the first step that never started; if every step was sent, the one that waits."""
    never_started = next((c for c in calls if c.state is CallState.PENDING), None)
    return never_started or next((c for c in calls if c.state is CallState.WAITING), None)


def sent_from(calls: list[ToolCall], target: ToolCall | None) -> list[ToolCall]:
    """`resume` on a step sends it and all after it that have not ended, and nothing before it."""
    if target is None:
        return []
    return [
        c
        for c in calls
        if c.id == target.id or (c.spec.position > target.spec.position and c.state is not CallState.ENDED)
    ]


def will_send(call: ToolCall) -> dict[str, Any]:
    """One step, literally as it goes out."""
    return {
        "position": call.spec.position,
        "tool_call_id": call.id,
        "tool": call.spec.tool,
        "tool_version": call.spec.tool_version,
        "arguments": call.spec.arguments,
        "effect": call.spec.effect.value,
        "literal": literal(call.spec.tool, call.spec.arguments),
    }


def _step(scene: Scene) -> dict[str, Any]:
    call, best = scene.call, scene.deciding
    words = of_scene(scene)
    verdict = None
    if best is not None and best.verdict is not None and not best.open:
        said = of_one(scene, best)
        verdict = {"kind": best.verdict.kind.value, "ran": best.verdict.ran.value, **spoken(said)}
    return {
        "position": call.spec.position,
        "tool_call_id": call.id,
        "tool": call.spec.tool,
        "arguments": call.spec.arguments,
        "effect": call.spec.effect.value,
        "literal": literal(call.spec.tool, call.spec.arguments),
        "state": call.state.value,
        "verdict": verdict,
        "ran": scene.ran.value,
        "ran_label": words.ran_label,
        "label": words.label,
        "tone": words.tone.value,
        "changes": recorded_changes(call),
        "changes_note": changes_note(scene),
        "ended_at": optional_rfc3339(_ended_at(call, best)),
    }


def recorded_changes(call: ToolCall) -> list[dict[str, Any]]:
    """State changes (from, to) that its tries reported, oldest first."""
    return [dict(change) for a in call.attempts if a.finished is not None for change in a.finished.changes]


def changes_note(scene: Scene) -> str | None:
    """What the list of changes cannot show: of a script, what it changed; else, that an empty list proves nothing."""
    if scene.ran is Ran.NO or scene.call.spec.effect is Effect.READ_ONLY:
        return None
    if not scene.call.spec.structured:
        return scene.phrase("inside_a_script")
    return None if recorded_changes(scene.call) else scene.phrase("nothing_recorded")


def _ended_at(call: ToolCall, best: Attempt | None) -> int | None:
    """When its end was reported, or a person closed it; None where no end is known."""
    if best is not None and best.finished is not None:
        return best.verdict_at_ms
    return call.ended_at_ms if call.state is CallState.ENDED else None


def others(session: Session, prompt: Prompt, view: EndpointView, now_ms: int, telling: Telling) -> list[dict[str, Any]]:
    """Who else worked on the computer since the prompt was accepted, newest last: by person and session."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    scene = Scene(session, session.calls[prompt.call_ids[0]], view, now_ms, telling)
    for other in session.prompts.values():
        if other.accepted_at_ms < prompt.accepted_at_ms or other.actor.id == prompt.actor.id:
            continue
        calls = [session.calls[i] for i in other.call_ids if session.calls[i].attempts]
        for call in calls:
            _count(found, other.actor, session.id, call.attempts[0].queued_at_ms, may_change_things(call))
    for change in view.changes:
        if change.at_ms > prompt.accepted_at_ms and change.actor_id != prompt.actor.id:
            if change.session_id == session.id:
                continue  # counted with its prompt
            _count(found, e.Actor("user", change.actor_id), change.session_id, change.at_ms, True)
    newest = sorted(found.values(), key=lambda item: item["at_ms"])[-MAX_OTHERS:]
    return [_other(scene, item) for item in newest]


def _count(found: dict[tuple[str, str], dict[str, Any]], who: e.Actor, session_id: str, at: int, changes: bool) -> None:
    empty = {"actor": who, "session_id": session_id, "at_ms": at, "reads": 0, "changes": 0}
    item = found.setdefault((who.id, session_id), empty)
    item["at_ms"] = max(item["at_ms"], at)
    item["changes" if changes else "reads"] += 1


def _other(scene: Scene, item: dict[str, Any]) -> dict[str, Any]:
    who = scene.who(item["actor"])
    values = {
        "who": who,
        "ago": scene.phrase("ago").replace("{span}", scene.since(item["at_ms"]) or ""),
        "reads": _number(scene, "awareness.reads", item["reads"]),
        "changes": _number(scene, "awareness.changes", item["changes"]),
    }
    return {
        "at": rfc3339(item["at_ms"]),
        "actor": actor(item["actor"]),
        "who": str(who),
        "session_id": item["session_id"],
        "reads": item["reads"],
        "changes": item["changes"],
        "text": fill(scene.phrase("awareness.work"), values, LINE_LENGTH),
    }


def _number(scene: Scene, key: str, n: int) -> str:
    phrases = scene.telling.catalogue.phrases
    return phrases.get(f"{key}.{n}") or phrases[f"{key}.n"].replace("{n}", str(n))
