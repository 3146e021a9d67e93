"""The attention list as it is shown: lines, groups where a site fails, the reason for the place of each.

Owns the grouping and the words around a line. Pure, from `GET /attention`, `GET /work` and `GET /sessions`. The order
is the API's; a group stands where its first line stood.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from caisey.core.catalogue.phrases import PHRASES
from caisey.core.plain_text import one_line
from caisey.web.times import ms_of
from caisey.web.words import WORDS, word

Document = dict[str, Any]

GROUP_FROM: Final = 3
GROUP_WITHIN_MS: Final = 2 * 60_000
NAME_LENGTH: Final = 60
ENDS: Final = frozenset({"held", "awaiting_approval"})
"""The deadline of everything else in the list is a reminder."""
GOES_ON: Final = "stalled"
"""A command that runs and asks something: its time is that of a sign of life, and nothing ends or reminds then."""


class First(NamedTuple):
    """The first action of a line: sent from here where that is safe, else a link to where it is decided."""

    label: str
    consequence: str
    send: bool
    tool_call_id: str
    action: str
    href: str


class Line(NamedTuple):
    """One thing that waits."""

    id: str
    anchor: str
    tone: str
    label: str
    reason: str
    literal: str
    computer: str
    client: str
    client_id: str | None
    endpoint_id: str
    ran_label: str
    ran_note: str
    since: str
    due: str
    due_word: str
    owner: str
    mine: bool
    href: str
    first: First
    seen: int | None
    can_take: bool
    aside_until: str
    aside_words: str


class Group(NamedTuple):
    """Several lines of one client that began within two minutes."""

    anchor: str
    tone: str
    label: str
    since: str
    lines: list[Line]


class Work(NamedTuple):
    """One step that waits by itself."""

    tone: str
    label: str
    literal: str
    computer: str
    client: str
    ran_label: str
    since: str
    due: str
    then: str
    href: str
    summary: str


def lines(items: list[Document], member_id: str) -> list[Line | Group]:
    """The lines in their order, those of one client that began together as one."""
    shown = [_line(item, member_id) for item in items]
    groups = _groups(items)
    found: list[Line | Group] = []
    placed: set[int] = set()
    for place, line in enumerate(shown):
        if place in placed:
            continue
        mates = groups.get(place, [place])
        placed.update(mates)
        found.append(line if len(mates) < GROUP_FROM else _group([items[m] for m in mates], [shown[m] for m in mates]))
    return found


def _groups(items: list[Document]) -> dict[int, list[int]]:
    """For the first place of each group, the places of its lines. A window begins with its oldest line."""
    by_client: dict[tuple[str | None, bool], list[tuple[int, int]]] = {}
    for place, item in enumerate(items):
        alarm = item["tone"] == "alarm"  # identity is decided one by one
        if not alarm and item["client_group_id"] is not None:
            by_client.setdefault((item["client_group_id"], alarm), []).append((ms_of(item["since"]), place))
    found: dict[int, list[int]] = {}
    for times in by_client.values():
        window: list[tuple[int, int]] = []
        for since, place in sorted(times):
            if window and since - window[0][0] > GROUP_WITHIN_MS:
                _keep(found, window)
                window = []
            window.append((since, place))
        _keep(found, window)
    return found


def _keep(found: dict[int, list[int]], window: list[tuple[int, int]]) -> None:
    if len(window) >= GROUP_FROM:
        places = sorted(place for _, place in window)
        found[places[0]] = places


def _group(items: list[Document], mine: list[Line]) -> Group:
    labels = {line.label for line in mine}
    computers = len({item["endpoint_id"] for item in items})
    client = mine[0].client or WORDS["attention.no_client"]
    if len(labels) > 1:
        label = word("attention.group.mixed", client=client, n=len(mine), computers=computers)
    elif computers == len(mine):
        label = word("attention.group", client=client, n=computers, label=mine[0].label)
    else:
        label = word("attention.group.things", client=client, n=len(mine), label=mine[0].label)
    since = min(items, key=lambda item: ms_of(item["since"]))["since"]
    return Group(f"group-{mine[0].anchor}", mine[0].tone, label, since, mine)


def _line(item: Document, member_id: str) -> Line:
    href = href_of(item)
    aside = item["snoozed"]
    return Line(
        id=item["id"],
        anchor=anchor_of(item["id"]),
        tone=item["tone"],
        label=one_line(item["label"], NAME_LENGTH),
        reason=(item["reason"] or "") if item["may_have_changed"] else "",
        literal=one_line(item["literal"] or "", 120),
        computer=one_line(item["endpoint"] or WORDS["attention.gone"], NAME_LENGTH),
        client=one_line(item["client_group"] or "", NAME_LENGTH),
        client_id=item["client_group_id"],
        endpoint_id=item["endpoint_id"] or "",
        ran_label=item["ran_label"] or "",
        ran_note=item["ran_note"] or "",
        since=item["since"],
        due="" if item["type"] == GOES_ON else item["due_at"] or "",
        due_word=WORDS["attention.due.ends" if item["type"] in ENDS else "attention.due.reminder"],
        owner=_owner(item, member_id),
        mine=item["owner"] == member_id,
        href=href,
        first=_first(item, href),
        seen=item["sequence"],
        can_take=item["owner"] != member_id,
        aside_until="" if aside is None else aside["until"],
        aside_words="" if aside is None else _aside(aside, member_id),
    )


def why_first(items: list[Document]) -> str:
    """Why the first line stands first."""
    return word("attention.first", reason=items[0]["reason"]) if items and items[0]["reason"] else ""


def anchor_of(key: str) -> str:
    """The line's id in the page: a key of ours has letters, digits, `_`, `.` and `:` only."""
    return "line-" + key.replace(":", "-").replace(".", "-")


def href_of(item: Document) -> str:
    """Where it is decided."""
    if item["session_id"] and item["tool_call_id"]:
        return f"/sessions/{item['session_id']}?item={item['tool_call_id']}#now"
    if item["session_id"]:
        return f"/sessions/{item['session_id']}#now"
    return f"/endpoints/{item['endpoint_id']}?show=agents#decide" if item["endpoint_id"] else "/endpoints"


def _owner(item: Document, member_id: str) -> str:
    if item["owner"] is None:
        return WORDS["attention.nobody"]
    if item["owner"] == member_id:
        return WORDS["attention.mine_short"]
    if item["owner_name"] is None and item["owner"].startswith("tok_"):
        return PHRASES["who.token"]
    return one_line(item["owner_name"] or WORDS["attention.somebody"], NAME_LENGTH)


def _aside(aside: Document, member_id: str) -> str:
    who = WORDS["attention.mine_short"] if aside["by"] == member_id else aside["by_name"] or WORDS["attention.somebody"]
    return word("attention.snooze.kept", who=one_line(who, NAME_LENGTH), reason=one_line(aside["reason"], 120))


def _first(item: Document, href: str) -> First:
    action = item["first_action"]
    if action is None:
        label = WORDS["attention.open" if item["session_id"] else "attention.decide"]
        return First(label, "", False, "", "", href)
    sends = action["safe"] and action["unavailable_because"] is None
    consequence = action["unavailable_because"] or action["consequence"]
    return First(
        label=one_line(action["label"], NAME_LENGTH),
        consequence=one_line(consequence, 160),
        send=sends,
        tool_call_id=action["tool_call_id"],
        action=action["code"],
        href=href,
    )


def work(items: list[Document]) -> list[Work]:
    """What waits by itself, the nearest deadline first."""
    found = [
        Work(
            tone=item["tone"],
            label=one_line(item["label"], NAME_LENGTH),
            literal=one_line(item["literal"], 120),
            computer=one_line(item["endpoint"] or WORDS["attention.gone"], NAME_LENGTH),
            client=one_line(item["client_group"] or "", NAME_LENGTH),
            ran_label=item["ran_label"],
            since=item["since"],
            due=item["due_at"] or "",
            then=WORDS.get(f"attention.then.{item['next_state']}", ""),
            href=f"/sessions/{item['session_id']}?item={item['tool_call_id']}#now",
            summary=one_line(item["summary"], 160),
        )
        for item in items
    ]
    return sorted(found, key=lambda one: one.due or "9")


def count(found: list[Line | Group]) -> int:
    """How many lines there are, those inside groups too."""
    return sum(len(one.lines) if isinstance(one, Group) else 1 for one in found)
