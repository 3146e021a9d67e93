"""Recovery actions by a person: which are offered, and what each does (RECOVERY.md §1, §7; API.md actions).

Owns `offered` and `act`. Words for them are in `words.py`; what may start mutating work needs `seen`.
"""

from __future__ import annotations

from msgspec.structs import replace

from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.decide.draft import Draft
from caisey.core.decide.sending import send_or_hold
from caisey.core.decide.settle import REMINDER_MS, conclude, end_call, next_step, start_call
from caisey.core.errors import Fault
from caisey.core.session import Session
from caisey.core.states import (
    NOT_SENT,
    Action,
    AttemptState,
    CallState,
    CancelWhy,
    HoldReason,
    Kind,
    Ran,
)
from caisey.core.tool_call import ToolCall, deciding, may_change_things, ran

MAX_INPUT = 64 * 1024
AGAIN_KINDS = frozenset(
    {
        Kind.ORPHANED,
        Kind.RUNTIME_DIED,
        Kind.TIMED_OUT,
        Kind.REFUSED,
        Kind.EXPIRED,
        Kind.DENIED,
        Kind.MALFORMED_RESULT,
        Kind.COMMAND_FAILED,
    }
)
MAY_START = frozenset(
    {Action.RETRY, Action.REQUEUE, Action.REROUTE, Action.RESUME, Action.RELEASE, Action.ADJUST, Action.HOLD}
)


def offered(session: Session, call: ToolCall) -> list[Action]:
    """Every action that is possible now on this call, in no order."""
    actions: list[Action] = []
    newest = call.newest
    if call.state is CallState.WAITING:
        actions += _offered_waiting(call)
    elif call.state is CallState.RUNNING and newest is not None:
        actions += _offered_running(call)
    elif call.state is CallState.PENDING:
        if _can_resume(session, call):
            actions.append(Action.RESUME)
        actions += [Action.CANCEL, Action.ESCALATE]
    elif call.state is CallState.ENDED:
        actions += _offered_ended(call)
    if call.attempts and call.spec.check is not None:
        actions.append(Action.VERIFY)
    if call.state is CallState.WAITING and _can_resume(session, call):
        actions.append(Action.RESUME)
    return actions


def _offered_waiting(call: ToolCall) -> list[Action]:
    best = deciding(call)
    actions = [Action.ESCALATE, Action.CANCEL, Action.ADJUST]
    if best is None or best.verdict is None:
        return actions
    if best.verdict.kind in AGAIN_KINDS:
        actions += [Action.RETRY, Action.REQUEUE, Action.REROUTE]
    if best.verdict.kind in (Kind.ORPHANED, Kind.RUNTIME_DIED, Kind.EXPIRED, Kind.REFUSED):
        actions.append(Action.HOLD)
    if ran(call) is not Ran.NO:
        actions.append(Action.ACCEPT_PARTIAL)
    return actions


def _offered_running(call: ToolCall) -> list[Action]:
    actions = [Action.ESCALATE, Action.CANCEL]
    unsent = all(a.state in NOT_SENT for a in call.open_attempts)
    for a in call.open_attempts:
        if a.state in (AttemptState.QUEUED, AttemptState.HELD):
            actions += [Action.HOLD, Action.REROUTE] if unsent else [Action.HOLD]
        if a.state is AttemptState.HELD:
            actions += [Action.RELEASE, Action.ADJUST] if unsent else [Action.RELEASE]
        if a.state is AttemptState.STARTED:
            actions.append(Action.INPUT)
    return sorted(set(actions))


def _offered_ended(call: ToolCall) -> list[Action]:
    best = deciding(call)
    if best is None or best.verdict is None or call.outcome == "replaced":
        return []
    if call.outcome in ("dropped", "cancelled", "accepted_partial", "resumed_past"):
        return [Action.ADJUST, Action.RETRY, Action.REQUEUE]
    return [Action.ADJUST]


def _can_resume(session: Session, call: ToolCall) -> bool:
    """Nothing before it or of it is under way, and something before it (or it) stands still."""
    prompt = session.prompts[call.prompt_id]
    before = [p for p in session.calls_of(prompt) if p.spec.position <= call.spec.position]
    return not any(p.state is CallState.RUNNING for p in before)


def act(d: Draft, command: c.Act) -> None:
    """Carry out one action, or raise Fault (resource.not_found, action.not_offered, .stale, .seen_required)."""
    call = d.session.calls.get(command.tool_call_id)
    if call is None:
        raise Fault("resource.not_found")
    _check_seen(d, call, command)
    possible = offered(d.session, call)
    if command.action not in possible:
        names = [str(a) for a in possible]
        raise Fault("action.not_offered", offered=names, why=why_not(call, command.action))
    _ACTS[Action(command.action)](d, call, command)


def why_not(call: ToolCall, action: str) -> str:
    """One sentence: why this action is not offered now."""
    if call.state is CallState.PENDING:
        return "This step has not been sent yet."
    if call.state is CallState.RUNNING:
        states = ", ".join(sorted({str(a.state) for a in call.open_attempts}))
        return f"The step is under way ({states})."
    best = deciding(call)
    kind = str(best.verdict.kind) if best and best.verdict else "no verdict"
    if call.state is CallState.ENDED:
        return f"The step has ended ({call.outcome}, {kind})."
    return f"It does not fit the verdict ({kind}, ran: {ran(call)})."


def may_start_mutating(session: Session, call: ToolCall, action: str) -> bool:
    """Whether `seen` and an Idempotency-Key are required (RECOVERY.md §7)."""
    if action not in MAY_START:
        return False
    if action == Action.RESUME:
        prompt = session.prompts[call.prompt_id]
        rest = [p for p in session.calls_of(prompt) if p.spec.position >= call.spec.position]
        return any(may_change_things(p) for p in rest)
    return may_change_things(call)


def _check_seen(d: Draft, call: ToolCall, command: c.Act) -> None:
    prompt = d.session.prompts[call.prompt_id]
    sequence = d.session.prompt_sequence(prompt)
    if command.seen is None:
        if may_start_mutating(d.session, call, command.action):
            raise Fault("action.seen_required", seen=sequence)
        return
    if command.seen < sequence:
        raise Fault("action.stale", seen=sequence, new=whats_new(d.session, prompt.call_ids, command.seen))


def whats_new(session: Session, call_ids: tuple[str, ...], seen: int) -> list[dict[str, object]]:
    """The events over a prompt's calls after `seen`: sequence, call, attempt, type."""
    new = [
        {"sequence": r.sequence, "tool_call_id": i, "attempt": a.number, "type": e.type_of(r.event)}
        for i in call_ids
        for a in session.calls[i].attempts
        for r in a.facts
        if r.sequence > seen
    ]
    return sorted(new, key=lambda n: n["sequence"])[-50:]  # type: ignore[arg-type,return-value]  # sequences are ints


# -- each action -------------------------------------------------------------------------------------------------


def _again(d: Draft, call: ToolCall, command: c.Act) -> None:
    """retry (same runtime), requeue (any), reroute (the named runtime or bridge)."""
    action = Action(command.action)
    held = next((a for a in call.open_attempts if a.state in NOT_SENT), None)
    if held is not None:  # reroute of one that was not sent: the same consent, another way
        _drop_unsent(d, call, held, command)
        call = d.call(call.id)
    best = deciding(call)
    proved_no = ran(call) is Ran.NO
    tried = best if best is not None else call.attempts[-1]
    target = command.runtime_id
    if action is Action.RETRY and target is None:
        last = next((a for a in reversed(call.attempts) if a.runtime_id), None)
        target = last.runtime_id if last else None
    anew = not proved_no and (best is None or best.verdict is not None)
    consent = max(k.number for k in call.consents) + 1 if anew else tried.consent
    d.emit(
        e.AttemptQueued(
            tool_call_id=call.id,
            number=len(call.attempts) + 1,
            consent=consent,
            consent_by="person",
            why=str(action),
            due_at_ms=d.now,
            check=action is not Action.RETRY,
            runtime_id=target,
            bridge=command.bridge,
            limits=command.limits or tried.limits,
        ),
        command.actor,
        command.reason,
    )
    send_or_hold(d, call.id, len(call.attempts) + 1)


def _drop_unsent(d: Draft, call: ToolCall, a: Attempt, command: c.Act) -> None:
    d.emit(
        e.CancelRequested(tool_call_id=call.id, number=a.number, why=CancelWhy.WITHDRAWN), command.actor, command.reason
    )
    verdict = e.Verdict(Kind.REFUSED, Ran.NO, "attempt.withdrawn", (len(d.attempt(call.id, a.number).facts) - 1,))
    d.emit(e.AttemptEnded(tool_call_id=call.id, number=a.number, verdict=verdict))


def _resume(d: Draft, call: ToolCall, command: c.Act) -> None:
    """Send step N and all after it, and nothing before it."""
    prompt = d.session.prompts[call.prompt_id]
    for earlier in d.session.calls_of(prompt):
        if earlier.spec.position < call.spec.position and earlier.state is not CallState.ENDED:
            d.emit(e.ToolCallEnded(tool_call_id=earlier.id, outcome="resumed_past"), command.actor, command.reason)
    if call.state is CallState.PENDING:
        start_call(d, call.id, "resume", command.actor, command.reason)
    else:
        _again(d, call, replace(command, action=Action.REQUEUE))


def _hold(d: Draft, call: ToolCall, command: c.Act) -> None:
    """Keep an unsent try back, or wait for the computer with a stalled one (the present consent, nothing anew)."""
    wait = command.expires_in_ms or d.policy.ms("hold_expiry")
    unsent = next((a for a in call.open_attempts if a.state in NOT_SENT), None)
    if unsent is None:
        tried = deciding(call) or call.attempts[-1]
        d.emit(
            e.AttemptQueued(
                tool_call_id=call.id,
                number=len(call.attempts) + 1,
                consent=tried.consent,
                consent_by="carried",
                why="hold",
                due_at_ms=d.now,
                check=True,
                limits=tried.limits,
            ),
            command.actor,
            command.reason,
        )
        unsent = d.call(call.id).attempts[-1]
        send_or_hold(d, call.id, unsent.number)
        unsent = d.attempt(call.id, unsent.number)
        if unsent.state not in NOT_SENT or unsent.check_due_ms is not None:
            return
    reason = unsent.hold.reason if unsent.hold else HoldReason.PERSON
    d.emit(
        e.AttemptHeld(
            tool_call_id=call.id,
            number=unsent.number,
            reason=reason,
            until_ms=d.now + wait,
            since_ms=unsent.hold.since_ms if unsent.hold else None,
            detail=unsent.hold.detail if unsent.hold else None,
        ),
        command.actor,
        command.reason,
    )


def _release(d: Draft, call: ToolCall, command: c.Act) -> None:
    """Send now: it still goes out only if the computer answers. Never adds a consent; a person confirms it."""
    held = next(a for a in call.open_attempts if a.state is AttemptState.HELD)
    d.emit(
        e.AttemptReleased(tool_call_id=call.id, number=held.number, due_at_ms=d.now, confirmed=True),
        command.actor,
        command.reason,
    )
    send_or_hold(d, call.id, held.number)


def _escalate(d: Draft, call: ToolCall, command: c.Act) -> None:
    to = command.to or d.policy.escalate_to or d.session.owner
    d.emit(e.ToolCallEscalated(tool_call_id=call.id, to=to), command.actor, command.reason)


def _accept(d: Draft, call: ToolCall, command: c.Act) -> None:
    end_call(d, call.id, "accepted_partial", command.actor, command.reason)


def _cancel(d: Draft, call: ToolCall, command: c.Act) -> None:
    """A wish until the runtime answers; of what was not sent, at once."""
    if not call.open_attempts:
        end_call(d, call.id, "dropped", command.actor, command.reason)
        return
    for a in call.open_attempts:
        d.emit(
            e.CancelRequested(tool_call_id=call.id, number=a.number, why=CancelWhy.CANCEL),
            command.actor,
            command.reason,
        )
        if a.state in NOT_SENT:
            conclude(d, call.id, a.number)


def _input(d: Draft, call: ToolCall, command: c.Act) -> None:
    a = next(a for a in call.open_attempts if a.state is AttemptState.STARTED)
    if len(command.data.encode()) > MAX_INPUT:
        raise Fault("request.too_large", "An answer may have at most 64 KiB.")
    d.emit(
        e.InputGiven(
            tool_call_id=call.id,
            number=a.number,
            sequence=a.inputs + 1,
            length=len(command.data.encode()),
            data=None if command.sensitive else command.data,
            close=command.close,
            sensitive=command.sensitive,
        ),
        command.actor,
        command.reason,
    )


def _adjust(d: Draft, call: ToolCall, command: c.Act) -> None:
    """Edited and sent: a new call takes this one's place, with a consent of its own."""
    if command.new_call is None:
        raise Fault("request.invalid_shape", "`arguments` is missing.")
    for a in call.open_attempts:
        _drop_unsent(d, call, a, command)
    if d.call(call.id).state is CallState.RUNNING:
        d.emit(
            e.ToolCallWaiting(tool_call_id=call.id, why="verdict", owner=d.session.owner, due_at_ms=d.now + REMINDER_MS)
        )
    d.emit(e.ToolCallReplaced(tool_call_id=call.id, call=command.new_call), command.actor, command.reason)
    start_call(d, command.new_call.id, "prompt", command.actor, command.reason)


def _verify(d: Draft, call: ToolCall, command: c.Act) -> None:
    """The tool's read-only check, as a request of its own beside this one."""
    if command.new_call is None or command.prompt_id is None:
        raise Fault("request.invalid_shape", "The check is missing.")
    prompt = e.PromptAccepted(
        prompt_id=command.prompt_id,
        calls=(command.new_call,),
        side_by_side=True,
        origin=e.Origin("verify", call.id),
    )
    d.emit(prompt, command.actor, command.reason)
    next_step(d, d.session.prompts[command.prompt_id])


_ACTS = {
    Action.RETRY: _again,
    Action.REQUEUE: _again,
    Action.REROUTE: _again,
    Action.RESUME: _resume,
    Action.HOLD: _hold,
    Action.RELEASE: _release,
    Action.ESCALATE: _escalate,
    Action.ACCEPT_PARTIAL: _accept,
    Action.CANCEL: _cancel,
    Action.INPUT: _input,
    Action.ADJUST: _adjust,
    Action.VERIFY: _verify,
}
