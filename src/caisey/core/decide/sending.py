"""Whether, when and to whom an attempt goes out (RECOVERY.md §4 sendable, §5 moving journals, §6 holds and consent
age).

Owns the gate and the choice of a runtime. The order of the checks is the order of the page.
"""

from __future__ import annotations

from typing import NamedTuple

from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.decide.draft import Draft
from caisey.core.session import Prompt
from caisey.core.states import ON_THE_WIRE, AttemptState, CallState, Effect, Health, HoldReason, PromptState
from caisey.core.tool_call import ToolCall, journals_owed, may_change_things
from caisey.core.view import RuntimeView

CHECK_WINDOW_MS = 2000
SLOWEST_CHECK_MS = 30_000
BUSY_RETRY_MS = 5000
ONLY_A_PERSON = frozenset({HoldReason.PERSON, HoldReason.WORLD_CHANGED})


class Blocked(NamedTuple):
    """It may not go out now."""

    reason: HoldReason
    detail: str | None = None


class Ask(NamedTuple):
    """The runtime has to prove first that it answers (and, with nonce, that it holds its key)."""

    runtime: RuntimeView
    nonce: bool


def send_what_can(d: Draft, freed_runtime_id: str | None = None) -> None:
    """Move every queued or held attempt of the session as far as it can go."""
    for call in d.session.live_calls():
        for attempt in call.attempts:
            if attempt.state in (AttemptState.QUEUED, AttemptState.HELD):
                send_or_hold(d, call.id, attempt.number, freed_runtime_id)


def send_or_hold(d: Draft, call_id: str, number: int, freed_runtime_id: str | None = None) -> None:
    """Dispatch one attempt, or say why not."""
    call, a = d.call(call_id), d.attempt(call_id, number)
    if a.state is AttemptState.HELD:
        if a.hold is None or a.hold.reason in ONLY_A_PERSON:
            return
        busy = a.hold.reason is HoldReason.BUSY
        if busy and freed_runtime_id is None and d.now < (a.hold.retry_at_ms or 0):
            return
    choice = _gate(d, call, a) or _choose(d, call, a)
    if isinstance(choice, Ask):
        _ask(d, a, choice)
    elif isinstance(choice, Blocked):
        _hold(d, call, a, choice)
    else:
        if a.state is AttemptState.HELD:
            d.emit(e.AttemptReleased(tool_call_id=call_id, number=number, due_at_ms=d.now))
        dispatch(d, call_id, number, choice)


# -- the gate: reasons that lie in the session and the endpoint's world ------------------------------------------


def _gate(d: Draft, call: ToolCall, a: Attempt) -> Blocked | None:
    prompt = d.session.prompts[call.prompt_id]
    if _behind(d, prompt):
        return Blocked(HoldReason.EARLIER_REQUEST)
    return world_changed(d, call, a)


def _behind(d: Draft, prompt: Prompt) -> bool:
    """A prompt with mutating steps waits behind an earlier running one that has such steps open."""
    if prompt.side_by_side or len(d.session.live) < 2 or not _open_mutating(d, prompt):
        return False
    for prompt_id in {d.session.calls[i].prompt_id for i in d.session.live}:
        other = d.session.prompts[prompt_id]
        if other.id == prompt.id or other.state is not PromptState.RUNNING or not _open_mutating(d, other):
            continue
        if _on_its_way(d, other) or _turn(d, other) < _turn(d, prompt):
            return True
    return False


def _turn(d: Draft, prompt: Prompt) -> tuple[bool, int, str]:
    """Whose turn it is: those that have begun first, then by age. A total order, so nobody waits for each other."""
    begun = any(a.dispatched_at_ms is not None for i in prompt.call_ids for a in d.session.calls[i].attempts)
    return not begun, prompt.accepted_at_ms, prompt.id


def _open_mutating(d: Draft, prompt: Prompt) -> bool:
    calls = (d.session.calls[i] for i in prompt.call_ids)
    return any(may_change_things(c) and c.state is not CallState.ENDED for c in calls)


def _on_its_way(d: Draft, prompt: Prompt) -> bool:
    return any(a.state in ON_THE_WIRE for i in prompt.call_ids for a in d.session.calls[i].attempts)


def world_changed(d: Draft, call: ToolCall, a: Attempt) -> Blocked | None:
    """Before every start of a mutating call: the consent's age, what others changed, a journal set back."""
    if not may_change_things(call):
        return None
    consent = call.consent(a.consent) if a.consent <= len(call.consents) else call.consents[-1]
    if d.now - consent.confirmed_at_ms > d.policy.ms("mutating_age"):
        return Blocked(HoldReason.WORLD_CHANGED, "age")
    if d.view.review_needed and consent.confirmed_at_ms < d.view.review_since_ms:
        return Blocked(HoldReason.WORLD_CHANGED, "journal_regressed")
    others = [c for c in d.view.changes if c.at_ms > consent.confirmed_at_ms and c.actor_id != consent.actor.id]
    if others:
        return Blocked(HoldReason.WORLD_CHANGED, f"others:{len(others)}")
    return None


# -- the choice of a runtime -------------------------------------------------------------------------------------


def _usable(runtime: RuntimeView) -> bool:
    return (
        bool(runtime.bridges)
        and runtime.healthy
        and runtime.accepting
        and not (runtime.revoked or runtime.settle_only or runtime.asleep)
    )


def _choose(d: Draft, call: ToolCall, a: Attempt) -> RuntimeView | Ask | Blocked:
    owed = journals_owed(call, a.consent) if may_change_things(call) else frozenset()
    fitting = [r for r in d.view.runtimes if a.only_runtime_id in (None, r.runtime_id)]
    if owed:
        fitting = [r for r in fitting if r.journal_id in owed]
    usable = [r for r in fitting if _usable(r) and (a.only_bridge is None or a.only_bridge in r.bridges)]
    if not usable:
        return _why_none(d, fitting, bool(owed))
    former = next((b.runtime_id for b in reversed(call.attempts[: a.number - 1]) if b.runtime_id), None)
    best = max(usable, key=lambda r: (r.runtime_id == former, r.proved_at_ms))
    if a.check and best.checked_at_ms < a.queued_at_ms:
        return Ask(best, nonce=True)
    if d.now - best.proved_at_ms > best.heartbeat_interval_ms:
        return Ask(best, nonce=False)
    return best


def _why_none(d: Draft, fitting: list[RuntimeView], owed: bool) -> Blocked:
    if owed:
        return Blocked(HoldReason.JOURNAL_MUST_ANSWER)
    if d.view.health is Health.ASLEEP:
        return Blocked(HoldReason.ASLEEP)
    connected = [r for r in fitting if r.bridges]
    if not connected:
        return Blocked(HoldReason.OFFLINE)
    if all(not r.accepting for r in connected):
        return Blocked(HoldReason.DRAINING)
    return Blocked(HoldReason.UNHEALTHY)


def _ask(d: Draft, a: Attempt, ask: Ask) -> None:
    asked = a.check_due_ms is not None and a.check_runtime_id == ask.runtime.runtime_id
    if asked and d.now < (a.check_due_ms or 0):
        return  # the answer or the deadline comes
    if asked and (a.hold is None or a.hold.reason is HoldReason.BUSY):
        _hold(d, d.call(a.tool_call_id), a, _unanswered(d, a))
        a = d.attempt(a.tool_call_id, a.number)
    window = min(CHECK_WINDOW_MS, ask.runtime.heartbeat_interval_ms)
    if a.hold is not None:  # asked again until the hold ends, and the more rarely the longer it has waited
        window = max(window, min(SLOWEST_CHECK_MS, (d.now - a.queued_at_ms) // 16))
    due = d.now + window
    d.emit(
        e.AttemptCheckAsked(
            tool_call_id=a.tool_call_id,
            number=a.number,
            runtime_id=ask.runtime.runtime_id,
            nonce=ask.nonce,
            due_at_ms=due,
        )
    )


def _unanswered(d: Draft, a: Attempt) -> Blocked:
    call = d.call(a.tool_call_id)
    owed = may_change_things(call) and bool(journals_owed(call, a.consent))
    return Blocked(HoldReason.JOURNAL_MUST_ANSWER if owed else HoldReason.UNHEALTHY)


def _hold(d: Draft, call: ToolCall, a: Attempt, blocked: Blocked, retry_at_ms: int | None = None) -> None:
    if a.hold is not None and a.hold.reason is blocked.reason and a.check_due_ms is None:
        return
    since = d.view.since_ms if blocked.reason in (HoldReason.OFFLINE, HoldReason.ASLEEP) else None
    window = "sleep_expiry" if blocked.reason is HoldReason.ASLEEP else "hold_expiry"
    until = d.now + d.policy.ms(window)
    if a.hold is not None and blocked.reason is not HoldReason.ASLEEP and a.hold.reason is not HoldReason.ASLEEP:
        until = a.hold.until_ms  # another reason does not make the wait longer
    if blocked.reason is HoldReason.BUSY:
        until = _busy_since(call, a) + d.policy.ms(window)
    d.emit(
        e.AttemptHeld(
            tool_call_id=a.tool_call_id,
            number=a.number,
            reason=blocked.reason,
            until_ms=until,
            retry_at_ms=retry_at_ms,
            since_ms=since,
            detail=blocked.detail,
        ),
        actor=e.POLICY,
    )
    sick = (HoldReason.OFFLINE, HoldReason.UNHEALTHY, HoldReason.ASLEEP)
    if d.policy.when_unhealthy == "escalate" and blocked.reason in sick and call.escalated_to is None:
        to = d.policy.escalate_to or d.session.owner
        d.emit(e.ToolCallEscalated(tool_call_id=call.id, to=to), actor=e.POLICY)


def _busy_since(call: ToolCall, a: Attempt) -> int:
    """When the unbroken row of tries that found the runtime busy began."""
    since = a.queued_at_ms
    for former in reversed(call.attempts[: a.number]):
        if former.why != "busy":
            break
        since = former.queued_at_ms
    return since


def hold_busy(d: Draft, call_id: str, number: int) -> None:
    """Until that runtime ends an attempt or 5 s pass; not counted."""
    _hold(d, d.call(call_id), d.attempt(call_id, number), Blocked(HoldReason.BUSY), d.now + BUSY_RETRY_MS)


# -- dispatch ----------------------------------------------------------------------------------------------------


def dispatch(d: Draft, call_id: str, number: int, runtime: RuntimeView, again: bool = False) -> None:
    """Commit one dispatch; the frame follows from the event."""
    call, a = d.call(call_id), d.attempt(call_id, number)
    consent = a.consent
    if not again and call.spec.effect is not Effect.MUTATING:
        elsewhere = journals_owed(call, consent) - {runtime.journal_id}
        if elsewhere:  # a safe call goes to another journal: one more consent, by policy
            consent = max(c.number for c in call.consents) + 1
    given = next((c.confirmed_at_ms for c in call.consents if c.number == consent), d.now)
    rest = max(1, d.policy.ms("mutating_age") - (d.now - given)) if may_change_things(call) else None
    bridge = a.only_bridge or ("websocket" if "websocket" in runtime.bridges else runtime.bridges[0])
    d.emit(
        e.AttemptDispatched(
            tool_call_id=call_id,
            number=number,
            consent=consent,
            runtime_id=runtime.runtime_id,
            incarnation=runtime.incarnation,
            boot_id=runtime.boot_id,
            journal_id=runtime.journal_id,
            bridge=bridge,
            mark=runtime.highest_sequence,
            start_within_ms=rest,
            ask_at_ms=d.now + d.policy.ask_after_ms,
            due_at_ms=d.now + d.policy.ms("ack_window"),
            again=again,
        )
    )
