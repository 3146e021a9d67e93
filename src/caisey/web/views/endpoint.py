"""One computer as its page shows it: facts with their age, agents, its health as a picture, what was done there.

Owns the words and the shapes of the picture. Pure, from `GET /endpoints/{id}` and what stands below it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from caisey.core import spoken
from caisey.core.catalogue.phrases import PHRASES
from caisey.core.plain_text import one_line
from caisey.web.times import ms_of
from caisey.web.words import WORDS, word

Document = dict[str, Any]

FACT_LENGTH: Final = 160
DISKS_SHOWN: Final = 6
DIGEST_SHOWN: Final = len("sha256:") + 12
ORDER: Final = (
    "signed_in_users",
    "idle_s",
    "os",
    "os_version",
    "arch",
    "hostname",
    "runs_as",
    "boot_at",
    "pending_restart",
    "cpu_count",
    "memory_bytes",
    "memory_free_bytes",
    "disks",
    "addresses",
    "serial",
)
HIDDEN: Final = frozenset({"practice", "runs_as_others"})

PICTURE_WIDTH: Final = 1000
TICKS: Final = 5


class FactLine(NamedTuple):
    """One thing that is known. `at` is a time that is the fact itself, `said` when it was said."""

    label: str
    text: str
    at: str
    said: str
    name: str


class Agent(NamedTuple):
    """One agent of the computer."""

    id: str
    tone: str
    words: str
    proved_at: str
    version: str
    enrolled_at: str
    trouble: str
    suspected: bool
    revoked_at: str
    how: tuple[tuple[str, str], ...]


class Stretch(NamedTuple):
    """One rectangle of the health picture."""

    x: float
    width: float
    health: str
    words: str
    since: str
    until: str


class Picture(NamedTuple):
    """Health over time: rectangles, days below them, and the same as numbers."""

    stretches: list[Stretch]
    ticks: list[str]
    shares: list[tuple[str, str]]
    words: str
    truncated: bool


def facts(item: Document) -> list[FactLine]:
    """What is known, the most asked for first; facts that have no words of ours stand at the end by their name."""
    known = {name: fact for name, fact in item["facts"].items() if name not in HIDDEN}
    names = [name for name in ORDER if name in known] + sorted(set(known) - set(ORDER))
    return [_fact(name, known[name]) for name in names]


def _fact(name: str, fact: Document) -> FactLine:
    value = fact["value"]
    label = WORDS.get(f"facts.{name}", one_line(name.replace("_", " "), 40))
    if name == "boot_at" and isinstance(value, str) and _is_time(value):
        return FactLine(label, "", value, fact["at"], name)
    return FactLine(label, _fact_text(name, value), "", fact["at"], name)


def _fact_text(name: str, value: Any) -> str:
    if value is None:
        return WORDS["endpoint.unsaid"]
    if isinstance(value, bool):
        return WORDS["facts.yes" if value else "facts.no"]
    if name.endswith("_bytes") and type(value) is int and 0 <= value < 2**62:
        return spoken.size(value)
    if name == "idle_s" and isinstance(value, int | float) and 0 <= value < 2**40:
        return spoken.span(int(value * 1000), PHRASES)
    if name == "disks" and isinstance(value, list) and value:
        return one_line("; ".join(_disk(one) for one in value[:DISKS_SHOWN] if isinstance(one, dict)), 2 * FACT_LENGTH)
    if isinstance(value, list):
        named = ", ".join(str(one.get("name", one)) if isinstance(one, dict) else str(one) for one in value[:12])
        nothing = WORDS["facts.nobody" if name == "signed_in_users" else "endpoint.unsaid"]
        return one_line(named, FACT_LENGTH) if value else nothing
    return one_line(str(value)[: 4 * FACT_LENGTH], FACT_LENGTH)


def _disk(one: Document) -> str:
    total, free = one.get("total_bytes"), one.get("free_bytes")
    said = [spoken.size(n) if type(n) is int and 0 <= n < 2**62 else "?" for n in (free, total)]
    return word("facts.free_of", mount=one_line(str(one.get("mount", "")), 40), free=said[0], total=said[1])


def _is_time(text: str) -> bool:
    try:
        ms_of(text)
    except (ValueError, TypeError):
        return False
    return True


# -- agents --------------------------------------------------------------------------------------------------------


def agents(item: Document) -> list[Agent]:
    """Those that work first, those that were removed last."""
    found = [_agent(runtime) for runtime in item["runtimes"]]
    return sorted(found, key=lambda agent: (bool(agent.revoked_at), agent.enrolled_at))


def _agent(runtime: Document) -> Agent:
    bridges = [WORDS.get(f"agents.bridge.{bridge}", one_line(bridge, 20)) for bridge in runtime["bridges"]]
    connected = bool(bridges)
    words = word("agents.connected", bridges=" + ".join(bridges)) if connected else WORDS["agents.not_connected"]
    tone, trouble = ("done" if connected else "wait"), ""
    if runtime["revoked_at"]:
        tone, trouble = "plain", WORDS["agents.compromised"] if runtime["compromised"] else ""
    elif runtime["suspected_since"]:
        tone, trouble = "alarm", WORDS["agents.suspected"]
    elif connected and runtime["settle_only"]:
        tone, trouble = "ask", WORDS["agents.settle_only"]
    elif connected and not runtime["accepting"]:
        tone, trouble = "wait", WORDS["agents.draining"]
    how = (
        (WORDS["agents.how.runtime"], runtime["id"]),
        (WORDS["agents.how.incarnation"], runtime["incarnation"] or ""),
        (WORDS["agents.how.boot"], runtime["boot_id"] or ""),
        (WORDS["agents.how.journal"], runtime["journal_id"]),
    )
    return Agent(
        id=runtime["id"],
        tone=tone,
        words=words,
        proved_at=runtime["last_proof_at"] or "",
        version=word("agents.version", version=one_line(runtime["version"], 40)),
        enrolled_at=runtime["enrolled_at"],
        trouble=trouble,
        suspected=bool(runtime["suspected_since"]),
        revoked_at=runtime["revoked_at"] or "",
        how=tuple((name, one_line(text, 80)) for name, text in how if text),
    )


# -- health --------------------------------------------------------------------------------------------------------


def picture(history: Document) -> Picture:
    """The stretches between `from` and `to`, drawn to scale."""
    since, until = ms_of(history["from"]), ms_of(history["to"])
    length = max(1, until - since)
    drawn: list[Stretch] = []
    spent: dict[str, int] = {}
    for period in history["periods"]:
        begin = max(since, ms_of(period["since"]))
        end = min(until, until if period["until"] is None else ms_of(period["until"]))
        if end < begin:
            continue
        health = period["health"]
        spent[health] = spent.get(health, 0) + end - begin
        x = (begin - since) / length * PICTURE_WIDTH
        width = max(1.0, (end - begin) / length * PICTURE_WIDTH)
        words = WORDS.get(f"health.{health}", health)
        drawn.append(Stretch(round(x, 2), round(width, 2), health, words, period["since"], period["until"] or ""))
    shares = [
        (health, word("health.share", health=WORDS.get(f"health.{health}", health), percent=_percent(ms, length)))
        for health, ms in sorted(spent.items(), key=lambda one: -one[1])
    ]
    words = ", ".join(text for _, text in shares) or WORDS["health.none"]
    return Picture(drawn, _ticks(since, until), shares, words, history["truncated"])


def _percent(ms: int, length: int) -> str:
    share = 100 * ms / length
    return "< 1" if 0 < share < 1 else f"{share:.0f}"


def _ticks(since: int, until: int) -> list[str]:
    """Days at even distances, from the first to the last."""
    step = (until - since) / (TICKS - 1)
    return [_day(since + int(step * n)) for n in range(TICKS)]


def _day(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{at.day} {at:%b}"


# -- what was done -------------------------------------------------------------------------------------------------


def recorded(change: Document) -> list[str]:
    """What a step recorded of its changes, in words."""
    found = []
    for one in change["changes"]:
        what = one_line(str(one.get("what") or one.get("name") or one.get("path") or ""), 80)
        before, after = one.get("from", one.get("before")), one.get("to", one.get("after"))
        if what and (before is not None or after is not None):
            texts = {"before": _state(before), "after": _state(after)}
            found.append(word("changes.from_to", what=what, **texts))
        elif what:
            found.append(what)
    return found


def _state(value: Any) -> str:
    """A state as it was recorded; of a digest its beginning says enough."""
    text = one_line(str(value)[:400], 60)
    return f"{text[:DIGEST_SHOWN]}…" if text.startswith("sha256:") else text
