"""What stands behind the pictures: a control plane, two people, a practice computer that stalls when it is asked to.

Owns the world and its stories. Nothing is painted: every state on a picture came about by real requests to a real
control plane, answered by the practice runtime.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from caisey.practice.background import Background
from caisey.practice.identity import Home, enroll
from tests.api.plane import Api, Plane

SETTLED_WITHIN_S = 90.0
PASSWORD = "correct horse battery staple"
POLICY = {
    "heartbeat_interval_s": 1.0,
    "ack_window_s": 3.0,
    "reconcile_window_s": 6.0,
    "sleep_expiry_s": 600.0,
    "stall_after_s": 2.0,
}
"""Short windows, so that a picture of a long wait does not take that long."""


class Stall(NamedTuple):
    """One story: what is asked, until when it is waited for, and the words that have to stand there."""

    name: str
    steps: tuple[dict[str, Any], ...]
    until: Callable[[dict[str, Any]], bool]


@dataclass
class Stage:
    """The world. `session(name)`: the id of a stall's session."""

    plane: Plane
    api: Api
    computer: str
    other: str
    sessions: dict[str, str] = field(default_factory=dict)


def shell(command: str, effect: str | None = None) -> dict[str, Any]:
    """One step with a command."""
    return {"tool": "shell", "arguments": {"command": command}} | ({"effect": effect} if effect else {})


def service(action: str) -> dict[str, Any]:
    """One step about the spooler."""
    return {"tool": "service", "arguments": {"name": "cups", "action": action}}


def newest(prompt: dict[str, Any], step: int = 1) -> dict[str, Any]:
    """The newest try of a step; empty before there is one."""
    attempts = prompt["tool_calls"][step - 1]["attempts"]
    return attempts[-1] if attempts else {}


def kind(wanted: str, step: int = 1) -> Callable[[dict[str, Any]], bool]:
    """Until the step has this verdict."""
    return lambda prompt: (newest(prompt, step).get("verdict") or {}).get("kind") == wanted


def state(*wanted: str, step: int = 1) -> Callable[[dict[str, Any]], bool]:
    """Until the newest try of the step stands there."""
    return lambda prompt: newest(prompt, step).get("state") in wanted


def ended(prompt: dict[str, Any]) -> bool:
    """Until nothing more happens by itself."""
    return bool(prompt["state"] != "running")


def noticed(prompt: dict[str, Any]) -> bool:
    """Until the product says that it waits for input."""
    return "input" in str(prompt["tool_calls"][0]["now"]).lower()


READS, CHANGES = "read_only", "mutating"
STALLS = (
    Stall("done", (shell("practice: slow 2", READS),), ended),
    Stall("empty-read", (shell("practice: empty", READS),), ended),
    Stall(
        "malformed-result",
        ({"tool": "processes", "arguments": {"name": "practice: malformed result"}},),
        kind("malformed_result"),
    ),
    Stall("did-not-arrive", (shell("practice: no reply", CHANGES),), kind("orphaned")),
    Stall(
        "stopped-at-step-2",
        (service("stop"), shell("practice: die after start 1", CHANGES), service("start")),
        kind("runtime_died", 2),
    ),
    Stall("no-contact", (shell("practice: network lost 60", CHANGES),), state("lost")),
    Stall("command-failed", (shell("practice: fail 3", READS),), ended),
    Stall("time-limit", ({**shell("practice: time out", CHANGES), "limits": {"time_ms": 1500}},), ended),
    Stall("refused", (shell("practice: refuse", CHANGES),), ended),
    Stall("waits-for-input", (shell("practice: waits for input", CHANGES),), noticed),
    Stall("running", (shell("practice: slow 60", READS),), state("started")),
    Stall("hostile-output", (shell("practice: hostile", READS),), ended),
    Stall("asleep", (shell("practice: sleep 120", READS),), state("lost")),
)  # fmt: skip
LAST = ("no-contact", "asleep")
"""These take the computer away, so each is played on a computer of its own."""


@contextmanager
def stage(folder: Path, only: tuple[str, ...] = ()) -> Iterator[Stage]:
    """All stories told, or those named."""
    with ExitStack() as stack:
        plane = Plane(folder / "data", enrollments_per_minute=1_000).start()
        stack.callback(plane.stop)
        api = plane.api()
        group = api.group("Client")
        api.put(f"/client-groups/{group}/policy", POLICY)

        def computer(name: str) -> str:
            token = api.enrollment_token("client_group", client_group_id=group)
            home = Home(folder / name)
            endpoint = enroll(home, plane.url, token, hostname=name).endpoint_id
            stack.enter_context(Background(home))
            return endpoint

        made = Stage(plane, api, computer("ACCT-07"), computer("ACCT-08"))
        for story in STALLS:
            if not only or story.name in only:
                where = computer(f"ACCT-{story.name[:4].upper()}") if story.name in LAST else made.computer
                made.sessions[story.name] = tell(api, where, story)
        yield made


def tell(api: Api, endpoint: str, story: Stall) -> str:
    """Opens a session, asks, and waits until it stands where the picture wants it; the session's id."""
    session = api.session(endpoint, title=story.name.replace("-", " ").capitalize(), ticket="4711")
    prompt = api.prompt(session, *story.steps)
    end = time.monotonic() + SETTLED_WITHIN_S
    pause = 0.05
    while not story.until(found := api.get(f"/prompts/{prompt['id']}")):
        if time.monotonic() > end:
            raise AssertionError(f"{story.name}: {[newest(found, s + 1) for s in range(len(story.steps))]}")
        time.sleep(pause)
    return session
