"""The closed sets of words that RECOVERY.md §1, §2 and §4 define.

Owns the enums and nothing else. A word that a technician can ask about ("is it X?") is a member here.
"""

from __future__ import annotations

from enum import StrEnum


class Effect(StrEnum):
    """What a tool call may do to the endpoint. Not declared means MUTATING."""

    READ_ONLY = "read_only"
    IDEMPOTENT = "idempotent"
    MUTATING = "mutating"


EFFECT_RANK = {Effect.READ_ONLY: 0, Effect.IDEMPOTENT: 1, Effect.MUTATING: 2}


class Ran(StrEnum):
    """Did it run? (RECOVERY.md §2). A time-out never proves NO."""

    NO = "no"
    YES = "yes"
    PARTLY = "partly"
    UNCONFIRMED = "unconfirmed"


class Kind(StrEnum):
    """What happened? (RECOVERY.md §2)."""

    ANSWERED = "answered"
    EMPTY = "empty"
    MALFORMED_CALL = "malformed_call"
    MALFORMED_RESULT = "malformed_result"
    ORPHANED = "orphaned"
    RUNTIME_DIED = "runtime_died"
    COMMAND_FAILED = "command_failed"
    TIMED_OUT = "timed_out"
    REFUSED = "refused"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """RECOVERY.md §4."""

    QUEUED = "queued"
    HELD = "held"
    AWAITING_APPROVAL = "awaiting_approval"
    DISPATCHED = "dispatched"
    ACKNOWLEDGED = "acknowledged"
    STARTED = "started"
    LOST = "lost"
    ENDED = "ended"


ON_THE_WIRE = frozenset({AttemptState.DISPATCHED, AttemptState.ACKNOWLEDGED, AttemptState.STARTED, AttemptState.LOST})
NOT_SENT = frozenset({AttemptState.QUEUED, AttemptState.HELD, AttemptState.AWAITING_APPROVAL})


class CallState(StrEnum):
    """A tool call, as API.md shows it."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    ENDED = "ended"


class PromptState(StrEnum):
    """A prompt, as API.md shows it."""

    RUNNING = "running"
    WAITING = "waiting"
    ENDED = "ended"


class HoldReason(StrEnum):
    """Why an attempt is kept back."""

    OFFLINE = "offline"
    UNHEALTHY = "unhealthy"
    ASLEEP = "asleep"
    DRAINING = "draining"
    JOURNAL_FULL = "journal_full"
    BUSY = "busy"
    JOURNAL_MUST_ANSWER = "journal_must_answer"
    EARLIER_REQUEST = "earlier_request"
    WORLD_CHANGED = "world_changed"
    PERSON = "person"


class CancelWhy(StrEnum):
    """Who wants an attempt not to run: a person (CANCEL), or the control plane itself (WITHDRAWN)."""

    CANCEL = "cancel"
    WITHDRAWN = "withdrawn"


class Action(StrEnum):
    """Recovery actions (RECOVERY.md §1)."""

    RETRY = "retry"
    REQUEUE = "requeue"
    RESUME = "resume"
    REROUTE = "reroute"
    HOLD = "hold"
    RELEASE = "release"
    VERIFY = "verify"
    ADJUST = "adjust"
    ESCALATE = "escalate"
    ACCEPT_PARTIAL = "accept_partial"
    CANCEL = "cancel"
    INPUT = "input"


class Notice(StrEnum):
    """What a started command that shows no progress for `stall_after` seems to do. A notice ends nothing."""

    WAITS_FOR_INPUT = "waits_for_input"
    SILENT_IDLE = "silent_idle"
    SILENT_BUSY = "silent_busy"


class Health(StrEnum):
    """An endpoint's health, as API.md shows it."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    ASLEEP = "asleep"
    OFFLINE = "offline"
    NEVER_SEEN = "never_seen"
    REMOVING = "removing"
