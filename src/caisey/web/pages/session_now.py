"""What the NOW panel needs from the API, for each of its forms.

Owns which documents are read for it. Which buttons there are and what a form holds is in `views/session_now.py` and
`views/session_again.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from caisey.core.plain_text import one_line
from caisey.web.inside import ApiFault
from caisey.web.views import session_again
from caisey.web.views.session_again import Again, Field
from caisey.web.views.session_items import Item, checks_of, chosen, is_young, last_check, open_items
from caisey.web.views.session_now import Button, Now, now_of
from caisey.web.visit import Visit
from caisey.web.words import WORDS

Document = dict[str, Any]

WORDS_OUTPUT: Final = 4_096
AWARE: Final = "aware"
UNTIL: Final = "until"
MAX_CODE: Final = 40
NEWS_SHOWN: Final = 4
_NO_BUTTON: Final = frozenset({AWARE})


@dataclass(frozen=True, kw_only=True)
class OpenForm:
    """One open form of NOW. `seen` is what it sends; `fresh`: what is new was shown in this very answer."""

    code: str
    button: Button | None
    seen: int
    send: str = ""
    title: str = ""
    hint: str = ""
    reason: str = ""
    risky: bool = False
    again: Again | None = None
    news: tuple[Any, ...] = ()
    fresh: bool = False
    from_id: str = ""
    fields: tuple[Field, ...] = ()
    secret: bool = False
    limit_s: int = 0
    hours: tuple[int, ...] = session_again.HOURS
    check_button: Button | None = None
    values: dict[str, str] = field(default_factory=dict)


async def now_context(
    visit: Visit, session: Document, endpoint: Document | None, pressed: Document | None
) -> dict[str, Any]:
    """Everything that `parts/session_now.html` is given. `pressed`: what was sent and not taken, and the fault."""
    found = open_items(session)
    young = [item for item in found if is_young(item.step, visit.now_ms)]
    items = [item for item in found if item not in young]
    asked = (pressed or {}).get("item") or visit.query.get("item")
    place = chosen(items, asked)
    context: dict[str, Any] = {
        "now": None,
        "form": None,
        "fault": None,
        "checks": [],
        "checked": None,
        "checked_words": "",
        "last_change": session["changed_at"],
        "young": young[0].prompt["id"] if young else "",
    }
    if not items:
        return context | {"fault": _fault(pressed)} | await _nothing(visit, session)
    item = items[place]
    prompt = await visit.inside.get(f"/prompts/{item.prompt['id']}", output_bytes=WORDS_OUTPUT)
    now = now_of(prompt, item, visit.now_ms, may_work=visit.person.may_work_on(session, endpoint))
    code = ((pressed or {}).get("code") or visit.query.get("act") or "")[:MAX_CODE]
    total = len(items)
    return context | {
        "now": now,
        "place": place,
        "total": total,
        "previous": items[place - 1].step["id"],
        "next": items[(place + 1) % total].step["id"],
        "fault": _fault(pressed),
        "checks": await _checks(visit, session, now),
        "can_wait": any(b.action == "hold" and not b.unavailable for b in now.buttons),
        "has_ran": any(c["attempts"] for c in prompt["tool_calls"]),
        "link_targets": _targets(session, now),
        "form": await _form(visit, session, prompt, now, code, pressed) if code else None,
    }


async def _nothing(visit: Visit, session: Document) -> dict[str, Any]:
    """Nothing is open: what was checked last."""
    checked = last_check(session)
    return {"checked": checked, "checked_words": await _result_words(visit, checked) if checked else ""}


def _targets(session: Document, now: Now) -> dict[str, str]:
    """Where the buttons that send nothing lead to."""
    here = f"/sessions/{session['id']}"
    return {
        "look": f"{here}/steps/{now.tool_call_id}/raw",
        "stay": f"{here}#{now.tool_call_id}",
        "fix": f"/endpoints/{session['endpoint_id']}",
    }


async def _checks(visit: Visit, session: Document, now: Now) -> list[dict[str, Any]]:
    """Looks that were made to check the step that is open, the newest ones."""
    found = checks_of(session, now.tool_call_id)[-2:]
    return [{"item": item, "words": await _result_words(visit, item)} for item in found]


async def _result_words(visit: Visit, item: Item) -> str:
    """What a check found, in few words."""
    if item.step["state"] != "ended":
        return str(item.step["label"])
    try:
        prompt = await visit.inside.get(f"/prompts/{item.prompt['id']}", output_bytes=WORDS_OUTPUT)
    except ApiFault:
        return str(item.step["label"])
    call = prompt["tool_calls"][-1]
    attempt = call["attempts"][-1] if call["attempts"] else None
    result = attempt["result"] if attempt else None
    if isinstance(result, dict) and isinstance(result.get("state"), str):
        return one_line(result["state"], 60)
    text = attempt["output"]["stdout"]["text"] if attempt else ""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return one_line(first, 120) or str(item.step["label"])


def _fault(pressed: Document | None) -> dict[str, Any] | None:
    """Why it was not taken, in the API's own words."""
    fault = (pressed or {}).get("fault")
    if fault is None:
        return None
    stale = fault.code == "action.stale"
    return {
        "code": fault.code,
        "title": fault.problem.get("title", ""),
        "detail": WORDS["session.fault.stale"] if stale else fault.problem.get("detail") or "",
        "hint": "" if stale else fault.hint,
        "errors": [
            {name: one_line(str(one.get(name, "")), 200) for name in ("pointer", "expected", "found")}
            for one in fault.problem.get("errors", ())
        ],
    }


# -- forms ---------------------------------------------------------------------------------------------------------


async def _form(
    visit: Visit, session: Document, prompt: Document, now: Now, code: str, pressed: Document | None
) -> OpenForm | None:
    """The form of one button; None where it is not offered any more, or sends at once."""
    button = next((b for b in now.buttons if b.code == code), None)
    if code == UNTIL:
        hold = next((b for b in now.buttons if b.action == "hold"), None)
        button = hold
    if code not in _NO_BUTTON and (button is None or button.unavailable):
        return None
    values: dict[str, str] = (pressed or {}).get("values") or {}
    call = next(c for c in prompt["tool_calls"] if c["id"] == now.tool_call_id)
    if code in ("edit", "narrow"):
        return _edit(now, code, button, call, values)
    if button is not None and button.action == "verify":
        return await _check(visit, now, button, call, values)
    if code in ("input", "help", UNTIL):
        return _plain(visit, now, code, button, values)
    return await _again(visit, session, prompt, now, code, button, pressed, values)


def _edit(now: Now, code: str, button: Button | None, call: Document, values: dict[str, str]) -> OpenForm:
    fields = _kept(session_again.edit_fields(call), values)
    return OpenForm(
        code=code,
        button=button,
        seen=now.seen,
        title=WORDS["session.edit.title"],
        hint=WORDS["session.edit.hint"],
        send=WORDS["session.edit.send"],
        fields=fields,
        risky=call["effect"] == "mutating",
        values=values,
    )


async def _check(visit: Visit, now: Now, button: Button, call: Document, values: dict[str, str]) -> OpenForm:
    check = call["check"] or {}
    try:
        tool = await visit.inside.get(f"/tools/{check['tool']}/{check.get('tool_version', 1)}")
    except ApiFault:
        tool = {"arguments_schema": {}}  # a tool of another version of ours; the API says what is missing
    return OpenForm(
        code=button.code,
        button=button,
        seen=now.seen,
        title=WORDS["session.check.title"],
        hint=WORDS["session.check.hint"],
        send=WORDS["session.check.send"],
        fields=_kept(session_again.check_fields(tool), values),
        values=values,
    )


def _plain(visit: Visit, now: Now, code: str, button: Button | None, values: dict[str, str]) -> OpenForm:
    titles = {"input": "session.input.title", "help": "session.help.title", UNTIL: "session.until.title"}
    sends = {"input": "session.input.send", "help": "session.help.send", UNTIL: "session.until.send"}
    return OpenForm(
        code=code,
        button=button,
        seen=now.seen,
        title=WORDS[titles[code]],
        send=WORDS[sends[code]],
        secret=code == "input" and (visit.query.get("secret") == "1" or values.get("sensitive") == "1"),
        values=values,
    )


async def _again(
    visit: Visit,
    session: Document,
    prompt: Document,
    now: Now,
    code: str,
    button: Button | None,
    pressed: Document | None,
    values: dict[str, str],
) -> OpenForm:
    from_id = _from(visit, prompt, button, pressed)
    awareness = await visit.inside.get(f"/prompts/{prompt['id']}/awareness", tool_call_id=from_id or None)
    again = session_again.again_of(awareness, from_id)
    if button is not None and button.action != "resume":
        again = again._replace(choices=())
    check = next((b for b in now.buttons if b.action == "verify" and not b.opens and not b.unavailable), None)
    before = _seen_before(visit, pressed)
    form = OpenForm(
        code=code,
        button=button,
        seen=again.seen,
        again=again,
        news=_news(session, prompt, before),
        fresh=pressed is not None,
        from_id=from_id if button is not None and button.action == "resume" else "",
        risky=again.may_change,
        limit_s=_limit_s(button),
        check_button=check if button is not None else None,
        values=values,
    )
    if button is None:
        return form
    send = session_again.send_label(again, button) if button.action == "resume" else button.label
    reason = session_again.reason_for(now, again, button) if again.may_change else ""
    # While something is new and unread, the form goes on sending the older look: it would be refused.
    seen = form.seen if form.fresh or not form.news else before or form.seen
    return OpenForm(**{**vars(form), "send": send, "reason": reason, "seen": seen})


def _from(visit: Visit, prompt: Document, button: Button | None, pressed: Document | None) -> str:
    """The step that would be sent first."""
    asked = (pressed or {}).get("tool_call_id") or visit.query.get("from")
    known = {c["id"] for c in prompt["tool_calls"]}
    if asked in known and button is not None and button.action == "resume":
        return str(asked)
    return button.tool_call_id if button is not None else ""


def _seen_before(visit: Visit, pressed: Document | None) -> int | None:
    """What the person had read up to when the form was opened."""
    if pressed is not None:
        return int(pressed["seen"]) if pressed.get("seen") is not None else None
    text = visit.query.get("seen", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def _news(session: Document, prompt: Document, before: int | None) -> tuple[Document, ...]:
    """What happened to the steps of this request since: the newest facts, else how the steps that moved stand now."""
    if before is None or before >= prompt["sequence"]:
        return ()
    facts = [
        {"position": call["position"], "label": fact["text"], "at": fact["at"], "sequence": fact["sequence"]}
        for call in prompt["tool_calls"]
        for attempt in call["attempts"]
        for fact in attempt["evidence"]
        if fact["sequence"] > before and fact["type"] != "progress"
    ]
    if facts:
        return tuple(sorted(facts, key=lambda fact: fact["sequence"])[-NEWS_SHOWN:])
    short = next((p for p in session["prompts"] if p["id"] == prompt["id"]), None)
    return tuple(
        {"position": step["position"], "label": f"{step['label']}.", "at": session["changed_at"]}
        for step in (short or {}).get("tool_calls", ())
        if step["sequence"] > before
    )


def _limit_s(button: Button | None) -> int:
    """The longer limit that is proposed."""
    if button is None:
        return 0
    limits = (msgspec.json.decode(button.body.encode()) or {}).get("limits") or {}
    return max(1, int(limits.get("time_ms", 0)) // 1000)


def _kept(fields: tuple[Field, ...], values: dict[str, str]) -> tuple[Field, ...]:
    """With what the person had typed."""
    return tuple(f._replace(value=values.get(f"arg.{f.name}", f.value)) for f in fields)
