"""The note for the ticket: what was done, what came of it, minutes worked and waited.

Owns two texts over the same facts: one for colleagues, with every step, and one that a customer may read, without
commands, names of colleagues or ids. Plain text, bounded; foreign text stands on one line and is made visible.
"""

from __future__ import annotations

from typing import Any, Literal

from caisey.core import events as e
from caisey.core.awareness import recorded_changes
from caisey.core.filling import fill
from caisey.core.plain_text import literal, one_line
from caisey.core.scene import NAME_LENGTH, PLAINLY, Scene, Telling
from caisey.core.session import Prompt, Session
from caisey.core.spoken import clock
from caisey.core.states import CallState, Effect
from caisey.core.time_spent import time_spent
from caisey.core.tool_call import ToolCall
from caisey.core.view import EndpointView
from caisey.core.words import of_scene

LINE_LENGTH = 300
MAX_STEPS = 200
MAX_CHANGES = 20

Audience = Literal["technician", "customer"]


def ticket_note(
    session: Session,
    view: EndpointView,
    now_ms: int,
    audience: Audience = "technician",
    *,
    telling: Telling = PLAINLY,
) -> str:
    """Plain text, lines of at most `LINE_LENGTH` characters."""
    note = _Note(session, view, now_ms, telling)
    lines = note.for_customer() if audience == "customer" else note.for_technician()
    return "\n".join(lines) + "\n"


class _Note:
    def __init__(self, session: Session, view: EndpointView, now_ms: int, telling: Telling) -> None:
        self.session = session
        self.view = view
        self.now = now_ms
        self.telling = telling
        self.spent = time_spent(session, now_ms)
        self.computer = one_line(view.name, NAME_LENGTH) or self.phrase("the_computer")

    def phrase(self, key: str) -> str:
        return self.telling.catalogue.phrases[key]

    def say(self, key: str, **values: str | None) -> str:
        return fill(self.phrase(key), values, LINE_LENGTH)

    def minutes(self, ms: int) -> str:
        """Whole minutes, at least one: nobody asks for half a minute, and nothing is free."""
        return self.phrase("note.minutes").replace("{n}", str(max(1, round(ms / 60_000))))

    def moment(self, at_ms: int) -> str:
        """With the day: a note is read much later."""
        far = at_ms + 2 * 86_400_000
        return clock(at_ms, far, self.telling.zone)

    def scene(self, call: ToolCall) -> Scene:
        return Scene(self.session, call, self.view, self.now, self.telling)

    # -- for colleagues ------------------------------------------------------------------------------------------

    def for_technician(self) -> list[str]:
        title = one_line(self.session.title, 120)
        client = one_line(self.view.client, NAME_LENGTH)
        ticket = one_line(self.session.ticket or "", 60)
        head = " · ".join(part for part in (self.computer, client, title, ticket) if part)
        lines = [one_line_kept(head), self._times(), ""]
        steps = 0
        for number, prompt in enumerate(self.session.prompts.values(), 1):
            calls = self.session.calls_of(prompt)
            steps += len(calls)
            if steps > MAX_STEPS:
                lines.append("…")
                break
            lines += [*self._request(number, prompt), *(self._step(c) for c in calls), ""]
        return [*lines, *self._end()]

    def _times(self) -> str:
        return " ".join(
            part
            for part in (
                self.say(
                    "note.span",
                    **{"from": self.moment(self.spent.first_ms), "to": self.moment(self.spent.last_ms)},
                ),
                self.say("note.worked", worked=self.minutes(self.spent.worked_ms)),
                self.say("note.waited", computer=self.computer, waited=self.minutes(self.spent.waited_ms))
                if self.spent.waited_ms
                else "",
            )
            if part
        )

    def _request(self, number: int, prompt: Prompt) -> list[str]:
        scene = self.scene(self.session.calls[prompt.call_ids[0]])
        when = self.moment(prompt.accepted_at_ms)
        lines = [self.say("note.request", n=str(number), who=scene.who(prompt.actor), time=when)]
        if prompt.text:
            lines.append(f"  “{one_line(prompt.text, LINE_LENGTH - 6)}”")
        return lines

    def _step(self, call: ToolCall) -> str:
        scene = self.scene(call)
        words = of_scene(scene)
        said = literal(call.spec.tool, call.spec.arguments, 100)
        parts = [f"  {call.spec.position}. {said}: {words.label}. {words.ran_label}."]
        parts += [f"{change}." for change in change_lines(call)[:MAX_CHANGES]]
        parts += [self.say("note.because", reason=one_line(reason, 80)) + "." for reason in reasons(call)]
        return one_line_kept(" ".join(parts))

    def _end(self) -> list[str]:
        still_open = [c for c in self.session.calls.values() if c.state is not CallState.ENDED]
        lines = [self.say("note.open", n=str(len(still_open)))] if still_open else [self.phrase("nothing_open") + "."]
        closed = self.session.closed
        if closed is not None:
            lines.append(self.say("note.outcome", outcome=one_line(closed.outcome, 200)))
            if closed.verified:
                lines.append(self.say("note.verified", verified=one_line(closed.verified, 200)))
        return lines

    # -- for the customer ----------------------------------------------------------------------------------------

    def for_customer(self) -> list[str]:
        calls = list(self.session.calls.values())
        done = [c for c in calls if c.state is CallState.ENDED and c.outcome == "done"]
        still_open = [c for c in calls if c.state is not CallState.ENDED]
        changes = list(dict.fromkeys(line for c in calls if _changes(c) for line in change_lines(c)))[:MAX_CHANGES]
        worked = self.minutes(self.spent.worked_ms)
        lines = [
            self.say("note.span", **{"from": self.moment(self.spent.first_ms), "to": self.moment(self.spent.last_ms)}),
            self.say("note.customer.worked", computer=self.computer, worked=worked),
        ]
        if self.spent.waited_ms:
            lines.append(self.say("note.customer.waited", waited=self.minutes(self.spent.waited_ms)))
        lines.append(self.say("note.customer.done", n=str(len(done))))
        if changes:
            lines.append(self.say("note.customer.changed", changes="; ".join(changes)))
        if still_open:
            lines.append(self.say("note.customer.open", n=str(len(still_open))))
        if self.session.closed is not None:
            lines.append(self.say("note.outcome", outcome=one_line(self.session.closed.outcome, 200)))
        return lines


def _changes(call: ToolCall) -> bool:
    return call.spec.effect is not Effect.READ_ONLY


def one_line_kept(text: str) -> str:
    """Cut to the note's length, the leading spaces kept."""
    return text if len(text) <= LINE_LENGTH else f"{text[: LINE_LENGTH - 1]}…"


def change_lines(call: ToolCall) -> list[str]:
    """Recorded state changes: `spooler: running → stopped`."""
    return [
        one_line(f"{change.get('what')}: {_state(change.get('before'))} → {_state(change.get('after'))}", 100)
        for change in recorded_changes(call)
    ]


def _state(value: Any) -> str:
    return "none" if value is None else str(value)


def reasons(call: ToolCall) -> list[str]:
    """The reasons that people gave for what they did with it, oldest first, each once."""
    given = [
        r.reason
        for a in call.attempts
        for r in a.facts
        if r.reason and r.actor.kind in ("user", "token") and not isinstance(r.event, e.AttemptEnded)
    ]
    return list(dict.fromkeys(given))
