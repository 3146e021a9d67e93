"""`/endpoints/add`: one command that lets a computer join, and how far it has come.

Owns the form and what a press does. A command holds a secret, so the page that shows it is the answer to the press
itself and not a page one may come back to.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from caisey.control.roles import Role
from caisey.core.plain_text import one_line
from caisey.practice.plays import PLAYS, PREFIX
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render, see_other
from caisey.web.views.adding import ENDS, SCOPES, SYSTEMS, joined, steps, token_line, uses_words
from caisey.web.visit import Visit

Document = dict[str, Any]

LISTED: Final = 200
FOLLOWED: Final = 20
OVER_SHOWN: Final = 50
NAME_LENGTH: Final = 60


async def show(visit: Visit) -> Reply:
    """The form, the open commands, and practice."""
    return await _page(visit)


async def follow(visit: Visit) -> Reply:
    """The same, with who joined with one command."""
    token = await visit.inside.get(f"/enrollment-tokens/{_id(visit)}")
    if visit.fragment:
        return render(visit, "parts/add_steps.html", **await _followed(visit, token))
    return await _page(visit, token=token)


async def make(visit: Visit) -> Reply:
    """A new command, shown this once."""
    form = visit.form
    body: Document = {"scope": form.get("scope"), "uses": form.number("uses") or 1}
    body["expires_in_s"] = int(form.get("ends")) if form.get("ends") in ENDS else int(ENDS[1])
    if body["scope"] == "client_group":
        body["client_group_id"] = form.get("client_group_id") or None
    if body["scope"] == "endpoint":
        body["endpoint_id"] = form.get("endpoint_id") or None
    try:
        made = await visit.inside.post("/enrollment-tokens", body, key=form.key)
    except ApiFault as fault:
        return await _page(visit, status=fault.status, refused=fault)
    token = await visit.inside.get(f"/enrollment-tokens/{made['id']}")
    return await _page(visit, token=token, made=made)


async def rotate(visit: Visit) -> Reply:
    """The same right under a new text, shown this once."""
    try:
        made = await visit.inside.post(f"/enrollment-tokens/{_id(visit)}/rotate", key=visit.form.key)
    except ApiFault as fault:
        return await _page(visit, status=fault.status, refused=fault)
    token = await visit.inside.get(f"/enrollment-tokens/{made['id']}")
    return await _page(visit, token=token, made=made)


async def revoke(visit: Visit) -> Reply:
    """It is over at once."""
    try:
        await visit.inside.delete(f"/enrollment-tokens/{_id(visit)}", key=visit.form.key)
    except ApiFault as fault:
        return await _page(visit, status=fault.status, refused=fault)
    return see_other("/endpoints/add?done=revoked")


async def _page(
    visit: Visit,
    *,
    status: int = 200,
    token: Document | None = None,
    made: Document | None = None,
    refused: ApiFault | None = None,
) -> Reply:
    tokens, groups, newest, bound = await asyncio.gather(
        visit.inside.get("/enrollment-tokens", limit=LISTED),
        visit.inside.get("/client-groups", limit=LISTED),
        visit.inside.get("/attention", limit=1),
        _bound(visit),
    )
    named = {group["id"]: group["name"] for group in groups["items"]}
    computers = await _computers(visit, tokens["items"])
    lines = [token_line(one, named, computers) for one in tokens["items"]]
    givable = [group for group in groups["items"] if visit.person.may_in(Role.ADMIN, group["id"])]
    scopes = [one for one in SCOPES if one != "organization" or visit.person.may_everywhere(Role.ADMIN)]
    context = {
        "groups": givable,
        "bound": bound,
        "scopes": [one for one in scopes if one != "endpoint" or bound is not None],
        "scope": visit.form.get("scope") or ("endpoint" if bound else "client_group" if givable else scopes[0]),
        "systems": SYSTEMS,
        "system": visit.form.get("system") if visit.form.get("system") in SYSTEMS else SYSTEMS[0],
        "ends": ENDS,
        "form": visit.form,
        "open_tokens": [one for one in lines if not one.over],
        "over_tokens": [one for one in lines if one.over][:OVER_SHOWN],
        "made": made,
        "uses_words": uses_words(token["uses"]) if token else "",
        "refused": refused,
        "revoked": visit.query.get("done") == "revoked",
        "sequence": newest["sequence"],
        "plays": [{"send": f"{PREFIX} {play.name}", "summary": play.summary, "takes": play.takes} for play in PLAYS],
        "token": None,
        **(await _followed(visit, token) if token is not None else {}),
    }
    return render(visit, "endpoint_add.html", status=status, **context)


async def _bound(visit: Visit) -> Document | None:
    """The computer that a second agent shall join, where the page was opened for one."""
    wanted = visit.query.get("endpoint") or visit.form.get("endpoint_id")
    if not wanted:
        return None
    found = await visit.inside.get(f"/endpoints/{wanted[:64].replace('/', '')}")
    return {"id": found["id"], "name": one_line(found["name"], NAME_LENGTH)}


async def _computers(visit: Visit, tokens: list[Document]) -> dict[str, str]:
    """Names of the computers that commands are bound to."""
    wanted = {one["endpoint_id"] for one in tokens if one["endpoint_id"]}
    found: dict[str, str] = {}
    for endpoint_id in list(wanted)[:FOLLOWED]:
        try:
            found[endpoint_id] = (await visit.inside.get(f"/endpoints/{endpoint_id}"))["name"]
        except ApiFault as fault:
            if fault.status != 404:
                raise
    return found


async def _followed(visit: Visit, token: Document) -> Document:
    """How far those have come that joined with the command."""
    known: dict[str, Document] = {}
    for one in token["enrolled"][:FOLLOWED]:
        if one["endpoint_id"] not in known:
            known[one["endpoint_id"]] = await visit.inside.get(f"/endpoints/{one['endpoint_id']}")
    lines = joined(list(known.values()))
    newest = token["enrolled"][0] if token["enrolled"] else None
    endpoint = None if newest is None else known[newest["endpoint_id"]]
    runtime = "" if newest is None else newest["runtime_id"]
    made = steps(token, endpoint, runtime, str(visit.request.base_url).rstrip("/"), visit.now_ms)
    return {
        "token": token,
        "steps": made,
        "joined": lines,
        "finished": all(step.tone == "done" for step in made),
        "all_joined": token["used"] >= token["uses"],
    }


def _id(visit: Visit) -> str:
    text = visit.path["token_id"]
    return text[:64] if text.isascii() and text.replace("_", "").isalnum() else "none"


PAGES: Final = (
    Page(method="GET", path="/endpoints/add", show=show, role=Role.ADMIN, nav="endpoints"),
    Page(method="POST", path="/endpoints/add", show=make, role=Role.ADMIN, nav="endpoints"),
    Page(method="GET", path="/endpoints/add/{token_id}", show=follow, role=Role.ADMIN, nav="endpoints"),
    Page(method="POST", path="/endpoints/add/{token_id}/rotate", show=rotate, role=Role.ADMIN, nav="endpoints"),
    Page(method="POST", path="/endpoints/add/{token_id}/revoke", show=revoke, role=Role.ADMIN, nav="endpoints"),
)
