"""The strip above a session: which computer, whose, is it ready and how we know, who is there.

Owns the sentence about readiness: never a bare dot, always with its proof. Pure, from the documents of
`GET /endpoints/{id}` and `GET /sessions/{id}/presence`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from caisey.core.catalogue.phrases import PHRASES
from caisey.core.plain_text import one_line
from caisey.core.spoken import span
from caisey.web.words import WORDS, word

Document = dict[str, Any]

NAMES_SHOWN: Final = 4


class Strip(NamedTuple):
    """What stands above."""

    computer: str
    client: str
    tone: str
    readiness: str
    proved_at: str
    endpoint_id: str
    user: str
    idle: str
    others: tuple[str, ...]
    ticket: str
    title: str
    owner: str
    closed: str


def strip_of(session: Document, endpoint: Document | None, presence: Document, person_id: str) -> Strip:
    """For that person. `endpoint` is None where it is gone, or not in the reader's sight any more."""
    closed = session["closed"] or {}
    tone, readiness, proved = readiness_of(endpoint)
    facts = (endpoint or {}).get("facts") or {}
    others = [one_line(p["name"] or WORDS["session.somebody"], 60) for p in presence["items"] if not p["you"]]
    shown = others[:NAMES_SHOWN]
    if len(others) > NAMES_SHOWN:
        shown.append(word("session.more_people", n=len(others) - NAMES_SHOWN))
    return Strip(
        computer=one_line(session["computer"], 60) or PHRASES["the_computer"],
        client=one_line(session["client"], 60),
        tone=tone,
        readiness=readiness,
        proved_at=proved,
        endpoint_id=session["endpoint_id"],
        user=_user(facts),
        idle=_idle(facts),
        others=tuple(shown),
        ticket=one_line(session["ticket"] or "", 60),
        title=one_line(session["title"], 120),
        owner=_owner(session, person_id),
        closed=one_line(closed.get("outcome") or "", 200) or (WORDS["session.closed"] if closed else ""),
    )


def _owner(session: Document, person_id: str) -> str:
    """Whose it is, where it is somebody else's who has a name."""
    name = session["owner_name"]
    return "" if session["owner"] == person_id or name == PHRASES["who.user"] else one_line(name, 60)


def readiness_of(endpoint: Document | None) -> tuple[str, str, str]:
    """Tone, words, and when it last proved that it answers."""
    if endpoint is None:
        return "plain", WORDS["session.ready.gone"], ""
    sendable = endpoint["sendable"]
    proved = sendable["proved_at"] or ""
    if sendable["value"]:
        return "done", WORDS["session.ready.yes"], proved
    reason = sendable["reason"] or endpoint["health"]
    words = WORDS.get(f"session.ready.{reason}", WORDS["session.ready.unhealthy"])
    return "wait", words, endpoint["health_since"] if reason in ("offline", "asleep") else proved


def _user(facts: Document) -> str:
    value = (facts.get("signed_in_users") or {}).get("value")
    if isinstance(value, list):
        named = [str(one) for one in value[:3]]
        return one_line(", ".join(named), 80) if named else WORDS["session.nobody"]
    return one_line(str(value), 80) if isinstance(value, str) and value else ""


def _idle(facts: Document) -> str:
    value = (facts.get("idle_s") or facts.get("idle_time_s") or {}).get("value")
    if not isinstance(value, int | float) or value < 60:
        return ""
    return word("session.idle", span=span(int(value * 1000), PHRASES))
