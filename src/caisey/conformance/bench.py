"""Where a row is played: one endpoint with its practice runtime, and a technician's session on it.

Owns what a row may do, and the reading of what came of it. A row never sees another one's session.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from caisey.conformance.client import LOOK_EVERY_S, Client
from caisey.conformance.form import (
    AGAIN,
    AGAIN_ANEW,
    AGAIN_FREE,
    Effect,
    Expected,
    Found,
    Known,
    Prompt,
    Stall,
    Verdict,
)
from caisey.practice import plays
from caisey.practice.identity import Home
from caisey.practice.runtime import Act, Runtime
from caisey.protocol.fields import BridgeKind
from caisey.protocol.frames import Dispatch

WITHIN_S: Final = 20.0
"""How long a row may take beyond what is specified, before what is there is taken as what was found."""
BY_ITSELF: Final = ("policy", "control_plane")


class Computer:
    """An endpoint of the test, its runtime in this process, and which act answers which command."""

    def __init__(self, home: Home, endpoint_id: str, bridge: BridgeKind = "websocket") -> None:
        self.home = home
        self.endpoint_id = endpoint_id
        self.acts: dict[str, Act] = {}
        self.runtime = Runtime(home, choose=self.choose, bridge=bridge)

    def choose(self, dispatch: Dispatch) -> Act:
        """By the text that the row asked with; whatever else comes is answered."""
        for value in dispatch.arguments.values():
            if isinstance(value, str) and value in self.acts:
                return self.acts[value]
        return plays.choose(dispatch)

    @property
    def path(self) -> Path:
        return self.home.path


class Bench:
    """One row under one effect, being played."""

    def __init__(self, client: Client, computer: Computer, session_id: str, stall: Stall, effect: Effect) -> None:
        self.client = client
        self.computer = computer
        self.session_id = session_id
        self.stall = stall
        self.effect = effect
        self.others: list[Computer] = []
        self.patience_s = WITHIN_S
        self.prompt_ids: list[str] = []
        self.restart_control_plane: Callable[[], Awaitable[None]] = _cannot
        self.other_person: Callable[[], Awaitable[Client]] = _cannot_either

    @property
    def runtime(self) -> Runtime:
        return self.computer.runtime

    @property
    def expected(self) -> Expected:
        return self.stall.cells[self.effect]

    # -- asking -------------------------------------------------------------------------------------------------------

    def call(self, name: str = "", act: Act | None = None, effect: Effect | None = None) -> dict[str, Any]:
        """A call of the shell whose text names this row; `act` answers it, else the row's own."""
        text = f"conformance: {self.stall.name}, {self.effect}" + (f", {name}" if name else "")
        acting = act or self.stall.act
        if acting is not None:
            self.computer.acts[text] = acting
        return {"tool": "shell", "arguments": {"command": text}, "effect": effect or self.effect}

    async def ask(self, *calls: dict[str, Any]) -> Prompt:
        """Send a prompt of these steps, by default of the one that the row is about."""
        body = {"tool_calls": list(calls) or [self.call()]}
        prompt: Prompt = await self.client.post(f"/sessions/{self.session_id}/prompts", body)
        self.prompt_ids.append(prompt["id"])
        return prompt

    async def until(self, prompt: Prompt, condition: Callable[[Prompt], Any], within_s: float | None = None) -> Prompt:
        return await self.client.wait(prompt, condition, self.patience_s if within_s is None else within_s)

    async def state(self, prompt: Prompt, *states: str, step: int = 1) -> Prompt:
        """Until the newest try of a step is in one of these states."""
        return await self.until(prompt, lambda p: newest(p, step).get("state") in states)

    async def settled(self, prompt: Prompt) -> Prompt:
        """Until it stands where it is specified to stand; what is there when patience ends."""
        expected = self.expected
        return await self.until(prompt, lambda p: verdicts(p) == expected.verdicts and stands(p) == expected.then)

    async def switched_off(self) -> None:
        """The computer is gone, and the control plane has seen that."""
        await self.runtime.crash()
        path = f"/endpoints/{self.computer.endpoint_id}"
        while (await self.client.get(path))["sendable"]["value"]:  # noqa: ASYNC110  # over HTTP
            await asyncio.sleep(LOOK_EVERY_S)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def found(self, prompt: Prompt, step: int = 1, extra: tuple[str, ...] = ()) -> Found:
        """What came of a step."""
        prompt = await self.client.prompt(prompt["id"])
        call = prompt["tool_calls"][step - 1]
        events = [
            event
            for event in await self.client.events(self.session_id)
            if event["payload"].get("tool_call_id") == call["id"]
        ]
        first = call["attempts"][0] if call["attempts"] else {}
        shown = (call.get("now") or {}).get("label") or (newest(prompt, step).get("verdict") or {}).get("label", "")
        starts = self._starts(call["id"])
        return Found(
            verdicts=verdicts(prompt, step),
            then=stands(prompt, step),
            seconds=seconds_between(events, self.expected.known),
            by_itself=by_itself(events, {a["number"]: a["consent"] for a in call["attempts"]}),
            offered=offered(call, prompt, step),
            code=(first.get("verdict") or {}).get("code"),
            evidence=tuple(sorted({*facts(call), *extra})),
            starts=sum(starts.values()),
            label=shown,
            doubled=tuple(f"consent {consent}" for consent, count in sorted(starts.items()) if count > 1),
        )

    def _starts(self, tool_call_id: str) -> Counter[int]:
        """By consent: how often the made-up command of a step was really let go, on all computers of the row."""
        counted: Counter[int] = Counter()
        for computer in (self.computer, *self.others):
            counted.update(consent for call, _, consent in computer.runtime.starts if call == tool_call_id)
        return counted


async def _cannot() -> None:
    raise LookupError("this control plane may not be killed")


async def _cannot_either() -> Client:
    raise LookupError("there is nobody else")


# -- one prompt, read -------------------------------------------------------------------------------------------------


def newest(prompt: Prompt, step: int = 1) -> dict[str, Any]:
    attempts = prompt["tool_calls"][step - 1]["attempts"]
    return dict(attempts[-1]) if attempts else {}


def verdicts(prompt: Prompt, step: int = 1) -> tuple[Verdict, ...]:
    """(kind, ran) of each try; one that is open has its state for a kind."""
    found = []
    for attempt in prompt["tool_calls"][step - 1]["attempts"]:
        verdict = attempt.get("verdict")
        found.append((verdict["kind"], verdict["ran"]) if verdict else (attempt["state"], "open"))
    return tuple(found)


def stands(prompt: Prompt, step: int = 1) -> str:
    """Where a step stands, in the words of `Expected.then`."""
    call = prompt["tool_calls"][step - 1]
    if call["state"] == "waiting":
        return "waits for a person"
    if call["state"] == "ended":
        return "done"
    return "held" if newest(prompt, step).get("state") == "held" else "running"


def offered(call: dict[str, Any], prompt: Prompt, step: int) -> tuple[str, ...]:
    """What a person may do now."""
    verdict = newest(prompt, step).get("verdict") or {}
    shown = [*((call.get("now") or {}).get("next_actions") or ()), *(verdict.get("next_actions") or ())]
    return tuple(dict.fromkeys(a["action"] for a in shown if not a.get("unavailable_because")))


def facts(call: dict[str, Any]) -> set[str]:
    """The facts on record, by type; what tells them apart in a matrix stands behind a colon."""
    found: set[str] = set()
    for attempt in call["attempts"]:
        for fact in attempt["evidence"]:
            found.add(str(fact["type"]))
            for key in ("why", "state", "boot", "window", "bridge", "reason"):
                if isinstance(fact.get(key), str):
                    found.add(f"{fact['type']}:{fact[key]}")
        found.update({"shape_faults"} if attempt.get("shape_faults") else ())
        found.update({"late"} if attempt.get("late") else ())
        found.update({f"notice:{attempt['notice']}"} if isinstance(attempt.get("notice"), str) else ())
        for stream in (attempt.get("output") or {}).values():
            found.update({"gap"} if stream.get("gaps") else ())
            found.update({"output_conflict"} if stream.get("conflicts") else ())
    return found


def by_itself(events: list[dict[str, Any]], consents: dict[int, int]) -> tuple[str, ...]:
    """How each try after the first was made, where nobody asked for it. `consents`: of each try, by its number."""
    found = []
    for event in events:
        number = event["payload"].get("number", 1)
        if event["type"] != "attempt.queued" or number == 1 or event["actor"]["kind"] not in BY_ITSELF:
            continue
        if event["payload"]["why"] == "busy":
            found.append(AGAIN_FREE)
        else:
            found.append(AGAIN if consents.get(number) == consents.get(number - 1) else AGAIN_ANEW)
    return tuple(found)


def seconds_between(events: list[dict[str, Any]], known: Known | None) -> float | None:
    """From the first event of one type to the first of the other after it, of the first try; by one clock."""
    if known is None:
        return None
    since: datetime | None = None
    for event in events:
        if event["payload"].get("number", 1) != 1:
            continue
        at = datetime.fromisoformat(event["at"])
        if since is None and event["type"] == known.since:
            since = at
        elif since is not None and event["type"] == known.until:
            return (at - since).total_seconds()
    return None
