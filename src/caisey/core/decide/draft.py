"""A decision under way: the session as it would be, and the events so far.

Owns `Draft`. It never changes the session it was given: events are folded into a new one.
"""

from __future__ import annotations

from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.policy import Policy
from caisey.core.session import Session, evolve
from caisey.core.tool_call import ToolCall
from caisey.core.view import EndpointView

ABOUT_A_CALL = (e.AttemptEvent, e.CallEvent)


class Draft:
    """Events are emitted one by one; each sees the session after the ones before it."""

    def __init__(self, session: Session, view: EndpointView, now_ms: int, first_sequence: int = 0) -> None:
        self.session = session
        self._sequence = first_sequence  # 0: events are numbered later
        self.view = view
        self.now = now_ms
        self.records: list[e.Recorded] = []
        self.touched: set[str] = set()  # prompts whose state has to be looked at

    @property
    def policy(self) -> Policy:
        """The effective policy of the endpoint."""
        return self.view.policy

    def emit(self, event: e.Event, actor: e.Actor = e.CONTROL_PLANE, reason: str | None = None) -> None:
        """Record one event and fold it in."""
        record = e.Recorded(self.now, actor, event, reason, self._sequence)
        if self._sequence:
            self._sequence += 1
        self.records.append(record)
        self.session = evolve(self.session, record)
        if isinstance(event, ABOUT_A_CALL):
            self.touched.add(self.session.calls[event.tool_call_id].prompt_id)

    def call(self, tool_call_id: str) -> ToolCall:
        """The tool call as it would be now."""
        return self.session.calls[tool_call_id]

    def attempt(self, tool_call_id: str, number: int) -> Attempt:
        """The attempt as it would be now."""
        return self.session.calls[tool_call_id].attempts[number - 1]

    def interval(self, attempt: Attempt) -> int:
        """The heartbeat interval that the attempt's runtime stated, in ms; else the policy's."""
        runtime = self.view.runtime(attempt.runtime_id) if attempt.runtime_id else None
        return runtime.heartbeat_interval_ms if runtime else self.policy.ms("heartbeat_interval")

    def rolling(self, attempt: Attempt) -> int:
        """The rolling deadline of an acknowledged or started attempt: two heartbeat intervals from now."""
        return self.now + 2 * self.interval(attempt)
