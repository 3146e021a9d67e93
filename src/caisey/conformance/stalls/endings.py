"""Rows about how a command ends, and how its end is told (RECOVERY.md §2, the table; §6 row 4: never by itself).

Owns what is specified there, and the acts that bring it about.
"""

from __future__ import annotations

import asyncio
from typing import Final

from caisey.conformance.bench import Bench, verdicts
from caisey.conformance.form import EFFECTS, MUTATING, WINDOWS, Effect, Expected, Found, Known, Stall, every
from caisey.practice.plays import play
from caisey.practice.plays.endings import SIGTERM, finished_frame
from caisey.practice.work import Work

GROUP: Final = "How does it end?"
AT_ONCE: Final = Known("at once")


def _decides(verdict: tuple[str, str], *offered: str, evidence: tuple[str, ...] = ()) -> Expected:
    return Expected(
        (verdict,), "waits for a person", AT_ONCE, offered=(*offered, "escalate"), evidence=evidence,
    )  # fmt: skip


async def stays(bench: Bench, effect: Effect) -> Found:
    """Nothing more may happen by itself: it is looked at again after heartbeats have gone by."""
    prompt = await bench.settled(await bench.ask())
    await asyncio.sleep(2 * WINDOWS["heartbeat_interval"])
    return await bench.found(prompt)


async def wrong_result(work: Work) -> None:
    """A frame in form, whose result does not fit the schema of its tool."""
    await work.start()
    await work.finish(result={"name": "spooler", "state": 7})


async def wrong_result_of_a_tool(bench: Bench, effect: Effect) -> Found:
    action = "status" if effect == "read_only" else "stop"
    bench.computer.acts["conformance-result"] = wrong_result
    call = {"tool": "service", "arguments": {"name": "conformance-result", "action": action}, "effect": effect}
    prompt = await bench.settled(await bench.ask(call))
    return await bench.found(prompt)


async def malformed_partly(work: Work) -> None:
    """The execution can be read: its limit ended it. What it changed cannot."""
    await work.start()
    ended = {"exit_code": None, "signal": SIGTERM, "ended_by": "time_limit"}
    await work.finish_as({**finished_frame(work, **ended), "changes": 7}, **ended)


async def malformed_with_a_journal(work: Work) -> None:
    """The end cannot be read, and the journal tells it when it is asked."""
    await work.start()
    await work.finish_as({**finished_frame(work), "execution": "gone"})


async def proved_by_journal(bench: Bench, effect: Effect) -> Found:
    """Until the journal has told."""
    prompt = await bench.ask()
    prompt = await bench.until(prompt, lambda p: verdicts(p) == bench.expected.verdicts)
    return await bench.found(prompt)


STALLS: Final = (
    Stall(
        "empty, of a read", GROUP, "It ends well and says nothing.", "§2 empty: adjust, never resent",
        {"read_only": Expected((("empty", "yes"),), "done", AT_ONCE, offered=("adjust",), withheld=("requeue",))},
        act=play("empty"), drive=stays,
    ),
    Stall(
        "empty, of a change", GROUP, "It ends well and says nothing: the usual sign of success.", "§2 empty: done",
        {
            effect: Expected((("empty", "yes"),), "done", AT_ONCE, offered=("verify",), withheld=("requeue",))
            for effect in ("idempotent", "mutating")
        },
        act=play("empty"), drive=stays,
    ),
    Stall(
        "an exit code", GROUP, "It ends by itself with exit code 3.", "§2 command_failed",
        every(EFFECTS, _decides(("command_failed", "yes"), "adjust")),
        act=play("fail", "3"), drive=stays,
    ),
    Stall(
        "a signal", GROUP, "A signal from elsewhere ends it.", "§2: itself and a signal",
        every(EFFECTS, _decides(("command_failed", "yes"), "adjust")),
        act=play("killed", "9"), drive=stays,
    ),
    Stall(
        "a time limit", GROUP, "Its own limit passes; its processes are ended.", "§2 timed_out",
        every(EFFECTS, _decides(("timed_out", "partly"), "accept_partial")),
        act=play("time out"), drive=stays,
    ),
    Stall(
        "a time limit, not all ended", GROUP, "Its own limit passes; some of its processes do not end.", "§2 timed_out",
        every(EFFECTS, _decides(("timed_out", "unconfirmed"), "accept_partial")),
        act=play("tree goes on"), drive=stays,
    ),
    Stall(
        "malformed result: ran", GROUP, "How it ended can be read, what it changed cannot.", "§2 malformed_result",
        every(EFFECTS, _decides(("malformed_result", "yes"), "verify", "accept_partial", evidence=("shape_faults",))),
        act=play("malformed result"), drive=stays,
    ),
    Stall(
        "malformed result: of a tool", GROUP, "The frame is in form; the result does not fit the tool's schema.",
        "§2 malformed_result",
        every(
            ("read_only", "mutating"),
            _decides(("malformed_result", "yes"), "accept_partial", evidence=("shape_faults",)),
        ),
        drive=wrong_result_of_a_tool,
    ),
    Stall(
        "malformed result: partly", GROUP, "It can be read that its limit ended it, and nothing more.",
        "§2 malformed_result",
        every(MUTATING, _decides(("malformed_result", "partly"), "verify", evidence=("shape_faults",))),
        act=malformed_partly, drive=stays,
    ),
    Stall(
        "malformed result: how, unknown", GROUP, "It says that it ended; how, cannot be read.", "§2 malformed_result",
        every(EFFECTS, _decides(("malformed_result", "unconfirmed"), "verify", evidence=("shape_faults",))),
        act=play("malformed end"), drive=stays,
    ),
    Stall(
        "malformed result: cut", GROUP, "The last frame breaks off in the middle.",
        "§2 malformed_result; §3 shape fault",
        every(EFFECTS, _decides(("malformed_result", "unconfirmed"), "verify", evidence=("shape_faults",))),
        act=play("cut result"), drive=stays,
    ),
    Stall(
        "malformed result: its journal tells", GROUP, "It cannot be read; the journal says that it ran to its end.",
        "§2: by what the journal proves",
        every(
            MUTATING,
            _decides(("malformed_result", "yes"), "verify", evidence=("shape_faults", "statement:finished")),
        ),
        act=malformed_with_a_journal, drive=proved_by_journal,
    ),
)  # fmt: skip
