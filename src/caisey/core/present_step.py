"""A step in short, as `GET /sessions/{id}` shows it: enough for one line of a list, and for where it stands in one.

Owns `present_step` and the waits that are told as one line ("Waited 38 min for ACCT-07 (asleep)"). The step with its
tries and evidence is `present.present_call`.
"""

from __future__ import annotations

from typing import Any

from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.filling import fill
from caisey.core.plain_text import literal
from caisey.core.present_attempt import Standing
from caisey.core.scene import Scene
from caisey.core.spoken import optional_rfc3339, rfc3339
from caisey.core.states import CallState
from caisey.core.time_spent import merged, waiting
from caisey.core.tool_call import ToolCall
from caisey.core.words import of_scene

LONG_WAIT_MS = 60_000
MAX_CHANGES = 5
MAX_WAITS = 5
LINE_LENGTH = 160


def present_step(scene: Scene, stands: Standing | None) -> dict[str, Any]:
    """One step in one line: what it is, how it stands in words, since when, and what it changed."""
    call = scene.call
    words = of_scene(scene)
    return {
        "id": call.id,
        "position": call.spec.position,
        "tool": call.spec.tool,
        "literal": literal(call.spec.tool, call.spec.arguments),
        "effect": call.spec.effect.value,
        "state": call.state.value,
        "ran": scene.ran.value,
        "label": words.label,
        "summary": words.summary,
        "tone": words.tone.value,
        "entry": words.entry,
        "ran_label": words.ran_label,
        "outcome": call.outcome,
        "since": rfc3339(since_ms(scene)),
        "due_at": None if stands is None else rfc3339(stands.due_at_ms),
        "sequence": call.sequence,
        "tries": len(call.attempts),
        "first_tried_at": optional_rfc3339(call.attempts[0].queued_at_ms if call.attempts else None),
        "duration_ms": duration_ms(scene.deciding),
        "changes": [dict(change) for a in call.attempts if a.finished for change in a.finished.changes][:MAX_CHANGES],
        "waits": waits(scene),
    }


def since_ms(scene: Scene) -> int:
    """Since when the step is as it is."""
    call = scene.call
    if call.state is CallState.ENDED and call.ended_at_ms is not None:
        return call.ended_at_ms
    if call.state is CallState.WAITING and call.waiting_since_ms is not None:
        return call.waiting_since_ms
    if call.state is CallState.RUNNING and call.newest is not None:
        return moved_ms(call.newest)
    return scene.prompt.accepted_at_ms


def moved_ms(a: Attempt) -> int:
    """When a try last moved, progress apart."""
    moments = (a.queued_at_ms, a.dispatched_at_ms, a.acknowledged_at_ms, a.started_at_ms, a.lost_at_ms)
    held = a.hold.since_ms if a.hold is not None else None
    return max(moment for moment in (*moments, held) if moment is not None)


def duration_ms(a: Attempt | None) -> int | None:
    """How long the command ran, by its own record, else as far as we saw; None where it is not known."""
    if a is None or a.started_at_ms is None:
        return None
    execution = (a.finished.execution if a.finished else None) or {}
    began, ended = execution.get("started_ms"), execution.get("ended_ms")
    if type(began) is int and type(ended) is int and 0 <= ended - began <= 400 * 86_400_000:
        return ended - began
    return max(0, a.verdict_at_ms - a.started_at_ms) if a.finished and a.verdict_at_ms is not None else None


def waits(scene: Scene) -> list[dict[str, Any]]:
    """Long waits for the computer, each as one line; an open one is not told yet."""
    call = scene.call
    spans = [(a, span) for a in call.attempts for span in _spans(a, scene.now)]
    told = merged(span for _, span in spans)
    return [
        {
            "at": rfc3339(start),
            "until": optional_rfc3339(end),
            "text": fill(
                scene.phrase("waited"),
                {"span": scene.span(end - start), "computer": scene.computer, "why": _why(scene, call, start, end)},
                LINE_LENGTH,
            ),
        }
        for start, end in told[-MAX_WAITS:]
        if end - start >= LONG_WAIT_MS and not (end >= scene.now and call.open_attempts)
    ]


def _spans(a: Attempt, now_ms: int) -> list[tuple[int, int]]:
    return merged(waiting(a, now_ms))


def _why(scene: Scene, call: ToolCall, start: int, end: int) -> str:
    """The last reason inside the span: why it was kept back, or that there was no contact."""
    found = "contact"
    for a in call.attempts:
        for record in a.facts:
            if start <= record.at_ms < end:
                if isinstance(record.event, e.AttemptHeld):
                    found = record.event.reason.value
                elif isinstance(record.event, e.AttemptLost):
                    found = "asleep" if record.event.asleep else "contact"
    phrases = scene.telling.catalogue.phrases
    return phrases.get(f"{'waited'}.{found}") or phrases["waited.contact"]
