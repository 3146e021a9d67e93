"""What was found, read from the API, and held against what RECOVERY.md says.

Owns how a prompt and a session's events become one row. It never knows what was done to the computer. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from caisey.cli.demo.expected import LOADED_S, Expectation

Document = dict[str, Any]


class Found(NamedTuple):
    """One row as it was found."""

    found: str
    ran: str
    known_s: float
    after: str
    after_ran: str
    recovery: tuple[str, ...]
    tries: int
    consents: int
    starts: int | None
    also: tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """A row with its expectation. `left_out`: why it was not played here; `broken`: why it did not come to its end.

    `shown`: the words at the moment when the stall was known, as the API gave them.
    """

    expected: Expectation
    found: Found | None = None
    left_out: str | None = None
    broken: str | None = None
    shown: Document | None = None

    @property
    def as_specified(self) -> bool:
        """Whether it was played and every field is as it should be."""
        return self.found is not None and not self.differences

    @property
    def differences(self) -> list[str]:
        """Each field that differs, in words."""
        if self.broken is not None:
            return [self.broken]
        if self.found is None:
            return []
        found = self.found._asdict()
        wrong = [
            f"{name.replace('_', ' ')}: expected {_told(expected)}, found {_told(found[name])}"
            for name, expected in self.expected._asdict().items()
            if name in found and found[name] != expected
        ]
        if self.found.known_s > self.expected.within_s + LOADED_S:
            wrong.append(f"known after {self.found.known_s:.1f} s; the window ends after {self.expected.within_s:g} s")
        return wrong

    def document(self) -> Document:
        """The row for a machine."""
        return {
            "name": self.expected.name,
            "title": self.expected.title,
            "section": f"RECOVERY.md §{self.expected.section}",
            "recovered": recovered(self.found) if self.found else None,
            "computer": self.expected.computer,
            "as_specified": self.as_specified,
            "left_out": self.left_out,
            "differences": self.differences,
            "shown": self.shown,
            "expected": self.expected._asdict(),
            "found": None if self.found is None else self.found._asdict(),
        }


def standing(attempt: Document) -> str:
    """How a try stands: its verdict, else the notice, else the state, with the reason where it waits for something."""
    verdict = attempt.get("verdict")
    if verdict:
        return str(verdict["kind"])
    why = newest(attempt, "held").get("reason") if attempt["state"] == "held" else None
    if attempt["state"] == "lost" and newest(attempt, "lost").get("asleep"):
        why = "asleep"
    return str(attempt.get("notice") or attempt["state"]) + (f" ({why})" if why else "")


def newest(attempt: Document, fact_type: str) -> Document:
    """The newest fact of that type; empty where there is none."""
    return next((fact for fact in reversed(attempt["evidence"]) if fact["type"] == fact_type), {})


def recovery(events: Iterable[Document], *, refused: bool = False) -> Iterator[str]:
    """Who did what so that a stall ended, in the order of the session's events. `refused`: its first request was."""
    lost: set[str] = set()
    away: set[str] = set()
    for event in events:
        kind, payload = event["type"], event["payload"]
        call = str(payload.get("tool_call_id"))
        who = _WHO.get(event["actor"]["kind"], "policy")
        if kind == "attempt.lost":
            lost.add(call)
        elif kind == "attempt.held" and payload["reason"] in _AWAY:
            away.add(call)
        if (action := _action(kind, payload)) is not None:
            away.discard(call)
            yield f"{action} by {who}"
        elif kind == "attempt.dispatched" and (payload.get("again") or call in away):
            yield "same number again" if payload.get("again") else "sent by itself"
        elif kind == "attempt.found" and call in lost and payload.get("state") == "started":
            yield "went on"
        elif refused and kind == "prompt.accepted":
            yield f"asked anew by {who}"


_AWAY = frozenset({"offline", "unhealthy", "asleep"})
_WHO = {"user": "a person", "token": "a person"}
_TRIES_AGAIN = frozenset({"retry", "requeue", "reroute", "resume", "hold"})


def _action(event_type: str, payload: Document) -> str | None:
    """The recovery action of RECOVERY.md §1 that this event is."""
    if event_type == "attempt.queued":
        return str(payload["why"]) if payload["why"] in _TRIES_AGAIN else None
    if event_type == "prompt.accepted":
        return (payload.get("origin") or {}).get("action")
    if event_type == "tool_call.ended":
        return "accept_partial" if payload["outcome"] == "accepted_partial" else None
    if event_type == "attempt.released":
        return "release" if payload.get("confirmed") else None
    if event_type == "attempt.cancel_requested":
        return "cancel" if payload.get("why") == "cancel" else None
    return {"tool_call.replaced": "adjust", "attempt.input_given": "input", "tool_call.escalated": "escalate"}.get(
        event_type
    )


RECOVERED = {
    "requeue by policy": "sent again",
    "same number again": "sent once more",
    "sent by itself": "then sent",
    "went on": "went on",
    "adjust by a person": "edited, sent",
    "asked anew by a person": "corrected, sent",
    "verify by a person": "checked",
    "retry by a person": "run again",
    "resume by a person": "step 3 alone",
    "accept_partial by a person": "kept as it is",
    "cancel by a person": "stopped",
    "input by a person": "answered",
    "release by a person": "sent now",
    "reviewed by a person": "looked",
}
"""The recovery in a word or two."""


def recovered(found: Found) -> str:
    """The whole recovery on part of a line."""
    return ", ".join(RECOVERED.get(action, action) for action in found.recovery) or "nothing to do"


def _told(value: object) -> str:
    return ", ".join(map(str, value)) or "nothing" if isinstance(value, tuple) else str(value)
