"""Promises and answers over the wire: what is said is in the journal first, and is kept."""

from __future__ import annotations

from collections.abc import Callable

from caisey.protocol.frames import Problem, Reference, Started
from tests.runtime.conftest import Story
from tests.runtime.endpoint import Endpoint
from tests.runtime.plane import Link

Live = Callable[[Story], None]
RUNNING, WAITING = 32, 256


def test_never_received_is_kept(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        count = endpoint.state.path / "count"
        await link.reconcile(("tcl_1", 2, 1))
        promised = await link.statement("tcl_1", 2)
        assert promised.state == "never_received"
        for number in (2, 1):
            await link.dispatch("tcl_1", number, command=f"echo >> {count}")
        assert (await link.statement("tcl_1", 2)).state == "closed"
        assert (await link.statement("tcl_1", 1)).state == "superseded"
        link = await endpoint.restart()
        said = link.hello_statement("tcl_1", 2)
        assert said is not None
        assert (said.state, said.why) == ("closed", "reconcile")
        await link.dispatch("tcl_1", 3, command=f"echo >> {count}")
        await link.finished("tcl_1", 3)
        assert count.read_text() == "\n"

    live(story)


def test_a_started_consent_gets_no_promise(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1")
        await link.finished("tcl_1")
        await link.reconcile(("tcl_1", 2, 1))
        said = await link.statement("tcl_1", 1, answers=Reference("tcl_1", 2))
        assert said.state == "finished"
        assert said.execution is not None
        assert said.execution.exit_code == 0
        await link.cancel("tcl_1", 3, 1)
        assert (await link.statement("tcl_1", 1, answers=Reference("tcl_1", 3))).state == "finished"

    live(story)


def test_the_same_number_repeats_its_receipts(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        count = endpoint.state.path / "count"
        await link.dispatch("tcl_1", command=f"echo >> {count}")
        first = (await link.acknowledged("tcl_1"), await link.started("tcl_1"), await link.finished("tcl_1"))
        await link.confirm("tcl_1")
        await link.dispatch("tcl_1", command=f"echo >> {count}")
        again = (await link.acknowledged("tcl_1"), await link.started("tcl_1"), await link.finished("tcl_1"))
        assert again == first
        assert count.read_text() == "\n"

    live(story)


def test_changed_arguments(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="true")
        await link.finished("tcl_1")
        await link.dispatch("tcl_1", 1, command="false")
        assert (await link.wait_for(Problem)).code == "dispatch.changed"
        assert (await link.statement("tcl_1")).state == "finished"
        await link.dispatch("tcl_1", 2, command="false")
        problem = await link.wait_for(Problem)
        assert (problem.code, problem.about) == ("dispatch.changed", Reference("tcl_1", 2))
        assert (await link.statement("tcl_1", answers=Reference("tcl_1", 2))).state == "finished"
        await link.dispatch("tcl_1", 3, consent=2, command="false")
        assert (await link.refused("tcl_1", 3)).code == "dispatch.changed"
        await link.dispatch("tcl_1", 4, consent=2, command="true")
        await link.finished("tcl_1", 4)

    live(story)


def test_a_rerun_waits_until_the_former_one_is_dead(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="exec sleep 1000")
        await link.started("tcl_1")
        await link.dispatch("tcl_1", 2, consent=2, command="exec sleep 1000")
        assert (await link.statement("tcl_1", answers=Reference("tcl_1", 2))).state == "started"
        await link.cancel("tcl_1")
        assert (await link.finished("tcl_1")).execution.ended_by == "cancel"
        await link.dispatch("tcl_1", 3, consent=2, command="exec sleep 1000")
        await link.started("tcl_1", 3)
        await link.cancel("tcl_1", 3, 2)
        await link.finished("tcl_1", 3)

    live(story)


def test_full_is_refused_and_waiting_ones_grow_old(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        for number in range(RUNNING):
            await link.dispatch(f"run_{number}", command="exec sleep 1000")
        for number in range(RUNNING):
            await link.started(f"run_{number}")
        await link.dispatch("old", start_within_ms=100)
        await link.acknowledged("old")
        assert (await link.refused("old")).code == "dispatch.too_old"
        for number in range(WAITING):
            await link.dispatch(f"wait_{number}")
        await link.dispatch("more")
        assert (await link.refused("more")).code == "runtime.busy"
        # What the table does not take cannot be refused as busy either.
        await link.dispatch("run_0", 2, command="exec sleep 1000")
        assert (await link.statement("run_0", answers=Reference("run_0", 2))).state == "started"
        await link.cancel("wait_7")
        closed = await link.statement("wait_7")
        assert (closed.state, closed.why) == ("closed", "cancel")
        await link.cancel("run_0")
        await link.finished("run_0")
        await link.finished("wait_0")
        for number in range(1, RUNNING):
            await link.cancel(f"run_{number}")
        for number in range(1, WAITING):
            if number != 7:
                await link.finished(f"wait_{number}")
        assert not [frame for frame in link.said(Started) if frame.attempt.tool_call_id == "wait_7"]

    live(story)
