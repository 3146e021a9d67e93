"""Rows about a journal that goes back in time (RECOVERY.md §5).

Owns what is specified there, and how it is brought about.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import Final

from caisey.conformance.bench import Bench, newest, verdicts
from caisey.conformance.form import MUTATING, WINDOWS, Effect, Expected, Found, Prompt, Stall, every
from caisey.conformance.stalls.arrival import DONE
from caisey.practice.identity import Home
from caisey.practice.plays import answers
from caisey.practice.runtime import Runtime
from caisey.practice.work import Work

GROUP: Final = "Is the record whole?"


async def silent(work: Work) -> None:
    """It never says anything of this one."""
    work.runtime.ignored.add(work.key)


async def set_back(bench: Bench, effect: Effect) -> Found:
    """A request is open when the disk is set back to before it. What the journal promises proves nothing."""
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
    asked = await _attention(bench, "journal")
    found = await bench.found(prompt, extra=("a person is asked to look",) if asked else ())
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


async def two_with_one_key(bench: Bench, effect: Effect) -> Found:
    """A copy of the computer, key and all, connects while the first one lives and comes back too."""
    twin_path = bench.computer.path.with_name(f"{bench.computer.path.name}-twin")
    await asyncio.to_thread(shutil.copytree, bench.computer.path, twin_path)
    twin = Runtime(Home(twin_path), choose=bench.computer.choose)
    bench.runtime.final_closes = twin.final_closes = frozenset()
    living = asyncio.create_task(twin.run())
    try:
        raised = await _attention(bench, "clone")
        prompt = await bench.state(await bench.ask(bench.call("while there are two", answers)), "held")
        call_id = prompt["tool_calls"][0]["id"]
        started = bench.runtime.starts_of(call_id) + twin.starts_of(call_id)
    finally:
        twin.stop()
        await living
    path = f"/runtimes/{bench.runtime.identity.runtime_id}/accept"
    await bench.client.post(path, {"reason": "the copy is gone"})
    prompt = await bench.until(prompt, lambda p: verdicts(p) == bench.expected.verdicts or _waits(p))
    if _waits(prompt):
        await bench.client.act(prompt, "release")
    prompt = await bench.settled(prompt)
    extra = ["a person is asked to look"] if raised else []
    extra += ["nothing was sent to either"] if not started else []
    return await bench.found(prompt, extra=tuple(extra))


def _waits(prompt: Prompt) -> bool:
    held = [fact for fact in newest(prompt).get("evidence", ()) if fact["type"] == "held"]
    return newest(prompt).get("state") == "held" and bool(held) and held[-1].get("reason") == "world_changed"


async def _attention(bench: Bench, kind: str) -> bool:
    """Whether a person is asked to look at this computer, for this reason, before patience ends."""
    deadline = time.monotonic() + bench.patience_s
    while time.monotonic() < deadline:
        items = (await bench.client.get("/attention", limit=200))["items"]
        if any(kind in str(i["type"]) for i in items if i.get("endpoint_id") == bench.computer.endpoint_id):
            return True
        await asyncio.sleep(0.1)
    return False


STALLS: Final = (
    Stall(
        "two with one key", GROUP, "A copy of the computer, with its key, is connected while the first one lives.",
        "PROTOCOL §3: runtime.clone_suspected",
        every(
            MUTATING,
            Expected((DONE,), evidence=("held", "a person is asked to look", "nothing was sent to either")),
        ),
        drive=two_with_one_key, alone=True, spoils=True,
    ),
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
