"""Every state that is not ended has a deadline; this is what happens when it passes (RECOVERY.md §4).

Owns the sweep over one session (`tick`), the rolling deadlines, the notice of a stall, and when to look next
(`next_due`). Nothing that was there before the control plane itself was away is judged before its grace has ended.
"""

from __future__ import annotations

from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.decide.draft import Draft
from caisey.core.decide.receipts import ask_journal
from caisey.core.decide.sending import send_or_hold
from caisey.core.decide.settle import REMINDER_MS, conclude
from caisey.core.session import Session
from caisey.core.states import ON_THE_WIRE, AttemptState, CallState, Notice
from caisey.core.view import EndpointView

ANSWER_WINDOW_MS = 2000
BUSY_CPU_SHARE = 0.01


def tick(d: Draft) -> None:
    """Look at everything whose deadline may have passed."""
    for call in d.session.live_calls():
        for a in call.attempts:
            if a.open:
                _tick_attempt(d, a)
        now = d.call(call.id)
        if now.state is CallState.WAITING and now.due_at_ms is not None and _passed(d, now.due_at_ms):
            d.emit(e.ToolCallReminded(tool_call_id=call.id, due_at_ms=d.now + REMINDER_MS))


def _passed(d: Draft, due_ms: int, a: Attempt | None = None) -> bool:
    return d.now >= max(due_ms, grace_of(a, d.view))


def _tick_attempt(d: Draft, a: Attempt) -> None:
    if a.state is AttemptState.STARTED:
        _notice(d, a)
        a = d.attempt(a.tool_call_id, a.number)
    if not _passed(d, due_of(a, d.view), a):
        return
    _TICKS[a.state](d, a)


def _pass_window(d: Draft, a: Attempt, window: str) -> None:
    d.emit(e.WindowPassed(tool_call_id=a.tool_call_id, number=a.number, window=window))
    conclude(d, a.tool_call_id, a.number)


def _queued(d: Draft, a: Attempt) -> None:
    send_or_hold(d, a.tool_call_id, a.number)


def _held(d: Draft, a: Attempt) -> None:
    assert a.hold is not None
    if _passed(d, a.hold.until_ms, a):
        _pass_window(d, a, "hold")
    else:
        send_or_hold(d, a.tool_call_id, a.number)


def _awaiting(d: Draft, a: Attempt) -> None:
    _pass_window(d, a, "approval")


def _dispatched(d: Draft, a: Attempt) -> None:
    end = a.window_ends_ms or d.now
    if a.asked_at_ms is None:
        ask_journal(d, a.tool_call_id, a.number, max(end, d.now + 1))
    elif _passed(d, end, a) and a.acknowledged_at_ms is not None:
        lose(d, a, "silent")  # sent again, and known to be in the journal: no orphan
    elif _passed(d, end, a):
        _pass_window(d, a, "ack")


def _in_flight(d: Draft, a: Attempt) -> None:
    """Two heartbeat intervals without a word: ask; no answer: lost."""
    if a.asked_at_ms is None or proof_of(a, d.view) > a.asked_at_ms:
        d.emit(_missed(d, a))
        ask_journal(d, a.tool_call_id, a.number, d.now + min(ANSWER_WINDOW_MS, d.interval(a)))
    else:
        lose(d, a, "silent")


def _missed(d: Draft, a: Attempt) -> e.EvidenceNoted:
    silent = d.now - proof_of(a, d.view)
    return e.EvidenceNoted(
        tool_call_id=a.tool_call_id, number=a.number, fact="heartbeats_missed", detail={"silent_ms": silent}
    )


def _lost(d: Draft, a: Attempt) -> None:
    _pass_window(d, a, "reconcile")


_TICKS = {
    AttemptState.QUEUED: _queued,
    AttemptState.HELD: _held,
    AttemptState.AWAITING_APPROVAL: _awaiting,
    AttemptState.DISPATCHED: _dispatched,
    AttemptState.ACKNOWLEDGED: _in_flight,
    AttemptState.STARTED: _in_flight,
    AttemptState.LOST: _lost,
}


def lose(d: Draft, a: Attempt, why: str, asleep: bool = False) -> None:
    """No contact: judged when the window ends."""
    window = d.policy.ms("sleep_expiry" if asleep else "reconcile_window")
    d.emit(
        e.AttemptLost(tool_call_id=a.tool_call_id, number=a.number, why=why, due_at_ms=d.now + window, asleep=asleep)
    )


# -- stalls: slowness is no failure ------------------------------------------------------------------------------


def _notice(d: Draft, a: Attempt) -> None:
    """One that shows no progress for `stall_after` gets a notice, worded by evidence. It ends nothing.

    Not in the grace of a start: it was the control plane that was away, and heard nothing.
    """
    quiet = a.quiet_since_ms or a.started_at_ms or d.now
    if d.now - quiet < d.policy.ms("stall_after") or d.now < grace_of(a, d.view):
        return
    notice = _worded(a, quiet, d.now)
    if notice is not a.notice:
        d.emit(e.AttemptNoticed(tool_call_id=a.tool_call_id, number=a.number, notice=notice))


def _worded(a: Attempt, quiet_since_ms: int, now_ms: int) -> Notice:
    if a.progress is None:
        return Notice.SILENT_IDLE
    if a.progress.waiting_for_input:
        return Notice.WAITS_FOR_INPUT
    used = a.progress.cpu_ms - a.quiet_cpu_ms
    busy = used > BUSY_CPU_SHARE * max(1, a.progress_at_ms - quiet_since_ms)
    return Notice.SILENT_BUSY if busy else Notice.SILENT_IDLE


# -- when to look next -------------------------------------------------------------------------------------------


def due_of(a: Attempt, view: EndpointView) -> int:
    """The attempt's deadline. In flight it rolls: two heartbeat intervals after the last proof of life."""
    due = a.due_at_ms or 0
    if a.state in (AttemptState.ACKNOWLEDGED, AttemptState.STARTED):
        proof = proof_of(a, view)
        if a.asked_at_ms is None or proof > a.asked_at_ms:
            runtime = view.runtime(a.runtime_id) if a.runtime_id else None
            interval = runtime.heartbeat_interval_ms if runtime else view.policy.ms("heartbeat_interval")
            return proof + 2 * interval if proof else due  # by what it states now, not by what it stated then
    elif a.check_due_ms is not None:  # a runtime was asked to prove that it answers
        if a.hold is None:
            return max(due, a.check_due_ms)
        return min(
            max(a.check_due_ms, a.hold.retry_at_ms or 0), a.hold.until_ms
        )  # asked again long before the hold ends
    return due


def grace_of(a: Attempt | None, view: EndpointView) -> int:
    """Before this no deadline of it is judged. What was sent since the control plane is back has no need of a grace."""
    sent = a is not None and a.state in ON_THE_WIRE and a.sent_at_ms > view.grace_from_ms
    return 0 if sent else view.grace_until_ms


def proof_of(a: Attempt, view: EndpointView) -> int:
    """When it was last heard of: a receipt, output, progress, or a place in a heartbeat's `in_flight`."""
    return max(a.proved_at_ms, view.proofs.get(a.key, 0))


def next_due(session: Session, view: EndpointView) -> int | None:
    """When `tick` has something to do, in ms since the epoch; None if nothing is open."""
    dues: list[int] = []
    for call in session.live_calls():
        for a in call.attempts:
            if a.open:
                grace = grace_of(a, view)
                dues.append(max(due_of(a, view), grace))
                if a.state is AttemptState.STARTED and a.notice is None:
                    quiet = a.quiet_since_ms or a.started_at_ms or 0
                    dues.append(max(quiet + view.policy.ms("stall_after"), grace))
        if call.state is CallState.WAITING and call.due_at_ms is not None:
            dues.append(max(call.due_at_ms, view.grace_until_ms))
    return min(dues, default=None)
