"""Computers to look at in the journeys: foreign runtimes on the journeys' control plane, and a session with each.

Owns the fixtures `fleet` and `desk`; a test module imports them. Windows are short where a test says so, by the policy
of that computer alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.api.plane import Plane
from tests.end_to_end.client import Api, shell
from tests.end_to_end.fleet import POLICY, Desk, Fleet
from tests.end_to_end.views import Prompt
from tests.foreign.loop import LoopThread
from tests.foreign.work import Script, Work, answers, by_command, starts_then_dies

STOP, LOOK, START = shell("stop spooler", "mutating"), shell("look", "mutating"), shell("start spooler", "mutating")
STOPPED = [{"what": "service spooler", "before": "running", "after": "stopped"}]


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture
def fleet(loop: LoopThread, plane: Plane) -> Iterator[Fleet]:
    """Runtimes of this test. At its end no frame of the control plane may have been against PROTOCOL.md."""
    api = Api(plane.url, plane.token("owner"))
    fleet = Fleet(loop, api)
    yield fleet
    fleet.close()
    api.close()
    assert fleet.faults() == []


@pytest.fixture
def desk(fleet: Fleet) -> Desk:
    """One computer with one runtime, one session, and windows so short that a whole stall fits into a test."""
    return new_desk(fleet)


def new_desk(fleet: Fleet, name: str = "ACCT-07", **policy: Any) -> Desk:
    """Another one, with these fields of its policy."""
    api = fleet._api  # the fleet's own technician
    runtime = fleet.runtime(connect=None)
    answer = api.send("PATCH", f"/endpoints/{runtime.endpoint_id}", {"name": name})
    assert answer.is_success, answer.text
    api.put(f"/endpoints/{runtime.endpoint_id}/policy", {**POLICY, **policy})
    runtime.connect()
    return Desk(api, fleet, runtime)


def open_session(page: Page, desk: Desk, query: str = "") -> None:
    """The session's page, with its script at work."""
    page.goto(f"/sessions/{desk.session_id}{query}")
    expect(page.locator("body[data-ready]")).to_be_attached()


def spooler(second: Script) -> Script:
    """The print spooler's computer (RECOVERY.md §7)."""
    return by_command(stop=answers(b"stopped\n", changes=STOPPED), look=second, start=answers(b"started\n"))


def stalled_at_step_two(desk: Desk) -> Prompt:
    """*Stop the print spooler, inspect the queue, start it again*; the runtime dies after the stop, and is back."""
    prompt = desk.ask(STOP, LOOK, START, script=spooler(starts_then_dies))
    desk.runtime.is_dead()
    desk.runtime.script = spooler(answers(b"empty queue\n"))
    desk.runtime.restart()
    return desk.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"), step=2)


def counts(lines: int, *, at_once: int = 50) -> Script:
    """Writes numbered lines, some at once, and ends."""

    async def script(work: Work) -> None:
        await work.start()
        for first in range(0, lines, at_once):
            text = "".join(f"line {n}\n" for n in range(first, min(first + at_once, lines)))
            await work.output(text.encode())
            await asyncio.sleep(0)
        await work.finish()

    return script


def said(page: Page) -> list[str]:
    """Every line that the newest output view holds, drawn or not."""
    text: str = page.evaluate(
        """async () => {
            const pane = [...document.querySelectorAll('.pane[data-mounted]')].pop();
            const script = document.querySelector('script[src*="js/session.js"]');
            const url = script.src.replace('session.js', 'session/output.js');
            const { viewOf } = await import(url);
            return viewOf(pane)?.text() ?? '';
        }"""
    )
    return text.split("\n")
