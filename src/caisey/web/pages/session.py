"""`/sessions/{id}`: the page that matters, its parts, and one step on a page of its own.

Owns which documents of the API a page of a session needs. What they mean to a reader is in `views/session_*`; what a
press does is in `session_act.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from caisey.control.roles import Role
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render
from caisey.web.pages.compose import composer_context
from caisey.web.pages.session_now import now_context
from caisey.web.pages.strip import menu_of
from caisey.web.views.session_items import open_items
from caisey.web.views.session_rows import opened_at_first, requests
from caisey.web.views.session_step import body_of
from caisey.web.views.session_strip import strip_of
from caisey.web.views.strip_menu import StripMenu
from caisey.web.visit import Visit

Document = dict[str, Any]

WORDS_OUTPUT: Final = 4_096
"""Bytes of each stream that words are made from, where no output is shown."""
BODY_OUTPUT: Final = 16_384
"""Bytes of each stream that come with an opened row; the rest is read as it is scrolled to."""
WHOLE_OUTPUT: Final = 131_072
"""What the API shows at most of a stream as text."""
STEPS_REQUESTS: Final = 8
SCRIPT_WORDS: Final = (
    "session.find",
    "session.find.next",
    "session.find.previous",
    "session.find.close",
    "session.find.none",
    "session.find.count",
    "session.find.part",
    "session.load_all",
    "session.loading",
    "session.not_read",
    "session.too_much",
    "session.follow",
    "session.wrap",
    "session.copy",
    "session.copied",
    "session.read_new",
    "session.all",
    "session.output_of",
    "session.no_output",
    "session.lost",
    "session.empty_output",
    "keys.now",
    "keys.nth_action",
    "keys.awareness",
    "keys.rows",
    "keys.open_row",
    "keys.how_we_know",
    "keys.find_output",
    "keys.follow",
    "keys.copy",
    "keys.edit",
    "keys.ticket",
    "keys.stop",
)
"""Words that the page's scripts say."""
PARTS_ASKED: Final = 24
ID_LENGTH: Final = 64


async def show(visit: Visit) -> Reply:
    """The whole page."""
    return await page_of(visit)


async def page_of(
    visit: Visit,
    *,
    status: int = 200,
    pressed: Document | None = None,
    composer: Document | None = None,
    strip_menu: StripMenu | None = None,
) -> Reply:
    """The page; `pressed`: what a form in NOW held that was not taken, and why; `composer` and `strip_menu`: those, as
    they stand after a press of theirs."""
    session_id = visit.path["session_id"]
    session, endpoint, presence = await _documents(visit, session_id)
    opened = frozenset([visit.query["step"]]) if visit.query.get("step") else frozenset()
    bodies = await _bodies(visit, session, opened | opened_at_first(session))
    now = await now_context(visit, session, endpoint, pressed)
    shown = requests(session, visit.person.member_id, visit.now_ms, opened)
    context = {
        "session": session,
        "session_id": session_id,
        "here": f"/sessions/{session_id}",
        "endpoint": endpoint,
        "strip": strip_of(session, endpoint, presence, visit.person.member_id),
        "requests": shown,
        "steps": _steps(session, shown),
        "bodies": bodies,
        "older": session["prompts_before"],
        "newest_shown": not session["prompts"] or session["prompts"][-1]["number"] == session["prompts_total"],
        "script_words": SCRIPT_WORDS,
        "strip_menu": strip_menu or await menu_of(visit, session),
        **now,
        **(composer or await composer_context(visit, session, endpoint)),
    }
    return render(visit, "session.html", status=status, **context)


async def _documents(
    visit: Visit, session_id: str, only: str | None = None, also: str | None = None
) -> tuple[Document, Document | None, Document]:
    before = _id(visit.query.get("before"))
    session = await visit.inside.get(f"/sessions/{session_id}", before=before, only=only, also=also)
    if only is None and (wanted := _id(visit.query.get("step"))) is not None:
        session = await _with_step(visit, session, wanted)
    endpoint, presence = await asyncio.gather(
        endpoint_of(visit, session["endpoint_id"]), visit.inside.get(f"/sessions/{session_id}/presence")
    )
    return session, endpoint, presence


async def _with_step(visit: Visit, session: Document, call_id: str) -> Document:
    """The part of a long session that has the step; as it was where none has."""
    found = session
    while not any(call["id"] == call_id for prompt in found["prompts"] for call in prompt["tool_calls"]):
        if not found["prompts_before"]:
            return session
        found = await visit.inside.get(f"/sessions/{session['id']}", before=found["prompts"][0]["id"])
    return found


async def endpoint_of(visit: Visit, endpoint_id: str) -> Document | None:
    """The computer; None where it is gone, or not in the person's sight any more: the session stays readable."""
    try:
        found: Document = await visit.inside.get(f"/endpoints/{endpoint_id}")
    except ApiFault as fault:
        if fault.status != 404:
            raise
        return None
    return found


async def _bodies(visit: Visit, session: Document, opened: frozenset[str]) -> dict[str, Any]:
    """Bodies of opened rows, by tool call; each request is read once."""
    wanted = [p["id"] for p in session["prompts"] if any(c["id"] in opened for c in p["tool_calls"])]
    prompts = await asyncio.gather(*(_prompt(visit, prompt_id, BODY_OUTPUT) for prompt_id in wanted[-PARTS_ASKED:]))
    return {
        call["id"]: body_of(call, visit.now_ms)
        for prompt in prompts
        for call in prompt["tool_calls"]
        if call["id"] in opened
    }


async def _prompt(visit: Visit, prompt_id: str, output_bytes: int) -> Document:
    found: Document = await visit.inside.get(f"/prompts/{prompt_id}", output_bytes=output_bytes)
    return found


def _steps(session: Document, shown: list[Any]) -> list[Any]:
    """The list beside the transcript: requests of which something is open, and the newest ones."""
    open_ids = {item.prompt["id"] for item in open_items(session)}
    recent = {request.id for request in shown[-STEPS_REQUESTS:]}
    return [request for request in shown if request.id in open_ids | recent][-3 * STEPS_REQUESTS :]


# -- parts, for our own script -------------------------------------------------------------------------------------


async def parts(visit: Visit) -> Reply:
    """What the script asks for: NOW and the strip always, requests (`prompts`) and opened rows (`open`) by id.

    One answer is one look at the session, so its parts fit together.
    """
    return await parts_of(visit)


async def parts_of(visit: Visit, *, status: int = 200, pressed: Document | None = None, also: str = "") -> Reply:
    """See `parts`; `also`: one more request whose rows are wanted."""
    session_id = visit.path["session_id"]
    wanted = {*_ids(visit.query.get("prompts")), *([also] if also else ())}
    session, endpoint, presence = await _documents(visit, session_id, "open", ",".join(sorted(wanted)) or None)
    known = {p["id"]: p for p in session["prompts"]}
    opened = frozenset(_ids(visit.query.get("open")))
    bodies = await _bodies(visit, session, opened) if opened else {}
    now = await now_context(visit, session, endpoint, pressed)
    shown = requests(session, visit.person.member_id, visit.now_ms, opened)
    context = {
        "session": session,
        "session_id": session_id,
        "here": f"/sessions/{session_id}",
        "strip": strip_of(session, endpoint, presence, visit.person.member_id),
        "requests": [r for r in shown if r.id in (wanted & known.keys())],
        "bodies": bodies,
        "strip_menu": await menu_of(visit, session),
        **now,
    }
    return render(visit, "session_parts.html", status=status, **context)


def _ids(text: str | None) -> list[str]:
    return [one for one in (text or "").split(",") if one and len(one) <= ID_LENGTH][:PARTS_ASKED]


def _id(text: str | None) -> str | None:
    return text if text and len(text) <= ID_LENGTH else None


# -- one step ------------------------------------------------------------------------------------------------------


async def step(visit: Visit) -> Reply:
    """One step: the body of its row for our script, a page for everybody else."""
    session_id, call_id = visit.path["session_id"], visit.path["tool_call_id"]
    prompt, call = await find_step(visit, session_id, call_id)
    body = body_of(call, visit.now_ms)
    template = "parts/session_body.html" if visit.fragment else "session_step.html"
    return render(visit, template, session_id=session_id, body=body, call=call, prompt=prompt)


async def find_step(visit: Visit, session_id: str, call_id: str) -> tuple[Document, Document]:
    """The request and the step in it. Raises `ApiFault` 404 where the session has no such step."""
    session = await _with_step(visit, await visit.inside.get(f"/sessions/{session_id}"), call_id)
    for prompt in session["prompts"]:
        if any(call["id"] == call_id for call in prompt["tool_calls"]):
            found = await _prompt(visit, prompt["id"], WHOLE_OUTPUT)
            return found, next(call for call in found["tool_calls"] if call["id"] == call_id)
    raise ApiFault(404, {"code": "resource.not_found", "title": "No such step", "hint": "Look at the session."})


PAGES: Final[tuple[Page, ...]] = (
    Page(method="GET", path="/sessions/{session_id}", show=show, role=Role.VIEWER),
    Page(method="GET", path="/sessions/{session_id}/parts", show=parts, role=Role.VIEWER),
    Page(method="GET", path="/sessions/{session_id}/steps/{tool_call_id}", show=step, role=Role.VIEWER),
)
