"""Coming, staying and going: heartbeats, reconnection, what is said again, and goodbye."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from caisey.protocol.frames import Cadence, Finished, Heartbeat, Leaving, Output, Reference
from tests.runtime.conftest import Story, awaited
from tests.runtime.endpoint import Endpoint, endpoint
from tests.runtime.plane import Link, control_plane

Live = Callable[[Story], None]


def test_a_heartbeat_tells_what_is_in_flight(live: Live) -> None:
    async def story(_: Endpoint, link: Link) -> None:
        first = await link.wait_for(Heartbeat)
        assert (first.sequence, first.interval_ms, first.accepting, first.in_flight) == (1, 15_000, True, ())
        assert first.load.rss_bytes > 1_000_000
        await link.dispatch("tcl_1", command="exec sleep 1000")
        started = await link.started("tcl_1")
        await link.send(Cadence(heartbeat_interval_ms=200))
        beat = await link.wait_for(Heartbeat, lambda frame: frame.in_flight == (Reference("tcl_1", 1),))
        assert beat.interval_ms == 200
        assert beat.journal_sequence >= started.journal_sequence
        assert beat.slept_ms == 0
        await link.cancel("tcl_1")
        await link.finished("tcl_1")
        await link.wait_for(Heartbeat, lambda frame: frame.sequence > beat.sequence and not frame.in_flight)

    live(story)


@awaited
async def test_two_beats_without_an_answer_end_the_connection(tmp_path: Path) -> None:
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        plane.heartbeat_interval_ms, plane.answer_heartbeats = 100, False
        link = await made.connect()
        await link.dispatch("tcl_1", command="exec sleep 1000")
        await link.started("tcl_1")
        await link.wait_closed()
        assert 2 <= len(link.said(Heartbeat)) <= 3
        again = await plane.link()
        assert again.hello.incarnation == link.hello.incarnation
        assert again.hello.start_number == link.hello.start_number
        said = again.hello_statement("tcl_1")
        assert said is not None
        assert said.state == "started"


def test_what_is_not_settled_is_said_on_every_connection(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="echo some")
        await link.dispatch("tcl_2", tool="no_such_tool")
        first = await link.finished("tcl_1")
        refused = await link.refused("tcl_2")
        await link.confirm("tcl_1", settled=False, stdout=2)
        await link.reconcile(("tcl_1", 1, 1))
        await link.statement("tcl_1")
        await link.connection.close()
        link = await endpoint.plane.link()
        assert await link.finished("tcl_1") == first
        assert await link.refused("tcl_2") == refused
        assert link.output("tcl_1")[0] == {2: b"me\n"}, "output goes on from the last confirmed byte"
        await link.confirm("tcl_1", stdout=5)
        await link.confirm("tcl_2")
        await link.heard_all()
        link = await endpoint.restart()
        assert not link.hello.statements
        await link.dispatch("tcl_3")
        await link.finished("tcl_3")
        assert not [frame for frame in link.said(Finished) if frame.attempt.tool_call_id == "tcl_1"]
        assert not link.said(Output)

    live(story)


def test_settled_work_leaves_the_spool(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="echo some")
        await link.finished("tcl_1")
        assert [path.name for path in (endpoint.journal / "spool").glob("*/stdout")] == ["stdout"]
        await link.confirm("tcl_1", stdout=5)
        await link.heard_all()
        link = await endpoint.restart()
        assert not list((endpoint.journal / "spool").glob("*/stdout"))
        await link.dispatch("tcl_1", command="echo some")
        again = await link.finished("tcl_1")
        assert again.execution.streams["stdout"].bytes == 5

    live(story)


def test_statements_beyond_what_a_hello_holds_follow(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        total = 620
        await link.reconcile(*[(f"tcl_{number}", 1, 1) for number in range(total)])
        await link.statement(f"tcl_{total - 1}")
        link = await endpoint.restart()
        assert link.hello.more
        assert len(link.hello.statements) == 500
        missing = {f"tcl_{n}" for n in range(total)} - {s.attempt.tool_call_id for s in link.hello.statements}
        for call in missing:
            assert (await link.statement(call)).why == "reconcile"

    live(story)


def test_goodbye_before_going_and_commands_go_on(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="exec sleep 1000")
        await link.started("tcl_1")
        assert await endpoint.terminate() == 0
        assert (await link.wait_for(Leaving)).reason == "shutdown"
        beats = link.said(Heartbeat)
        link = await endpoint.connect()
        said = link.hello_statement("tcl_1")
        assert said is not None
        assert said.state == "started"
        await link.cancel("tcl_1")
        await link.finished("tcl_1")
        assert beats

    live(story)


def test_a_drain_waits_for_what_runs(live: Live) -> None:
    async def story(endpoint: Endpoint, link: Link) -> None:
        await link.dispatch("tcl_1", command="read line")
        await link.started("tcl_1")
        assert endpoint.process is not None
        endpoint.process.send_signal(signal.SIGUSR1)
        assert (await link.wait_for(Leaving)).reason == "drain"
        await link.wait_for(Heartbeat, lambda frame: not frame.accepting)
        await link.input("tcl_1", 1, b"", close=True)
        await link.finished("tcl_1")
        assert await endpoint.ended() == 0

    live(story)
