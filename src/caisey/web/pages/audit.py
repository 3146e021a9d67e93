"""`/audit`: everything that was done: searched, verified, exported.

Owns the mapping to the API. What an event says is `views/audit`'s.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from caisey.control.roles import Role
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render
from caisey.web.views.audit import event
from caisey.web.visit import Visit
from caisey.web.words import WORDS

Document = dict[str, Any]

SHOWN: Final = 50
PIECES_AT_ONCE: Final = 5
"""How many pieces of the chain one press verifies."""
FIELDS: Final = ("type", "actor", "session_id", "endpoint_id", "q", "from", "to")
LENGTH: Final = 200


async def show(visit: Visit) -> Reply:
    """The newest events that fit."""
    asked = {name: visit.query.get(name, "").strip()[:LENGTH] for name in FIELDS}
    refused: ApiFault | None = None
    cursor = visit.query.get("cursor")
    wanted: dict[str, Any] = {name: value or None for name, value in asked.items()}
    try:
        found = await visit.inside.get("/audit/search", limit=SHOWN, cursor=cursor, **wanted)
    except ApiFault as fault:
        if fault.status != 422:
            raise
        refused, found = fault, {"items": [], "names": {}, "next": None, "searched_from": 0, "searched_to": 0}
    kept = {name: value for name, value in asked.items() if value}
    context = {
        "events": [event(item, found["names"]) for item in found["items"]],
        "asked": asked,
        "filtered": bool(kept),
        "refused": refused,
        "next": found["next"],
        "further": cursor is not None,
        "newest": found["searched_from"],
        "oldest": found["searched_to"],
        "here": f"/audit?{urlencode(kept)}" if kept else "/audit",
        "verified": None,
    }
    return render(visit, "audit.html", status=422 if refused else 200, **context)


async def verify(visit: Visit) -> Reply:
    """Some pieces of the chain; a long one is gone on with from where it stopped."""
    cursor = visit.query.get("cursor")
    found: Document = {}
    head: int | None = None
    for _ in range(PIECES_AT_ONCE):
        found = await visit.inside.get("/audit/verify", cursor=cursor)
        head = found["head_sequence"] or head
        cursor = found["next"]
        if cursor is None:
            break
    broken = found["broken"]
    context = {
        "found": found,
        "head": head,
        "next": cursor,
        "broken": None if broken is None else WORDS.get(f"audit.broken.{broken['what']}", broken["detail"]),
        "key": (await visit.inside.get("/audit/key"))["public_key"],
    }
    return render(visit, "audit_verify.html", **context)


PAGES: Final = (
    Page(method="GET", path="/audit", show=show, role=Role.ADMIN, nav="audit"),
    Page(method="GET", path="/audit/verify", show=verify, role=Role.ADMIN, nav="audit"),
)
