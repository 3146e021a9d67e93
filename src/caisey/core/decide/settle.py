"""What follows from a verdict: the call's state, the next step, automatic recovery, the prompt's state.

Owns the consequences (RECOVERY.md §2 end, §4 waiting, §6). Verdicts are derived in `verdict.py`, never here.
"""

from __future__ import annotations

from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.decide.draft import Draft
from caisey.core.decide.sending import hold_busy, send_or_hold
from caisey.core.recovery import SETTLED_KINDS, Automatic, allowed, automatic
from caisey.core.session import Prompt
from caisey.core.states import NOT_SENT, AttemptState, CallState, CancelWhy, HoldReason, Kind, PromptState, Ran
from caisey.core.tool_call import (
    DONE_KINDS,
    NOT_A_TRY,
    ToolCall,
    combine,
    deciding,
    may_change_things,
    proved,
    ran_before,
)
from caisey.core.verdict import derive

REMINDER_MS = 3_600_000
DECIDED = frozenset({"done", "accepted_partial", "resumed_past", "replaced"})


def conclude(d: Draft, call_id: str, number: int) -> None:
    """Derive the attempt's verdict from its evidence, and do what follows. Nothing, if there is none yet."""
    call, a = d.call(call_id), d.attempt(call_id, number)
    verdict = derive(a.facts, call.spec.structured, ran_before(call, a))
    if verdict is None:
        return
    if a.open:
        d.emit(e.AttemptEnded(tool_call_id=call_id, number=number, verdict=verdict))
    elif a.verdict is None or (a.verdict.kind, a.verdict.ran, a.verdict.code) != (
        verdict.kind,
        verdict.ran,
        verdict.code,
    ):
        d.emit(e.VerdictRefined(tool_call_id=call_id, number=number, verdict=verdict))
    else:
        return
    _refine_newer(d, call_id, number)
    settle_call(d, call_id, number)


def _refine_newer(d: Draft, call_id: str, number: int) -> None:
    """A try that never ran shows what is known of those before it: a word about one of them says more about it too."""
    for newer in d.call(call_id).attempts[number:]:
        if newer.verdict is None or proved(newer) is not Ran.NO:
            continue
        call = d.call(call_id)
        before = combine([proved(a) for a in call.attempts[: newer.number - 1]])
        verdict = derive(newer.facts, call.spec.structured, before)
        if verdict is not None and verdict.ran is not newer.verdict.ran:
            d.emit(e.VerdictRefined(tool_call_id=call_id, number=newer.number, verdict=verdict))


def settle_call(d: Draft, call_id: str, number: int) -> None:
    """After attempt `number` ended or was refined: end the call, recover it, or put it before a person."""
    call, a = d.call(call_id), d.attempt(call_id, number)
    assert a.verdict is not None
    if a.verdict.kind in DONE_KINDS:
        withdraw_newer(d, call_id, number, any_consent=True)
        call = d.call(call_id)
    if call.open_attempts or call.outcome in DECIDED:
        return  # another try is under way, or it is settled already
    best = deciding(call)
    assert best is not None
    assert best.verdict is not None
    if best.verdict.kind in DONE_KINDS:
        end_call(d, call_id, "done")
    elif _is_newest_try(call, a) and follow(d, call_id, number):
        return
    elif call.dropped and best.verdict.kind is not Kind.CANCELLED:
        end_call(d, call_id, "dropped")
    elif best.verdict.kind in SETTLED_KINDS:
        end_call(d, call_id, "cancelled")
    elif call.state is CallState.RUNNING:
        wait_for_person(d, call_id, "verdict")


def _is_newest_try(call: ToolCall, a: Attempt) -> bool:
    """Only the newest try is followed by another; a late word about an older one changes no newer one."""
    return all(b.verdict is not None and b.verdict.code in NOT_A_TRY for b in call.attempts[a.number :])


def _to_follow(call: ToolCall, a: Attempt) -> Attempt:
    """Whose verdict counts: a try that only found an earlier one taken up (or was taken back for it) points there."""
    assert a.verdict is not None
    begun = any(b.started_at_ms is not None and b.consent == a.consent for b in call.attempts[: a.number - 1])
    if a.verdict.code == "attempt.superseded" or (a.verdict.code == "attempt.withdrawn" and begun):
        return deciding(call) or a
    return a


def follow(d: Draft, call_id: str, number: int) -> bool:
    """Take the automatic action of RECOVERY.md §6, if there is one. True if the call goes on, or waits, by itself."""
    call = d.call(call_id)
    a = _to_follow(call, call.attempts[number - 1])
    assert a.verdict is not None
    what = automatic(a.verdict.kind, a.verdict.ran, a.verdict.code, call.spec.effect)
    if what is Automatic.NOTHING or call.dropped or (a.cancel is not None and a.cancel.why is CancelWhy.CANCEL):
        return False
    if what is Automatic.REPLACE:
        if _replaced(call) > d.policy.max_automatic and call.state is CallState.RUNNING:
            wait_for_person(d, call_id, "automatic_used_up")
        else:
            _replace(d, call, a)
        return True
    if not allowed(d.policy, call.spec.effect, call.automatic):
        if call.automatic >= d.policy.max_automatic and call.state is CallState.RUNNING:
            wait_for_person(d, call_id, "automatic_used_up")
            return True
        return False
    if may_change_things(call) and d.view.review_needed:
        wait_for_person(d, call_id, "review_needed")
        return True
    anew = what is Automatic.RETRY
    d.emit(
        e.AttemptQueued(
            tool_call_id=call_id,
            number=len(call.attempts) + 1,
            consent=max(c.number for c in call.consents) + 1 if anew else a.consent,
            consent_by="policy" if anew else "carried",
            why="retry" if anew else "requeue",
            due_at_ms=d.now,
            counted=True,
            check=True,
            limits=a.limits,
        ),
        actor=e.POLICY,
        reason=f"{a.verdict.kind}, ran {a.verdict.ran}",
    )
    send_or_hold(d, call_id, len(call.attempts) + 1)
    return True


def _replaced(call: ToolCall) -> int:
    """How many tries were sent and taken back again. A runtime that takes nothing up must not be asked for ever."""
    return sum(
        1
        for a in call.attempts
        if a.dispatched_at_ms and a.verdict is not None and a.verdict.code in ("attempt.withdrawn", "dispatch.too_old")
    )


def _replace(d: Draft, call: ToolCall, a: Attempt) -> None:
    """It was refused for a reason of the moment: queued again with the same consent, not counted."""
    assert a.verdict is not None
    number = len(call.attempts) + 1
    busy = a.verdict.code == "runtime.busy"
    d.emit(
        e.AttemptQueued(
            tool_call_id=call.id,
            number=number,
            consent=a.consent,
            consent_by="carried",
            why="busy" if busy else "requeue",
            due_at_ms=d.now,
            limits=a.limits,
        ),
        actor=e.POLICY,
        reason=a.verdict.code,
    )
    if busy:
        hold_busy(d, call.id, number)
    else:
        send_or_hold(d, call.id, number)


def wait_for_person(d: Draft, call_id: str, why: str) -> None:
    """The call's owner is asked; it is reminded until somebody acts."""
    owner = d.policy.escalate_to or d.session.owner
    d.emit(e.ToolCallWaiting(tool_call_id=call_id, why=why, owner=owner, due_at_ms=d.now + REMINDER_MS))


def end_call(d: Draft, call_id: str, outcome: str, actor: e.Actor = e.CONTROL_PLANE, reason: str | None = None) -> None:
    """End the call; if it passed, the next step goes out."""
    d.emit(e.ToolCallEnded(tool_call_id=call_id, outcome=outcome), actor, reason)
    if d.call(call_id).passed:
        next_step(d, d.session.prompts[d.call(call_id).prompt_id])


def next_step(d: Draft, prompt: Prompt) -> None:
    """Send the first pending step, if everything before it has passed."""
    for call in d.session.calls_of(d.session.prompts[prompt.id]):
        if call.state is CallState.PENDING:
            start_call(d, call.id, "next_step" if call.spec.position > 1 else "prompt")
            return
        if not call.passed:
            return


def start_call(d: Draft, call_id: str, why: str, actor: e.Actor = e.CONTROL_PLANE, reason: str | None = None) -> None:
    """The first attempt of a pending call, by consent 1. A person who sends it now confirms that consent."""
    by = "person" if why == "resume" else "prompt"
    d.emit(
        e.AttemptQueued(tool_call_id=call_id, number=1, consent=1, consent_by=by, why=why, due_at_ms=d.now),
        actor,
        reason,
    )
    send_or_hold(d, call_id, 1)


def withdraw_newer(d: Draft, call_id: str, number: int, any_consent: bool = False) -> None:
    """Newer attempts that have not started are taken back (RECOVERY.md §4, reopening).

    `any_consent`: the call is done, so tries by other consents that were not sent are not needed either.
    """
    consent = d.attempt(call_id, number).consent
    for newer in d.call(call_id).attempts[number:]:
        if not newer.open or not (any_consent or newer.consent == consent):
            continue
        if newer.cancel is None:
            d.emit(e.CancelRequested(tool_call_id=call_id, number=newer.number, why=CancelWhy.WITHDRAWN))
        if newer.state in NOT_SENT:
            fresh = d.attempt(call_id, newer.number)
            verdict = derive(fresh.facts, d.call(call_id).spec.structured, ran_before(d.call(call_id), fresh))
            assert verdict is not None
            d.emit(e.AttemptEnded(tool_call_id=call_id, number=newer.number, verdict=verdict))


def release_owed(d: Draft, call_id: str) -> None:
    """The journal has answered: an attempt that waited for its word may go."""
    for a in d.call(call_id).attempts:
        if a.state is AttemptState.HELD and a.hold and a.hold.reason is HoldReason.JOURNAL_MUST_ANSWER:
            send_or_hold(d, call_id, a.number)


def settle_prompts(d: Draft) -> None:
    """Emit what became of each touched prompt; then let what waited behind it go."""
    while d.touched:
        touched, d.touched = sorted(d.touched), set()
        for prompt_id in touched:
            _settle_prompt(d, d.session.prompts[prompt_id])
        _release_behind(d)


def _settle_prompt(d: Draft, prompt: Prompt) -> None:
    states = [d.session.calls[i].state for i in prompt.call_ids]
    if all(s is CallState.ENDED for s in states):
        wanted = PromptState.ENDED
    elif CallState.RUNNING in states:
        wanted = PromptState.RUNNING
    else:
        wanted = PromptState.WAITING
    if wanted is not prompt.state:
        d.emit(BECOMES[wanted](prompt_id=prompt.id))


BECOMES: dict[PromptState, type[e.PromptEnded | e.PromptResumed | e.PromptWaiting]] = {
    PromptState.ENDED: e.PromptEnded,
    PromptState.RUNNING: e.PromptResumed,
    PromptState.WAITING: e.PromptWaiting,
}


def _release_behind(d: Draft) -> None:
    if len(d.session.live) < 1:
        return
    for call in d.session.live_calls():
        for a in call.attempts:
            if a.state is AttemptState.HELD and a.hold and a.hold.reason is HoldReason.EARLIER_REQUEST:
                send_or_hold(d, call.id, a.number)
