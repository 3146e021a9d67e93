"""One attempt as `GET /prompts/{id}` shows it (API.md).

Owns the answer to "who, until when, what then" for every state that is not ended (RECOVERY.md §9, 1), and the shape of
an attempt in the API. It concludes nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.decide.deadlines import due_of, grace_of
from caisey.core.next_actions import decisions, links, next_actions
from caisey.core.present_evidence import evidence
from caisey.core.present_output import output
from caisey.core.scene import Scene
from caisey.core.spoken import optional_rfc3339, rfc3339
from caisey.core.states import AttemptState, CallState, HoldReason
from caisey.core.values import helper_id
from caisey.core.words import Words, former_label, of_one

MAX_SHAPES = 256


class Standing(NamedTuple):
    """Who has it, until when (ms), and what it becomes then."""

    owner: str
    due_at_ms: int
    next_state: str


def standing(scene: Scene, a: Attempt) -> Standing | None:
    """Owner, deadline and next state of an open attempt; None once it has ended."""
    if not a.open:
        return None
    owner, next_state = OWNERS[a.state]
    due = due_of(a, scene.view)
    if a.state is AttemptState.HELD and a.hold is not None:
        due = a.hold.until_ms
        if a.hold.reason in (HoldReason.WORLD_CHANGED, HoldReason.PERSON):
            owner = helper_id(scene.call, scene.view.policy, scene.session.owner)
    elif a.state is AttemptState.AWAITING_APPROVAL:
        owner = scene.call.escalated_to or scene.view.policy.escalate_to or owner
    elif a.state is AttemptState.DISPATCHED:
        due = a.window_ends_ms or due
    elif a.state is AttemptState.QUEUED and a.check_due_ms is not None:
        next_state = AttemptState.HELD
    return Standing(owner, max(due, grace_of(a, scene.view)), next_state.value)


# Whose move it is, and where it goes if the deadline passes without it.
OWNERS: dict[AttemptState, tuple[str, AttemptState]] = {
    AttemptState.QUEUED: ("control_plane", AttemptState.DISPATCHED),
    AttemptState.HELD: ("control_plane", AttemptState.ENDED),
    AttemptState.AWAITING_APPROVAL: ("approver", AttemptState.ENDED),
    AttemptState.DISPATCHED: ("runtime", AttemptState.ENDED),
    AttemptState.ACKNOWLEDGED: ("runtime", AttemptState.LOST),
    AttemptState.STARTED: ("runtime", AttemptState.LOST),
    AttemptState.LOST: ("control_plane", AttemptState.ENDED),
}


def attempt(scene: Scene, a: Attempt) -> dict[str, Any]:
    """The attempt. `now` holds its words while it is open; `verdict` once it has ended."""
    stands = standing(scene, a)
    words = of_one(scene, a)
    return {
        "number": a.number,
        "consent": a.consent,
        "state": a.state.value,
        "owner": stands.owner if stands else None,
        "due_at": rfc3339(stands.due_at_ms) if stands else None,
        "next_state": stands.next_state if stands else None,
        "runtime_id": a.runtime_id,
        "verdict": verdict(scene, a, words),
        "evidence": evidence(scene, a.facts),
        "execution": execution(a),
        "output": output(scene, a),
        "result": a.finished.result if a.finished is not None and a.finished.has_result else None,
        "shape_faults": shape_faults(a),
        "changes": [dict(change) for change in a.finished.changes] if a.finished is not None else [],
        "late": a.late,
        "now": spoken(words) if a.open else None,
        "why": a.why,
        "queued_at": rfc3339(a.queued_at_ms),
        "dispatched_at": optional_rfc3339(a.dispatched_at_ms),
        "acknowledged_at": optional_rfc3339(a.acknowledged_at_ms),
        "started_at": optional_rfc3339(a.started_at_ms),
        "ended_at": optional_rfc3339(a.verdict_at_ms if not a.open else None),
        "cancel_requested": a.cancel is not None,
        "notice": a.notice.value if a.notice is not None else None,
    }


def spoken(words: Words) -> dict[str, Any]:
    """Words, without their buttons."""
    return {
        "label": words.label,
        "summary": words.summary,
        "tone": words.tone.value,
        "ran_label": words.ran_label,
        "ran_note": words.ran_note,
        "entry": words.entry,
    }


def verdict(scene: Scene, a: Attempt, words: Words) -> dict[str, Any] | None:
    """Our conclusion, with what may be done next; None while the attempt is open."""
    if a.open or a.verdict is None:
        return None
    return {
        "kind": a.verdict.kind.value,
        "ran": a.verdict.ran.value,
        "next_actions": _next(scene, a, words),
        **spoken(words),
        "links": links(scene, words),
        "code": a.verdict.code,
        "cites": list(a.verdict.cites),
        "at": optional_rfc3339(a.verdict_at_ms),
        "former": [{"kind": v.kind.value, "ran": v.ran.value, "code": v.code} for v in a.former],
        "former_label": former_label(scene, a),
    }


def _next(scene: Scene, a: Attempt, words: Words) -> list[dict[str, Any]]:
    """Buttons stand with the verdict that speaks for the call, and with its newest try; an old verdict has none."""
    best, newest = scene.deciding, scene.call.newest
    if a is not best and a is not newest:
        return []
    if scene.call.state is CallState.RUNNING:
        return next_actions(scene, words) if scene.automatic_after(a) is not None else []
    told = of_one(scene, best) if best is not None and a is not best else words
    return decisions(scene, told)


def execution(a: Attempt) -> dict[str, Any] | None:
    """The execution's metadata as it was reported, with its times also as RFC 3339."""
    if a.finished is None or a.finished.execution is None:
        return None
    reported = dict(a.finished.execution)
    for name in ("started", "ended"):
        ms = reported.get(f"{name}_ms")
        if type(ms) is int:
            reported[f"{name}_at"] = rfc3339(ms)
    return reported


def shape_faults(a: Attempt) -> list[dict[str, str]]:
    """Every fault of form: of the result, and of unreadable frames that named this attempt."""
    faults = [{"pointer": f.pointer, "expected": f.expected, "found": f.found} for f in _faults(a)]
    for record in a.facts:
        if isinstance(record.event, e.EvidenceNoted) and record.event.fact == "shape_fault":
            faults += [dict(f) for f in record.event.detail.get("errors", ())]
    return faults[:MAX_SHAPES]


def _faults(a: Attempt) -> tuple[e.Shape, ...]:
    ends = [r.event for r in a.facts if isinstance(r.event, e.AttemptFinished) and r.event.faults]
    return tuple(f for end in ends for f in end.faults)
