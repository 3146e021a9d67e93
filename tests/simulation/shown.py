"""What people are shown of a session, whatever has happened to it: every view is made, and keeps what it promises.

Owns the look. The words themselves are tested elsewhere; here they are asked for in states that nobody thought of.
"""

from __future__ import annotations

from collections.abc import Iterator

from caisey.core.awareness import present_awareness
from caisey.core.present import present_prompt, present_session
from caisey.core.session import Session
from caisey.core.story import story
from caisey.core.ticket_note import ticket_note
from caisey.core.view import EndpointView
from tests.end_to_end.views import check, check_words


def faults(session: Session, view: EndpointView, now_ms: int) -> Iterator[str]:
    """What is wrong with a view of it."""
    try:
        _look(session, view, now_ms)
    except AssertionError as error:
        yield str(error)[:400]


def _look(session: Session, view: EndpointView, now_ms: int) -> None:
    present_session(session, view, now_ms)
    present_session(session, view, now_ms, open_only=True)
    ticket_note(session, view, now_ms)
    for prompt_id in session.prompts:
        present_awareness(session, prompt_id, view, now_ms)
        for call in check(present_prompt(session, prompt_id, view, now_ms))["tool_calls"]:
            check_words(call["now"])
            if call["state"] == "waiting":
                can = [action for action in call["now"]["next_actions"] if not action["unavailable_because"]]
                assert can, f"{call['id']} waits, and nothing can be done: {call['now']}"
    for call_id in session.calls:
        lines = story(session, call_id, view, now_ms)
        assert [line["at"] for line in lines[:-1]] == sorted(line["at"] for line in lines[:-1]), lines
