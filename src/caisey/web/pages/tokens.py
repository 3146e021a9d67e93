"""API tokens: made, shown once, revoked."""

from __future__ import annotations

from typing import Any, Final

from caisey.control.roles import Role
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render, see_other
from caisey.web.pages.reach import chosen_in, everything, named_in, reach_of, roles_of
from caisey.web.visit import Visit
from caisey.web.words import word

TOKENS: Final = "/settings/tokens"
PAGE_SIZE: Final = 50
DAY_S: Final = 86_400
ENDS: Final = ("30", "90", "365", "never")
MEMBERS_NAMED: Final = 400
LOCAL: Final = "local_admin"


async def show_all(visit: Visit) -> Reply:
    """The list, and the form of a new one."""
    typed: dict[str, Any] = {
        "name": "",
        "role": Role.TECHNICIAN.value,
        "ends": "90",
        "client_group_ids": None,
        "group_roles": [],
    }
    return await _tokens(visit, typed)


async def make(visit: Visit) -> Reply:
    """A token; its text is shown on this answer alone."""
    form = visit.form
    ends = form.get("ends")
    typed = {
        "name": form.get("name").strip(),
        "role": form.get("role"),
        "ends": ends,
        "client_group_ids": chosen_in(form),
        "group_roles": named_in(form),
    }
    body: dict[str, Any] = {name: value for name, value in typed.items() if name != "ends"}
    if ends.isdecimal() and ends in ENDS:
        body["expires_in_s"] = int(ends) * DAY_S
    if form.get("password"):
        body["password"] = form.get("password")
    try:
        made = await visit.inside.post("/tokens", body, key=form.key)
    except ApiFault as fault:
        return await _tokens(visit, typed, fault)
    return render(visit, "token_made.html", made=made)


async def revoke(visit: Visit) -> Reply:
    """Over at once."""
    try:
        await visit.inside.delete(f"/tokens/{visit.path['token_id']}", key=visit.form.key)
    except ApiFault as fault:
        if fault.status != 404:  # it is gone already: that is what was wanted
            raise
    return see_other(f"{TOKENS}?saved=revoked")


async def _tokens(visit: Visit, typed: dict[str, Any], fault: ApiFault | None = None) -> Reply:
    found = await visit.inside.get("/tokens", limit=PAGE_SIZE, cursor=visit.query.get("cursor"))
    reach = await reach_of(visit, typed["client_group_ids"], typed["group_roles"])
    members = await everything(visit, "/members", MEMBERS_NAMED)
    return render(
        visit,
        "tokens.html",
        status=fault.status if fault else 200,
        tokens=found["items"],
        next=found["next"],
        cursor=visit.query.get("cursor"),
        reach=reach,
        roles=roles_of(visit),
        typed=typed,
        makers={member["id"]: member["name"] for member in members} | {LOCAL: word("api_tokens.by_machine")},
        fault=fault,
        ask_password=fault is not None and fault.code.startswith("password."),
        saved=visit.query.get("saved", ""),
    )


PAGES: Final = (
    Page(method="GET", path=TOKENS, show=show_all, role=Role.ADMIN, nav="settings"),
    Page(method="POST", path=TOKENS, show=make, role=Role.ADMIN, nav="settings"),
    Page(method="POST", path=f"{TOKENS}/{{token_id}}/revoke", show=revoke, role=Role.ADMIN, nav="settings"),
)
