"""What a press in NOW does: one request to the API's actions, and back to the page.

Owns the mapping from a form's fields to the body of `POST /tool-calls/{id}/actions`. It judges nothing: what is not
taken comes back with the fault's own words, and what was typed is kept.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from caisey.control.roles import Role
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, see_other
from caisey.web.pages.session import page_of, parts_of
from caisey.web.views.session_again import arguments_from
from caisey.web.visit import Form, Visit

Document = dict[str, Any]

ARGUMENT: Final = "arg."
KEPT: Final = frozenset({"reason", "to", "hours", "limit_s", "data", "sensitive"})
MAX_HOURS: Final = 720
WHENEVER: Final = frozenset({"cancel", "input", "escalate", "verify"})
"""These start nothing that may change things: a stop must not wait until somebody has read what is new."""
ID_LENGTH: Final = 64


async def act(visit: Visit) -> Reply:
    """Sends it; then the page as it is now, or the fault in its place."""
    form = visit.form
    call_id = form.get("tool_call_id")[:ID_LENGTH]
    try:
        body = await _body(visit, form, call_id)
        prompt = await visit.inside.post(f"/tool-calls/{call_id}/actions", body, key=form.key)
    except ApiFault as fault:
        if fault.status in (401, 404):
            raise
        return await _refused(visit, fault)
    if visit.fragment:
        return await parts_of(visit, also=prompt.get("check_prompt_id") or prompt["id"])
    return see_other(f"/sessions/{visit.path['session_id']}#now")


async def _refused(visit: Visit, fault: ApiFault) -> Reply:
    """The same form with the fault in place, and what was typed; a secret is not shown again."""
    form = visit.form
    kept = {n: form.get(n) for n in form.names if n.startswith(ARGUMENT) or n in KEPT}
    if form.get("sensitive"):
        kept.pop("data", None)
    pressed = {
        "fault": fault,
        "item": form.get("item") or None,
        "code": form.get("code"),
        "seen": form.seen,
        "tool_call_id": form.get("tool_call_id"),
        "values": kept,
    }
    make = parts_of if visit.fragment else page_of
    return await make(visit, status=fault.status, pressed=pressed)


async def _body(visit: Visit, form: Form, call_id: str) -> Document:
    """The body of the action. Raises `ApiFault` where a field is not what it has to be."""
    action = form.get("action")
    body: Document = {**_stated(form.get("body")), "action": action}
    if form.seen is not None and action not in WHENEVER:
        body["seen"] = form.seen
    reason = form.get("reason").strip()
    if reason:
        body["reason"] = reason
    if action in ("adjust", "verify") and any(name.startswith(ARGUMENT) for name in form.names):
        body["arguments"] = await _arguments(visit, form, action, call_id)
    if action == "input":
        body |= _input(form)
    if form.get("to").strip():
        body["to"] = form.get("to").strip()
    if (limit := form.number("limit_s")) is not None:
        body["limits"] = {"time_ms": limit * 1000}
    if (hours := form.number("hours")) is not None:
        body["expires_in_s"] = min(hours, MAX_HOURS) * 3600
    return body


def _stated(text: str) -> Document:
    """What the button itself carries (a way, a limit), as the API gave it."""
    try:
        found = msgspec.json.decode(text.encode()) if text else {}
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _input(form: Form) -> Document:
    text = form.get("data")
    body: Document = {"data": f"{text}\n" if form.get("enter") else text}
    if form.get("close"):
        body["close"] = True
    if form.get("sensitive"):
        body["sensitive"] = True
    return body


async def _arguments(visit: Visit, form: Form, action: str, call_id: str) -> Document:
    fields = {n.removeprefix(ARGUMENT): form.get(n) for n in sorted(form.names) if n.startswith(ARGUMENT)}
    like: Document | None = None
    if action == "adjust":
        like = await _former(visit, call_id)
    try:
        return arguments_from(fields, like)
    except (msgspec.DecodeError, RecursionError) as error:
        fault = {"pointer": "/arguments", "expected": "JSON", "found": "text"}
        problem = {"code": "request.invalid_shape", "title": "A field is no JSON", "hint": "", "errors": [fault]}
        raise ApiFault(422, problem) from error


async def _former(visit: Visit, call_id: str) -> Document | None:
    """The arguments that were edited: what was no text stays no text."""
    session = await visit.inside.get(f"/sessions/{visit.path['session_id']}")
    for prompt in session["prompts"]:
        if any(c["id"] == call_id for c in prompt["tool_calls"]):
            found = await visit.inside.get(f"/prompts/{prompt['id']}", output_bytes=1)
            return next((dict(c["arguments"]) for c in found["tool_calls"] if c["id"] == call_id), None)
    return None


PAGES: Final[tuple[Page, ...]] = (
    Page(method="POST", path="/sessions/{session_id}/act", show=act, role=Role.TECHNICIAN),
)
