"""Which entry of the catalogue fits: by kind, ran, state, and what the evidence shows.

Owns the choice, as keys. It fills nothing and offers nothing. Total: every verdict and every state has a key, and every
key returned here is in the catalogue (tested over all of them).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.decide.deadlines import grace_of
from caisey.core.scene import Scene, fact_time, has_window, is_doubtful, is_gone, started
from caisey.core.states import AttemptState, CallState, CancelWhy, Effect, HoldReason, Kind, Notice, Ran
from caisey.core.tool_call import DONE_KINDS, NOT_A_TRY

RECENT_MS = 60_000
FRESH_MS = 1000

_REFUSED_BY_CODE = {
    "tool.unknown": "refused.unknown_tool",
    "tool.version_unknown": "refused.unknown_tool",
    "tool.wrong_platform": "refused.wrong_platform",
    "attempt.superseded": "refused.superseded",
    "attempt.withdrawn": "refused.withdrawn",
    "runtime.revoked": "refused.revoked",
    "dispatch.changed": "refused.changed",
    "dispatch.too_old": "refused.too_old",
    "journal.full": "refused.journal_full",
}


def of_attempt(scene: Scene, attempt: Attempt) -> str:
    """The entry for one attempt: its verdict, or its state while it has none."""
    if attempt.verdict is None or attempt.open:
        return _OF_STATE[attempt.state](scene, attempt)
    return _OF_KIND[attempt.verdict.kind](scene, attempt, attempt.verdict)


# -- verdicts ----------------------------------------------------------------------------------------------------


def _answered(s: Scene, a: Attempt, v: e.Verdict) -> str:
    return "answered.recovered" if _recovered(s, a) else "answered"


def _empty(s: Scene, a: Attempt, v: e.Verdict) -> str:
    if s.call.spec.effect is Effect.READ_ONLY:
        return "empty.reads"
    return "empty.recovered" if _recovered(s, a) else "empty.changes"


def _recovered(s: Scene, a: Attempt) -> bool:
    """Earlier tries stalled, and this one was made by itself."""
    return a.counted and s.tries > 1


def _malformed_call(s: Scene, a: Attempt, v: e.Verdict) -> str:
    if s.prompt.actor.kind != "model":
        return "malformed_call.person"
    return "malformed_call.correcting" if s.call.state is CallState.RUNNING else "malformed_call.used_up"


def _malformed_result(s: Scene, a: Attempt, v: e.Verdict) -> str:
    if v.ran is Ran.YES:
        return "malformed_result.yes"
    return "malformed_result.started" if started(a) or v.ran is Ran.PARTLY else "malformed_result.unconfirmed"


def _orphaned(s: Scene, a: Attempt, v: e.Verdict) -> str:
    follows = s.automatic_after(a)
    if v.ran is Ran.NO:
        return "orphaned.no.automatic" if follows else "orphaned.no"
    if s.safe:
        return "orphaned.safe.automatic" if follows else "orphaned.safe"
    if follows is not None:
        held = follows.state is AttemptState.HELD
        return "orphaned.changes.held" if held else "orphaned.changes.automatic"
    return "orphaned.doubtful" if is_doubtful(a) else "orphaned.changes"


def _died(s: Scene, a: Attempt, v: e.Verdict) -> str:
    follows = s.automatic_after(a)
    if v.ran is Ran.NO:
        return "runtime_died.no.automatic" if follows else "runtime_died.no"
    if s.safe and follows is not None:
        word = "reads" if s.call.spec.effect is Effect.READ_ONLY else "repeats"
        return f"runtime_died.{word}.automatic" if s.is_back(a) else f"runtime_died.{word}.not_back.automatic"
    if _ended_by(a) == "shutdown":
        return "runtime_died.shutdown"
    if (is_doubtful(a) and not started(a)) or (fact_time(a, "journal_regressed") is not None and not is_gone(a)):
        return "runtime_died.doubtful"
    if not (s.is_back(a) or a.final_word):
        if s.telling.neighbours_answer:
            return "runtime_died.others_answer"
        return "runtime_died.not_back" if started(a) else "runtime_died.received.not_back"
    return _died_back(s, a) if started(a) else _died_received(a)


def _died_back(s: Scene, a: Attempt) -> str:
    if s.call.spec.effect is Effect.READ_ONLY:
        return "runtime_died.reads"
    if s.safe:
        return "runtime_died.repeats"
    if fact_time(a, "new_incarnation", boot="new") is not None:
        return "runtime_died.restarted"
    if not s.later_not_sent:
        return "runtime_died.single"
    return "runtime_died.steps" if s.before_done else "runtime_died.first_step"


def _died_received(a: Attempt) -> str:
    if not is_gone(a):
        return "runtime_died.received"
    restarted = fact_time(a, "new_incarnation", boot="new") is not None
    return "runtime_died.received.restarted" if restarted else "runtime_died.received.agent_restarted"


def _ended_by(a: Attempt) -> Any:
    return a.finished.execution.get("ended_by") if a.finished and a.finished.execution else None


def _failed(s: Scene, a: Attempt, v: e.Verdict) -> str:
    execution = a.finished.execution if a.finished and a.finished.execution else {}
    if execution.get("signal") is not None:
        return "command_failed.signal"
    if s.error_line(a) is not None:
        return "command_failed"
    return "command_failed.plain" if s.wrote(a, "stderr") else "command_failed.silent"


def _timed_out(s: Scene, a: Attempt, v: e.Verdict) -> str:
    return "timed_out.partly" if v.ran is Ran.PARTLY else "timed_out.unconfirmed"


def _refused(s: Scene, a: Attempt, v: e.Verdict) -> str:
    code = v.code or ""
    if code == "runtime.busy":
        return "refused.busy.automatic" if s.automatic_after(a) else "refused.busy"
    if s.overtaken(a):
        return "refused.overtaken"
    return _REFUSED_BY_CODE.get(code, "refused.other")


def _denied(s: Scene, a: Attempt, v: e.Verdict) -> str:
    if v.code is not None and "rule" in v.code:
        return "denied.rule"
    return "denied.person" if any(r.reason for r in a.facts[-3:]) else "denied.no_reason"


def _expired(s: Scene, a: Attempt, v: e.Verdict) -> str:
    if has_window(a, "approval"):
        return "expired.approval"
    reasons = [r.event.reason for r in a.facts if isinstance(r.event, e.AttemptHeld)]
    away = (HoldReason.OFFLINE, HoldReason.UNHEALTHY, HoldReason.ASLEEP, HoldReason.JOURNAL_MUST_ANSWER)
    return "expired.hold" if not reasons or reasons[-1] in away else "expired.wait"


def _cancelled(s: Scene, a: Attempt, v: e.Verdict) -> str:
    if a.finished is None:
        return "cancelled.before"
    return "cancelled.partly" if v.ran is Ran.PARTLY else "cancelled.unconfirmed"


_OF_KIND: dict[Kind, Callable[[Scene, Attempt, e.Verdict], str]] = {
    Kind.ANSWERED: _answered,
    Kind.EMPTY: _empty,
    Kind.MALFORMED_CALL: _malformed_call,
    Kind.MALFORMED_RESULT: _malformed_result,
    Kind.ORPHANED: _orphaned,
    Kind.RUNTIME_DIED: _died,
    Kind.COMMAND_FAILED: _failed,
    Kind.TIMED_OUT: _timed_out,
    Kind.REFUSED: _refused,
    Kind.DENIED: _denied,
    Kind.EXPIRED: _expired,
    Kind.CANCELLED: _cancelled,
}


# -- states ------------------------------------------------------------------------------------------------------


def _queued(s: Scene, a: Attempt) -> str:
    return "queued" if a.check_due_ms is None else "queued.check"


def _held(s: Scene, a: Attempt) -> str:
    return f"held.{(a.hold.reason if a.hold else HoldReason.PERSON).value}"


def _awaiting(s: Scene, a: Attempt) -> str:
    return "awaiting_approval"


def _dispatched(s: Scene, a: Attempt) -> str:
    if _stop_asked(a):
        return "dispatched.stopping"
    if a.asked_at_ms is not None:
        return "dispatched.asked"
    return "dispatched.fresh" if s.now - (a.dispatched_at_ms or 0) < FRESH_MS else "dispatched"


def _acknowledged(s: Scene, a: Attempt) -> str:
    if _stop_asked(a):
        return "acknowledged.stopping"
    if _caisey_restarted(s, a):
        return "lost.restarted"
    return "acknowledged.reopened" if a.late and a.former else "acknowledged"


def _started(s: Scene, a: Attempt) -> str:
    if _stop_asked(a):
        return "started.stopping"
    if _caisey_restarted(s, a):
        return "lost.restarted"
    if a.notice is not None:
        return _OF_NOTICE[a.notice]
    back = back_at(a)
    if back is not None and s.now - back < RECENT_MS:
        if a.late and a.former:
            return "started.reopened"
        return "started.back_with_gap" if any(x.gaps for x in a.streams.values()) else "started.back"
    return "started"


_OF_NOTICE = {
    Notice.WAITS_FOR_INPUT: "started.asks",
    Notice.SILENT_IDLE: "started.silent",
    Notice.SILENT_BUSY: "started.busy",
}


def _lost(s: Scene, a: Attempt) -> str:
    if _caisey_restarted(s, a) and not _seen_to_be_lost(s, a):
        return "lost.restarted"
    if a.asleep:
        return "lost.asleep"
    return "lost" if started(a) else "lost.received"


def _ended(s: Scene, a: Attempt) -> str:
    return "refused.withdrawn"


_OF_STATE: dict[AttemptState, Callable[[Scene, Attempt], str]] = {
    AttemptState.QUEUED: _queued,
    AttemptState.HELD: _held,
    AttemptState.AWAITING_APPROVAL: _awaiting,
    AttemptState.DISPATCHED: _dispatched,
    AttemptState.ACKNOWLEDGED: _acknowledged,
    AttemptState.STARTED: _started,
    AttemptState.LOST: _lost,
    AttemptState.ENDED: _ended,
}


def _stop_asked(a: Attempt) -> bool:
    return a.cancel is not None and (a.cancel.why is CancelWhy.CANCEL or a.state is not AttemptState.STARTED)


def _caisey_restarted(s: Scene, a: Attempt) -> bool:
    """The control plane was away itself, and this agent has not come back yet."""
    return grace_of(a, s.view) > s.now and not s.is_back(a)


def _seen_to_be_lost(s: Scene, a: Attempt) -> bool:
    """The agent was there since the control plane is, and went away after that."""
    return a.lost_at_ms is not None and a.lost_at_ms > s.view.grace_from_ms


def back_at(a: Attempt) -> int | None:
    """When contact came back after it was lost (or concluded to be)."""
    lost = False
    back = None
    for record in a.facts:
        if isinstance(record.event, e.AttemptLost | e.AttemptReopened):
            lost, back = True, record.at_ms if isinstance(record.event, e.AttemptReopened) else None
        elif lost and isinstance(record.event, e.AttemptFound | e.AttemptStarted):
            back = record.at_ms
    return back


# -- the call as a whole -----------------------------------------------------------------------------------------

_FURTHEST = (
    AttemptState.STARTED,
    AttemptState.LOST,
    AttemptState.ACKNOWLEDGED,
    AttemptState.DISPATCHED,
    AttemptState.AWAITING_APPROVAL,
    AttemptState.HELD,
    AttemptState.QUEUED,
)


def leading(scene: Scene) -> Attempt | None:
    """The open attempt that a person would ask about: the one that is furthest, the newest of those."""
    order = {state: rank for rank, state in enumerate(_FURTHEST)}
    return min(scene.call.open_attempts, key=lambda a: (order[a.state], -a.number), default=None)


def of_call(scene: Scene) -> tuple[str, Attempt | None]:
    """The entry for the call as it stands now, and the attempt that it is told of."""
    call = scene.call
    if call.state is CallState.PENDING:
        before = scene.stopped_before
        stands = before is not None and before.state in (CallState.WAITING, CallState.ENDED)
        return ("pending.stopped" if stands else "pending" if before else "queued"), None
    if call.state is CallState.RUNNING:
        return _running(scene)
    best = scene.deciding
    if call.state is CallState.WAITING:
        if call.waiting_why in _WAITING_WHY:
            return _WAITING_WHY[call.waiting_why], best
        return (_refined(scene, best) or of_attempt(scene, best) if best else "waiting.used_up"), best
    closed = f"closed.{call.outcome}"
    if closed in scene.telling.catalogue.entries:
        return closed, best
    if best is None:
        return "closed.dropped", None
    return _refined(scene, best) or of_attempt(scene, best), best


_WAITING_WHY = {"automatic_used_up": "waiting.used_up", "review_needed": "waiting.review"}


def _running(scene: Scene) -> tuple[str, Attempt | None]:
    best, a = scene.deciding, leading(scene)
    if a is None:
        return (of_attempt(scene, best), best) if best else ("queued", None)
    on_its_way = a.state is AttemptState.QUEUED or (a.state is AttemptState.DISPATCHED and a.asked_at_ms is None)
    if best is not None and on_its_way and scene.automatic_after(best) is a:
        return of_attempt(scene, best), best
    return of_attempt(scene, a), a


def _refined(scene: Scene, a: Attempt) -> str | None:
    """A verdict that later evidence changed, loudly; or quietly where nobody had been asked yet."""
    assert a.verdict is not None
    newer = scene.call.attempts[a.number :]
    overtaken = newer and all(n.verdict is not None and n.verdict.code in NOT_A_TRY for n in newer)
    if a.verdict.kind in DONE_KINDS and overtaken and any(n.counted for n in newer):
        return "ended.already_ran"
    if not (a.late and a.former):
        return None
    former = a.former[-1]
    if (former.kind, former.ran) != (a.verdict.kind, a.verdict.ran):
        return "ended.late_changed"
    return "ended.late_same" if scene.call.state is CallState.ENDED else None
