"""What a press on a computer's page does: looks are requests like any other, decisions carry a reason.

Owns the mapping from forms to the API. A look goes into the person's newest open session on the computer, or begins
one; what may change things leads to its session, the one place where it is decided further.
"""

from __future__ import annotations

from typing import Any, Final

from caisey.control.roles import Role
from caisey.core.states import Effect
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, see_other
from caisey.web.pages.endpoint import SHOWS, TOOLS, look_title, page_of
from caisey.web.visit import Form, Visit

Document = dict[str, Any]

SERVICE_ACTIONS: Final = ("start", "stop", "restart", "enable", "disable")
TEXT_LENGTH: Final = 256


async def look(visit: Visit) -> Reply:
    """Ask the computer something that changes nothing there; the answer is shown where it was asked for."""
    shown = visit.form.get("show")
    shown = shown if shown in SHOWS else SHOWS[0]
    try:
        prompt = await _ask(visit, _calls(shown, visit.form))
    except ApiFault as fault:
        return await page_of(visit, status=fault.status, refused=fault, part=shown)
    return see_other(f"/endpoints/{_id(visit)}?show={shown}&prompt={prompt['id']}")


async def service(visit: Visit) -> Reply:
    """Change a service: a step that may change things, and from there on a matter of its session."""
    action = visit.form.get("action")
    if action not in SERVICE_ACTIONS:
        return see_other(f"/endpoints/{_id(visit)}?show=services")
    arguments = {"name": visit.form.get("name")[:TEXT_LENGTH], "action": action}
    call = {"tool": "service", "arguments": arguments, "effect": Effect.MUTATING.value}
    try:
        prompt = await _ask(visit, [call], side_by_side=False)
    except ApiFault as fault:
        return await page_of(visit, status=fault.status, refused=fault, part="services")
    return see_other(f"/sessions/{prompt['session_id']}?item={prompt['tool_calls'][0]['id']}#now")


def _calls(shown: str, form: Form) -> list[Document]:
    """The steps of a look."""
    if shown == "services":
        name = form.get("name").strip()[:TEXT_LENGTH]
        return [{"tool": "service", "arguments": {"name": name, "action": "status"}}]
    if shown not in TOOLS:
        return [{"tool": tool, "arguments": {}} for tool in ("system_info", "disk_usage", "network")]
    arguments: Document = {}
    if shown == "processes":
        arguments = {name: form.get(name).strip()[:TEXT_LENGTH] for name in ("name", "user", "sort")} | {"limit": 500}
    elif shown == "events":
        arguments = {"level": form.get("level"), "contains": form.get("contains").strip()[:TEXT_LENGTH], "limit": 500}
        arguments["since_minutes"] = form.number("since_minutes")
    return [{"tool": TOOLS[shown], "arguments": {name: value for name, value in arguments.items() if value}}]


async def _ask(visit: Visit, calls: list[Document], *, side_by_side: bool = True) -> Document:
    endpoint_id, key = _id(visit), visit.form.key
    mine = {"endpoint_id": endpoint_id, "state": "open", "owner": visit.person.member_id, "limit": 1}
    found = (await visit.inside.get("/sessions", **mine))["items"]
    if found:
        session_id = found[0]["id"]
    else:
        item = await visit.inside.get(f"/endpoints/{endpoint_id}")
        wanted = {"endpoint_id": endpoint_id, "title": look_title(item["name"])}
        session_id = (await visit.inside.post("/sessions", wanted, key=f"{key}-session" if key else None))["id"]
    body = {"tool_calls": calls, "side_by_side": side_by_side}
    made: Document = await visit.inside.post(f"/sessions/{session_id}/prompts", body, key=key)
    return made


# -- what a person decides about the computer ----------------------------------------------------------------------


async def decide(visit: Visit) -> Reply:
    """Its record was looked at; it is another one; an agent is the right one, or is not to work any more."""
    what, reason = visit.form.get("do"), visit.form.get("reason").strip()
    path, key = f"/endpoints/{_id(visit)}", visit.form.key
    runtime = f"/runtimes/{_part(visit.form.get('runtime'))}"
    body: Document = {"reason": reason}
    if what == "revoke":
        body["compromised"] = visit.form.get("compromised") == "1"
    if what == "join":
        body = {"with": visit.form.get("other"), **({"reason": reason} if reason else {})}
    paths = {
        "review": (f"{path}/journal-reviewed", "reviewed"),
        "join": (f"{path}/join", "joined"),
        "accept": (f"{runtime}/accept", "accepted"),
        "revoke": (f"{runtime}/revoke", "revoked"),
    }
    if what not in paths:
        return see_other(f"{path}?show=agents")
    where, done = paths[what]
    try:
        await visit.inside.post(where, body, key=key)
    except ApiFault as fault:
        return await page_of(visit, status=fault.status, refused=fault, part="agents")
    return see_other(f"{path}?show=agents&done={done}")


async def settings(visit: Visit) -> Reply:
    """Name, tags, client group; removing, and taking that back."""
    what, path, key = visit.form.get("do"), f"/endpoints/{_id(visit)}", visit.form.key
    try:
        if what == "remove":
            await visit.inside.delete(path, key=key)
            done = "removed"
        elif what == "undo":
            await visit.inside.patch(path, {"removing": False}, key=key)
            done = "undone"
        else:
            body = {
                "name": visit.form.get("name").strip(),
                "tags": visit.form.get("tags").split(),
                "client_group_id": visit.form.get("client_group_id") or None,
            }
            await visit.inside.patch(path, body, key=key)
            done = "saved"
    except ApiFault as fault:
        return await page_of(visit, status=fault.status, refused=fault, part="settings")
    return see_other(f"{path}?show=settings&done={done}")


def _id(visit: Visit) -> str:
    return _part(visit.path["endpoint_id"])


def _part(text: str) -> str:
    """An id as it may stand in an address; another text names nothing."""
    return text[:64] if text.isascii() and text.replace("_", "").replace("-", "").isalnum() else "none"


_OF = "/endpoints/{endpoint_id}"
PAGES: Final = (
    Page(method="POST", path=f"{_OF}/look", show=look, role=Role.TECHNICIAN, nav="endpoints"),
    Page(method="POST", path=f"{_OF}/service", show=service, role=Role.TECHNICIAN, nav="endpoints"),
    Page(method="POST", path=f"{_OF}/decide", show=decide, role=Role.TECHNICIAN, nav="endpoints"),
    Page(method="POST", path=f"{_OF}/settings", show=settings, role=Role.ADMIN, nav="endpoints"),
)
