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

_PASSING = frozenset({"queued", "dispatched", "dispatched.asked", "acknowledged", "started"})
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
    if key in _PASSING:
        age_ms = _age_ms(attempt, now_ms)
        return None if age_ms < PATIENCE_MS else _passing(key, attempt, age_ms)
    given = attempt.get("now")
    if isinstance(given, dict) and given.get("label"):
        # It does not depend on the second, and the control plane knows more of it than this prompt shows.
        return Words(given.get("tone") or "wait", given["label"], given.get("summary") or "", firm=True)
    entry = ENGLISH.entries.get(key)
    if entry is None:
        return None
    end = clock(attempt.get("due_at")) or None
    values: dict[str, str | None] = {
        "computer": computer,
        "end": end,
        "due": end,
        "who": attempt.get("owner"),
        "last_line": field(newest(attempt, "stalled"), "last_line"),
    }
    label = fill(entry.label, values, LABEL_LENGTH) or computer
    return Words(str(entry.tone), label, fill(entry.sentence, values, SENTENCE_LENGTH), firm=True)


def _key(attempt: Document, now_ms: int) -> str:
    """The entry of the catalogue: as the control plane chose it, and moved on with the time since then."""
    state = attempt["state"]
    given = attempt.get("now")
    key = str(given["code"]) if isinstance(given, dict) and given.get("code") else _derived(attempt)
    if key in ("dispatched", "dispatched.fresh", "dispatched.asked"):
        ask = ask_after_ms(attempt)
        return "dispatched.asked" if ask is not None and _age_ms(attempt, now_ms) >= ask else "dispatched"
    return key or state


def _derived(attempt: Document) -> str:
    """The entry by state and evidence alone."""
    state = str(attempt["state"])
    if state in ("dispatched", "acknowledged", "started") and newest(attempt, "cancel_requested"):
        return f"{state}.stopping"
    if state == "held":
        return f"held.{field(newest(attempt, 'held'), 'reason') or 'person'}"
    notices = {"waits_for_input": "started.asks", "silent_idle": "started.silent", "silent_busy": "started.busy"}
    if state == "started":
        return notices.get(str(field(newest(attempt, "stalled"), "notice")), "started")
    return state


def _passing(key: str, attempt: Document, age_ms: int) -> Words:
    """A state whose words change with the second."""
    entry = ENGLISH.entries[key]
    values: dict[str, str | None] = {"due": clock(attempt.get("due_at")) or None}
    if key == "dispatched":
        ask = ask_after_ms(attempt)
        if ask is not None and age_ms >= min(EXPLAIN_MS, ask / 2):
            values |= {"age": f"No confirmation for {span(age_ms)}", "ask": span(ask)}
    elif key == "started":
        return Words(str(entry.tone), entry.label, f"For {span(age_ms)}.")
    return Words(str(entry.tone), entry.label, fill(entry.sentence, values, SENTENCE_LENGTH))


def ask_after_ms(attempt: Document) -> int | None:
    """When, after a dispatch, the computer is asked: 2 s before the window ends, or at its half (RECOVERY.md §4)."""
    sent_ms = to_ms(attempt.get("dispatched_at")) or _at_ms(attempt, "dispatched")
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
    state = str(attempt["state"])
    entered = to_ms(attempt.get(f"{state}_at"))
    if entered is None:
        entered = _at_ms(attempt, *({"queued": ("released", "queued")}.get(state, (state,))))
    return 0 if entered is None else max(now_ms - entered, 0)


def _kind(fact: Document) -> str:
    """The type of a piece of evidence; the log's name of the event (`attempt.dispatched`) means the same."""
    return str(fact.get("type")).rpartition(".")[2]


def _at_ms(attempt: Document, *types: str) -> int | None:
    fact = newest(attempt, *types)
    return None if fact is None else to_ms(fact.get("at"))
