"""Rows about whether a request arrives (RECOVERY.md §2 `orphaned`, `refused`, `malformed_call`; §4; §6).

Owns what is specified there, and the acts that bring it about.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from caisey.conformance.bench import Bench, newest, stands, verdicts
from caisey.conformance.client import RefusedError
from caisey.conformance.form import (
    AGAIN,
    AGAIN_ANEW,
    AGAIN_FREE,
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
from caisey.practice import said
from caisey.practice.plays import answers, play
from caisey.practice.work import Work

GROUP: Final = "Does it arrive?"
NO_REPLY: Final = ("orphaned", "unconfirmed")
DONE: Final = ("answered", "yes")


async def slow_confirmation(work: Work) -> None:
    """The confirmation of receipt and start are lost; it still runs when its journal is asked."""
    await work.start(say=False)
    await asyncio.sleep(WINDOWS["ack_window"])
    await work.output("it ran all the while\n")
    await work.finish()


async def cannot_write(work: Work) -> None:
    """The journal of the computer is full at the first try; there is room again after the window."""
    if work.dispatch.attempt.number > 1:
        await answers(work)
        return
    runtime = work.runtime
    runtime.ignored.add(work.key)
    runtime.accepting = False
    _beat(work)
    await work.send(said.problem("journal.full", said.reference(work.key)))
    await asyncio.sleep(WINDOWS["ack_window"] + WINDOWS["heartbeat_interval"])
    runtime.accepting = True
    _beat(work)


def _beat(work: Work) -> None:
    if work.runtime.link is not None:
        work.runtime.link.beat_soon()


async def runs_unheard(work: Work) -> None:
    """It runs, and nothing is heard of it, until the call comes a second time: then its journal says that it ran."""
    runtime = work.runtime
    runtime.ignored.add(work.key)
    await work.start(say=False)
    await work.output("it ran once\n", say=False)
    second = (work.key[0], work.key[1] + 1)
    while runtime.journal.record(second) is None:  # noqa: ASYNC110  # a row of a database
        await asyncio.sleep(0.02)
    runtime.ignored.discard(work.key)
    await work.finish()


async def malformed_call(bench: Bench, effect: Effect) -> Found:
    """A call whose arguments do not fit is refused with its faults; nothing leaves the control plane."""
    wrong = {"tool": "shell", "arguments": {"command": 7}, "effect": effect}
    began = time.monotonic()
    try:
        await bench.client.post(f"/sessions/{bench.session_id}/prompts", {"tool_calls": [wrong]})
    except RefusedError as refused:
        seconds = time.monotonic() - began
        kind = refused.code.partition(".")[2]
        faults = ["shape_faults"] if refused.problem.get("errors") else []
        events = [event["type"] for event in await bench.client.events(bench.session_id)]
        ran = "no" if "attempt.dispatched" not in events else "sent"
        return Found(
            verdicts=((kind, ran),), then="done", seconds=seconds, code=refused.code, evidence=tuple(faults),
            label=str(refused.problem.get("title", "")),
        )  # fmt: skip
    return Found(failure="the call was accepted")


async def other_journal(bench: Bench, effect: Effect) -> Found:
    """Two agents with a journal each: the one that got it goes away without a word, the other one could take it."""
    second = bench.others[0]

    async def gone(work: Work) -> None:
        if work.dispatch.attempt.number > 1:
            await answers(work)
        else:
            await work.runtime.crash()

    first_call = bench.call("to either", gone)
    second.acts = bench.computer.acts
    prompt = await bench.ask(first_call)
    wanted = bench.expected
    prompt = await bench.until(prompt, lambda p: verdicts(p) == wanted.verdicts and stands(p) == wanted.then)
    if effect == "mutating":
        await asyncio.sleep(2 * WINDOWS["heartbeat_interval"])
    moved = {attempt["runtime_id"] for attempt in prompt["tool_calls"][0]["attempts"] if attempt["runtime_id"]}
    return await bench.found(prompt, extra=("another journal",) if len(moved) > 1 else ("one journal",))


async def hold_passes(bench: Bench, effect: Effect) -> Found:
    """The computer is off when it is asked, and stays off until the hold ends."""
    await bench.client.send("PUT", f"/endpoints/{bench.computer.endpoint_id}/policy", {"hold_expiry_s": 2.0})
    await bench.switched_off()
    prompt = await bench.ask(bench.call("while it is off", answers))
    prompt = await bench.settled(prompt)
    found = await bench.found(prompt)
    await bench.client.send("PUT", f"/endpoints/{bench.computer.endpoint_id}/policy", {})
    return found


async def comes_back_in_time(bench: Bench, effect: Effect) -> Found:
    """The computer is off when it is asked, and comes back."""
    await bench.switched_off()
    prompt = await bench.ask(bench.call("while it is off", answers))
    prompt = await bench.state(prompt, "held")
    held = newest(prompt).get("state") == "held"
    await bench.runtime.come_back()
    prompt = await bench.settled(prompt)
    return await bench.found(prompt, extra=("was held",) if held else ())


REFUSALS: Final = (
    "tool.unknown",
    "tool.version_unknown",
    "tool.wrong_platform",
    "tool.arguments_invalid",
    "runtime.cannot_start",
    "runtime.revoked",
    "dispatch.changed",
)

STALLS: Final = (
    Stall(
        "answered", GROUP, "Nothing goes wrong: confirmed, started, output, end.", "§2 answered",
        every(EFFECTS, Expected((DONE,), known=Known("at once"), withheld=("retry", "requeue"))),
        act=answers,
    ),
    Stall(
        "no reply", GROUP, "Nothing comes back, also not when its journal is asked.", "§2 orphaned; §6 row 2",
        every(
            EFFECTS,
            Expected(
                (NO_REPLY, NO_REPLY, NO_REPLY), "waits for a person", Known("ack"), (AGAIN, AGAIN),
                offered=("escalate",), evidence=("reconcile_asked", "window_passed:ack"), starts=0,
            ),
        ),
        act=play("no reply"),
    ),
    Stall(
        "request lost", GROUP, "The request gets lost. Its journal promises that it never came.", "§2; §5; §6 row 1",
        every(
            EFFECTS,
            Expected(
                (("orphaned", "no"), DONE), known=Known("ask"), by_itself=(AGAIN,),
                evidence=("statement:never_received",), starts=1,
            ),
        ),
        act=play("lost", once=True),
    ),
    Stall(
        "request lost for good", GROUP, "Every try gets lost on its way.", "§6: at most max_automatic",
        every(
            EFFECTS,
            Expected(
                (("orphaned", "no"),) * 3, "waits for a person", Known("ask"), (AGAIN, AGAIN),
                offered=("requeue", "escalate"), starts=0,
            ),
        ),
        act=play("lost"),
    ),
    Stall(
        "confirmations lost", GROUP, "It ran; every confirmation got lost. Its journal tells.", "§4 reconcile; §5",
        every(EFFECTS, Expected((DONE,), known=Known("ask"), evidence=("statement:finished",))),
        act=play("lost confirmation"),
    ),
    Stall(
        "start unheard", GROUP, "It runs and its confirmations got lost. Its journal tells.", "§4 reconcile; §5",
        every(
            EFFECTS,
            Expected((DONE,), known=Known("ask", until="attempt.started"), evidence=("reconcile_asked",)),
        ),
        act=slow_confirmation,
    ),
    Stall(
        "sent again, had run", GROUP, "Sent again because nothing was heard; its journal says that it ran.",
        "§5 table, last row: attempt.superseded",
        every(
            EFFECTS,
            Expected(
                (DONE, ("refused", "no")), known=Known("ack"), by_itself=(AGAIN,), evidence=("statement:started",),
            ),
        ),
        act=runs_unheard,
    ),
    Stall(
        "to another journal", GROUP, "The agent vanishes with it. Another one, with a journal of its own, is there.",
        "§5: a mutating call moves only after a promise; §6 row 2",
        {
            **every(
                REPEATABLE,
                Expected(
                    (NO_REPLY, DONE), by_itself=(AGAIN_ANEW,), evidence=("another journal",), known=Known("ack"),
                ),
            ),
            **every(
                MUTATING,
                Expected(
                    (NO_REPLY, ("held", "open")), "held", by_itself=(AGAIN,), evidence=("one journal",), starts=0,
                    known=Known("ack"),
                ),
            ),
        },
        drive=other_journal, alone=True, spoils=True, second=True,
    ),
    *(
        Stall(
            f"refused: {code}", GROUP, "The agent promises not to run it, and says why.", "§2 refused; §6 row 4",
            every(
                EFFECTS if code == "tool.unknown" else MUTATING,
                Expected(
                    (("refused", "no"),), "waits for a person", Known("at once"), code=code, starts=0,
                    offered=("escalate",), evidence=("refused",),
                ),
            ),
            act=play("refuse", code),
        )
        for code in REFUSALS
    ),
    Stall(
        "refused: dispatch.too_old", GROUP, "It came to the agent later than it may start.",
        "docs/decisions, recovery: queued again with the same consent; the gate asks a person if it must",
        every(
            MUTATING,
            Expected(
                (("refused", "no"), DONE), known=Known("at once"), by_itself=(AGAIN,), code="dispatch.too_old",
            ),
        ),
        act=play("refuse", "dispatch.too_old", once=True),
    ),
    Stall(
        "busy", GROUP, "The agent is busy at first.", "§6: held until an attempt ends or 5 s pass; not counted",
        every(
            EFFECTS,
            Expected(
                (("refused", "no"), DONE), known=Known("at once"), by_itself=(AGAIN_FREE,), code="runtime.busy",
            ),
        ),
        act=play("busy"),
    ),
    Stall(
        "journal full", GROUP, "Its journal cannot be written: no promise, no new work for a while.",
        "§5: no promise; §6 sendable",
        every(
            EFFECTS,
            Expected((NO_REPLY, DONE), known=Known("ack"), by_itself=(AGAIN,), evidence=("held",)),
        ),
        act=cannot_write, alone=True,
    ),
    Stall(
        "malformed call", GROUP, "The arguments do not fit the tool's schema.", "§2 malformed_call",
        every(
            EFFECTS,
            Expected(
                (("malformed_call", "no"),), code="prompt.malformed_call", evidence=("shape_faults",), starts=0,
                known=Known("at once"),
            ),
        ),
        drive=malformed_call,
    ),
    Stall(
        "off, and back", GROUP, "The computer is off when it is asked, and comes back.", "§6: held",
        every(EFFECTS, Expected((DONE,), evidence=("was held", "held"))),
        drive=comes_back_in_time, alone=True,
    ),
    Stall(
        "off, and stays off", GROUP, "The computer is off until the hold passes its end.", "§2 expired; §6 hold_expiry",
        every(
            EFFECTS,
            Expected(
                (("expired", "no"),), "waits for a person", Known("hold", since="attempt.held"), starts=0,
                offered=("escalate",), evidence=("held", "window_passed:hold"),
            ),
        ),
        drive=hold_passes, alone=True,
    ),
)  # fmt: skip
