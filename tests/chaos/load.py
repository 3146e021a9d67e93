"""Prompts that keep coming while things break, and what each of them must leave behind.

Owns the sending and the list of what was accepted. A prompt counts when it was answered with 202; the same
`Idempotency-Key` is sent until it is. Each call writes one line to a real file before it does anything else: the truth
that the verdicts are held to.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

EFFECTS = ("mutating", "mutating", "mutating", "idempotent", "read_only")
NOT_NOW = ("idempotency.in_progress", "prompt.too_many")  # nothing was accepted; the same may be asked again
LINES = 400  # of the calls that write more than a line


@dataclass(frozen=True)
class Step:
    """One call, as it was sent."""

    mark: str
    effect: str
    output: bytes


@dataclass(frozen=True)
class Asked:
    """One accepted prompt."""

    prompt_id: str
    endpoint_id: str
    steps: tuple[Step, ...]


@dataclass
class Load:
    """Everything that was sent, and its file of side effects."""

    effects: Path
    accepted: list[Asked] = field(default_factory=list)
    met_nobody: int = 0
    put_off: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def lines(self) -> dict[str, int]:
        """How often each call ran, by the file."""
        found: dict[str, int] = {}
        for mark in self.effects.read_text().split() if self.effects.exists() else ():
            found[mark] = found.get(mark, 0) + 1
        return found


class Sender(threading.Thread):
    """Sends at a steady rate until stopped."""

    def __init__(self, url: str, token: str, sessions: dict[str, str], load: Load, rate: float, seed: int) -> None:
        super().__init__(daemon=True)
        headers = {"Authorization": f"Bearer {token}"}
        self._line = httpx.Client(base_url=url + "/api/v1", headers=headers, timeout=20, trust_env=False)
        self._sessions = sorted(sessions.items())  # session, endpoint
        self._load, self._rate = load, rate
        self._dice = random.Random(seed)
        self._halt = threading.Event()

    def run(self) -> None:
        number, began = 0, time.monotonic()
        while not self._halt.wait(max(0.0, began + number / self._rate - time.monotonic())):
            number += 1
            self._send(f"{self._load.effects.name}-{number:06d}")

    def end(self) -> None:
        """Stops after the prompt that is under way."""
        self._halt.set()
        self.join(60)
        self._line.close()

    def _send(self, mark: str) -> None:
        session, endpoint = self._dice.choice(self._sessions)
        steps = tuple(self._step(f"{mark}.{place}") for place in range(1, self._dice.choice((2, 2, 2, 3))))
        body = {"tool_calls": [self._call(step) for step in steps], "side_by_side": True}
        key = {"Idempotency-Key": secrets.token_hex(12)}
        for _ in range(600):
            began = time.monotonic()
            try:
                answer = self._line.post(f"/sessions/{session}/prompts", json=body, headers=key)
            except httpx.TransportError:
                self._load.met_nobody += 1
            else:
                if answer.status_code == 202:
                    self._load.latencies.append(time.monotonic() - began)
                    self._load.accepted.append(Asked(answer.json()["id"], endpoint, steps))
                    return
                code = _code(answer)
                if answer.status_code != 503 and code not in NOT_NOW:
                    self._load.refused.append(f"{answer.status_code} {answer.text[:200]}")
                    return
                self._load.put_off[code] = self._load.put_off.get(code, 0) + 1
            if self._halt.wait(0.05):
                return

    def _step(self, mark: str) -> Step:
        long = self._dice.random() < 0.2
        lines = (f"{mark} {number}\n" for number in range(1, LINES + 1)) if long else (f"out-{mark}\n",)
        return Step(mark, self._dice.choice(EFFECTS), "".join(lines).encode())

    def _call(self, step: Step) -> dict[str, Any]:
        says = f"echo out-{step.mark}" if step.output.startswith(b"out-") else f"seq -f '{step.mark} %g' 1 {LINES}"
        text = f"echo {step.mark} >> {self._load.effects}; sleep 0.0{self._dice.randrange(10)}; {says}"
        return {"tool": "shell", "arguments": {"command": text}, "effect": step.effect}


def _code(answer: httpx.Response) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        return str(answer.json().get("code"))
    return str(answer.status_code)


@contextlib.contextmanager
def sending(sender: Sender) -> Iterator[Sender]:
    """While the block runs."""
    sender.start()
    try:
        yield sender
    finally:
        sender.end()
