"""Rows about what happens to frames on the way, and about output (RECOVERY.md §3; PROTOCOL.md §4, §8).

Owns what is specified there. Each of these ends well: what is doubled counts once, what cannot be read is on record.
"""

from __future__ import annotations

from typing import Final

from caisey.conformance.bench import Bench
from caisey.conformance.form import EFFECTS, Effect, Expected, Found, Known, Stall, every
from caisey.practice.plays import play

GROUP: Final = "What if frames suffer?"
DONE: Final = ("answered", "yes")
AT_ONCE: Final = Known("at once")


def _well(*evidence: str) -> Expected:
    return Expected((DONE,), known=AT_ONCE, evidence=evidence)


async def output_stands(bench: Bench, effect: Effect) -> Found:
    """The output is what was said, once and in order."""
    prompt = await bench.settled(await bench.ask())
    call = prompt["tool_calls"][0]
    text = (call["attempts"][0]["output"].get("stdout") or {}).get("text", "")
    once = {
        "every frame twice": "said twice, kept once\n",
        "frames out of order": "in any order\n",
        "other bytes at the same place": "the first bytes\n",
        "unreadable frames": "and yet it was read\n",
        "somebody else's work": "nothing was disclosed\n",
    }[bench.stall.name]
    return await bench.found(prompt, extra=("output as it was said",) if text == once else (f"output {text!r}",))


STALLS: Final = (
    Stall(
        "every frame twice", GROUP, "Confirmation, start, output and end come twice.", "§5; §9, 4",
        every(EFFECTS, _well("output as it was said")), act=play("twice"), drive=output_stands,
    ),
    Stall(
        "frames out of order", GROUP, "The end comes first, the confirmation last.", "PROTOCOL §4",
        every(EFFECTS, _well("output as it was said")), act=play("out of order"), drive=output_stands,
    ),
    Stall(
        "unreadable frames", GROUP, "Frames that cannot be read come in between.", "PROTOCOL §8; §8",
        every(EFFECTS, _well("output as it was said", "shape_faults")), act=play("garbled"), drive=output_stands,
    ),
    Stall(
        "somebody else's work", GROUP, "It speaks of work that it was never given.", "PROTOCOL §4: frame.not_yours",
        every(EFFECTS, _well("output as it was said")), act=play("not yours"), drive=output_stands,
    ),
    Stall(
        "other bytes at the same place", GROUP, "Output that was confirmed comes again with other bytes.",
        "§3 output_conflict",
        every(EFFECTS, _well("output as it was said", "output_conflict")), act=play("conflict"), drive=output_stands,
    ),
    Stall(
        "a gap in the output", GROUP, "Part of the output will not come.", "§3: a gap is marked with its reason",
        every(EFFECTS, _well("gap")), act=play("gap"),
    ),
)  # fmt: skip
