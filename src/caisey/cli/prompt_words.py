"""A prompt in words: what is new about it, where it stands, what may be done next, as commands to paste.

Owns the sentences around the control plane's own (`label`, `summary`, `next_actions`), which it never rewrites.
Pure: it reads what the API shows and writes lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from caisey.cli import exit_codes, waiting_words
from caisey.cli.calls import SHELLS, one_line
from caisey.cli.safe_text import cut, visible_line
from caisey.cli.spans import span, to_ms
from caisey.cli.waiting_words import Words
from caisey.core.catalogue import ENGLISH

STEP_LENGTH = 60
_FURTHEST = ("started", "lost", "acknowledged", "dispatched", "awaiting_approval", "held", "queued")

Document = dict[str, Any]
Line = tuple[str | None, str]


def ran_words(verdict: Document) -> str:
    """The second line of every verdict: did it run?"""
    ran = str(verdict.get("ran"))
    if verdict.get("ran_label"):
        note = verdict.get("ran_note")
        return f"{verdict['ran_label']} ({note})" if note else str(verdict["ran_label"])
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
    """The first step that is under way, with the open try of it that is furthest."""
    for call in prompt["tool_calls"]:
        tries = [attempt for attempt in call.get("attempts") or [] if attempt["state"] in _FURTHEST]
        if tries:
            return call, min(reversed(tries), key=lambda attempt: _FURTHEST.index(attempt["state"]))
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
        self._verdicts: dict[tuple[str, int], Document] = {}
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

    def pass_over(self, prompt: Document, computer: str) -> None:
        """The person knows this already."""
        for _ in self.news(prompt, computer):
            pass

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
        self._verdicts[key] = verdict
        if former is not None and (former["kind"], former["ran"]) != (verdict["kind"], verdict["ran"]):
            # Other words alone are none: a label also follows what happens around its try.
            yield "ask", f'New information. We showed "{former["label"]}". The computer now says: {verdict["label"]}.'
        elif former is None and not is_last:
            # Another try followed, so this is no question to anybody.
            yield "wait", f"Try {attempt['number']}: {verdict['label']}. {verdict.get('summary') or ''}".rstrip()


def short(call: Document) -> str:
    """A step on part of a line."""
    return cut(visible_line(call.get("literal") or one_line(call)), STEP_LENGTH)


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
    if call.get("outcome") not in (None, "done") or found is None:
        label = (call.get("now") or {}).get("label") or "Closed"
        yield "plain", f"{_place(call, several)}{label}"
        return
    if exit_codes.of_call(call) != exit_codes.OK:
        return  # the last words are about it
    attempt, verdict = found
    # One that was held and taken back never left.
    tries = sum(waiting_words.newest(one, "dispatched") is not None for one in call.get("attempts") or [])
    parts = [
        verdict["label"],
        duration(attempt),
        user(attempt),
        *changes(attempt),
        f"(sent {tries} times)" if tries > 1 else "",
    ]
    yield tone(call, verdict), _place(call, several) + "  ".join(part for part in parts if part)


def duration(attempt: Document) -> str:
    """How long the command itself took."""
    execution = attempt.get("execution") or {}
    began, ended = _time(execution, "started"), _time(execution, "ended")
    return "" if began is None or ended is None else span(ended - began)


def user(attempt: Document) -> str:
    """As whom it ran: everything as root is worth a look."""
    found = waiting_words.field(waiting_words.newest(attempt, "started"), "user")
    return f"as {found}" if found else ""


def changes(attempt: Document) -> list[str]:
    """Recorded state changes: `cups: running → stopped`."""
    return [
        visible_line(f"{change.get('what')}: {_state(change.get('before'))} → {_state(change.get('after'))}")
        for change in attempt.get("changes") or []
        if isinstance(change, dict)
    ]


def verdict_lines(prompt: Document) -> Iterator[Line]:
    """The first step that is not done: what happened, did it run, what may be done; nothing where all are done."""
    call = first_open(prompt)
    if call is not None:
        yield from _stopped(prompt, call)


def _stopped(prompt: Document, call: Document) -> Iterator[Line]:
    several = len(prompt["tool_calls"]) > 1
    found = deciding(call)
    now_words = call.get("now") or {}
    if found is not None:
        _, verdict = found
        yield tone(call, verdict), f"{_place(call, several)}{verdict['label']}"
        yield None, f"  {ran_words(verdict)}. {verdict.get('summary') or ''}".rstrip()
    else:
        open_now = current(prompt)
        waits = waiting_words.words(open_now[1], "the computer", 0) if open_now and open_now[0] is call else None
        label = now_words.get("label") or (waits.line if waits else "Waits for a person")
        yield "ask", f"{_place(call, several)}{label}"
        if now_words.get("summary"):
            yield None, f"  {now_words['summary']}"
    yield from action_lines(prompt, call)
    left = [str(other["position"]) for other in prompt["tool_calls"] if other.get("state") == "pending"]
    if left and call.get("state") != "pending":
        yield "not_sent", f"Not sent: step {', '.join(left)}"
    yield None, f"  Why: caisey story {prompt['id']}"


def next_actions(call: Document) -> list[Document]:
    """What may be done about a step now: as it stands, else by its verdict."""
    standing = (call.get("now") or {}).get("next_actions")
    if standing is None:
        found = deciding(call)
        standing = (found[1].get("next_actions") if found else None) or []
    return [action for action in standing if action.get("action")]


def first_open(prompt: Document) -> Document | None:
    """The first step that is not done."""
    return next((call for call in prompt["tool_calls"] if exit_codes.of_call(call) != exit_codes.OK), None)


def action_lines(prompt: Document, call: Document) -> Iterator[Line]:
    """What may be done next, each with the command that does it."""
    actions = next_actions(call)
    width = max((len(action["label"]) for action in actions), default=0)
    for action in actions:
        label = action["label"].ljust(width)
        if why := action.get("unavailable_because"):
            yield None, f"  {label}  not now: {why}"
        else:
            yield None, f"  {label}  {command_for(prompt, call, action)}"


def command_for(prompt: Document, call: Document, action: Document) -> str:
    """The command line that takes this action. `caisey act` finds the step itself where there is no doubt."""
    words = ["caisey act", prompt["id"], action["action"]]
    target = next((c for c in prompt["tool_calls"] if c["id"] == action.get("tool_call_id")), call)
    if target is not first_open(prompt) and action["action"] != "resume":
        words += ["--step", str(target["position"])]
    body = action.get("body") or {}
    if time_ms := (body.get("limits") or {}).get("time_ms"):
        words += ["--limit", f"{time_ms / 1000:g}s"]
    words += [word for name in ("runtime_id", "bridge") if body.get(name) for word in (_OPTIONS[name], body[name])]
    return " ".join([*words, *_needed(action["action"], target)])


_OPTIONS = {"runtime_id": "--runtime", "bridge": "--bridge"}


def _needed(action: str, call: Document) -> tuple[str, ...]:
    """What a person has to add: a new command, what to look at, what to type."""
    given = ("--", "COMMAND") if call.get("tool") in SHELLS else ("--arg", "NAME=TEXT")
    check = call.get("check")
    if action == "adjust" or (action == "verify" and isinstance(check, dict) and "arguments" not in check):
        return given
    return ("--data", "TEXT") if action == "input" else ()


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
