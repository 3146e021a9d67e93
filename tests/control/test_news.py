"""What happens while the log fails is heard once it does not: no session waits for a word that was lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from caisey.control.news import KEPT, News
from caisey.core import commands as c
from caisey.core.errors import Fault
from caisey.core.states import AttemptState
from tests.control.failing_log import log_is_full, of_a_session
from tests.control.plane import Plane
from tests.control.test_hub_liveness import view
from tests.foreign.runtime import Runtime
from tests.foreign.work import Gate, runs_until


class Sessions:
    """Decides what it is given, unless its log fails."""

    def __init__(self) -> None:
        self.failing: str | None = None
        self.heard: list[tuple[str, int]] = []
        self.tries = 0

    def submit(self, session_id: str, command: c.Command) -> asyncio.Future[Any]:
        self.tries += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.failing is not None:
            future.set_exception(Fault(self.failing))
        else:
            assert isinstance(command, c.RuntimeSlept)
            self.heard.append((session_id, command.slept_ms))
            future.set_result(f"{session_id} {command.slept_ms}")
        return future


def word(number: int) -> c.RuntimeSlept:
    return c.RuntimeSlept(runtime_id="rtm_1", slept_ms=number)


async def turns() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


@pytest.mark.parametrize("code", ["server.storage_failed", "server.overloaded"])
def test_what_could_not_be_told_is_told_later_once_and_in_order(code: str) -> None:
    async def story() -> None:
        sessions = Sessions()
        news = News(sessions.submit)
        then: list[object] = []
        sessions.failing = code
        news.tell("ses_1", word(1), then.append)
        await turns()
        news.tell("ses_1", word(2))
        news.tell("ses_2", word(1))
        await turns()
        news.again()
        await turns()
        assert sessions.heard == []
        assert news.left_for("ses_1")
        sessions.failing = None
        news.tell("ses_1", word(3))  # behind what it has not heard yet
        assert sessions.heard == []
        news.again()
        await turns()
        assert [number for name, number in sessions.heard if name == "ses_1"] == [1, 2, 3]
        assert [number for name, number in sessions.heard if name == "ses_2"] == [1]
        assert then == ["ses_1 1"]
        tries = sessions.tries
        news.again()
        await turns()
        assert sessions.tries == tries
        assert not news.left_for("ses_1")

    asyncio.run(story())


def test_it_fails_again_in_the_middle_of_a_row() -> None:
    async def story() -> None:
        sessions = Sessions()
        news = News(sessions.submit)
        sessions.failing = "server.storage_failed"
        for number in range(4):
            news.tell("ses_1", word(number))
            await turns()
        sessions.failing = None
        real = sessions.submit

        def breaks(session_id: str, command: c.Command) -> asyncio.Future[Any]:
            future = real(session_id, command)
            sessions.failing = "server.storage_failed" if len(sessions.heard) == 2 else None
            return future

        news._submit = breaks
        news.again()
        await turns()
        assert [number for _, number in sessions.heard] == [0, 1]
        sessions.failing = None
        news._submit = real
        news.again()
        await turns()
        assert [number for _, number in sessions.heard] == [0, 1, 2, 3]

    asyncio.run(story())


def test_a_command_that_is_at_fault_itself_is_not_tried_again() -> None:
    async def story() -> None:
        sessions = Sessions()
        news = News(sessions.submit)
        sessions.failing = "resource.not_found"
        news.tell("ses_1", word(1))
        await turns()
        news.again()
        await turns()
        assert sessions.tries == 1
        assert not news.left_for("ses_1")

    asyncio.run(story())


def test_a_row_is_bounded_and_its_end_is_kept() -> None:
    async def story() -> None:
        sessions = Sessions()
        news = News(sessions.submit)
        sessions.failing = "server.storage_failed"
        for number in range(KEPT + 10):
            news.tell("ses_1", word(number))
            news.tell("ses_1", word(number))  # the same again says nothing more
            await turns()
        sessions.failing = None
        news.again()
        await turns()
        assert [number for _, number in sessions.heard] == list(range(10, KEPT + 10))

    asyncio.run(story())


def test_a_held_call_goes_though_the_log_failed_when_the_agent_took_work_again(
    plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited for the whole of its hold: the one word that would have let it go was lost with its COMMIT."""
    runtime.connect()
    session = plane.session(runtime.endpoint_id)
    runtime.manners.accepting = False
    plane.until(lambda: not view(plane, runtime).accepting)
    (call,) = plane.prompt(session)
    assert plane.attempt(call).hold is not None
    with log_is_full(plane, monkeypatch, of_a_session):
        runtime.manners.accepting = True
        plane.until(lambda: plane.sessions.news.left_for(session))
    plane.ended(call)


def test_what_ended_while_the_log_failed_is_asked_for_when_the_runtime_is_back(
    plane: Plane, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    runtime.script = runs_until(gate)
    runtime.connect()
    session = plane.session(runtime.endpoint_id)
    (call,) = plane.prompt(session)
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    with log_is_full(plane, monkeypatch, of_a_session):
        runtime.drop_links()
        plane.until(lambda: plane.sessions.news.left_for(session))
    gate.open()
    verdict = plane.ended(call).verdict
    assert verdict is not None
    assert verdict.kind == "answered"
