"""Which open thing of a session comes first: the order in which NOW shows them.

Owns the order (CONSOLE.md, Attention: "Order in Needs you"), over the document of `GET /sessions/{id}`. Pure; it
concludes nothing about a step that the document does not say.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from caisey.web.times import ms_of

Document = dict[str, Any]

_NOT_KNOWN: Final = frozenset({"partly", "unconfirmed"})
_QUESTIONS: Final = frozenset({"started.asks", "started.silent"})
_PASSING: Final = frozenset({"queued", "queued.check", "dispatched.fresh", "dispatched", "acknowledged", "started"})
YOUNG_MS: Final = 1_000
NEWS: Final = "ended.late_changed"
LOUD: Final = frozenset({"ask", "alarm"})


class Item(NamedTuple):
    """One open step, and the request that it belongs to."""

    prompt: Document
    step: Document

    @property
    def needs_somebody(self) -> bool:
        """Whether it waits for a person, rather than by itself."""
        return self.step["tone"] in LOUD


def open_items(session: Document) -> list[Item]:
    """What is open, the most urgent first. A step that only waits for the one before it is not an item of its own."""
    prompts = session["prompts"]
    found = [item for prompt in prompts for item in _of_prompt(prompt, newest=prompt is prompts[-1])]
    return sorted(found, key=_order)


def _of_prompt(prompt: Document, *, newest: bool) -> list[Item]:
    steps = prompt["tool_calls"]
    found = [Item(prompt, s) for s in steps if s["state"] in ("running", "waiting")]
    if not found:
        found = [Item(prompt, s) for s in steps if s["state"] == "pending"][:1]
    # What came late and was different is put before people until they have asked for something newer.
    return found + [Item(prompt, s) for s in steps if newest and s["state"] == "ended" and s["entry"] == NEWS]


def _order(item: Item) -> tuple[int, str]:
    step = item.step
    due = step["due_at"] or "9999"
    if step["tone"] == "alarm":
        return 0, step["since"]
    if step["tone"] == "ask":
        if step["ran"] in _NOT_KNOWN and step["effect"] == "mutating" and step["state"] == "waiting":
            return 1, step["since"]
        if step["entry"] in _QUESTIONS:
            return 2, step["since"]
        if step["entry"] == "awaiting_approval":
            return 3, due
        if step["entry"].startswith("held."):
            return 4, due
        return 5, step["since"]
    return (6, due) if step["state"] != "pending" else (7, due)


def is_young(step: Document, now_ms: int) -> bool:
    """Sent for the first time less than a second ago, and nothing is wrong: a quick command is not narrated."""
    if step["state"] != "running" or step["tries"] != 1 or step["tone"] in LOUD:
        return False
    return step["entry"] in _PASSING and now_ms - ms_of(step["first_tried_at"]) < YOUNG_MS


def chosen(items: list[Item], tool_call_id: str | None) -> int:
    """The place of the item that is asked for, else of the first."""
    return next((n for n, item in enumerate(items) if item.step["id"] == tool_call_id), 0)


def last_check(session: Document) -> Item | None:
    """The newest look that was made to check something."""
    for prompt in reversed(session["prompts"]):
        if prompt["origin"] is not None and prompt["origin"]["action"] == "verify" and prompt["tool_calls"]:
            return Item(prompt, prompt["tool_calls"][-1])
    return None


def checks_of(session: Document, tool_call_id: str) -> list[Item]:
    """Looks that were made to check this step, oldest first."""
    return [
        Item(prompt, prompt["tool_calls"][-1])
        for prompt in session["prompts"]
        if prompt["origin"] is not None
        and prompt["origin"]["tool_call_id"] == tool_call_id
        and prompt["origin"]["action"] == "verify"
        and prompt["tool_calls"]
    ]
