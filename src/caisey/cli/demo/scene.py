"""One stall while it is played: what is asked, what happens, when it is known, what is decided, how it ends.

Owns the clock of a row and the reading of the API. A scene is written with these verbs alone (`scenes_*`); it compares
nothing with what should be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from caisey.cli.client import Api, new_key
from caisey.cli.demo import judging
from caisey.cli.demo.computer import Computer
from caisey.cli.demo.expected import Expectation
from caisey.cli.demo.judging import Found
from caisey.cli.demo.screen import Screen, ran_words
from caisey.cli.demo.stage import Stage
from caisey.cli.faults import CliFault, Problem, Unreachable

LOOK_EVERY_S = 0.04
WITHIN_S = 60.0
LONGEST_MS = 90_000
TRIES = 10
PATIENCE_S = 0.6
"""A state that passes by itself is shown when it has lasted this long: what goes well is not narrated."""
_PASSING = frozenset({"queued.check", "acknowledged", "started"})
_UNTOLD = frozenset({"queued", "dispatched.fresh"})

Document = dict[str, Any]


class Scene:
    """One row, on one computer, in one session."""

    def __init__(self, stage: Stage, screen: Screen, expected: Expectation) -> None:
        self.stage = stage
        self.screen = screen
        self.expected = expected
        self.me = "Robin"
        self.trace = stage.household.path / f"{expected.name}.ran"
        self.also: list[str] = []
        self.shown: Document | None = None
        self._began = time.monotonic()
        self._known: tuple[str, str, float] | None = None
        self._said: tuple[Any, ...] | None = None
        self._told: tuple[Any, ...] | None = None
        self._passing: tuple[tuple[Any, ...], float] | None = None
        self._session_id = ""

    @property
    def api(self) -> Api:
        """As the technician who works here."""
        return self.stage.people[self.me]

    def computer(self) -> Computer:
        """The row's computer, ready, with a session open on it."""
        computer = self.stage.computer(self.expected.computer)
        self._session_id = self.api.post(
            "/sessions", {"endpoint_id": computer.endpoint_id, "title": self.expected.title}
        )["id"]
        self.clock()
        self.screen.start_clock()
        return computer

    # -- what happens -------------------------------------------------------------------------------------------------

    def clock(self) -> None:
        """The stall begins now: "seconds until known" counts from here."""
        self._began = time.monotonic()

    def ask(self, *calls: Document, **more: Any) -> str:
        """A request; returns its id. It is durable then."""
        for call in calls:
            self.screen.asks(call, self.me)
        return str(self.send(*calls, **more)["id"])

    def send(self, *calls: Document, **more: Any) -> Document:
        """As `ask`, without a word. Raises Problem where it is refused."""
        body = {"tool_calls": list(calls), **more}
        prompt: Document = self.api.post(f"/sessions/{self._session_id}/prompts", body)
        return prompt

    def does(self, words: str, meaning: str) -> None:
        """Something is done to the computer."""
        self.screen.does(words, meaning)

    # -- what is seen -------------------------------------------------------------------------------------------------

    def prompt(self, prompt_id: str) -> Document:
        """The request as the API shows it."""
        prompt: Document = self.api.get(f"/prompts/{prompt_id}")
        return prompt

    def until(
        self, prompt_id: str, condition: Callable[[Document], Any], *, step: int = 1, quietly: bool = False
    ) -> Document:
        """The step as it stands once the condition holds of it; each new label on the way is shown."""
        call = self._wait(prompt_id, condition, step, quietly=quietly)
        if not quietly:
            self._show(call, firmly=True)
        return call

    def known(
        self, prompt_id: str, condition: Callable[[Document], Any], *, step: int = 1, tried: int = -1
    ) -> Document:
        """The stall is known once the condition holds: its words, the evidence, what is offered. The clock stops.

        `tried`: the try that it is known of.
        """
        call = self._wait(prompt_id, condition, step, quietly=False)
        now, attempt = call["now"], call["attempts"][tried]
        self.note(judging.standing(attempt), call["ran"])
        if attempt["verdict"] and attempt["verdict"]["label"] != now["label"]:
            self.concluded(attempt)
        self._show(call, firmly=True)
        self._told = self._said
        self.screen.tells(_ran(call, attempt), now["summary"], now["next_actions"])
        self.screen.evidence(attempt["evidence"])
        words = attempt["verdict"] or now
        told = {name: words.get(name) for name in ("label", "ran_label", "summary")}
        self.shown = {**told, "offered": now["next_actions"], "evidence": attempt["evidence"]}
        return call

    def _wait(self, prompt_id: str, condition: Callable[[Document], Any], step: int, *, quietly: bool) -> Document:
        deadline = time.monotonic() + WITHIN_S
        call: Document = {}
        while time.monotonic() < deadline:
            try:
                call = current(self.prompt(prompt_id), step)
            except Unreachable:  # the control plane is away, as it may be here
                time.sleep(LOOK_EVERY_S)
                continue
            if condition(call):
                return call
            if not quietly:
                self._show(call, firmly=False)
            time.sleep(LOOK_EVERY_S)
        label = (call.get("now") or {}).get("label")
        raise CliFault(
            f'{self.expected.name}: nothing more came within {WITHIN_S:.0f} s; it stands at "{label}"',
            code="demo.stands_still",
        )

    def concluded(self, attempt: Document) -> None:
        """The verdict about one try."""
        self.screen.stands(attempt["verdict"])
        self.screen.tells(ran_words(attempt["verdict"]), attempt["verdict"]["summary"])

    @staticmethod
    def output(call: Document) -> str:
        """What the newest try has printed so far."""
        output = call["attempts"][-1]["output"] if call["attempts"] else None
        return str(((output or {}).get("stdout") or {}).get("text") or "")

    def refused(self, problem: Problem) -> None:
        """A request that was not taken: what the command line says of it."""
        first, *rest = problem.lines()
        self.screen.stands({"tone": "ask", "label": first})
        self.screen.shows(line.strip() for line in rest)
        self.shown = {"label": first, "summary": problem.hint, "shape_faults": problem.body["errors"]}

    def note(self, found: str, ran: str) -> None:
        """What the stall was found as, now."""
        if self._known is None:
            self._known = (found, ran, time.monotonic() - self._began)

    def _show(self, call: Document, *, firmly: bool) -> None:
        """The label, if it is new, and stays or is what was waited for."""
        now = call.get("now") or {}
        key = (call["id"], now.get("label"), len(call["attempts"]))
        if not now.get("label") or key == self._said or now.get("entry") in _UNTOLD:
            return
        if now.get("entry") in _PASSING and not firmly:
            if self._passing is None or self._passing[0] != key:
                self._passing = (key, time.monotonic())
            if time.monotonic() - self._passing[1] < PATIENCE_S:
                return
        self._said = key
        self.screen.stands(now)

    # -- what is decided ----------------------------------------------------------------------------------------------

    def act(
        self, prompt_id: str, action: str, *, step: int = 1, reason: str, quietly: bool = False, **fields: Any
    ) -> Document:
        """Take an action that is offered, as somebody who has just read the request."""
        for tried in range(TRIES):
            prompt = self.prompt(prompt_id)
            call = current(prompt, step)
            if tried == 0 and not quietly:
                offered = next((item for item in call["now"]["next_actions"] if item["action"] == action), None)
                detail = str((fields.get("arguments") or {}).get("command") or fields.get("data") or "").strip()
                self.screen.decides(self.me, offered["label"] if offered else action, detail)
            body = {"action": action, "reason": reason, "seen": prompt["sequence"], **fields}
            try:
                answer: Document = self.api.post(f"/tool-calls/{call['id']}/actions", body, key=new_key())
            except Problem as problem:
                if problem.code != "action.stale" or tried == TRIES - 1:
                    raise  # else: something came in between; it is read, and the decision stands
            else:
                return answer
        raise AssertionError("the last try returns or raises")

    # -- what came of it ----------------------------------------------------------------------------------------------

    def ends(self, prompt_id: str, *, step: int = 1, refused: bool = False, before: tuple[str, ...] = ()) -> Found:
        """Wait until nothing more happens by itself, and read the row.

        `refused`: a request before this one was. `before`: what was done that is no event of the session.
        """
        call = self.until(prompt_id, lambda c: c["state"] in ("ended", "waiting"), step=step)
        attempt = call["attempts"][-1]
        if self._told != self._said:
            self.screen.tells(ran_words(attempt["verdict"]), call["now"]["summary"])
        after = judging.standing(attempt)
        assert self._known is not None, "a scene says when its stall is known"
        found, ran, known_s = self._known
        calls = self.prompt(prompt_id)["tool_calls"]
        return Found(
            found, ran, round(known_s, 2), after, call["ran"],
            recovery=(*before, *judging.recovery(self.events(), refused=refused)),
            tries=sum(len(each["attempts"]) for each in calls),
            consents=sum(each["consents"] for each in calls),
            starts=self.starts(),
            also=tuple(self.also),
        )  # fmt: skip

    def starts(self) -> int | None:
        """How often the command really began: lines on disk. None where it leaves none."""
        return len(self.trace.read_text().splitlines()) if self.trace.exists() else None

    def prints_all(self, prompt_id: str, lines: list[str]) -> None:
        """Whether every line of output is there, once, in order; the last of it may come after the word of its end."""
        call = self._wait(prompt_id, _has_all_output, 1, quietly=True)
        said = self.output(call).splitlines()
        self.also.append("output complete" if said == lines else f"output: {said}")

    def events(self) -> Iterator[Document]:
        return self.api.items(f"/sessions/{self._session_id}/events")


def current(prompt: Document, step: int) -> Document:
    """The step at a position; of one that was edited the newest."""
    found: Document = [call for call in prompt["tool_calls"] if call["position"] == step][-1]
    return found


def _has_all_output(call: Document) -> bool:
    """Whether as much is stored as the command wrote, by its own count."""
    attempt = call["attempts"][-1]
    written = ((attempt["execution"] or {}).get("streams") or {}).get("stdout") or {}
    return written.get("bytes") == ((attempt["output"] or {}).get("stdout") or {}).get("stored")


def _ran(call: Document, attempt: Document) -> str:
    """Did it run? While a command runs, or may, that is no question yet."""
    if attempt["verdict"]:
        return ran_words(attempt["verdict"])
    return call["now"]["ran_label"] if attempt["state"] in ("queued", "held") else ""


def shell(command: str, effect: str = "mutating", **more: Any) -> Document:
    """A call of the shell. Its limit holds also where nobody is left to end it."""
    limits = {"time_ms": LONGEST_MS}
    return {"tool": "shell", "arguments": {"command": command}, "effect": effect, "limits": limits, **more}


def has(*kinds: str, tried: int = -1) -> Callable[[Document], bool]:
    """Whether a try, by default the newest, has one of these verdicts."""

    def look(call: Document) -> bool:
        verdict = call["attempts"][tried]["verdict"] if call["attempts"] else None
        return verdict is not None and verdict["kind"] in kinds

    return look


def stands(*states: str) -> Callable[[Document], bool]:
    """Whether the newest try is in one of these states."""
    return lambda call: bool(call["attempts"]) and call["attempts"][-1]["state"] in states
