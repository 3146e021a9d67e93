"""A stream that is cut: the network goes, the control plane is killed and started again, and every line is counted.

Real programs: `caisey serve`, `caisey runtime`, a command that really writes, Debian's Chromium.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import NewContext
from tests.browser.desks import said
from tests.end_to_end.client import Api, shell
from tests.end_to_end.server import Server, until
from tests.end_to_end.test_real_runtime import Agent, enrolled
from tests.web.plane_at import PlaneAt
from tests.web.visitor import Visitor

LINES = 3_000
COUNTS = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); [ $((i % 20)) = 0 ] && sleep 0.05; done"
SLOWLY = 60_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "data").start()
    yield server
    server.kill()


@pytest.fixture
def technician(server: Server) -> Iterator[Visitor]:
    plane = PlaneAt(server.url, server.token("owner"))
    visitor = plane.visitor()
    yield visitor
    visitor.close()
    plane.close()


@pytest.fixture
def agents(server: Server, tmp_path: Path) -> Iterator[tuple[Api, str]]:
    """A technician's API, and the endpoint of a real runtime."""
    api = Api(server.url, server.token("owner"))
    api.put("/policy", {"heartbeat_interval_s": 1, "ack_window_s": 3, "reconcile_window_s": 30})
    made: list[Agent] = []

    def make(name: str = "state") -> Agent:
        made.append(Agent(api, tmp_path / name))
        return made[-1]

    _, endpoint_id = enrolled(api, make)
    yield api, endpoint_id
    for one in made:
        one.kill(signal.SIGTERM)
    api.close()


def test_every_line_comes_once_whatever_is_cut(
    server: Server, technician: Visitor, agents: tuple[Api, str], new_context: NewContext
) -> None:
    api, endpoint_id = agents
    session_id = api.open_session(endpoint_id)
    context: BrowserContext = new_context(technician, at=server.url)
    context.watched.allow("ERR_")  # type: ignore[attr-defined]  # what is cut is cut
    context.watched.allow("50")  # type: ignore[attr-defined]
    page = context.new_page()
    page.goto(f"/sessions/{session_id}")
    expect(page.locator("body[data-ready]")).to_be_attached()
    prompt = api.ask(session_id, shell(COUNTS))
    view = page.locator(".view")
    expect(view).to_contain_text("line", timeout=SLOWLY)

    context.set_offline(True)
    expect(page.locator("#live-line")).to_contain_text("Not connected since", timeout=SLOWLY)
    behind = len(said(page))
    until(
        lambda: _written(api, prompt) > 40 * behind or _ended(api, prompt), within=30, what="more was written meanwhile"
    )
    context.set_offline(False)
    expect(page.locator("#live-line")).to_contain_text("Nothing was missed", timeout=SLOWLY)

    server.kill()
    expect(page.locator("#live-line")).to_contain_text("Not connected since", timeout=SLOWLY)
    server.start()

    expect(page.locator("#now-title")).to_have_text("Nothing is open", timeout=SLOWLY)
    expect(view).to_contain_text(f"line {LINES - 1}", timeout=SLOWLY)
    everything = page.locator(".view-load button")
    if everything.count():
        everything.click()
    until(lambda: len(said(page)) >= LINES, within=30, what="all lines are here")
    assert said(page) == [f"line {n}" for n in range(LINES)]
    expect(page.locator(".step")).to_have_count(1)
    expect(page.locator(".step").first).to_contain_text("Done")


def _written(api: Api, prompt: dict[str, object]) -> int:
    shown = api.prompt(str(prompt["id"]))
    attempts = shown["tool_calls"][0]["attempts"]
    return int(attempts[-1]["output"]["stdout"]["bytes"]) if attempts else 0


def _ended(api: Api, prompt: dict[str, object]) -> bool:
    return bool(api.prompt(str(prompt["id"]))["state"] == "ended")
