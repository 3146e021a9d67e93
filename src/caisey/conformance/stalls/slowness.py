"""Rows about what is slow and no failure (RECOVERY.md §2, the notice `stalled`).

Owns what is specified there. The notice ends nothing: each of these ends well.
"""

from __future__ import annotations

from typing import Final

from caisey.conformance.bench import Bench, newest
from caisey.conformance.form import EFFECTS, MUTATING, Effect, Expected, Found, Known, Stall, every
from caisey.practice.plays import play

GROUP: Final = "Is it only slow?"
DONE: Final = ("answered", "yes")
NOTICED: Final = Known("stall", since="attempt.started", until="attempt.noticed")


async def notice_then_end(bench: Bench, effect: Effect) -> Found:
    """The notice, and then the end that it did not cause."""
    prompt = await bench.ask()
    seen = await bench.until(prompt, lambda p: newest(p).get("notice"))
    notice = newest(seen).get("notice")
    kind = notice.get("kind") if isinstance(notice, dict) else notice
    prompt = await bench.settled(prompt)
    return await bench.found(prompt, extra=(f"notice: {kind}",))


async def answered_by_a_person(bench: Bench, effect: Effect) -> Found:
    """It asks, the notice says so, a person answers, it goes on."""
    prompt = await bench.ask()
    seen = await bench.until(prompt, lambda p: newest(p).get("notice"))
    notice = newest(seen).get("notice")
    kind = notice.get("kind") if isinstance(notice, dict) else notice
    await bench.client.act(prompt, "input", data="y\n")
    prompt = await bench.settled(prompt)
    output = newest(prompt).get("output", {}).get("stdout", {}).get("text", "")
    told = ("the answer arrived once",) if output.count("It was told: y") == 1 else ()
    return await bench.found(prompt, extra=(f"notice: {kind}", *told))


async def no_notice(bench: Bench, effect: Effect) -> Found:
    """It says something each second: nobody is told that it stalled."""
    prompt = await bench.settled(await bench.ask())
    noticed = any(event["type"] == "attempt.noticed" for event in await bench.client.events(bench.session_id))
    return await bench.found(prompt, extra=("a notice",) if noticed else ("no notice",))


STALLS: Final = (
    Stall(
        "slow", GROUP, "A line each second.", "§2: slowness is no failure",
        every(EFFECTS, Expected((DONE,), evidence=("no notice", "progress"))),
        act=play("slow", "4"), drive=no_notice,
    ),
    Stall(
        "works and is silent", GROUP, "CPU time rises, nothing is said.", "§2 stalled: normal for long work",
        every(EFFECTS, Expected((DONE,), known=NOTICED, evidence=("notice: silent_busy",))),
        act=play("silent", "5"), drive=notice_then_end,
    ),
    Stall(
        "silent and idle", GROUP, "Neither output nor CPU time.", "§2 stalled: silent and idle",
        every(EFFECTS, Expected((DONE,), known=NOTICED, evidence=("notice: silent_idle",))),
        act=play("idle", "5"), drive=notice_then_end,
    ),
    Stall(
        "waits for an answer", GROUP, "It asks a question.", "§2 stalled: waits for input; input",
        every(
            MUTATING,
            Expected(
                (DONE,), known=NOTICED,
                evidence=("notice: waits_for_input", "the answer arrived once", "input_accepted"),
            ),
        ),
        act=play("waits for input"), drive=answered_by_a_person,
    ),
)  # fmt: skip
