"""Input: written once, whoever sends it how often, and seen to be waited for."""

from __future__ import annotations

from collections.abc import Callable

from caisey.protocol.frames import InputAccepted, Output, Problem, Progress, Reference
from tests.runtime.conftest import Story
from tests.runtime.endpoint import Endpoint
from tests.runtime.plane import Link

Live = Callable[[Story], None]
ECHO = "while read line; do echo got $line; done; echo closed"


def test_input_is_written_once(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command=ECHO)
        await link.started("tcl_1")
        for _ in range(2):
            await link.input("tcl_1", 1, b"one\n")
            assert (await link.wait_for(InputAccepted)).sequence == 1
        link = await endpoint.restart()
        await link.input("tcl_1", 1, b"one\n")
        assert (await link.wait_for(InputAccepted)).sequence == 1
        await link.input("tcl_1", 2, b"two\n", close=True)
        assert (await link.wait_for(InputAccepted)).sequence == 2
        await link.finished("tcl_1")
        assert link.text("tcl_1") == b"got one\ngot two\nclosed\n"

    live(story)


def test_more_input_than_a_pipe_holds(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="read start; wc -c")
        await link.started("tcl_1")
        await link.input("tcl_1", 1, b"go\n" + b"x" * 200_000)
        await link.input("tcl_1", 2, b"y" * 100_000, close=True)
        await link.wait_for(InputAccepted, lambda frame: frame.sequence == 2)
        await link.finished("tcl_1")
        assert link.text("tcl_1").strip() == b"300000"

    live(story)


def test_it_shows_that_a_command_waits_for_input(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="printf 'Password: '; read answer; exec sleep 1000")
        progress = await link.wait_for(Progress, lambda frame: frame.waiting_for_input is True)
        assert progress.bytes["stdout"] == len("Password: ")
        assert progress.last_output_ms is not None
        await link.wait_for(Output)
        await link.input("tcl_1", 1, b"secret\n")
        await link.wait_for(Progress, lambda frame: frame.waiting_for_input is False)
        await link.cancel("tcl_1")
        await link.finished("tcl_1")

    live(story)


def test_it_shows_that_also_once_its_question_is_confirmed(live: Live) -> None:
    """A confirmation brings the journal's record, which knows no pid: the command's identity stays known."""

    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="printf 'Name: '; read name; printf 'Password: '; read answer")
        await link.wait_for(Output)
        await link.confirm("tcl_1", settled=False, stdout=len("Name: "))
        await link.heard_all()
        await link.input("tcl_1", 1, b"me\n")
        await link.wait_for(Output)
        await link.wait_for(Progress, lambda frame: frame.bytes["stdout"] > 6 and frame.waiting_for_input is True)
        await link.input("tcl_1", 2, b"secret\n")
        await link.finished("tcl_1")

    live(story)


def test_cpu_time_of_the_tree_is_told(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="(while :; do :; done) & wait")
        busy = await link.wait_for(Progress, lambda frame: (frame.cpu_ms or 0) > 300)
        assert busy.waiting_for_input is False
        await link.cancel("tcl_1")
        await link.finished("tcl_1")

    live(story)


def test_input_for_what_does_not_run_is_a_problem(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.input("tcl_1", 1, b"one\n")
        problem = await link.wait_for(Problem)
        assert (problem.code, problem.about) == ("frame.unexpected", Reference("tcl_1", 1))

    live(story)
