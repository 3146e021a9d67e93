"""RECOVERY.md §4 and §9: what was accepted survives `kill -9`, and a restart is not the death of a runtime."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.end_to_end import views
from tests.end_to_end.client import Api, shell
from tests.end_to_end.fleet import POLICY, Desk, Fleet
from tests.end_to_end.server import Server, command
from tests.foreign.loop import LoopThread
from tests.foreign.work import Gate, Work, answers, runs_until, silent, starts_then_dies


@pytest.fixture
def desk(server: Server, owner: Api, loop: LoopThread) -> Iterator[Desk]:
    if not server.running:
        server.start()
    fleet = Fleet(loop, owner)
    yield Desk(owner, fleet, fleet.runtime())
    fleet.close()
    assert fleet.faults() == []


def kill_and_start(server: Server) -> None:
    server.kill()
    server.start()


def test_a_prompt_that_was_accepted_survives_kill_9(desk: Desk, server: Server) -> None:
    """§9, 2: "A prompt that was accepted (HTTP 2xx) survives `kill -9` of the control plane"."""
    desk.goes_away()
    prompts = [desk.ask(shell(f"echo {n}")) for n in range(10)]
    kill_and_start(server)
    desk.runtime.connect()
    for prompt in prompts:
        desk.api.wait_verdict(prompt, ("answered", "yes"), within=30)
    ran = [frame["arguments"]["command"] for frame in desk.runtime.dispatches()]
    assert sorted(ran) == [f"echo {n}" for n in range(10)]


def test_prompts_accepted_until_the_kill_are_all_there(desk: Desk, server: Server) -> None:
    """§9, 2, with the kill in the middle of a burst: every 202 is found again."""
    accepted: list[str] = []
    desk.goes_away()
    for number in range(200):
        if number == 120:
            server.kill()
        try:
            accepted.append(desk.ask(shell(f"echo {number}"))["id"])
        except httpx.TransportError:
            break
    server.start()
    assert len(accepted) == 120
    for prompt_id in accepted:
        assert desk.api.prompt(prompt_id)["tool_calls"]


def test_a_running_command_goes_on_through_a_restart(desk: Desk, server: Server) -> None:
    """§4: "Restart of the control plane is not death of a runtime"; one attempt, one start."""
    gate = Gate()
    prompt = desk.ask(shell("long", "mutating"), script=runs_until(gate, stdout=b"before\n"))
    desk.api.wait_state(prompt, "started")
    since = desk.runtime.recording.mark()
    kill_and_start(server)
    desk.runtime.saw("welcome", since=since, timeout=15)
    prompt = desk.api.wait_state(prompt, "started")
    gate.open()
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert len(views.attempts(prompt)) == 1
    assert "runtime_died" not in [e["payload"].get("kind") for e in desk.api.events(desk.session_id)]
    assert desk.api.output(views.call(prompt)["id"]) == b"before\n"


def test_deadlines_move_by_a_grace_period(desk: Desk, server: Server) -> None:
    """§4: "every attempt's deadline moves to at least the start plus one grace period": no verdict at the start."""
    window = 3.0  # and with it the grace
    desk.policy(ack_window_s=window, max_automatic=0)
    prompt = desk.ask(shell("x", "mutating"), script=silent)
    desk.runtime.saw("dispatch")
    desk.runtime.drop_links(stay_away=True)
    server.kill()
    before = datetime.now(UTC)
    server.start()
    judged = views.last(desk.api.wait_verdict(prompt, ("orphaned", "unconfirmed"), within=60))
    ended = next(entry for entry in judged["evidence"] if entry["type"] == "ended")
    assert datetime.fromisoformat(ended["at"]) - before >= timedelta(seconds=window), "judged without grace"


def test_a_finish_during_the_restart_is_not_lost(desk: Desk, server: Server) -> None:
    """§5: "`finished`, repeated on every connection … until it is settled"."""
    gate = Gate()
    prompt = desk.ask(shell("long", "mutating"), script=runs_until(gate))
    desk.api.wait_state(prompt, "started")
    server.kill()
    gate.open()
    desk.runtime.recording.wait("lost", "note", where=lambda s: s.frame.get("type") == "finished")
    server.start()
    desk.api.wait_verdict(prompt, ("answered", "yes"), within=30)
    about = views.call(prompt)["id"]
    assert desk.runtime.saw("confirm", where=lambda s: s.about(about) and s.frame.get("settled") is True).link > 1


def test_a_verdict_and_its_former_ones_survive(desk: Desk, server: Server) -> None:
    """§1 verdict: "Derivable again; … the former one stays in the log"."""
    desk.policy(max_automatic=0, reconcile_window_s=0.5)
    prompt = desk.ask(shell("x", "mutating"), script=starts_then_dies)
    before = desk.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"))
    kill_and_start(server)
    after = desk.api.prompt(prompt["id"])
    assert views.verdict(after) == views.verdict(before)
    assert views.evidence_types(views.last(after))[: len(views.last(before)["evidence"])] == views.evidence_types(
        views.last(before)
    )


def test_the_second_process_on_a_data_directory_is_refused(desk: Desk, server: Server) -> None:
    """§4: "One process per data directory (lock)"."""
    answer = server.cli_raw("serve", "--data-dir", str(server.data_dir), "--listen", "127.0.0.1:0")
    assert answer.returncode != 0, command()
    assert "Traceback" not in answer.stderr
    assert server.ready()


def test_idempotency_keys_survive(desk: Desk, server: Server) -> None:
    """API.md: "Writes take `Idempotency-Key` (per actor, method and path, 24 h)": also over a restart."""
    path, body = f"/sessions/{desk.session_id}/prompts", {"tool_calls": [shell("once", "mutating")]}
    first = desk.api.post(path, body, key="over-the-restart")
    kill_and_start(server)
    again = desk.api.post(path, body, key="over-the-restart")
    assert again["id"] == first["id"]


def test_a_gentle_end_is_quick_and_clean(desk: Desk, server: Server) -> None:
    """API.md: "runs in the foreground": SIGTERM ends it, runtimes connect again later by themselves."""
    gate = Gate()

    async def script(work: Work) -> None:
        await work.start()
        await gate.passed()
        await work.output(b"after\n")
        await work.finish()

    prompt = desk.api.wait_state(desk.ask(script=script), "started")
    assert server.stop() == 0
    server.start()
    gate.open()
    desk.api.wait_verdict(prompt, ("answered", "yes"), within=30)


def test_policy_and_tokens_survive(desk: Desk, server: Server) -> None:
    """The owner's token and the organization's policy are in the data directory."""
    kill_and_start(server)
    shown = desk.api.get("/policy")
    assert shown["ack_window_s"] == POLICY["ack_window_s"] or str(POLICY["ack_window_s"]) in str(shown)
    desk.runtime.script = answers()
    desk.api.wait_verdict(desk.ask(), ("answered", "yes"), within=30)
