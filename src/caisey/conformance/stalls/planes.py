"""Rows in which the control plane itself is killed (RECOVERY.md §9, 2; §4: a restart is not death of a runtime).

Owns what is specified there, and how it is brought about. They take a control plane that may be killed.
"""

from __future__ import annotations

import time
from typing import Final

from caisey.conformance.bench import Bench, newest, verdicts
from caisey.conformance.form import AGAIN, EFFECTS, Effect, Expected, Found, Known, Prompt, Stall, every
from caisey.conformance.stalls.arrival import DONE
from caisey.practice.plays import play

GROUP: Final = "Does the control plane live?"


async def killed_while_it_runs(bench: Bench, effect: Effect) -> Found:
    """The command goes on; every byte is there afterwards."""
    prompt = await bench.state(await bench.ask(), "started")
    await bench.restart_control_plane()
    prompt = await bench.settled(prompt)
    whole = "".join(f"{second} of 3\n" for second in range(1, 4))
    prompt = await bench.until(prompt, lambda p: _text(p) == whole)
    extra = "output as it was said" if _text(prompt) == whole else f"output {_text(prompt)!r}"
    return await bench.found(prompt, extra=(extra,))


def _text(prompt: Prompt) -> str:
    return str(newest(prompt).get("output", {}).get("stdout", {}).get("text", ""))


async def killed_unanswered(bench: Bench, effect: Effect) -> Found:
    """The request was sent, nothing was heard, then the control plane dies. The window is long and does not pass."""
    path = f"/endpoints/{bench.computer.endpoint_id}/policy"
    await bench.client.send("PUT", path, {"ack_window_s": 60.0})
    prompt = await bench.state(await bench.ask(), "dispatched")
    await bench.restart_control_plane()
    began = time.monotonic()
    prompt = await bench.until(prompt, lambda p: verdicts(p)[0][1] != "open")
    seconds = time.monotonic() - began
    prompt = await bench.settled(prompt)
    found = await bench.found(prompt)
    found.seconds = seconds if verdicts(prompt)[0][1] != "open" else None
    return found


STALLS: Final = (
    Stall(
        "killed while it runs", GROUP, "kill -9 of the control plane while a command runs.", "§4; §9, 2, 4",
        every(EFFECTS, Expected((DONE,), evidence=("output as it was said",))),
        act=play("slow", "3"), drive=killed_while_it_runs, restarts=True,
    ),
    Stall(
        "killed unanswered", GROUP, "kill -9 of the control plane after a request went out and got lost.",
        "§4 grace; §9, 2",
        every(
            EFFECTS,
            Expected(
                (("orphaned", "no"), DONE), known=Known("return", since="its return"), by_itself=(AGAIN,),
                evidence=("statement:never_received",),
            ),
        ),
        act=play("lost", once=True), drive=killed_unanswered, restarts=True,
    ),
)  # fmt: skip
