"""What must hold afterwards, whatever was done: RECOVERY.md §9, as far as it can be seen from outside.

Owns the questions. `settle` asks after each scene, with the programs running; `afterwards` ends the programs and asks
again: what was written late, what a restart makes of the log, whether the audit export verifies without a server.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos.load import Asked, Load, Step
from tests.chaos.report import Report
from tests.chaos.stage import Stage, tail
from tests.end_to_end import views
from tests.end_to_end.server import until

SETTLED = ("ended", "waiting")
SETTLES_WITHIN_S = 120.0
STANDS_STILL_S = 60.0
ANSWERS_WITHIN_S = 60.0
MACHINES = ("control_plane", "runtime", None)  # owners that are no person
SHOWN = 5  # of the faults of one kind

Prompt = dict[str, Any]


class Judge:
    """Of one stage. `exact_output` is off only where bytes were changed on a channel without TLS; `gaps` are reasons
    for which bytes may be missing, if it is said which."""

    def __init__(self, stage: Stage, *, exact_output: bool = True, gaps: tuple[str, ...] = ()) -> None:
        self._stage = stage
        self._exact_output, self._gaps = exact_output, gaps
        self._known: dict[Path, tuple[int, dict[str, int]]] = {}

    @property
    def _report(self) -> Report:
        return self._stage.report

    # -- with the programs running -------------------------------------------------------------------------------

    def settle(self, load: Load) -> None:
        """Every accepted prompt comes to rest by itself, and shows what was."""
        began = time.monotonic()
        prompts, deadline = [], began + SETTLES_WITHIN_S
        for asked in load.accepted:
            prompt = self._at_rest(asked, deadline)
            prompts.append((asked, prompt))
            self._stage.settled[asked.prompt_id] = prompt
            if prompt["state"] in SETTLED or _asks_a_person(
                prompt
            ):  # a long row of them takes its time; one that stands still does not get more
                deadline = max(deadline, time.monotonic() + STANDS_STILL_S) if deadline > time.monotonic() else deadline
        took = time.monotonic() - began
        faults: list[str] = [f"refused: {words}" for words in load.refused]
        kinds: Counter[str] = Counter()
        for asked, prompt in prompts:
            faults += self._faults(asked, prompt, load, kinds)
        waiting = [prompt for _, prompt in prompts if self._waits(prompt)]
        faults += self._unlisted(waiting)
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        self._report.did.append(
            f"{len(prompts)} prompts accepted meanwhile, {load.met_nobody} tries met nobody, "
            f"{sum(load.put_off.values())} were put off; {sum(load.lines().values())} commands ran"
        )
        self._note(f"{len(prompts)} prompts at rest within {took:.0f} s: {said or 'none'}; {len(waiting)} wait", faults)
        self._note("every program lives, and every endpoint answers", self._stage.alive() or self._unanswered())

    def _at_rest(self, asked: Asked, deadline: float) -> Prompt:
        found: Prompt = {}

        def look() -> bool:
            answer = self._stage.api.get(f"/prompts/{asked.prompt_id}")
            found.clear()
            found.update({"state": "lost"} if answer.status_code == 404 else answer.raise_for_status().json())
            return found["state"] != "running" or _asks_a_person(found)

        with contextlib.suppress(AssertionError):
            until(look, within=max(0.0, deadline - time.monotonic()), what="it is at rest")
        return dict(found)

    def _faults(self, asked: Asked, prompt: Prompt, load: Load, kinds: Counter[str]) -> list[str]:
        if prompt["state"] == "lost":
            return [f"accepted prompt {asked.prompt_id} is gone"]
        found = []
        try:
            views.check(prompt)
        except AssertionError as error:
            found.append(f"{asked.prompt_id}: {error}")
        if prompt["state"] not in SETTLED and not _asks_a_person(prompt):
            found.append(f"{asked.prompt_id} is still {prompt['state']}: {_where(prompt)}")
        lines = self._lines(load)
        former_done = True
        for step, call in zip(asked.steps, prompt["tool_calls"], strict=True):
            ran = lines.get(step.mark, 0)
            found += [
                f"{step.mark} ({call['id']}): {words}" for words in self._call_faults(step, call, ran, former_done)
            ]
            kinds[_kind(call)] += 1
            former_done = any(v and v["kind"] in ("answered", "empty") for v in _verdicts(call))
        return found

    def _lines(self, load: Load) -> dict[str, int]:
        size = load.effects.stat().st_size if load.effects.exists() else 0
        if self._known.get(load.effects, (-1, {}))[0] != size:
            self._known[load.effects] = (size, load.lines())
        return self._known[load.effects][1]

    def _call_faults(self, step: Step, call: dict[str, Any], lines: int, former_done: bool) -> list[str]:
        found = _start_faults(step, call, lines)
        if lines and not former_done:
            found.append("started, and the step before it was not done")
        if call["state"] == "waiting" or _asked_of_a_person(call):
            last = call["attempts"][-1] if call["attempts"] else None
            if last is not None and not last["evidence"]:
                found.append("waits without evidence")
            if not call["now"]["next_actions"]:
                found.append("waits, and nothing is offered")
        if self._exact_output:
            found += self._output_faults(step, call)
        return found

    def _output_faults(self, step: Step, call: dict[str, Any]) -> list[str]:
        """Invariant 4, of what was answered: every byte, once, in its place."""
        for attempt in call["attempts"]:
            if not attempt["verdict"] or attempt["verdict"]["kind"] != "answered":
                continue
            shown = attempt["output"]["stdout"]
            gone = sum(gap["length"] for gap in shown["gaps"])
            if gone and all(gap["why"] in self._gaps for gap in shown["gaps"]):
                return [] if gone + shown["stored"] == len(step.output) else [f"{gone} bytes missing, not all said"]
            if shown["gaps"] or shown["conflicts"]:
                return [f"answered with gaps {shown['gaps']}, {shown['conflicts']} conflicts"]
            answer = self._stage.api.get(
                f"/tool-calls/{call['id']}/output", params={"attempt": attempt["number"], "stream": "stdout"}
            )
            if answer.content != step.output:
                return [f"{len(answer.content)} bytes of output, not the {len(step.output)} that it wrote"]
        return []

    def _unlisted(self, waiting: list[Prompt]) -> list[str]:
        """Whatever waits for a person stands in the list of what waits for a person."""
        listed = self._listed() if waiting else set()
        missing = [prompt["id"] for prompt in waiting if prompt["id"] not in listed]
        # Later evidence may have refined it since it was read: then nobody is asked any more.
        still = [
            one for one in missing if self._waits(self._stage.get(f"/prompts/{one}")) and one not in self._listed()
        ]
        return [f"{prompt_id} waits, and is not in attention" for prompt_id in still]

    @staticmethod
    def _waits(prompt: Prompt) -> bool:
        return prompt.get("state") == "waiting" or _asks_a_person(prompt)

    def _listed(self) -> set[str]:
        listed: set[str] = set()
        cursor = None
        while True:
            page = self._stage.get("/attention", limit=200, **({"cursor": cursor} if cursor else {}))
            listed |= {item["prompt_id"] for item in page["items"]}
            cursor = page["next"]
            if cursor is None:
                return listed

    def _unanswered(self) -> list[str]:
        """The installation works again: a new prompt to each endpoint is answered."""
        found = []
        for runtime in self._stage.runtimes:
            try:
                prompt_id = self._stage.ask(runtime.endpoint_id, "echo there", "read_only")
                until(partial(self._answered, prompt_id), within=ANSWERS_WITHIN_S, what="it is answered")
            except AssertionError as error:
                found.append(f"{runtime.state_dir.name} does not answer: {error}\n{tail(runtime.log)}")
        return found

    def _answered(self, prompt_id: str) -> bool:
        return (self._stage.last(prompt_id)["verdict"] or {}).get("kind") == "answered"

    # -- with the programs ended ---------------------------------------------------------------------------------

    def afterwards(self, most: int = 10_000) -> None:
        """Ends them as a service manager does, and looks at what is left; at most so many prompts are read again."""
        stage = self._stage
        before = self._some_prompts(most)
        for runtime in stage.runtimes:
            code = runtime.end(signal.SIGTERM)
            self._report.hold("the runtime ends when asked to", code == 0, f"exit code {code}\n{tail(runtime.log)}")
        export = stage.directory / "audit.jsonl"
        export.write_bytes(stage.api.get("/audit/export", timeout=120).raise_for_status().content)
        code = stage.plane.stop()
        self._report.hold("the control plane ends when asked to", code == 0, f"exit code {code}")
        self._audit(export.read_text().splitlines(), {**stage.settled, **before})
        done = stage.plane.cli_raw("audit", "verify", str(export), "--data-dir", str(stage.plane.data_dir), "--json")
        self._report.hold(
            "the audit export verifies offline, with the control plane's key", done.returncode == 0, done.stdout[:300]
        )
        stage.plane.start()
        self._late(before)
        self._note("no traceback in a log", self._tracebacks())

    def _some_prompts(self, most: int) -> dict[str, Prompt]:
        every = [asked.prompt_id for load in self._stage.loads for asked in load.accepted]
        found = {}
        for prompt_id in self._stage.dice.sample(every, min(most, len(every))):
            answer = self._stage.api.get(f"/prompts/{prompt_id}")
            if answer.status_code == 200:
                found[prompt_id] = answer.json()
        return found

    def _late(self, before: dict[str, Prompt]) -> None:
        """After a restart, with no runtime there: the same verdicts from the same log, and no line that came late."""
        faults = []
        with self._stage.client() as api:
            for load in self._stage.loads:
                lines = load.lines()
                for asked in load.accepted:
                    former = before.get(asked.prompt_id)
                    shown = self._stage.settled[asked.prompt_id]
                    if former is not None:
                        shown = api.get(f"/prompts/{asked.prompt_id}").raise_for_status().json()
                        if _conclusions(former) != _conclusions(shown):
                            faults.append(f"{asked.prompt_id}: {_conclusions(former)} became {_conclusions(shown)}")
                    for step, call in zip(asked.steps, shown.get("tool_calls", ()), strict=True):
                        faults += [
                            f"{step.mark} ({call['id']}), at the end: {words}"
                            for words in _start_faults(step, call, lines.get(step.mark, 0))
                        ]
        self._note(f"{len(before)} prompts read the same from the log after a restart; no command started late", faults)

    def _audit(self, lines: list[str], prompts: dict[str, Prompt]) -> None:
        """Every accepted prompt and every attempt of it is in the audit log."""
        events = [event for event in map(json.loads, lines) if "type" in event]
        sequences = [event["sequence"] for event in events]
        accepted = {event["payload"].get("prompt_id") for event in events if event["type"] == "prompt.accepted"}
        queued = Counter(event["payload"].get("tool_call_id") for event in events if event["type"] == "attempt.queued")
        faults = [] if sequences == list(range(1, len(sequences) + 1)) else ["sequences with a gap"]
        faults += [f"accepted prompt {name} is not in it" for name in prompts if name not in accepted]
        for prompt in prompts.values():
            for call in prompt.get("tool_calls", ()):
                if queued[call["id"]] != len(call["attempts"]):
                    faults.append(
                        f"{call['id']}: {len(call['attempts'])} attempts, {queued[call['id']]} in the audit log"
                    )
        self._note(f"{len(events)} events in the audit log, every accepted prompt and attempt among them", faults)

    def _tracebacks(self) -> list[str]:
        logs = [self._stage.plane.log, *(runtime.log for runtime in self._stage.runtimes)]
        found = []
        for log in logs:
            text = log.read_text(errors="replace")
            place = text.find("Traceback (most recent call last)")
            if place >= 0:
                found.append(f"{log.name}: {text[max(0, place - 300) : place + 2500]}")
        return found

    def _note(self, what: str, faults: list[str]) -> None:
        if not faults:
            self._report.held.append(what)
        self._report.broken += faults[:SHOWN]
        if len(faults) > SHOWN:
            self._report.broken.append(f"and {len(faults) - SHOWN} more like these")


def _start_faults(step: Step, call: dict[str, Any], lines: int) -> list[str]:
    """Invariants 3 and 5: what is shown, against the lines that it left."""
    found = []
    if lines > call["consents"]:
        found.append(f"{lines} starts for {call['consents']} consents")
    if step.effect == "mutating" and call["consents"] != 1:
        found.append(f"{call['consents']} consents, and no person gave one")
    if call["ran"] == "no" and lines:
        found.append("shown as not run, and it left a line")
    if call["ran"] == "yes" and not lines:
        found.append("shown as run, and it left no line")
    return found


def _asked_of_a_person(call: dict[str, Any]) -> bool:
    """Held for somebody's word: its consent is too old by the clock, or somebody else worked there since."""
    return any(attempt["state"] == "held" and attempt["owner"] not in MACHINES for attempt in call["attempts"])


def _asks_a_person(prompt: Prompt) -> bool:
    return any(_asked_of_a_person(call) for call in prompt.get("tool_calls", ()))


def _verdicts(call: dict[str, Any]) -> list[dict[str, Any] | None]:
    return [attempt["verdict"] for attempt in call["attempts"]]


def _kind(call: dict[str, Any]) -> str:
    found = [verdict for verdict in _verdicts(call) if verdict]
    if any(verdict["kind"] == "answered" for verdict in found):
        return "answered"
    return f"{found[-1]['kind']} (ran {call['ran']})" if found else f"not sent ({call['state']})"


def _conclusions(prompt: Prompt) -> list[tuple[Any, ...]]:
    return [
        (call["state"], call["ran"], call["consents"], [v and (v["kind"], v["ran"]) for v in _verdicts(call)])
        for call in prompt["tool_calls"]
    ]


def _where(prompt: Prompt) -> str:
    return "; ".join(
        f"{call['state']}, {[(a['state'], a['owner'], a['due_at']) for a in call['attempts']]}"
        for call in prompt["tool_calls"]
    )
