"""What is done about a session as a whole: hand over, close, the note for the ticket, stop everything.

Owns the mapping of these forms to the API. What is refused comes back in its own pane, with what was typed.
"""

from __future__ import annotations

from typing import Any, Final

from caisey.control.roles import Role
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render, see_other
from caisey.web.views.strip_menu import StripMenu, open_steps, strip_menu_of
from caisey.web.visit import Visit
from caisey.web.words import WORDS, word

Document = dict[str, Any]

OUTCOMES: Final = ("accepted", "declined", "withdrawn")
MAX_OPEN: Final = 500


async def menu_of(visit: Visit, session: Document) -> StripMenu:
    """For the page of a session."""
    may = visit.person.may_in(Role.TECHNICIAN, session["client_group_id"])
    colleagues = []
    if may and not session["closed"]:
        colleagues = (await visit.inside.get(f"/sessions/{session['id']}/colleagues"))["items"]
    return strip_menu_of(session, visit.person.member_id, colleagues, may=may)


async def hand_over(visit: Visit) -> Reply:
    form = visit.form
    body = {"note": form.get("note")} | ({"to": form.get("to")} if form.get("to") else {})
    return await _done(visit, "/hand-over", body, "hand_over")


async def end_offer(visit: Visit) -> Reply:
    outcome = visit.form.get("outcome")
    return await _done(
        visit, "/hand-over/end", {"outcome": outcome if outcome in OUTCOMES else "withdrawn"}, "hand_over"
    )


async def close(visit: Visit) -> Reply:
    form = visit.form
    chosen = {n.removeprefix("open."): form.get(n) for n in sorted(form.names)[:MAX_OPEN] if n.startswith("open.")}
    body: Document = {
        "outcome": form.get("outcome").strip(),
        "verified": form.get("verified").strip() or False,
        "drop": [call_id for call_id, what in chosen.items() if what == "drop"],
        "keep": [call_id for call_id, what in chosen.items() if what != "drop"],
    }
    return await _done(visit, "/close", body, "close")


async def stop_everything(visit: Visit) -> Reply:
    session = await visit.inside.get(f"/sessions/{visit.path['session_id']}", only="open")
    path = f"/endpoints/{session['endpoint_id']}/stop-everything"
    try:
        stopped = await visit.inside.post(path, {"reason": visit.form.get("reason").strip()}, key=visit.form.key)
    except ApiFault as fault:
        return await _refused(visit, fault, "stop")
    asked = stopped["asked"]
    said = word("strip.stop.done", n=asked) if asked else word("strip.stop.none", computer=session["computer"])
    return await _page(visit, "stop", said=said)


async def _done(visit: Visit, path: str, body: Document, pane: str) -> Reply:
    session_id = visit.path["session_id"]
    try:
        await visit.inside.post(f"/sessions/{session_id}{path}", body, key=visit.form.key)
    except ApiFault as fault:
        return await _refused(visit, fault, pane)
    return see_other(f"/sessions/{session_id}")


async def _refused(visit: Visit, fault: ApiFault, pane: str) -> Reply:
    if fault.status in (401, 404) and pane != "hand_over":
        raise fault
    return await _page(visit, pane, fault=fault)


async def _page(visit: Visit, pane: str, *, fault: ApiFault | None = None, said: str = "") -> Reply:
    from caisey.web.pages.session import page_of  # the page shows this menu, and this menu shows the page

    session = await visit.inside.get(f"/sessions/{visit.path['session_id']}")
    named = fault.problem.get("open", ()) if fault is not None and fault.code == "session.open_work" else ()
    values = {name: visit.form.get(name) for name in ("to", "note", "outcome", "verified", "reason")}
    menu = (await menu_of(visit, session))._replace(
        open=pane, fault=fault, said=said, values=values, open_work=open_steps(session, named)
    )
    return await page_of(visit, status=fault.status if fault is not None else 200, strip_menu=menu)


async def note(visit: Visit) -> Reply:
    """Both texts; for our script the one it asks for, as plain text."""
    session_id = visit.path["session_id"]
    if visit.fragment:
        audience = "customer" if visit.query.get("audience") == "customer" else "technician"
        text = (await visit.inside.get(f"/sessions/{session_id}/ticket-note", audience=audience))["text"]
        return Reply(body=text.encode(), media_type="text/plain; charset=utf-8")
    texts = [
        {
            "audience": audience,
            "title": WORDS[f"note.{audience}"],
            "hint": WORDS[f"note.{audience}.hint"],
            "text": (await visit.inside.get(f"/sessions/{session_id}/ticket-note", audience=audience))["text"],
        }
        for audience in ("technician", "customer")
    ]
    return render(visit, "ticket_note.html", session_id=session_id, texts=texts)


_SESSION: Final = "/sessions/{session_id}"

PAGES: Final[tuple[Page, ...]] = (
    Page(method="POST", path=f"{_SESSION}/hand-over", show=hand_over, role=Role.TECHNICIAN),
    Page(method="POST", path=f"{_SESSION}/hand-over/end", show=end_offer, role=Role.TECHNICIAN),
    Page(method="POST", path=f"{_SESSION}/close", show=close, role=Role.TECHNICIAN),
    Page(method="POST", path=f"{_SESSION}/stop-everything", show=stop_everything, role=Role.TECHNICIAN),
    Page(method="GET", path=f"{_SESSION}/note", show=note),
)
