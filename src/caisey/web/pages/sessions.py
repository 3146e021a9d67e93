"""`/sessions`: the list; `/open`: where buttons of other programs lead, and where a session begins.

Owns finding the computer that is meant, and the page on which a session begins with what is sent first: looking at it
makes nothing.
"""

from __future__ import annotations

from typing import Any, Final

from caisey.control.roles import Role
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render, see_other
from caisey.web.pages.compose import context_at
from caisey.web.pages.composer import FORM_BYTES, pressed, system_of
from caisey.web.views.composer import Draft, place_of
from caisey.web.visit import Visit

Document = dict[str, Any]

PER_PAGE: Final = 50
ID_LENGTH: Final = 64
TEXT_LENGTH: Final = 128
STATES: Final = ("open", "closed", "all")


async def show_list(visit: Visit) -> Reply:
    query = visit.query
    state = query.get("state", "open")
    state = state if state in STATES else "open"
    ticket = query.get("ticket", "").strip()[:TEXT_LENGTH]
    page = await visit.inside.get(
        "/sessions",
        state=None if state == "all" else state,
        ticket=ticket or None,
        endpoint_id=query.get("endpoint", "")[:ID_LENGTH] or None,
        cursor=query.get("cursor") or None,
        limit=PER_PAGE,
    )
    return render(
        visit, "sessions.html", sessions=page["items"], next=page["next"], state=state, ticket=ticket, states=STATES
    )


# -- /open ---------------------------------------------------------------------------------------------------------


async def open_page(visit: Visit) -> Reply:
    """The composer for a computer named by `host` or `endpoint`; an open session of the same ticket is gone on with."""
    ticket = visit.query.get("ticket", "").strip()[:TEXT_LENGTH]
    name = visit.query.get("host", "").strip()[:TEXT_LENGTH]
    found = await _computers(visit, name, visit.query.get("endpoint", "")[:ID_LENGTH])
    if len(found) != 1:
        return render(visit, "open_which.html", status=200 if found else 404, computers=found, name=name, ticket=ticket)
    endpoint = found[0]
    if ticket:
        same = await visit.inside.get("/sessions", endpoint_id=endpoint["id"], ticket=ticket, state="open", limit=1)
        if same["items"]:
            return see_other(f"/sessions/{same['items'][0]['id']}#composer")
    return await _new(visit, endpoint, ticket, visit.query.get("title", "")[:256])


async def _computers(visit: Visit, name: str, endpoint_id: str) -> list[Document]:
    """Those of exactly this name, else the only one that a search for it finds."""
    if endpoint_id:
        return [await visit.inside.get(f"/endpoints/{endpoint_id}")]
    if not name:
        return []
    items = (await visit.inside.get("/endpoints", q=name, limit=20))["items"]
    exact = [one for one in items if name.casefold() in (one["name"].casefold(), one["hostname"].casefold())]
    return exact or (items if len(items) == 1 else [])


def _unborn(endpoint: Document, ticket: str) -> Document:
    """What stands in the place of the session's document, until there is one."""
    return {
        "id": "",
        "computer": endpoint["name"],
        "client": endpoint["client_group"],
        "closed": None,
        "endpoint_id": endpoint["id"],
        "ticket": ticket,
    }


async def _new(
    visit: Visit,
    endpoint: Document,
    ticket: str,
    title: str,
    draft: Draft | None = None,
    *,
    fault: ApiFault | None = None,
    warning: str = "",
) -> Reply:
    place = place_of(
        _unborn(endpoint, ticket), endpoint, may_send=visit.person.may_in(Role.TECHNICIAN, endpoint["client_group_id"])
    )
    hidden = {"endpoint_id": endpoint["id"], "ticket": ticket, "title": title}
    context = await context_at(visit, place, "/open", draft, fault=fault, warning=warning, hidden=hidden)
    status = fault.status if fault is not None else 200
    return render(
        visit, "open.html", status=status, endpoint=endpoint, ticket=ticket, title=title, session=None, **context
    )


async def begin(visit: Visit) -> Reply:
    """The first press of a new session: opens it and sends."""
    form = visit.form
    endpoint = await visit.inside.get(f"/endpoints/{form.get('endpoint_id')[:ID_LENGTH] or '-'}")
    ticket, title = form.get("ticket").strip()[:TEXT_LENGTH], form.get("title").strip()[:256]

    async def shown(draft: Draft, *, fault: ApiFault | None = None, warning: str = "") -> Reply:
        return await _new(visit, endpoint, ticket, title, draft, fault=fault, warning=warning)

    async def send(steps: list[Document], draft: Draft) -> Reply:
        # A press that comes twice finds the same session by the same key, and its request by the other.
        key = form.key
        body: Document = {"endpoint_id": endpoint["id"], "title": title or _title(steps)}
        session = await visit.inside.post("/sessions", body | ({"ticket": ticket} if ticket else {}), key=key)
        asked = {"tool_calls": steps, "side_by_side": draft.side_by_side}
        try:
            await visit.inside.post(f"/sessions/{session['id']}/prompts", asked, key=key)
        except ApiFault:
            await _unbegin(visit, session["id"])
            raise
        return see_other(f"/sessions/{session['id']}#now")

    return await pressed(visit, system_of(endpoint), shown, send)


async def _unbegin(visit: Visit, session_id: str) -> None:
    """A session in which nothing was ever asked is not left lying about."""
    await visit.inside.post(f"/sessions/{session_id}/close", {"outcome": "Nothing was sent.", "verified": False})


def _title(steps: list[Document]) -> str:
    """What is asked first, on one line."""
    arguments = steps[0].get("arguments") or {}
    said = str(arguments.get("command") or " ".join([str(steps[0].get("tool", "")), *map(str, arguments.values())]))
    return " ".join(said.split())[:80]


async def start(visit: Visit) -> Reply:
    """An empty session on a computer, from the computer's own page."""
    form = visit.form
    body: Document = {"endpoint_id": form.get("endpoint_id"), "title": form.get("title").strip()[:256]}
    ticket = form.get("ticket").strip()[:TEXT_LENGTH]
    session = await visit.inside.post("/sessions", body | ({"ticket": ticket} if ticket else {}), key=form.key)
    return see_other(f"/sessions/{session['id']}#composer")


PAGES: Final[tuple[Page, ...]] = (
    Page(method="GET", path="/sessions", show=show_list),
    Page(method="POST", path="/sessions", show=start, role=Role.TECHNICIAN),
    Page(method="GET", path="/open", show=open_page),
    Page(method="POST", path="/open", show=begin, role=Role.TECHNICIAN, form_bytes=FORM_BYTES),
)
