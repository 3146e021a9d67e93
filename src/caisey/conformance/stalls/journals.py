"""Rows about a journal that goes back in time (RECOVERY.md §5).

Owns what is specified there, and how it is brought about.
"""

from __future__ import annotations

import asyncio
from typing import Final

from caisey.conformance.bench import Bench, newest, verdicts
from caisey.conformance.form import MUTATING, WINDOWS, Effect, Expected, Found, Stall, every
from caisey.practice.plays import answers
from caisey.practice.work import Work

GROUP: Final = "Is the record whole?"


async def silent(work: Work) -> None:
    """It never says anything of this one."""
    work.runtime.ignored.add(work.key)


async def set_back(bench: Bench, effect: Effect) -> Found:
    """A request is open when the disk is set back to a time before it. What the journal promises then proves nothing."""
    runtime = bench.runtime
    snapshot = runtime.journal.snapshot()
    first = await bench.ask(bench.call("before", answers, "read_only"))
    await bench.until(first, lambda p: verdicts(p) == (("answered", "yes"),))
    prompt = await bench.ask(bench.call("open", silent))
    await bench.state(prompt, "dispatched")
    await runtime.crash()
    runtime.journal.set_back(snapshot)
    runtime.ignored.clear()
    await runtime.come_back()
    await runtime.connected()
    await asyncio.sleep(WINDOWS["ack_window"] + 2 * WINDOWS["heartbeat_interval"])
    prompt = await bench.client.prompt(prompt["id"])
    found = await bench.found(prompt, extra=await _raised(bench))
    await bench.client.post(
        f"/endpoints/{bench.computer.endpoint_id}/journal-reviewed", {"reason": "set back by the conformance test"}
    )
    again = await bench.ask(bench.call("after the review", answers))
    again = await bench.until(again, lambda p: newest(p).get("state") in ("held", "ended"))
    if newest(again).get("state") == "held":
        await bench.client.act(again, "release")
    again = await bench.until(again, lambda p: verdicts(p) == (("answered", "yes"),))
    went = ("work goes on after the review",) if verdicts(again) == (("answered", "yes"),) else ()
    found.evidence = (*found.evidence, *went)
    return found


async def _raised(bench: Bench) -> tuple[str, ...]:
    items = (await bench.client.get("/attention", limit=200))["items"]
    mine = [item for item in items if item.get("endpoint_id") == bench.computer.endpoint_id]
    return ("a person is asked to look",) if any("journal" in str(item["type"]) for item in mine) else ()


STALLS: Final = (
    Stall(
        "the journal is set back", GROUP, "The disk of the computer is as it was before the request.",
        "§5: none of its words makes ran = no",
        every(
            MUTATING,
            Expected(
                (("orphaned", "unconfirmed"),), "waits for a person", starts=0,
                evidence=("journal_regressed", "a person is asked to look", "work goes on after the review"),
            ),
        ),
        drive=set_back, alone=True, spoils=True,
    ),
)  # fmt: skip
