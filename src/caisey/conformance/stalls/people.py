"""Rows about stopping (RECOVERY.md §2 `cancelled`; §4: cancelling is a wish until the runtime answers).

Owns what is specified there, and how it is brought about.
"""

from __future__ import annotations

import asyncio
from typing import Final

from caisey.conformance.bench import Bench, newest
from caisey.conformance.form import EFFECTS, MUTATING, WINDOWS, Effect, Expected, Found, Known, Stall, every
from caisey.practice.plays import play
from caisey.practice.work import Work

GROUP: Final = "Can it be stopped?"
STOPPED: Final = Known("at once", since="attempt.cancel_requested")


async def confirms_and_waits(work: Work) -> None:
    """In the journal, and not started."""
    await work.acknowledge()
    await asyncio.sleep(60)


async def ends_first(work: Work) -> None:
    """It ends by itself in the moment in which it hears that it shall stop."""
    runtime = work.runtime
    runtime.uncancellable.add(work.key)
    await work.start()
    await work.output("it was quicker\n")
    while work.key not in runtime.stops_heard:  # noqa: ASYNC110  # set by a frame
        await asyncio.sleep(0.02)
    await work.finish()


async def stopped(bench: Bench, effect: Effect) -> Found:
    """Stop it once it stands where the row wants it."""
    prompt = await bench.ask()
    state = "acknowledged" if bench.stall.act is confirms_and_waits else "started"
    prompt = await bench.state(prompt, state)
    await bench.client.act(prompt, "cancel")
    wished = await bench.until(prompt, lambda p: newest(p).get("cancel_requested"), 5)
    extra = ("the wish is on record",) if newest(wished).get("cancel_requested") else ()
    prompt = await bench.settled(prompt)
    return await bench.found(prompt, extra=extra)


async def stopped_while_held(bench: Bench, effect: Effect) -> Found:
    """Nothing was sent yet: it ends at once."""
    await bench.switched_off()
    prompt = await bench.state(await bench.ask(), "held")
    await bench.client.act(prompt, "cancel")
    prompt = await bench.settled(prompt)
    return await bench.found(prompt)


async def wish_stays(bench: Bench, effect: Effect) -> Found:
    """It does not obey: it stays started, with the wish."""
    prompt = await bench.state(await bench.ask(), "started")
    await bench.client.act(prompt, "cancel")
    await asyncio.sleep(2 * WINDOWS["heartbeat_interval"])
    prompt = await bench.client.prompt(prompt["id"])
    extra = ("the wish is on record",) if newest(prompt).get("cancel_requested") else ()
    return await bench.found(prompt, extra=extra)


STALLS: Final = (
    Stall(
        "stopped before it is sent", GROUP, "It waits for the computer when it is stopped.", "§2 cancelled",
        every(EFFECTS, Expected((("cancelled", "no"),), starts=0)),
        act=play("runs"), drive=stopped_while_held, alone=True,
    ),
    Stall(
        "stopped before the start", GROUP, "It is confirmed and not started when it is stopped.",
        "§2 cancelled; §5 promise",
        every(EFFECTS, Expected((("cancelled", "no"),), known=STOPPED, starts=0)),
        act=confirms_and_waits, drive=stopped,
    ),
    Stall(
        "stopped in the middle", GROUP, "It runs when it is stopped.", "§2 cancelled",
        every(EFFECTS, Expected((("cancelled", "partly"),), known=STOPPED)),
        act=play("runs"), drive=stopped,
    ),
    Stall(
        "stopped too late", GROUP, "It ends by itself in the moment in which it hears of it.",
        "§2: a cancel that lost the race",
        every(MUTATING, Expected((("answered", "yes"),), evidence=("the wish is on record",))),
        act=ends_first, drive=stopped,
    ),
    Stall(
        "does not stop", GROUP, "It runs on, whatever it is told.", "§4: a wish until the runtime answers",
        every(MUTATING, Expected((("started", "open"),), "running", evidence=("the wish is on record",))),
        act=play("ignores stop", "3600"), drive=wish_stays,
    ),
)  # fmt: skip
