"""What fills the places of the catalogue's texts, from evidence.

Owns one small function per place. Each gives None where the evidence has no answer; the sentence then falls away.
Nothing is computed that a text does not ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.decide.deadlines import grace_of
from caisey.core.filling import Own
from caisey.core.plain_text import one_line
from caisey.core.policy import Policy
from caisey.core.scene import NAME_LENGTH, Scene, fact_time, verdict_kind
from caisey.core.spoken import size
from caisey.core.states import AttemptState, CancelWhy, HoldReason, Kind, Ran
from caisey.core.tool_call import ToolCall

REASON_LENGTH = 60
_DAY_MS = 86_400_000

Place = Callable[[Scene, Attempt | None], str | None]


def values_for(names: Iterable[str], scene: Scene, attempt: Attempt | None) -> dict[str, str | None]:
    """The values of these places. A name without a function is a place that somebody else fills: None."""
    return {name: PLACES[name](scene, attempt) if name in PLACES else None for name in names}


def _computer(s: Scene, a: Attempt | None) -> str:
    return s.computer


def _client(s: Scene, a: Attempt | None) -> str:
    return one_line(s.view.client, NAME_LENGTH) or Own(s.phrase("the_client"))


def _step(s: Scene, a: Attempt | None) -> str:
    """The step that is meant: the one that stands in the way, for a call that waits behind it."""
    before = s.stopped_before if a is None else None
    return str((before or s.call).spec.position)


def _which_automatic(s: Scene, a: Attempt | None) -> str | None:
    follows = s.automatic_after(a) if a else None
    if follows is None or not follows.counted:
        return None
    return str(sum(1 for b in s.call.attempts[: follows.number] if b.counted))


def _max(s: Scene, a: Attempt | None) -> str:
    return str(s.view.policy.max_automatic)


def _times(s: Scene, a: Attempt | None) -> str:
    if s.call.waiting_why == "automatic_used_up":
        return s.times(s.call.automatic)
    return s.times(s.tries)


def _first(s: Scene, a: Attempt | None) -> str:
    """What became of the first try."""
    verdict = s.call.attempts[0].verdict
    if verdict is not None and verdict.code == "runtime.busy":
        return s.phrase("first.busy")
    if verdict_kind(s.call.attempts[0]) is Kind.RUNTIME_DIED:
        return s.phrase("first.died")
    return s.phrase("first.no" if verdict is not None and verdict.ran is Ran.NO else "first.unconfirmed")


def _ran_sentence(s: Scene, a: Attempt | None) -> str:
    ran = a.verdict.ran if a is not None and a.verdict is not None else s.ran
    return Own(s.phrase(f"ran_sentence.{ran.value}"))


def _what_ran(s: Scene, a: Attempt | None) -> str:
    """Of a call that was closed as it stood: this very call, not an earlier try of it."""
    return Own(s.phrase(f"what_ran.{s.ran.value}"))


# -- the execution -----------------------------------------------------------------------------------------------


def _code(s: Scene, a: Attempt | None) -> str | None:
    execution = a.finished.execution if a and a.finished else None
    code = (execution or {}).get("exit_code")
    return str(code)[:20] if type(code) is int else None


def _signal(s: Scene, a: Attempt | None) -> str | None:
    execution = a.finished.execution if a and a.finished else None
    signal = (execution or {}).get("signal")
    return None if signal is None else s.phrase("signal").replace("{signal}", one_line(str(signal), 20))


def _limit(s: Scene, a: Attempt | None) -> str | None:
    return s.span(time_limit_ms(s.call, a))


def time_limit_ms(call: ToolCall, a: Attempt | None) -> int | None:
    """The time that the attempt had: its own limit, else the call's, else as long as it ran."""
    if a is not None and a.limits is not None and a.limits.time_ms is not None:
        return a.limits.time_ms
    if call.spec.limits.time_ms is not None:
        return call.spec.limits.time_ms
    execution = (a.finished.execution if a and a.finished else None) or {}
    began, ended = execution.get("started_ms"), execution.get("ended_ms")
    if isinstance(began, int) and isinstance(ended, int) and 0 <= ended - began < _DAY_MS * 365:
        return ended - began
    return None


def _new_limit(s: Scene, a: Attempt | None) -> str | None:
    former = time_limit_ms(s.call, a)
    return None if former is None else s.span(longer_limit_ms(former))


def longer_limit_ms(former_ms: int) -> int:
    """The limit that "Run again, longer limit" proposes."""
    return max(2 * former_ms, 60_000)


def _error_line(s: Scene, a: Attempt | None) -> str | None:
    return s.error_line(a) if a else None


def _last_line(s: Scene, a: Attempt | None) -> str | None:
    return s.last_line(a) if a else None


# -- when, how long ----------------------------------------------------------------------------------------------


def _time(s: Scene, a: Attempt | None) -> str | None:
    return s.clock(_moment(s, a))


def _moment(s: Scene, a: Attempt | None) -> int | None:
    """The moment that the sentence is about: what the state began with, or what the verdict turns on."""
    if s.call.outcome not in (None, "done", "cancelled") and not s.call.open_attempts:
        return s.call.ended_at_ms
    if a is None:
        return None
    if a.open:
        return a.hold.since_ms if a.hold else a.lost_at_ms or a.queued_at_ms
    restarted = fact_time(a, "new_incarnation", boot="new")
    kind = verdict_kind(a)
    if kind is Kind.CANCELLED:
        return a.cancel.at_ms if a.cancel else None
    if kind is Kind.RUNTIME_DIED and a.finished is not None:
        return _ended_at(s, a)
    if kind is Kind.RUNTIME_DIED:
        return restarted or a.lost_at_ms or a.proved_at_ms or None
    return a.started_at_ms or a.verdict_at_ms


def _ended_at(s: Scene, a: Attempt) -> int | None:
    """The end by the endpoint's clock, if that can be true; else when we were told."""
    execution = (a.finished.execution if a.finished else None) or {}
    ended = execution.get("ended_ms")
    if isinstance(ended, int) and (a.dispatched_at_ms or 0) - _DAY_MS < ended <= s.now:
        return ended
    return a.verdict_at_ms


def _age(s: Scene, a: Attempt | None) -> str | None:
    if a is None:
        return None
    if a.state is AttemptState.HELD:
        return _held_age(s, a)
    if a.state is AttemptState.DISPATCHED:
        return s.since(a.dispatched_at_ms)
    if a.state is AttemptState.LOST:
        return s.since(a.lost_at_ms)
    if a.state is AttemptState.STARTED:
        return _started_age(s, a)
    if a.late and a.verdict_at_ms is not None:
        first = next((r.at_ms for r in a.facts if isinstance(r.event, e.AttemptEnded)), None)
        return None if first is None else s.span(a.verdict_at_ms - first)
    return None


def _held_age(s: Scene, a: Attempt) -> str | None:
    if a.hold is not None and a.hold.reason is HoldReason.WORLD_CHANGED:
        return s.since(s.call.consent(a.consent).confirmed_at_ms)
    proved = max((r.proved_at_ms for r in s.view.runtimes), default=0)
    return s.phrase("ago").replace("{span}", s.since(proved) or "") if proved else None


def _started_age(s: Scene, a: Attempt) -> str | None:
    if a.cancel is not None and a.cancel.why is CancelWhy.CANCEL:
        return s.since(a.cancel.at_ms)
    if a.notice is not None:
        return s.since(a.quiet_since_ms)
    lost, back = a.lost_at_ms, _found_at(a)
    if lost is not None and back is not None and s.now - back < 60_000:
        return s.span(back - lost)
    return s.since(a.started_at_ms)


def _found_at(a: Attempt) -> int | None:
    return next((r.at_ms for r in reversed(a.facts) if isinstance(r.event, e.AttemptFound | e.AttemptStarted)), None)


def _output_age(s: Scene, a: Attempt | None) -> str | None:
    if a is None or not any(stream.covered for stream in a.streams.values()):
        return None
    return s.since(a.quiet_since_ms)


def _ask(s: Scene, a: Attempt | None) -> str | None:
    if a is None or a.due_at_ms is None or a.dispatched_at_ms is None:
        return None
    return s.span(a.due_at_ms - a.dispatched_at_ms)


def _due(s: Scene, a: Attempt | None) -> str | None:
    return s.clock(max(a.window_ends_ms, grace_of(a, s.view))) if a and a.window_ends_ms else None


def _end(s: Scene, a: Attempt | None) -> str | None:
    if a is None:
        return None
    if a.hold is not None:
        return s.clock(max(a.hold.until_ms, grace_of(a, s.view)))
    if a.open:
        return s.clock(max(a.due_at_ms or 0, grace_of(a, s.view)))
    passed = [r.at_ms for r in a.facts if isinstance(r.event, e.WindowPassed)]
    return s.clock(passed[-1]) if passed else None


# -- who, why, what ----------------------------------------------------------------------------------------------


def _who(s: Scene, a: Attempt | None) -> str:
    """Who stopped, closed, allowed or is asked, by what the text is about."""
    if a is not None and a.state is AttemptState.AWAITING_APPROVAL:
        asked = s.call.escalated_to or s.view.policy.escalate_to
        return s.person(asked) if asked else Own(s.phrase("who.approver"))
    if s.call.outcome not in (None, "done", "cancelled") and not s.call.open_attempts and s.call.ended_by is not None:
        return s.who(s.call.ended_by)
    if a is not None and a.cancel is not None:
        return s.who(a.cancel.actor)
    if a is not None and verdict_kind(a) is Kind.DENIED and a.facts:
        return s.who(a.facts[-1].actor)
    return Own(s.phrase("who.user"))


def helper(scene: Scene) -> str:
    """Whom "Ask for help" tells."""
    return scene.person(helper_id(scene.call, scene.view.policy, scene.session.owner))


def helper_id(call: ToolCall, policy: Policy, owner: str) -> str:
    """Who is asked next: whom policy names, else the session's owner."""
    return call.escalated_to or policy.escalate_to or owner


def _reason(s: Scene, a: Attempt | None) -> str | None:
    reasons = [r.reason for r in a.facts if r.reason] if a else []
    return one_line(reasons[-1], REASON_LENGTH).rstrip(".") if reasons else None


def _refusal(s: Scene, a: Attempt | None) -> str | None:
    if a is None or a.verdict is None:
        return None
    hint = next((r.event.hint for r in a.facts if isinstance(r.event, e.AttemptRefused) and r.event.hint), "")
    said = one_line(hint, REASON_LENGTH).rstrip(". ")
    return said or one_line(a.verdict.code or "", REASON_LENGTH) or None


def _version(s: Scene, a: Attempt | None) -> str | None:
    runtime = s.view.runtime(a.runtime_id) if a and a.runtime_id else None
    return (one_line(runtime.version, 20) or None) if runtime else None


def _tool(s: Scene, a: Attempt | None) -> str:
    return one_line(s.call.spec.tool, 40)


def _wanted(s: Scene, a: Attempt | None) -> str:
    return str(s.call.spec.tool_version)


def _changes(s: Scene, a: Attempt | None) -> str | None:
    detail = a.hold.detail if a and a.hold else None
    if detail is None:
        return None
    if detail == "age":
        return s.phrase("changes.age").replace("{span}", s.span(s.view.policy.ms("mutating_age")) or "")
    if detail == "journal_regressed":
        return s.phrase("changes.record")
    count = detail.partition(":")[2]
    if count == "1" or not count.isdecimal():
        return s.phrase("changes.one")
    return s.phrase("changes.many").replace("{n}", count[:6])


def _cpu(s: Scene, a: Attempt | None) -> str | None:
    if a is None or a.progress is None:
        return None
    used = s.span(max(0, a.progress.cpu_ms - a.quiet_cpu_ms))
    return s.phrase("cpu").replace("{span}", used or "")


def _missing_bytes(s: Scene, a: Attempt | None) -> str | None:
    lost = sum(length for stream in a.streams.values() for _, length, _ in stream.gaps) if a else 0
    return size(lost) if lost else None


PLACES: dict[str, Place] = {
    "computer": _computer,
    "client": _client,
    "n": _step,
    "i": _which_automatic,
    "max": _max,
    "times": _times,
    "first": _first,
    "ran_sentence": _ran_sentence,
    "what_ran": _what_ran,
    "code": _code,
    "signal": _signal,
    "limit": _limit,
    "new_limit": _new_limit,
    "first_error_line": _error_line,
    "last_line": _last_line,
    "time": _time,
    "age": _age,
    "age2": _output_age,
    "ask": _ask,
    "due": _due,
    "end": _end,
    "who": _who,
    "reason": _reason,
    "refusal": _refusal,
    "version": _version,
    "tool": _tool,
    "wanted": _wanted,
    "changes": _changes,
    "cpu": _cpu,
    "bytes": _missing_bytes,
}
