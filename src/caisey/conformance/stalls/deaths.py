"""Rows in which the agent, its computer or the network goes away (RECOVERY.md §2 `runtime_died`; §4 `lost`; §6 row 3).

Owns what is specified there, and the acts that bring it about.
"""

from __future__ import annotations

import asyncio
from typing import Final

from caisey.conformance.bench import Bench, newest, verdicts
from caisey.conformance.form import (
    AGAIN,
    AGAIN_ANEW,
    EFFECTS,
    MUTATING,
    REPEATABLE,
    WINDOWS,
    Effect,
    Expected,
    Found,
    Known,
    Stall,
    every,
)
from caisey.practice.plays import answers, play
from caisey.practice.plays.deaths import PAUSE_S
from caisey.practice.runtime import Act
from caisey.practice.work import Work

GROUP: Final = "Does the agent live?"
DIED: Final = ("runtime_died", "unconfirmed")
DONE: Final = ("answered", "yes")
SEEN_CLOSED: Final = Known("closed", since="attempt.started", until="attempt.lost")
LONG_S: Final = WINDOWS["reconcile_window"] + 2.0
SHORT: Final = "0.3"


def gone(*, after: str) -> Act:
    """The first try takes the agent with it, for good; it is not seen again within the windows."""

    async def act(work: Work) -> None:
        if work.dispatch.attempt.number > 1 or work.taken_up:
            await answers(work)
            return
        await (work.start() if after == "start" else work.acknowledge())
        await asyncio.sleep(PAUSE_S)
        await work.runtime.crash(back_after_s=LONG_S)

    return act


async def network_gone(work: Work) -> None:
    """The command ends while nobody hears it; the result comes after it was given up."""
    await play("late result", str(LONG_S))(work)


async def hangs(work: Work) -> None:
    await play("hang", str(4 * WINDOWS["heartbeat_interval"]))(work)


async def sleeps(work: Work) -> None:
    """Longer than the time to come back that is given to one that did not say that it sleeps."""
    await play("sleep", str(WINDOWS["reconcile_window"] + 1.0))(work)


async def spooler(bench: Bench, effect: Effect) -> Found:
    """Stop, look, start: the agent dies in the second step. The third is sent alone, by a person."""
    stop = {"tool": "service", "arguments": {"name": "spooler", "action": "stop"}}
    look = bench.call("look", play("die after start", SHORT))
    start = {"tool": "service", "arguments": {"name": "spooler", "action": "start"}}
    prompt = await bench.ask(stop, look, start)
    prompt = await bench.until(prompt, lambda p: verdicts(p, 2) == (DIED,) and p["state"] == "waiting")
    untouched = not prompt["tool_calls"][2]["attempts"]
    before = await bench.found(prompt, step=2)
    await bench.client.act(prompt, "resume", step=3)
    prompt = await bench.until(prompt, lambda p: verdicts(p, 3) == (DONE,))
    extra = []
    if untouched:
        extra.append("step 3 kept as not started")
    if verdicts(prompt, 1) == (DONE,) and prompt["tool_calls"][0]["attempts"][0]["changes"]:
        extra.append("step 1: running to stopped")
    if verdicts(prompt, 3) == (DONE,) and bench.runtime.services.get("spooler") == "running":
        extra.append("step 3 sent alone")
    before.evidence = (*before.evidence, *extra)
    return before


async def late_and_done(bench: Bench, effect: Effect) -> Found:
    """Until the late result is in."""
    prompt = await bench.ask()
    prompt = await bench.until(prompt, lambda p: verdicts(p) == (DIED,))
    given_up = verdicts(prompt) == (DIED,)
    prompt = await bench.until(prompt, lambda p: newest(p).get("late") and verdicts(p) == (DONE,))
    return await bench.found(prompt, extra=("was given up",) if given_up else ())


def _again(verdict: tuple[str, str], **more: object) -> Expected:
    return Expected((verdict, DONE), by_itself=(AGAIN_ANEW,), starts=2, **more)  # type: ignore[arg-type]


def _waits(verdict: tuple[str, str], *, there: bool = True, **more: object) -> Expected:
    """`there`: the agent is back, so that a look at what it changed can be sent."""
    offered = ("verify", "accept_partial", "escalate") if there else ("accept_partial", "escalate")
    return Expected((verdict,), "waits for a person", offered=offered, **more)  # type: ignore[arg-type]


STALLS: Final = (
    Stall(
        "dies before it confirms", GROUP, "The agent dies with the request, and is back in time.",
        "§5 promise; §6 row 1",
        every(
            EFFECTS,
            Expected((("orphaned", "no"), DONE), known=Known("ack"), by_itself=(AGAIN,)),
        ),
        act=play("die before confirming", "0.1", once=True), alone=True,
    ),
    Stall(
        "dies after it confirmed", GROUP, "It confirms, then the agent dies and comes back.",
        "§4: the same number again; §5: a received is not started by itself",
        every(EFFECTS, Expected((DONE,), evidence=("lost:bridge_closed", "statement:received"))),
        act=play("die after confirming", SHORT), alone=True,
    ),
    Stall(
        "dies after it confirmed, for good", GROUP, "It confirms, then nobody is heard of again in time.",
        "§4: past reconcile_window",
        every(
            MUTATING,
            _waits(
                DIED, there=False, known=Known("reconcile", since="attempt.lost"), starts=0,
                evidence=("lost:bridge_closed", "window_passed:reconcile"),
            ),
        ),
        act=gone(after="confirmation"), alone=True,
    ),
    Stall(
        "dies after the start, back too late", GROUP, "It starts, and is back when it was given up already.",
        "§6 row 3",
        every(
            REPEATABLE,
            _again(
                DIED, evidence=("window_passed:reconcile", "statement:process_gone"),
                known=Known("reconcile", since="attempt.lost"),
            ),
        ),
        act=gone(after="start"), alone=True,
    ),
    Stall(
        "dies after the start", GROUP, "Agent and command die in the middle; the agent comes back.",
        "§2 process_gone; §6 row 3",
        {
            **every(REPEATABLE, _again(DIED, known=SEEN_CLOSED, evidence=("statement:process_gone",))),
            **every(MUTATING, _waits(DIED, known=SEEN_CLOSED, evidence=("statement:process_gone",))),
        },
        act=play("die after start", SHORT, once=True), alone=True,
    ),
    Stall(
        "dies after each start", GROUP, "Agent and command die in the middle, at every try.",
        "§6: at most max_automatic",
        every(
            REPEATABLE,
            Expected(
                (DIED, DIED, DIED), "waits for a person", SEEN_CLOSED, (AGAIN_ANEW, AGAIN_ANEW), offered=("escalate",),
                starts=3,
            ),
        ),
        act=play("die after start", SHORT), alone=True,
    ),
    Stall(
        "dies after the start, for good", GROUP, "It starts, then nobody is heard of again in time.",
        "§4: past reconcile_window",
        every(
            MUTATING,
            _waits(
                DIED, there=False, known=Known("reconcile", since="attempt.lost"),
                evidence=("lost:bridge_closed", "window_passed:reconcile"),
            ),
        ),
        act=gone(after="start"), alone=True,
    ),
    Stall(
        "the computer restarts", GROUP, "It starts, then the computer restarts.", "§3: new boot id",
        {
            **every(REPEATABLE, _again(DIED, known=SEEN_CLOSED, evidence=("new_incarnation:new",))),
            **every(MUTATING, _waits(DIED, known=SEEN_CLOSED, evidence=("new_incarnation:new",))),
        },
        act=play("reboot", SHORT, once=True), alone=True,
    ),
    Stall(
        "crash, the command ends meanwhile", GROUP, "The agent dies; the command ends before it is back.",
        "§5: adopted",
        every(EFFECTS, Expected((DONE,), known=SEEN_CLOSED, evidence=("lost:bridge_closed", "new_incarnation:same"))),
        act=play("die and finish", SHORT), alone=True,
    ),
    Stall(
        "crash, the command goes on", GROUP, "The agent dies; the command still runs when it is back.", "§5: adopted",
        every(EFFECTS, Expected((DONE,), known=SEEN_CLOSED, evidence=("lost:bridge_closed", "found:started"))),
        act=play("die and go on", SHORT), alone=True,
    ),
    Stall(
        "the network breaks", GROUP, "The connection breaks while it runs, and comes back.", "§4: lost, and back",
        every(EFFECTS, Expected((DONE,), known=SEEN_CLOSED, evidence=("lost:bridge_closed",))),
        act=play("network lost", "1"), alone=True,
    ),
    Stall(
        "the agent hangs", GROUP, "Connected and silent, for longer than two heartbeats; then it goes on.",
        "§4: reconcile",
        every(
            EFFECTS,
            Expected(
                (DONE,), known=Known("silence", since="attempt.started", until="attempt.lost"),
                evidence=("heartbeats_missed", "reconcile_asked", "lost:silent"),
            ),
        ),
        act=hangs, alone=True,
    ),
    Stall(
        "the result comes late", GROUP, "It ended while nobody heard it, and was given up meanwhile.", "§9, 10",
        every(
            MUTATING,
            Expected(
                (DONE,), known=Known("reconcile", since="attempt.lost"), evidence=("was given up", "late"),
            ),
        ),
        act=network_gone, drive=late_and_done, alone=True,
    ),
    Stall(
        "the computer sleeps", GROUP, "It says that it goes to sleep, and wakes after the time to come back.",
        "§4: sleep_expiry",
        every(EFFECTS, Expected((DONE,), evidence=("lost:asleep",))),
        act=sleeps, alone=True,
    ),
    Stall(
        "the agent shuts down", GROUP, "The agent ends the command because it shuts down.", "§2: ended_by shutdown",
        {
            **every(REPEATABLE, _again(("runtime_died", "partly"), known=Known("at once"))),
            **every(MUTATING, _waits(("runtime_died", "partly"), known=Known("at once"))),
        },
        act=play("shut down", once=True),
    ),
    Stall(
        "an end that nobody knows", GROUP, "It ended, and the agent cannot say how.", "§2: ended_by unknown",
        {
            **every(REPEATABLE, _again(DIED, known=Known("at once"))),
            **every(MUTATING, _waits(DIED, known=Known("at once"))),
        },
        act=play("unknown end", once=True),
    ),
    Stall(
        "dies in step 2 of 3", GROUP, "Stop the spooler, look, start it again: the agent dies in the second step.",
        "§7: resume from step N",
        every(
            MUTATING,
            Expected(
                (DIED,), "waits for a person", SEEN_CLOSED, offered=("resume", "verify", "escalate"),
                evidence=("step 1: running to stopped", "step 3 kept as not started", "step 3 sent alone"),
            ),
        ),
        drive=spooler, alone=True,
    ),
)  # fmt: skip
