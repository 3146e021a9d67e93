"""What a press in the composer does: send, add a step, remove one, choose a tool, use or keep a command.

Owns the mapping from the form to `POST /sessions/{id}/prompts` and `/snippets`. Everything works as an ordinary form;
our script only asks for the part. Nothing that was typed is lost: whatever is refused comes back with its draft.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec.structs import replace

from caisey.control.roles import Role
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render, see_other
from caisey.web.pages.compose import LISTED, composer_context
from caisey.web.pages.session import endpoint_of, page_of
from caisey.web.views.composer import ACCOUNTS, MAX_STEPS, Draft, draft_of, step_of, warning_of
from caisey.web.visit import Visit

Document = dict[str, Any]

FORM_BYTES: Final = 4 * 1024 * 1024
HISTORY: Final = 30

Shown = Callable[..., Awaitable[Reply]]
"""Shows the composer with a draft, and perhaps a fault or a warning."""


async def compose(visit: Visit) -> Reply:
    """A press in the composer of a session."""
    session = await visit.inside.get(f"/sessions/{visit.path['session_id']}", only="open")
    endpoint = await endpoint_of(visit, session["endpoint_id"])

    async def shown(draft: Draft, *, fault: ApiFault | None = None, warning: str = "") -> Reply:
        context = await composer_context(visit, session, endpoint, draft, fault=fault, warning=warning)
        status = fault.status if fault is not None else 200
        if visit.fragment:
            return render(visit, "parts/composer.html", status=status, session=session, **context)
        return await page_of(visit, status=status, composer=context)

    async def send(steps: list[Document], draft: Draft) -> Reply:
        body = {"tool_calls": steps, "side_by_side": draft.side_by_side}
        await visit.inside.post(f"/sessions/{session['id']}/prompts", body, key=visit.form.key)
        if visit.fragment:
            return await shown(draft.following())
        query = f"?as={draft.run_as}" if draft.run_as in ACCOUNTS else ""
        return see_other(f"/sessions/{session['id']}{query}#now")

    return await pressed(visit, system_of(endpoint), shown, send)


def system_of(endpoint: Document | None) -> str:
    """linux, windows, macos, or nothing where it is not known."""
    facts = (endpoint or {}).get("facts") or {}
    return str((facts.get("os") or {}).get("value") or "")


async def pressed(
    visit: Visit, os: str, shown: Shown, send: Callable[[list[Document], Draft], Awaitable[Reply]]
) -> Reply:
    """Does what the pressed button says (`do`)."""
    draft = draft_of(visit.form)
    what, _, about = visit.form.get("do", "send").partition(":")
    if what == "remove":
        left = tuple(step for n, step in enumerate(draft.steps, 1) if str(n) != about)
        return await shown(replace(draft, steps=left))
    if what in ("tool", "look"):
        return await shown(draft, warning=warning_of(draft, os) if what == "look" else "")
    if what in ("use", "keep", "forget"):
        return await _snippets(visit, draft, what, about, shown)
    return await _send(visit, draft, os, shown, send, add=what == "add")


async def _send(
    visit: Visit,
    draft: Draft,
    os: str,
    shown: Shown,
    send: Callable[[list[Document], Draft], Awaitable[Reply]],
    *,
    add: bool,
) -> Reply:
    tool = await _tool(visit, draft.tool)
    empty = draft.empty and bool(tool and tool["arguments_schema"].get("required"))
    steps = [*draft.steps] if empty and draft.steps else [*draft.steps, step_of(draft, tool)]
    if empty and (add or not draft.steps):
        return await shown(draft)
    warning = warning_of(draft, os)
    if warning:
        return await shown(replace(draft, warned=warning), warning=warning)
    if add:
        if len(steps) > MAX_STEPS:
            return await shown(draft)
        return await shown(replace(draft.following(), steps=tuple(steps), side_by_side=draft.side_by_side))
    try:
        return await send(steps, draft)
    except ApiFault as fault:
        if fault.status in (401, 404):
            raise
        return await shown(draft, fault=fault)


async def _tool(visit: Visit, name: str) -> Document | None:
    """The newest version of it. One that is not known is sent all the same: the API says so."""
    tools = await visit.inside.get("/tools", limit=LISTED)
    found = [tool for tool in tools["items"] if tool["name"] == name]
    return max(found, key=lambda tool: tool["version"], default=None)


async def _snippets(visit: Visit, draft: Draft, what: str, about: str, shown: Shown) -> Reply:
    try:
        if what == "keep":
            body = {
                "name": visit.form.get("snippet_name").strip(),
                "tool": draft.tool,
                "command": draft.values.get("command", ""),
                "effect": draft.effect or None,
            }
            await visit.inside.post("/snippets", body, key=visit.form.key)
        elif what == "forget":
            await visit.inside.delete(f"/snippets/{about}", key=visit.form.key)
        else:
            draft = await _used(visit, draft, about)
    except ApiFault as fault:
        if fault.status == 401:
            raise
        return await shown(draft, fault=fault)
    return await shown(draft)


async def _used(visit: Visit, draft: Draft, snippet_id: str) -> Draft:
    """The kept command in the place of what was typed, with the effect that was kept with it."""
    kept = await visit.inside.get("/snippets", limit=LISTED)
    for one in kept["items"]:
        if one["id"] == snippet_id:
            values = {**draft.values, "command": one["command"]}
            return replace(draft, tool=one["tool"], values=values, effect=one["effect"] or "")
    return draft


async def history(visit: Visit) -> Reply:
    """Earlier commands of the session, newest first, for ↑ in an empty composer."""
    session = await visit.inside.get(f"/sessions/{visit.path['session_id']}")
    entries: list[tuple[str, str, str]] = []
    for prompt in reversed(session["prompts"][-HISTORY:]):
        whole = await visit.inside.get(f"/prompts/{prompt['id']}", output_bytes=1)
        for call in reversed(whole["tool_calls"]):
            command = call["arguments"].get("command")
            entry = (call["tool"], str(command), call["effect"])
            if isinstance(command, str) and whole["origin"] is None and entry not in entries:
                entries.append(entry)
    return render(visit, "parts/composer_history.html", entries=entries[: 4 * HISTORY])


PAGES: Final[tuple[Page, ...]] = (
    Page(
        method="POST",
        path="/sessions/{session_id}/compose",
        show=compose,
        role=Role.TECHNICIAN,
        form_bytes=FORM_BYTES,
    ),
    Page(method="GET", path="/sessions/{session_id}/history", show=history, role=Role.VIEWER),
)
