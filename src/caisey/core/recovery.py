"""What happens by itself, by verdict, effect and policy (RECOVERY.md §6). One place decides it.

Owns the table. It never names a runtime: where an attempt may go is `decide/sending.py`'s question.
"""

from __future__ import annotations

from enum import StrEnum

from caisey.core.policy import Policy
from caisey.core.states import Effect, Kind, Ran


class Automatic(StrEnum):
    """What the control plane does by itself after a verdict."""

    NOTHING = "nothing"
    REQUEUE = "requeue"  # the present consent; to another journal of a safe call: a new one, by policy
    REQUEUE_SAME_JOURNAL = "requeue_same_journal"  # else held until that journal answers
    RETRY = "retry"  # same runtime first; a new consent, by policy
    REPLACE = "replace"  # it was taken back or found the runtime busy: queued again, not counted


_SAFE = (Effect.READ_ONLY, Effect.IDEMPOTENT)

TABLE: dict[tuple[Kind, Ran, Effect], Automatic] = {
    **{(kind, Ran.NO, effect): Automatic.REQUEUE for kind in (Kind.ORPHANED, Kind.RUNTIME_DIED) for effect in Effect},
    **{(Kind.ORPHANED, Ran.UNCONFIRMED, effect): Automatic.REQUEUE for effect in _SAFE},
    (Kind.ORPHANED, Ran.UNCONFIRMED, Effect.MUTATING): Automatic.REQUEUE_SAME_JOURNAL,
    **{(Kind.RUNTIME_DIED, ran, effect): Automatic.RETRY for ran in (Ran.PARTLY, Ran.UNCONFIRMED) for effect in _SAFE},
}

# Refusals that say nothing about the call: it was too early, too late, or not wanted at that moment.
REPLACED_CODES = frozenset({"runtime.busy", "attempt.withdrawn", "dispatch.too_old"})


def automatic(kind: Kind, ran: Ran, code: str | None, effect: Effect) -> Automatic:
    """The table's answer, before policy and counts."""
    if kind is Kind.REFUSED and code in REPLACED_CODES:
        return Automatic.REPLACE
    return TABLE.get((kind, ran, effect), Automatic.NOTHING)


def allowed(policy: Policy, effect: Effect, taken: int) -> bool:
    """Whether one more counted automatic action may be taken."""
    return effect in policy.automatic_for and taken < policy.max_automatic


# Verdicts after which nothing is asked of anybody (words.json: tones done and plain).
SETTLED_KINDS = frozenset({Kind.ANSWERED, Kind.EMPTY, Kind.CANCELLED})
