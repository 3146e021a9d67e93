"""Passkeys of the account: made, removed. They need script; what they are about does not.

Owns the two forms; everything is done by the API's `/me/passkeys`.
"""

from __future__ import annotations

from typing import Any, Final

from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render, see_other
from caisey.web.views.browsers import named
from caisey.web.visit import Visit
from caisey.web.words import word

AFTER: Final = "/account?saved=passkeys#passkeys"


async def begin(visit: Visit) -> Reply:
    """The page that asks the authenticator."""
    return await _begin(visit)


async def add(visit: Visit) -> Reply:
    """Keep what the authenticator made."""
    form = visit.form
    parts = ("challenge", "client_data", "authenticator_data", "public_key")
    body = {"name": form.get("name").strip(), **{part: form.get(part) for part in parts}}
    try:
        await visit.inside.post("/me/passkeys", body, key=form.key)
    except ApiFault as fault:
        return await _begin(visit, fault)
    return see_other(AFTER)


async def remove(visit: Visit) -> Reply:
    """It opens nothing any more."""
    try:
        await visit.inside.delete(f"/me/passkeys/{visit.path['passkey_id']}", key=visit.form.key)
    except ApiFault as fault:
        if fault.status != 404:  # it is gone already: that is what was wanted
            raise
    return see_other(AFTER)


async def _begin(visit: Visit, refused: ApiFault | None = None) -> Reply:
    begun: dict[str, Any] | None = None
    fault = refused
    try:
        begun = await visit.inside.post("/me/passkeys/challenge", {"password": visit.form.get("password") or None})
    except ApiFault as other:
        fault = other
    agent = str(visit.request.headers.get("user-agent", ""))
    return render(
        visit,
        "passkey_add.html",
        status=fault.status if fault else 200,
        begun=begun,
        name=visit.form.get("name") or named(agent) or word("passkeys.a_device"),
        ask_password=fault is not None and fault.code.startswith("password."),
        fault=fault,
    )


PAGES: Final = (
    Page(method="POST", path="/account/passkeys/begin", show=begin, nav="account"),
    Page(method="POST", path="/account/passkeys", show=add, nav="account"),
    Page(method="POST", path="/account/passkeys/{passkey_id}/remove", show=remove, nav="account"),
)
