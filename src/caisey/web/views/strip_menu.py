"""What stands at the end of a session's strip: hand over, close, stop everything.

Owns who is shown which side of an offer. Pure, from the documents of the API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from caisey.core.plain_text import one_line
from caisey.web.words import WORDS, word

Document = dict[str, Any]


class OpenStep(NamedTuple):
    """A step that is open when somebody closes the session."""

    id: str
    literal: str


class StripMenu(NamedTuple):
    """`open`: which pane stands open after a press (hand_over, close, stop), with what was typed and the fault."""

    may: bool
    offered: str
    for_you: bool
    yours: bool
    colleagues: Sequence[Document] = ()
    open: str = ""
    fault: Any = None
    said: str = ""
    values: Mapping[str, str] = {}
    open_work: tuple[OpenStep, ...] = ()


def strip_menu_of(session: Document, member_id: str, colleagues: Sequence[Document], *, may: bool) -> StripMenu:
    """As the page is first shown. `may`: whether the reader's role may work."""
    offered = session["handover"]
    if offered is None:
        return StripMenu(may=may, offered="", for_you=False, yours=False, colleagues=colleagues)
    yours = member_id in (offered["by"]["id"], session["owner"])
    for_you = not yours and offered["to"] in (None, member_id)
    return StripMenu(
        may=may, offered=_offered(offered, member_id, yours=yours), for_you=for_you, yours=yours, colleagues=colleagues
    )


def _offered(offered: Document, member_id: str, *, yours: bool) -> str:
    if yours:
        name = offered["to_name"]
        return WORDS["strip.offered.anybody"] if name is None else word("strip.offered", name=one_line(name, 60))
    key = "strip.offered.by_to_you" if offered["to"] == member_id else "strip.offered.by"
    return word(key, name=one_line(offered["by_name"], 60))


def open_steps(session: Document, named: Sequence[Document]) -> tuple[OpenStep, ...]:
    """The open steps that the API named, with what they are."""
    known = {call["id"]: call for prompt in session["prompts"] for call in prompt["tool_calls"]}
    return tuple(
        OpenStep(one["tool_call_id"], one_line(known[one["tool_call_id"]]["literal"], 120))
        if one["tool_call_id"] in known
        else OpenStep(one["tool_call_id"], one_line(str(one["tool"]), 60))
        for one in named
    )
