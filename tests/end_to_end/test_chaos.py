"""RECOVERY.md §9, 3 and 5, against runtimes that stall in every way at random, with the truth kept beside them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.end_to_end import views
from tests.end_to_end.client import Api, shell, story
from tests.end_to_end.fleet import Fleet
from tests.end_to_end.server import Server, until
from tests.end_to_end.views import Prompt
from tests.foreign.runtime import Runtime
from tests.foreign.wire import Frame
from tests.foreign.work import Script, Work

PROMPTS = 24
CHAOS = {"ack_window_s": 0.6, "reconcile_window_s": 1.0, "hold_expiry_s": 120, "heartbeat_interval_s": 0.5}


def moody(mood: random.Random) -> Script:
    """Each attempt fares another way. Nothing here lies; much is lost."""

    async def pause() -> None:
        await asyncio.sleep(mood.uniform(0, 0.3))

    async def script(work: Work) -> None:
        fate = mood.randrange(9)
        if fate == 0 and work.record is None:
            return  # never arrived
        await work.acknowledge(say=mood.random() < 0.7)
        if fate == 1:
            await work.runtime.crash_now()
            return
        await pause()
        if work.record is None or work.record.state != "received":
            return  # withdrawn meanwhile
        if fate == 2:
            await work.runtime.break_now()
        await work.start(say=mood.random() < 0.7)
        if fate == 3:
            await work.runtime.crash_now()
            return
        await work.output(b"some\n", say=mood.random() < 0.8)
        await pause()
        if fate == 4:
            await work.runtime.break_now()
        if fate == 5:
            await work.runtime.crash_now(outlive=True)
            await pause()
        if work.record.alive:
            await work.finish(say=mood.random() < 0.7, exit_code=mood.choice([0, 0, 0, 1]))

    return script


def forgetful(runtime: Runtime, mood: random.Random) -> None:
    """Half of the questions of the control plane get no answer."""
    hearing = runtime.manners

    def answer(frame: Frame) -> list[Frame]:
        if mood.random() < 0.5:
            return []
        said = []
        for asked in frame["attempts"]:
            attempt = asked["tool_call_id"], asked["number"]
            record = runtime.journal.record(attempt)
            if record is None:
                said.append(runtime.journal.promise(attempt, asked["consent"], runtime.owner, "reconcile"))
            else:
                said.append(runtime.journal.statement(record))
        return said

    hearing.reconcile = answer


def at_rest(prompt: Prompt) -> bool:
    return views.call(prompt)["state"] in ("ended", "waiting")


def compare(prompt: Prompt, runtimes: list[Runtime]) -> None:
    """What is shown against what was."""
    about = views.call(prompt)["id"]
    journals = {runtime.journal.journal_id: runtime.journal for runtime in runtimes}.values()
    starts = [(number, consent) for journal in journals for call, number, consent in journal.starts if call == about]
    most = Counter(consent for _, consent in starts)
    assert all(count == 1 for count in most.values()), f"a consent started twice: {starts}"
    ran = {number for number, _ in starts}
    for attempt in views.attempts(prompt):
        if attempt["verdict"] and attempt["verdict"]["ran"] == "no":
            assert attempt["number"] not in ran, f"#{attempt['number']} is shown as not run, and ran"
        if attempt["verdict"] and attempt["verdict"]["ran"] in ("yes", "partly"):
            assert attempt["number"] in ran, f"#{attempt['number']} is shown as run, and did not"


def frames_about(tool_call_id: str, runtimes: list[Runtime]) -> str:
    """Every frame about one call, and every life and death around it."""
    lines = []
    for runtime in runtimes:
        for seen in runtime.recording.entries:
            asked = [a["tool_call_id"] for a in seen.frame.get("attempts") or ()]
            if seen.about(tool_call_id) or tool_call_id in asked or seen.type in ("died", "opened", "closed"):
                lines.append(f"{seen.at:.3f} {runtime.runtime_id[-4:]} {seen.direction} {seen.type} {seen.frame}")
    return "\n" + "\n".join(sorted(lines))


@pytest.mark.parametrize("effect", ["mutating", "read_only"])
@pytest.mark.parametrize("shared", [True, False], ids=["one journal", "two journals"])
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_starts_twice_and_nothing_is_said_better_than_it_is(
    api: Api, fleet: Fleet, seed: int, shared: bool, effect: str
) -> None:
    """§9: "A mutating tool call starts at most once per consent, whatever is lost, doubled, delayed, reordered or
    restarted"; a verdict "never says a better `ran` than is proved"."""
    storm(api, fleet, seed, shared=shared, effect=effect)


def test_the_same_while_the_control_plane_is_killed(api: Api, fleet: Fleet, server: Server) -> None:
    """§9, 2 and 3 together: `kill -9` in the middle of it."""
    storm(api, fleet, 3, shared=True, effect="mutating", victim=server)


def storm(api: Api, fleet: Fleet, seed: int, *, shared: bool, effect: str, victim: Server | None = None) -> None:
    first = fleet.runtime()
    runtimes = [first, fleet.sibling(first, shared_journal=shared)]
    api.put(f"/endpoints/{first.endpoint_id}/policy", CHAOS)
    for number, runtime in enumerate(runtimes):
        mood = random.Random(seed * 10 + number)
        runtime.script = moody(mood)
        forgetful(runtime, mood)
    prompts = []
    for number in range(PROMPTS):
        if victim is not None and number == PROMPTS // 2:
            victim.kill()
            victim.start()
        prompts.append(api.ask(api.open_session(first.endpoint_id), shell(f"n{number}", effect)))
    for runtime in runtimes:
        runtime.heartbeats_pass(4)
    for runtime in runtimes:
        runtime.manners.reconcile = True
    for prompt in prompts:
        try:
            # After a start of the control plane nobody is judged before its grace is over.
            within = 30 if victim is None else 90
            ended = api.wait(prompt, at_rest, within=within, what="it has ended, or waits for a person")
            compare(ended, runtimes)
        except AssertionError as error:
            error.add_note(story(api.prompt(prompt["id"])) + frames_about(views.call(prompt)["id"], runtimes))
            raise
    kinds = Counter(views.verdict(api.prompt(prompt["id"])) for prompt in prompts)
    assert len(kinds) >= 2, kinds
    until(lambda: all(r.recording.faults == [] for r in runtimes), within=1, what="no fault of the control plane")
