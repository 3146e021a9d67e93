"""`/endpoints/{id}`: one computer: what is known of it, also while it is offline, and where to ask for more.

Owns which documents of the API each part of the page needs. What a press does is in `endpoint_act.py`; what stands
there is in `views/endpoint` and `views/looks`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from caisey.control.roles import Role
from caisey.core import spoken
from caisey.core.catalogue.phrases import PHRASES
from caisey.core.plain_text import one_line
from caisey.core.spoken import rfc3339
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render
from caisey.web.views.attention import work
from caisey.web.views.endpoint import agents, facts, picture, recorded
from caisey.web.views.endpoints import computer
from caisey.web.views.looks import services, tables
from caisey.web.visit import Visit
from caisey.web.words import WORDS, word

Document = dict[str, Any]
Section = Callable[[Visit, Document], Awaitable[Document]]

TOOLS: Final = {"processes": "processes", "events": "event_log", "disks": "disk_usage", "network": "network"}
SHOWS: Final = ("overview", "services", "processes", "events", "disks", "network", "agents", "settings")
DAYS: Final = (7, 30, 90)
DAY_MS: Final = 86_400_000
SHOWN: Final = 10
LOOKS: Final = 200
NAME_LENGTH: Final = 60
DONE: Final = frozenset({"saved", "removed", "undone", "reviewed", "joined", "accepted", "revoked"})


async def show(visit: Visit) -> Reply:
    """The page, or the part that changes."""
    return await page_of(visit)


async def page_of(
    visit: Visit, *, status: int = 200, refused: ApiFault | None = None, part: str | None = None
) -> Reply:
    """The page; `refused` is why a form was not taken, `part` the part of the page that it stands in."""
    endpoint_id = visit.path["endpoint_id"]
    shown = part or visit.query.get("show", SHOWS[0])
    shown = shown if shown in SHOWS else SHOWS[0]
    item, asked, newest = await asyncio.gather(
        visit.inside.get(f"/endpoints/{endpoint_id}"), _asked(visit), visit.inside.get("/attention", limit=1)
    )
    section = await _SECTIONS.get(shown, _look)(visit, item)
    done = visit.query.get("done", "")
    context = {
        "item": item,
        "id": endpoint_id,
        "computer": computer(item),
        "name": one_line(item["name"], NAME_LENGTH),
        "show": shown,
        "shows": SHOWS,
        "here": f"/endpoints/{endpoint_id}?show={shown}",
        "asked": asked,
        "sequence": newest["sequence"],
        "answers": item["sendable"]["value"],
        "kept_for": await _kept_for(visit, item),
        "decisions": await _decisions(visit, item),
        "may_work": visit.person.may_in(Role.TECHNICIAN, item["client_group_id"]) and item["removing"] is None,
        "may_decide": visit.person.may_in(Role.TECHNICIAN, item["client_group_id"]),
        "may_admin": visit.person.may_in(Role.ADMIN, item["client_group_id"]),
        "refused": refused,
        "done": WORDS[f"endpoint.done.{done}"] if done in DONE else "",
        "form": visit.form,
        **section,
    }
    return render(visit, "parts/endpoint_body.html" if visit.fragment else "endpoint.html", status=status, **context)


async def _kept_for(visit: Visit, item: Document) -> str:
    """How long work is kept for it, where it does not answer now."""
    if item["sendable"]["value"] or item["removing"] is not None:
        return ""
    policy = await visit.inside.get("/policies/effective", endpoint=item["id"])
    seconds = policy.get("hold_expiry_s", {}).get("value")
    return spoken.span(int(seconds * 1000), PHRASES) if isinstance(seconds, int | float) else ""


async def _decisions(visit: Visit, item: Document) -> list[Document]:
    """What waits for a person's word about the computer itself."""
    found: list[Document] = []
    if item["review_needed"]:
        found.append({"kind": "review"})
    if item["like_endpoint_id"]:
        other = await visit.inside.get(f"/endpoints/{item['like_endpoint_id']}")
        found.append({"kind": "like", "other": one_line(other["name"], NAME_LENGTH), "other_id": other["id"]})
    found += ({"kind": "suspected", "runtime_id": one["id"]} for one in item["runtimes"] if _suspected(one))
    return found


def _suspected(runtime: Document) -> bool:
    return bool(runtime["suspected_since"]) and not runtime["revoked_at"]


async def _asked(visit: Visit) -> Document | None:
    """How what was asked from this page stands; None where nothing was, or it is done."""
    prompt_id = visit.query.get("prompt", "")
    if not (prompt_id.startswith("pmt_") and prompt_id.isascii() and prompt_id.replace("_", "").isalnum()):
        return None
    try:
        prompt = await visit.inside.get(f"/prompts/{prompt_id[:64]}", output_bytes=1)
    except ApiFault as fault:
        if fault.status != 404:
            raise
        return None
    if prompt["endpoint_id"] != visit.path["endpoint_id"]:
        return None
    steps = [call for call in prompt["tool_calls"] if call["outcome"] != "replaced"]
    open_step = next((call for call in steps if call["state"] != "ended"), None)
    odd = next((call for call in steps if call["now"]["tone"] in ("ask", "alarm")), None)
    step = open_step or odd
    if step is None:
        return None
    return {
        "tone": step["now"]["tone"],
        "label": one_line(step["now"]["label"], NAME_LENGTH),
        "summary": one_line(step["now"]["summary"], 160),
        "href": f"/sessions/{prompt['session_id']}?item={step['id']}#now",
        "running": open_step is not None and step["now"]["tone"] in ("run", "wait", "plain"),
        "prompt": prompt_id,
    }


# -- the parts of the page -----------------------------------------------------------------------------------------


async def _overview(visit: Visit, item: Document) -> Document:
    days = int(visit.query["days"]) if visit.query.get("days") in {str(one) for one in DAYS} else DAYS[0]
    since = rfc3339(visit.now_ms - days * DAY_MS)
    path = f"/endpoints/{item['id']}"
    open_work, sessions, changes, health = await asyncio.gather(
        visit.inside.get("/work", endpoint_id=item["id"], limit=SHOWN),
        visit.inside.get("/sessions", endpoint_id=item["id"], limit=SHOWN),
        visit.inside.get(f"{path}/changes", limit=SHOWN, cursor=visit.query.get("changes") or None),
        visit.inside.get(f"{path}/health", from_=since),
    )
    return {
        "facts": facts(item),
        "work": work(open_work["items"]),
        "sessions": sessions["items"],
        "more_sessions": sessions["next"] is not None,
        "changes": [(change, recorded(change)) for change in changes["items"]],
        "more_changes": changes["next"],
        "picture": picture(health),
        "days": days,
        "all_days": DAYS,
    }


async def _services(visit: Visit, item: Document) -> Document:
    found = await visit.inside.get(f"/endpoints/{item['id']}/looks", tool="service", limit=LOOKS)
    return {"services": services(found["items"])}


async def _look(visit: Visit, item: Document) -> Document:
    """Of a tool with one newest answer."""
    shown = visit.query.get("show", "")
    tool = TOOLS.get(shown) or TOOLS.get(visit.form.get("show"), "processes")
    found = await visit.inside.get(f"/endpoints/{item['id']}/looks", tool=tool, limit=1)
    newest = found["items"][0] if found["items"] else None
    made = [] if newest is None else tables(tool, newest["result"])
    return {"look": newest, "tables": made, "odd": newest is not None and not made, "tool": tool}


async def _agents(visit: Visit, item: Document) -> Document:
    return {"agents": agents(item)}


async def _settings(visit: Visit, item: Document) -> Document:
    groups = await visit.inside.get("/client-groups", limit=LOOKS)
    return {"groups": groups["items"]}


_SECTIONS: Final[dict[str, Section]] = {
    "overview": _overview,
    "services": _services,
    "agents": _agents,
    "settings": _settings,
}


def look_title(name: str) -> str:
    """What a session is called that begins with a look."""
    return word("look.title", computer=one_line(name, NAME_LENGTH))


PAGES: Final = (Page(method="GET", path="/endpoints/{endpoint_id}", show=show, nav="endpoints"),)
