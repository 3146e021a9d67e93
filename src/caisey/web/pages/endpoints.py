"""`/endpoints`: the computers, searched as one types.

Owns which of the API's queries the page asks. What stands in a line is `views/endpoints`'.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from caisey.control.roles import Role
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render
from caisey.web.views.endpoints import FILTERS, HEALTHS, address, chips, computer, counted
from caisey.web.visit import Visit

SHOWN: Final = 50
QUERY_LENGTH: Final = 200


async def show(visit: Visit) -> Reply:
    """The list; for the page's script the part that changes."""
    query = {name: visit.query.get(name, "").strip()[:QUERY_LENGTH] for name in FILTERS}
    if query["health"] not in HEALTHS:
        query["health"] = ""
    cursor = visit.query.get("cursor")
    wanted: dict[str, Any] = {name: value or None for name, value in query.items()}
    page, summary = await asyncio.gather(_page(visit, wanted, cursor), visit.inside.get("/endpoints/summary"))
    context = {
        "computers": [computer(item, query["q"]) for item in page["items"]],
        "next": page["next"],
        "further": cursor is not None,
        "query": query,
        "filtered": any(query.values()),
        "here": address(query),
        "chips": chips(summary, query),
        "counted": counted(page["total"], summary["total"]),
        "everything": summary["total"],
        "tags": summary["tags"],
        "groups": summary["client_groups"],
        "may_add": visit.person.may(Role.ADMIN),
        "address": address,
        "sequence": summary["sequence"],
    }
    return render(visit, "parts/endpoints_list.html" if visit.fragment else "endpoints.html", **context)


async def _page(visit: Visit, wanted: dict[str, Any], cursor: str | None) -> dict[str, Any]:
    """A filter that fits nothing there could be (an id that is no id) finds nothing, and is no fault."""
    try:
        found: dict[str, Any] = await visit.inside.get("/endpoints", limit=SHOWN, cursor=cursor, **wanted)
    except ApiFault as fault:
        if fault.status != 422:
            raise
        return {"items": [], "next": None, "total": 0}
    return found


PAGES: Final = (Page(method="GET", path="/endpoints", show=show, nav="endpoints"),)
