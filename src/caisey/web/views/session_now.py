"""The NOW panel: the one open question of a session, in words, with its buttons.

Owns which buttons are shown first, which open a form before anything is sent, and what each one sends. What is offered,
its words and what is possible now come from the API's documents. Pure.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from caisey.core.catalogue.facts import FACTS
from caisey.core.plain_text import one_line
from caisey.web.times import ms_of
from caisey.web.views.session_items import Item
from caisey.web.views.session_rows import change_text
from caisey.web.words import word

Document = dict[str, Any]

FIRST_SHOWN: Final = 3
WITH_A_FORM: Final = frozenset({"edit", "narrow", "input", "help"})
RISKY: Final = frozenset({"again_risk", "stop", "approve", "limit"})
"""Never the default, never at the edge where a thumb rests."""
FACTS_SHOWN: Final = 8
_CITED_AT_LEAST: Final = 3


class Button(NamedTuple):
    """One action: pressing it sends, or opens its form."""

    code: str
    action: str
    label: str
    consequence: str
    primary: bool
    risky: bool
    unavailable: str
    opens: bool
    tool_call_id: str
    body: str


class Link(NamedTuple):
    """A button that sends nothing."""

    code: str
    label: str
    consequence: str


class Now(NamedTuple):
    """Everything of the panel but an open form."""

    prompt_id: str
    tool_call_id: str
    position: int
    steps: int
    literal: str
    tone: str
    entry: str
    label: str
    ran: str
    ran_note: str
    summary: str
    since: str
    due: str
    then: str
    seen: int
    first: tuple[Button, ...]
    more: tuple[Button, ...]
    links: tuple[Link, ...]
    changes: tuple[str, ...]
    changes_note: str
    facts: tuple[Document, ...]
    last_line: str
    code: str
    again_ms: int

    @property
    def buttons(self) -> tuple[Button, ...]:
        """All of them, the first ones first."""
        return self.first + self.more


def now_of(prompt: Document, item: Item, now_ms: int, *, may_work: bool) -> Now:
    """The panel for one step of a request; `prompt` is the document of `GET /prompts/{id}`."""
    call = next(c for c in prompt["tool_calls"] if c["id"] == item.step["id"])
    said = call["now"]
    buttons = [_button(action, call, may_work) for action in said["next_actions"]]
    first = [b for b in buttons if b.primary] + [b for b in buttons if not b.primary]
    attempt = deciding(call)
    return Now(
        prompt_id=prompt["id"],
        tool_call_id=call["id"],
        position=call["position"],
        steps=len(prompt["tool_calls"]),
        literal=call["literal"],
        tone=said["tone"],
        entry=said["entry"],
        label=said["label"],
        # Of a command that runs now nobody asks whether it ran.
        ran="" if said["entry"].startswith("started") else said["ran_label"],
        ran_note=said["ran_note"] or "",
        summary=said["summary"],
        since=item.step["since"],
        due=call["due_at"] or "",
        then=_then(call),
        seen=prompt["sequence"],
        first=tuple(first[:FIRST_SHOWN]),
        more=tuple(first[FIRST_SHOWN:]),
        links=tuple(Link(one["code"], one["label"], one["consequence"]) for one in said["links"]),
        changes=tuple(change_text(one) for c in prompt["tool_calls"] for a in c["attempts"] for one in a["changes"]),
        changes_note=_changes_note(call),
        facts=tuple(cited(attempt)),
        last_line=_last_line(attempt),
        code=_code(attempt),
        again_ms=again_ms(call, now_ms),
    )


def _button(action: Document, call: Document, may_work: bool) -> Button:
    code = action["code"]
    needs_arguments = action["action"] == "verify" and (call["check"] or {}).get("arguments") is None
    unavailable = action["unavailable_because"] or ""
    return Button(
        code=code,
        action=action["action"],
        label=action["label"],
        consequence=action["consequence"],
        primary=bool(action["primary"]) and may_work,
        risky=code in RISKY,
        unavailable=unavailable if may_work else word("session.role_too_low"),
        opens=action["confirm"] or code in WITH_A_FORM or code == "limit" or needs_arguments,
        tool_call_id=action["tool_call_id"],
        body=msgspec.json.encode(action.get("body") or {}).decode(),
    )


def deciding(call: Document) -> Document | None:
    """The try that speaks for the step: the newest open one, else the newest."""
    attempts = call["attempts"]
    return next((a for a in reversed(attempts) if a["state"] != "ended"), attempts[-1] if attempts else None)


def _then(call: Document) -> str:
    """What follows if nothing comes until the deadline, for what waits for a person; of all else its sentence tells."""
    return FACTS.get(f"then.{call['next_state']}", "") if call["state"] in ("waiting", "pending") else ""


def _changes_note(call: Document) -> str:
    """What a list of changes cannot show."""
    structured = call["tool"] not in ("shell", "powershell", "osascript")
    if call["effect"] == "read_only" or call["ran"] == "no":
        return ""
    return "" if structured else word("session.changes.inside")


def cited(attempt: Document | None) -> list[Document]:
    """The facts that the words stand on: what the verdict cites, or the newest ones."""
    if attempt is None:
        return []
    told = [fact for fact in attempt["evidence"] if fact["type"] not in ("progress", "ended", "verdict_refined")]
    verdict = attempt["verdict"]
    if verdict is not None:
        cites = set(verdict["cites"])
        found = [fact for fact in told if fact["index"] in cites]
        if len(found) >= _CITED_AT_LEAST:
            return found[-FACTS_SHOWN:]
    return told[-FACTS_SHOWN:]


def _last_line(attempt: Document | None) -> str:
    """What a command that asks wrote last."""
    if attempt is None or attempt["notice"] is None:
        return ""
    lines = [fact.get("last_line") for fact in attempt["evidence"] if fact["type"] == "stalled"]
    return one_line(str(lines[-1]), 400) if lines and lines[-1] else ""


def _code(attempt: Document | None) -> str:
    """The small stable code, for searching."""
    verdict = attempt["verdict"] if attempt else None
    if verdict is None:
        return ""
    return f"{verdict['kind']} · {verdict['ran']}" + (f" · {verdict['code']}" if verdict["code"] else "")


_SOON_MS: Final = 1_000
_QUICK: Final = frozenset({"queued", "dispatched", "acknowledged"})
_SLOW_MS: Final = 15_000


def again_ms(call: Document, now_ms: int) -> int:
    """After how long the words may be different though nothing happened; text changes at most once a second."""
    attempt = deciding(call)
    if attempt is None or attempt["state"] == "ended":
        return _SLOW_MS
    if attempt["state"] in _QUICK:
        return _SOON_MS
    if attempt["state"] == "started" and attempt["started_at"]:
        age = now_ms - ms_of(attempt["started_at"])
        return _SOON_MS if age < 10_000 else 2_000 if age < 99_000 else _SLOW_MS
    return 5_000
