"""`/attention`: what needs a person, what waits by itself, one's own open sessions; and what is done about a line.

Owns which documents of the API the page needs and what a press on it does. The order is the API's, the words are
`views/attention`'s.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final
from urllib.parse import quote, urlencode

from caisey.control.roles import Role
from caisey.control.zones import zone_of
from caisey.core.plain_text import one_line
from caisey.core.spoken import rfc3339
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render, see_other
from caisey.web.views.attention import count, lines, why_first, work
from caisey.web.visit import Visit
from caisey.web.words import WORDS, word

Document = dict[str, Any]

SHOWN: Final = 60
PAGES_LOOKED_AT: Final = 10
WORK: Final = 50
SESSIONS: Final = 20
AT_ONCE: Final = 100
"""Lines that one press may take or put aside."""
MINUTES: Final = ("15", "60", "240", "4320")
TOMORROW: Final = "tomorrow"
MORNING: Final = 8


async def home(visit: Visit) -> Reply:
    """The first page is the one that says what needs a person."""
    return see_other("/attention")


async def show(visit: Visit) -> Reply:
    """The list; for the page's script the part that changes."""
    return await _page(visit)


async def _page(visit: Visit, *, status: int = 200, refused: Document | None = None) -> Reply:
    member = visit.person.member_id
    cursor = visit.query.get("cursor")
    needs, aside, waiting, mine = await asyncio.gather(
        visit.inside.get("/attention", aside="hide", mine="first", limit=SHOWN, cursor=cursor),
        visit.inside.get("/attention", aside="only", limit=SHOWN),
        visit.inside.get("/work", tone="wait", limit=WORK),
        visit.inside.get("/sessions", state="open", owner=member, limit=SESSIONS),
    )
    shown = lines(needs["items"], member)
    context = {
        "lines": shown,
        "why_first": "" if cursor is not None else why_first(needs["items"]),
        "needs_count": needs["total"] - needs["aside"],
        "rest": max(0, needs["total"] - needs["aside"] - count(shown)),
        "next": needs["next"],
        "further": cursor is not None,
        "aside": lines(aside["items"], member),
        "aside_count": needs["aside"],
        "back_at": needs["back_at"],
        "changed_at": needs["changed_at"],
        "sequence": needs["sequence"],
        "work": work(waiting["items"]),
        "work_more": waiting["next"] is not None,
        "sessions": mine["items"],
        "more_sessions": mine["next"] is not None,
        "may_work": visit.person.may(Role.TECHNICIAN),
        "choices": (*MINUTES[:3], TOMORROW, MINUTES[3]),
        "refused": refused,
        "done": _done(visit),
    }
    template = "parts/attention_list.html" if visit.fragment else "attention.html"
    return render(visit, template, status=status, **context)


def _done(visit: Visit) -> Document | None:
    """What the press before did, in words; from the address, so nothing of it is trusted further."""
    what = visit.query.get("done", "")
    said = WORDS.get(f"attention.done.{what}") if what.isidentifier() else None
    if said is None:
        return None
    if what == "action":
        said = word("attention.done.action", label=one_line(visit.query.get("label", ""), 60))
    session = visit.query.get("session", "")
    until = visit.query.get("until", "")
    return {"said": said, "session": session if _is_id(session) else "", "until": until if until.isdecimal() else ""}


def _is_id(text: str) -> bool:
    return text.isascii() and text.replace("_", "").isalnum() and len(text) <= 64


# -- what a press does ---------------------------------------------------------------------------------------------


async def act(visit: Visit) -> Reply:
    """Take, put aside, take back, for every line that is named; what can still be done is done."""
    what = visit.form.get("do")
    items = list(dict.fromkeys(visit.form.all("item")))[:AT_ONCE]
    if not items:
        return await _page(visit, status=422, refused=_refusal("attention.none_selected", "attention.select_first"))
    if what == "snooze" and not visit.form.get("reason").strip():
        refused = _refusal("attention.reason_needed", "attention.reason_hint")
        return await _page(visit, status=422, refused=refused | {"items": items, "until": visit.form.get("until")})
    until = _until(visit)
    faults: list[ApiFault] = []
    for place, item in enumerate(items):
        try:
            await _one(visit, what, item, until, f"{visit.form.key}-{place}" if visit.form.key else None)
        except ApiFault as fault:
            faults.append(fault)
    if faults and len(faults) == len(items):
        return await _page(visit, status=faults[0].status, refused=_of_fault(faults[0], items, visit))
    if faults:
        said = word("attention.partly", done=len(items) - len(faults), all=len(items))
        return await _page(visit, status=409, refused=_of_fault(faults[0], items, visit) | {"sentence": said})
    more = f"&until={until}" if what == "snooze" else ""
    return see_other(f"/attention?done={what}{more}")


async def _one(visit: Visit, what: str, item: str, until: int, key: str | None) -> None:
    path = f"/attention/{quote(item, safe=':')}"
    if what == "take":
        await visit.inside.post(f"{path}/take", key=key)
    elif what == "wake":
        await visit.inside.delete(f"{path}/snooze", key=key)
    else:
        body = {"until": rfc3339(until), "reason": visit.form.get("reason").strip()[:2_000]}
        await visit.inside.post(f"{path}/snooze", body, key=key)


async def first(visit: Visit) -> Reply:
    """The first action of a line, where it is safe: as the API offers it now, with what the person has read."""
    line, code = await _line(visit, visit.form.get("item")), visit.form.get("code")
    action = None if line is None else line["first_action"]
    if line is None or action is None or action["code"] != code or not action["safe"]:
        return await _page(visit, status=409, refused=_refusal("attention.changed", "attention.changed.hint"))
    body = {"action": action["action"], **action["body"]}
    if visit.form.seen is not None:
        body["seen"] = visit.form.seen
    try:
        await visit.inside.post(f"/tool-calls/{action['tool_call_id']}/actions", body, key=visit.form.key)
    except ApiFault as fault:
        return await _page(visit, status=fault.status, refused=_of_fault(fault, [], visit))
    did = {"done": "action", "label": action["label"], "session": line["session_id"]}
    return see_other(f"/attention?{urlencode(did)}")


async def _line(visit: Visit, item: str) -> Document | None:
    """The line as it is now; None where it is gone."""
    cursor: str | None = None
    for _ in range(PAGES_LOOKED_AT):
        page = await visit.inside.get("/attention", aside="hide", mine="first", limit=AT_ONCE, cursor=cursor)
        found: Document | None = next((one for one in page["items"] if one["id"] == item), None)
        cursor = page["next"]
        if found is not None or cursor is None:
            return found
    return None


def _until(visit: Visit) -> int:
    """When a line shall be back, in milliseconds."""
    wanted = visit.form.get("until")
    if wanted == TOMORROW:
        return _tomorrow(visit.now_ms, zone_of(visit.person.zone))
    minutes = int(wanted) if wanted in MINUTES else int(MINUTES[1])
    return visit.now_ms + minutes * 60_000


def _tomorrow(now_ms: int, zone: tzinfo) -> int:
    """The next morning in the reader's zone."""
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    morning = (now + timedelta(days=1)).replace(hour=MORNING, minute=0, second=0, microsecond=0)
    return int(morning.timestamp() * 1000)


def _refusal(sentence: str, hint: str) -> Document:
    return {"sentence": WORDS[sentence], "hint": WORDS[hint], "code": "", "items": [], "until": "", "reason": ""}


def _of_fault(fault: ApiFault, items: list[str], visit: Visit) -> Document:
    return {
        "sentence": fault.sentence,
        "hint": fault.hint,
        "code": fault.code,
        "items": items,
        "until": visit.form.get("until"),
        "reason": visit.form.get("reason"),
    }


PAGES: Final = (
    Page(method="GET", path="/", show=home, nav="attention"),
    Page(method="GET", path="/attention", show=show, nav="attention"),
    Page(method="POST", path="/attention/act", show=act, role=Role.TECHNICIAN, nav="attention"),
    Page(method="POST", path="/attention/first", show=first, role=Role.TECHNICIAN, nav="attention"),
)
