"""What the composer of a page needs from the API, and the composer itself as part of a session's page.

Owns the reading. What a press does is in `composer.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from caisey.web.views.composer import ACCOUNTS, RUN_AS, Draft, Place, composer_of, place_of
from caisey.web.visit import Visit

Document = dict[str, Any]

LISTED: Final = 200
_NOTHING: Final[Mapping[str, str]] = {}


async def composer_context(
    visit: Visit,
    session: Document,
    endpoint: Document | None,
    draft: Draft | None = None,
    *,
    fault: Any = None,
    warning: str = "",
) -> Document:
    """For templates that include `parts/composer.html`."""
    place = place_of(session, endpoint, may_send=visit.person.may_work_on(session, endpoint))
    return await context_at(visit, place, f"/sessions/{session['id']}/compose", draft, fault=fault, warning=warning)


async def context_at(
    visit: Visit,
    place: Place,
    action: str,
    draft: Draft | None,
    *,
    fault: Any = None,
    warning: str = "",
    hidden: Mapping[str, str] = _NOTHING,
) -> Document:
    """The composer at a place; `action`: where its form goes, with which `hidden` fields more."""
    tools, snippets = await asyncio.gather(
        visit.inside.get("/tools", limit=LISTED), visit.inside.get("/snippets", limit=LISTED)
    )
    chosen = visit.query.get("as", "")
    values = {RUN_AS: chosen} if chosen in ACCOUNTS else {}
    draft = draft or Draft(tool=visit.query.get("tool", "")[:64], values=values)
    shown = composer_of(place, tools["items"], draft, warning=warning, fault=fault)
    return {
        "composer": shown,
        "composer_action": action,
        "composer_hidden": hidden,
        "snippets": [one for one in snippets["items"] if one["tool"] == shown.tool],
    }
