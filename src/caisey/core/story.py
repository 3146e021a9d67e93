"""Why a tool call is in its state: what happened, in order, and what happens next (one call, used everywhere).

Owns `story`. Every line is a fact with its time and source; the last one says how it stands, until when, whose move it
is, and what follows if nothing comes.
"""

from __future__ import annotations

from typing import Any

from caisey.core import events as e
from caisey.core.filling import fill
from caisey.core.present import call_standing
from caisey.core.present_attempt import Standing
from caisey.core.present_evidence import LINE_LENGTH, source_of, tell, type_of
from caisey.core.scene import PLAINLY, Scene, Telling
from caisey.core.session import Session
from caisey.core.spoken import rfc3339
from caisey.core.states import CallState
from caisey.core.tool_call import ToolCall
from caisey.core.view import EndpointView
from caisey.core.words import of_scene

OWNERS = {"control_plane": "who.the_control_plane", "runtime": "who.the_agent", "approver": "who.approver"}


def story(
    session: Session, tool_call_id: str, view: EndpointView, now_ms: int, telling: Telling = PLAINLY
) -> list[dict[str, Any]]:
    """Facts in the order of time: `at`, `source`, `type`, `attempt`, `text`; the last has also `owner`, `due_at` and
    `next_state` (None once it has ended). Raises KeyError for a call that the session does not have.
    """
    call = session.calls[tool_call_id]
    scene = Scene(session, call, view, now_ms, telling)
    lines = [_accepted(scene), *_facts(scene, call), *_person(scene, call)]
    return [*sorted(lines, key=lambda line: (line["at"], line["order"])), _now(scene)]


def _line(at_ms: int, source: str, kind: str, text: str, *, order: int, attempt: int | None = None) -> dict[str, Any]:
    return {"at": rfc3339(at_ms), "source": source, "type": kind, "attempt": attempt, "text": text, "order": order}


def _accepted(scene: Scene) -> dict[str, Any]:
    prompt = scene.prompt
    text = fill(scene.telling.catalogue.facts["call.accepted"], {"who": scene.who(prompt.actor)}, LINE_LENGTH)
    return _line(prompt.accepted_at_ms, prompt.actor.kind, "accepted", text, order=0)


def _facts(scene: Scene, call: ToolCall) -> list[dict[str, Any]]:
    return [
        _line(r.at_ms, source_of(r), type_of(r.event), tell(scene, r), order=r.sequence, attempt=a.number)
        for a in call.attempts
        for r in a.facts
        if not isinstance(r.event, e.AttemptProgressed)
    ]


def _person(scene: Scene, call: ToolCall) -> list[dict[str, Any]]:
    """What happened to the call itself, as far as it is kept with it."""
    facts = scene.telling.catalogue.facts
    lines = []
    if call.waiting_since_ms is not None:
        lines.append(
            _line(call.waiting_since_ms, "control_plane", "waiting", facts["call.waiting"], order=call.sequence)
        )
    if call.state is CallState.ENDED and call.ended_at_ms is not None and call.outcome not in ("done", "cancelled"):
        actor = call.ended_by or e.CONTROL_PLANE
        values = {"who": scene.who(actor), "outcome": (call.outcome or "").replace("_", " ")}
        text = fill(facts["call.ended"], values, LINE_LENGTH)
        lines.append(_line(call.ended_at_ms, actor.kind, "closed", text, order=call.sequence))
    return lines


def _now(scene: Scene) -> dict[str, Any]:
    """How it stands, and what then."""
    stands = call_standing(scene)
    order = scene.call.sequence + 1
    words = of_scene(scene)
    facts = scene.telling.catalogue.facts
    if stands is None:
        text = fill(facts["now.ended"], {"label": words.label, "ran": words.ran_label}, LINE_LENGTH)
        return _line(scene.now, "control_plane", "now", text, order=order) | dict.fromkeys(
            ("owner", "due_at", "next_state")
        )
    values = {
        "label": words.label,
        "due": scene.clock(stands.due_at_ms),
        "owner": owner_words(scene, stands),
        "then": facts.get(f"then.{stands.next_state}"),
    }
    text = fill(facts["now"], values, LINE_LENGTH)
    return _line(scene.now, "control_plane", "now", text, order=order) | {
        "owner": stands.owner,
        "due_at": rfc3339(stands.due_at_ms),
        "next_state": stands.next_state,
    }


def owner_words(scene: Scene, stands: Standing) -> str:
    """Whose move it is, by name."""
    key = OWNERS.get(stands.owner)
    return scene.phrase(key) if key else scene.person(stands.owner)
