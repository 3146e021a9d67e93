"""What stands on the screen while a step is open: the catalogue's words for states, with the times that pass.

Owns the choice and the filling for a reader who watches: the control plane's own words stand as they were when it was
asked, these change with the second. The texts are those of `core.catalogue`. Pure: now is an argument.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from caisey.cli.spans import clock, span, to_ms
from caisey.core.catalogue import ENGLISH
from caisey.core.catalogue.form import LABEL_LENGTH, SENTENCE_LENGTH
from caisey.core.filling import fill

PATIENCE_MS = 1000
"""A passing state is shown when it has lasted this long: a quick command is not narrated."""
EXPLAIN_MS = 5000
_ASKED_EARLY_MS = 2000
_SHORT_WINDOW_MS = 4000

_PASSING = frozenset({"queued", "dispatched.fresh", "dispatched", "dispatched.asked", "acknowledged", "started"})
"""States that pass by themselves in the good case: renewed in place, and not worth a line that stays."""

Document = dict[str, Any]


class Words(NamedTuple):
    """One state in words. `firm`: it stays until something happens, so it is worth a line of its own."""

    tone: str
    label: str
    sentence: str
    firm: bool = False

    @property
    def line(self) -> str:
        """Label and sentence on one line."""
        return f"{self.label}. {self.sentence}" if self.sentence else self.label


def newest(attempt: Document, *types: str) -> Document | None:
    """The newest piece of evidence of these types."""
    return next((fact for fact in reversed(attempt.get("evidence") or []) if _kind(fact) in types), None)


def field(fact: Document | None, name: str) -> Any:
    """A field of a piece of evidence, beside its header or inside its payload."""
    if fact is None:
        return None
    payload = fact.get("payload")
    return fact[name] if name in fact else payload.get(name) if isinstance(payload, dict) else None


def words(attempt: Document, computer: str, now_ms: int) -> Words | None:
    """What to show for an open try; None where it is too early to show anything."""
    key = _key(attempt, now_ms)
    if key is None or (key in _PASSING and _age_ms(attempt, now_ms) < PATIENCE_MS):
        return None
    given = attempt.get("label")
    if key not in _PASSING and given:
        # It does not depend on the second, and the control plane knows more than this page of it.
        return Words(attempt.get("tone") or _tone(key), given, attempt.get("summary") or "", firm=True)
    entry = ENGLISH.entries[key]
    values = _values(attempt, computer, now_ms)
    label = fill(entry.label, values, LABEL_LENGTH) or ENGLISH.entries["queued"].label
    sentence = fill(entry.sentence, values, SENTENCE_LENGTH)
    return Words(str(entry.tone), label, sentence, firm=key not in _PASSING)


def _key(attempt: Document, now_ms: int) -> str | None:
    """The entry of the catalogue; None for a state that it does not have."""
    state = attempt["state"]
    if state in ("dispatched", "acknowledged", "started") and newest(attempt, "cancel_requested"):
        return f"{state}.stopping"
    if state == "held":
        key = f"held.{field(newest(attempt, 'held'), 'reason') or 'person'}"
    elif state == "dispatched":
        ask = ask_after_ms(attempt)
        key = "dispatched.asked" if ask is not None and _age_ms(attempt, now_ms) >= ask else "dispatched"
    elif state == "started":
        notices = {"waits_for_input": "asks", "silent_idle": "silent", "silent_busy": "busy"}
        notice = notices.get(str(field(newest(attempt, "noticed", "stalled"), "notice")))
        key = f"started.{notice}" if notice else "started"
    else:
        key = state
    return key if key in ENGLISH.entries else None


def _tone(key: str) -> str:
    return str(ENGLISH.entries[key].tone)


def _values(attempt: Document, computer: str, now_ms: int) -> dict[str, str | None]:
    """What fills the places; a missing value takes its sentence away."""
    age = span(_age_ms(attempt, now_ms))
    end = clock(attempt.get("due_at")) or None
    values: dict[str, str | None] = {"computer": computer, "end": end, "due": end, "age": age}
    if attempt["state"] == "dispatched":
        ask = ask_after_ms(attempt)
        explained = ask is not None and _age_ms(attempt, now_ms) >= min(EXPLAIN_MS, ask / 2)
        values["age"] = f"No confirmation for {age}" if explained else None
        values["ask"] = span(ask) if explained and ask is not None else None
    elif attempt["state"] == "started":
        quiet = _passed_ms(attempt, now_ms, "output", "progressed", "progress", "started")
        values["age"] = span(quiet) if newest(attempt, "noticed", "stalled") else f"For {age}"
        values["last_line"] = field(newest(attempt, "noticed", "stalled"), "last_line")
    elif attempt["state"] == "awaiting_approval":
        values["who"] = attempt.get("owner") or ENGLISH.phrases["who.approver"]
    elif attempt["state"] == "held":
        values["age"] = None  # how long the computer is silent is not how long the request waits
    return values


def ask_after_ms(attempt: Document) -> int | None:
    """When, after a dispatch, the computer is asked: 2 s before the window ends, or at its half (RECOVERY.md §4)."""
    sent_ms = _at_ms(attempt, "dispatched")
    due_ms = to_ms(attempt.get("due_at"))
    if sent_ms is None or due_ms is None or due_ms <= sent_ms:
        return None
    window = due_ms - sent_ms
    return window - _ASKED_EARLY_MS if window >= _SHORT_WINDOW_MS else window // 2


def waits_for_person(attempt: Document) -> bool:
    """Whether only a person can move this open try on."""
    if attempt["state"] == "awaiting_approval":
        return True
    return bool(attempt["state"] == "held" and field(newest(attempt, "held"), "reason") == "world_changed")


def _age_ms(attempt: Document, now_ms: int) -> int:
    """How long the try is in its state."""
    entered = {"queued": ("queued", "released"), "lost": ("lost",)}
    return _passed_ms(attempt, now_ms, *entered.get(attempt["state"], (attempt["state"],)))


def _kind(fact: Document) -> str:
    """`attempt.dispatched` and `dispatched` are the same."""
    return str(fact.get("type")).rpartition(".")[2]


def _at_ms(attempt: Document, *types: str) -> int | None:
    fact = newest(attempt, *types)
    return None if fact is None else to_ms(fact.get("at"))


def _passed_ms(attempt: Document, now_ms: int, *types: str) -> int:
    at_ms = _at_ms(attempt, *types)
    return 0 if at_ms is None else max(now_ms - at_ms, 0)
