"""A prompt in words: what is new about it, where it stands, what may be done next, as commands to paste.

Owns the sentences around the control plane's own (`label`, `summary`, `next_actions`), which it never rewrites.
Pure: it reads what the API shows and writes lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from caisey.cli import exit_codes, waiting_words
from caisey.cli.calls import one_line
from caisey.cli.safe_text import cut, visible_line
from caisey.cli.spans import span, to_ms
from caisey.cli.waiting_words import Words
from caisey.core.catalogue import ENGLISH

STEP_LENGTH = 60

Document = dict[str, Any]
Line = tuple[str | None, str]


def ran_words(verdict: Document) -> str:
    """The second line of every verdict: did it run?"""
    ran = str(verdict.get("ran"))
    return ENGLISH.ran.get(f"{ran} ({verdict.get('kind')})") or ENGLISH.ran.get(ran, ran)


def tone(call: Document, verdict: Document) -> str:
    """The tone of a verdict as it stands in its step."""
    if verdict.get("tone") in ("plain", "done", "run", "wait", "ask", "alarm"):
        return str(verdict["tone"])
    kind = verdict["kind"]
    if kind == "answered" or (kind == "empty" and call.get("effect") != "read_only"):
        return "done"
    if kind in ("empty", "cancelled"):
        return "plain"
    return "wait" if call.get("state") == "running" else "ask"


def current(prompt: Document) -> tuple[Document, Document] | None:
    """The first step that is under way, with its open try."""
    for call in prompt["tool_calls"]:
        for attempt in reversed(call.get("attempts") or []):
            if attempt["state"] != "ended":
                return call, attempt
    return None


def stands_still(prompt: Document) -> bool:
    """Whether nothing more happens by itself: it has ended, or a person is needed."""
    if prompt["state"] in ("ended", "waiting"):
        return True
    open_now = current(prompt)
    return open_now is not None and waiting_words.waits_for_person(open_now[1])


def now(prompt: Document, computer: str, now_ms: int) -> Words | None:
    """The words for what is under way; None where there is nothing to say yet."""
    open_now = current(prompt)
    if open_now is None:
        return None
    call, attempt = open_now
    words = waiting_words.words(attempt, computer, now_ms)
    if words is None or len(prompt["tool_calls"]) == 1:
        return words
    return words._replace(label=f"Step {call['position']}: {words.label}")


class Told:
    """What the person was told already, so that each thing is said once."""

    def __init__(self) -> None:
        self._verdicts: dict[tuple[str, int], str] = {}
        self._done: set[str] = set()
        self._begun: set[str] = set()
        self._phase: tuple[str, bool] | None = None

    def news(self, prompt: Document, computer: str) -> Iterator[Line]:
        """Lines for what changed since the last call."""
        several = len(prompt["tool_calls"]) > 1
        for call in prompt["tool_calls"]:
            attempts = call.get("attempts") or []
            if several and attempts and call["id"] not in self._begun:
                self._begun.add(call["id"])
                yield "run", f"{call['position']} {short(call)}"
            for attempt in attempts:
                yield from self._of_attempt(call, attempt, is_last=attempt is attempts[-1])
            if call.get("state") == "ended" and call["id"] not in self._done:
                self._done.add(call["id"])
                yield from _end_of_call(call, several=several)

    def is_new(self, words: Words, *, renewable: bool) -> bool:
        """Whether these words deserve a line that stays, and were not said yet.

        Words that pass do where the line cannot be renewed in place (`renewable`): one line for each phase.
        """
        phase = (words.label, words.firm or bool(words.sentence))
        if phase == self._phase or (renewable and not words.firm):
            return False
        self._phase = phase
        return True

    def _of_attempt(self, call: Document, attempt: Document, *, is_last: bool) -> Iterator[Line]:
        verdict = attempt.get("verdict")
        if verdict is None:
            return
        key = (call["id"], attempt["number"])
        former = self._verdicts.get(key)
        self._verdicts[key] = verdict["label"]
        if former is not None and former != verdict["label"]:
            yield "ask", f'New information. We showed "{former}". The computer now says: {verdict["label"]}.'
        elif former is None and not is_last:
            # Another try followed, so this is no question to anybody.
            yield "wait", f"Try {attempt['number']}: {verdict['label']}. {verdict.get('summary') or ''}".rstrip()


def short(call: Document) -> str:
    """A step on part of a line."""
    return cut(visible_line(one_line(call)), STEP_LENGTH)


def deciding(call: Document) -> tuple[Document, Document] | None:
    """The try whose verdict speaks for the step, with that verdict."""
    verdict = exit_codes.deciding_verdict(call)
    if verdict is None:
        return None
    for attempt in reversed(call.get("attempts") or []):
        if attempt.get("verdict") is verdict:
            return attempt, verdict
    return {}, verdict


def _end_of_call(call: Document, *, several: bool) -> Iterator[Line]:
    found = deciding(call)
    if found is None:
        if call.get("outcome") not in (None, "done"):
            yield "not_sent", f"{_place(call, several)}not sent"
        return
    attempt, verdict = found
    tries = len(call.get("attempts") or [])
    parts = [verdict["label"], duration(attempt), *changes(attempt), f"(sent {tries} times)" if tries > 1 else ""]
    yield tone(call, verdict), _place(call, several) + "  ".join(part for part in parts if part)


def duration(attempt: Document) -> str:
    """How long the command itself took."""
    execution = attempt.get("execution") or {}
    began, ended = _time(execution, "started"), _time(execution, "ended")
    return "" if began is None or ended is None else span(ended - began)


def changes(attempt: Document) -> list[str]:
    """Recorded state changes: `cups: running → stopped`."""
    return [
        visible_line(f"{change.get('what')}: {_state(change.get('before'))} → {_state(change.get('after'))}")
        for change in attempt.get("changes") or []
        if isinstance(change, dict)
    ]


def verdict_lines(prompt: Document) -> Iterator[Line]:
    """The first step that is not done: what happened, did it run, what may be done; nothing where all are done."""
    for call in prompt["tool_calls"]:
        if exit_codes.of_call(call) == exit_codes.OK:
            continue
        yield from _stopped(prompt, call)
        return


def _stopped(prompt: Document, call: Document) -> Iterator[Line]:
    found = deciding(call)
    several = len(prompt["tool_calls"]) > 1
    if found is not None:
        _, verdict = found
        yield tone(call, verdict), f"{_place(call, several)}{verdict['label']}"
        yield None, f"  {ran_words(verdict)}. {verdict.get('summary') or ''}".rstrip()
        yield from action_lines(prompt, call, verdict)
    else:
        label = call.get("label") or "Waits for a person"
        yield "ask", f"{_place(call, several)}{label}"
    left = [other["position"] for other in prompt["tool_calls"] if other.get("state") == "pending"]
    if left:
        yield "not_sent", f"Not sent: step {', '.join(map(str, left))}"
    yield None, f"  caisey story {prompt['id']}"


def action_lines(prompt: Document, call: Document, verdict: Document) -> Iterator[Line]:
    """What may be done next, each with the command that does it."""
    actions = [action for action in verdict.get("next_actions") or [] if action.get("action")]
    width = max((len(action["label"]) for action in actions), default=0)
    for action in actions:
        label = action["label"].ljust(width)
        if why := action.get("unavailable_because"):
            yield None, f"  {label}  not now: {why}"
        else:
            yield None, f"  {label}  {command_for(prompt, call, action['action'])}"


def command_for(prompt: Document, call: Document, action: str) -> str:
    """The command line that takes this action."""
    words = ["caisey act", prompt["id"], action]
    first_open = next((c for c in prompt["tool_calls"] if exit_codes.of_call(c) != exit_codes.OK), None)
    if first_open is not call and action != "resume":
        words += ["--step", str(call["position"])]
    if action == "adjust":
        words += ["--arg", "NAME=VALUE"]
    return " ".join(words)


def _place(call: Document, several: bool) -> str:
    return f"{call['position']} " if several else ""


def _time(execution: Document, name: str) -> int | None:
    stamp = execution.get(f"{name}_at")
    if isinstance(stamp, str):
        return to_ms(stamp)
    number = execution.get(f"{name}_ms")
    return number if isinstance(number, int) else None


def _state(value: Any) -> str:
    return "none" if value is None else str(value)
