"""Computers in a list: one sentence and one icon each, and the filters above them.

Owns the sentence about readiness as lists say it. Pure, from `GET /endpoints` and `GET /endpoints/summary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from caisey.core.plain_text import one_line
from caisey.web.words import WORDS, word

Document = dict[str, Any]

HEALTHS: Final = ("healthy", "unhealthy", "asleep", "offline", "never_seen", "removing")
ICONS: Final = {
    "healthy": "done",
    "unhealthy": "wait",
    "asleep": "asleep",
    "offline": "offline",
    "never_seen": "never",
    "removing": "close",
}
FILTERS: Final = ("q", "health", "client_group", "tag")
NAME_LENGTH: Final = 60
TAGS_SHOWN: Final = 6


class Ready(NamedTuple):
    """Whether it takes work now, and how that is known: never a bare "online"."""

    tone: str
    icon: str
    words: str
    at: str


class Computer(NamedTuple):
    """One line of the list."""

    id: str
    name: str
    client: str
    client_id: str
    ready: Ready
    user: str
    system: str
    sessions: str
    held: str
    tags: tuple[str, ...]
    practice: bool
    found_by: str


class Chip(NamedTuple):
    """One filter by health."""

    label: str
    number: int
    href: str
    current: bool
    icon: str


def computer(item: Document, asked: str = "") -> Computer:
    """One computer; `asked` is what was searched for."""
    facts = item["facts"]
    practice = bool((facts.get("practice") or {}).get("value"))
    open_sessions = item["open_sessions"]
    return Computer(
        id=item["id"],
        name=one_line(item["name"], NAME_LENGTH),
        client=one_line(item["client_group"] or "", NAME_LENGTH),
        client_id=item["client_group_id"] or "",
        ready=ready(item),
        user=user_of(facts),
        system=system_of(facts),
        sessions="" if not open_sessions else _sessions(open_sessions),
        held=word("endpoints.held", n=item["held"]) if item["held"] else "",
        tags=tuple(tag for tag in item["tags"] if not (practice and tag == "practice"))[:TAGS_SHOWN],
        practice=practice,
        found_by=_found_by(item, asked),
    )


def _found_by(item: Document, asked: str) -> str:
    """What fits a search where nothing that stands in the line does: an address, a serial number, a ticket."""
    words = asked.casefold().split()
    shown = " ".join((item["name"], item["client_group"] or "", user_of(item["facts"]), *item["tags"])).casefold()
    missing = [one for one in words if one not in shown]
    if not missing:
        return ""
    for name in ("addresses", "serial", "hostname", "signed_in_users"):
        value = (item["facts"].get(name) or {}).get("value")
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and missing[0] in one.casefold():
                return word("endpoints.found_by", what=WORDS[f"facts.{name}"], text=one_line(one, NAME_LENGTH))
    return WORDS["endpoints.found_by.ticket"]


def _sessions(count: int) -> str:
    return WORDS["endpoints.sessions.1"] if count == 1 else word("endpoints.sessions", n=count)


def ready(item: Document) -> Ready:
    """The sentence and its time."""
    sendable, health = item["sendable"], item["health"]
    proved = sendable["proved_at"] or ""
    if sendable["value"]:
        return Ready("done", "done", WORDS["ready.yes" if proved else "ready.yes.never"], proved)
    if health == "removing" and item["removing"] is not None:
        return Ready("plain", ICONS["removing"], WORDS["ready.removing"], item["removing"]["gone_at"])
    if health == "never_seen":
        return Ready("plain", ICONS["never_seen"], WORDS["ready.never_seen"], item["created_at"])
    reason = sendable["reason"] or health
    words = WORDS.get(f"ready.{reason}", WORDS["ready.unhealthy"])
    icon = ICONS.get(reason, ICONS.get(health, "wait"))
    if reason in ("offline", "asleep"):
        return Ready("wait", icon, words, item["health_since"] or proved)
    tone = "ask" if reason in ("revoked", "settle_only") else "wait"
    return Ready(tone, "wait" if icon == "done" else icon, words, proved)


def user_of(facts: Document) -> str:
    """Who is signed in, as it was said last."""
    value = (facts.get("signed_in_users") or {}).get("value")
    if isinstance(value, list):
        return one_line(", ".join(_user(one) for one in value[:3]), NAME_LENGTH)
    return one_line(str(value), NAME_LENGTH) if isinstance(value, str) else ""


def _user(value: object) -> str:
    """A name, or an object that holds one."""
    return str(value.get("name", "")) if isinstance(value, dict) else str(value)


def system_of(facts: Document) -> str:
    """What runs there, in short."""
    version = (facts.get("os_version") or {}).get("value")
    name = (facts.get("os") or {}).get("value")
    return one_line(str(version or name or ""), 40)


def chips(summary: Document, query: Mapping[str, str]) -> list[Chip]:
    """One for each health there is, with how many, and one for all."""
    chosen = query.get("health", "")
    found = [Chip(WORDS["endpoints.all"], summary["total"], address(query, health=""), not chosen, "")]
    for health in HEALTHS:
        count = summary["by_health"].get(health, 0)
        if count or health == chosen:
            label = WORDS[f"health.{health}"]
            found.append(Chip(label, count, address(query, health=health), health == chosen, ICONS[health]))
    return found


def address(query: Mapping[str, str], **changes: str) -> str:
    """The list with these filters; a page of it is left."""
    wanted = {name: query.get(name, "") for name in FILTERS} | changes
    kept = {name: value for name, value in wanted.items() if value}
    return f"/endpoints?{urlencode(kept)}" if kept else "/endpoints"


def counted(total: int, everything: int) -> str:
    """How many fit, of how many."""
    if total != everything:
        return word("endpoints.count.of", n=f"{total:,}", all=f"{everything:,}")
    return WORDS["endpoints.count.1"] if total == 1 else word("endpoints.count", n=f"{total:,}")
