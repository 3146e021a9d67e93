"""Plays about what the network and a bad implementation do to frames: twice, out of order, garbled, somebody else's."""

from __future__ import annotations

from typing import Final

from caisey.practice.plays.form import Asked, Play
from caisey.practice.work import Work


async def twice(work: Work, _: Asked) -> None:
    """Every frame comes twice."""
    await work.send(await work.acknowledge())
    await work.send(await work.start())
    text = b"said twice, kept once\n"
    await work.output(text)
    await work.send(work.output_frame(0, text))
    await work.send(await work.finish())


async def out_of_order(work: Work, _: Asked) -> None:
    """The last frame comes first."""
    said = [await work.acknowledge(say=False), await work.start(say=False)]
    text = b"in any order\n"
    await work.output(text, say=False)
    said += [work.output_frame(0, text), await work.finish(say=False)]
    await work.send(*reversed(said))


async def garbled(work: Work, _: Asked) -> None:
    """Frames that nobody can read come in between."""
    await work.send(b"this is no JSON {")
    await work.start()
    await work.send({"type": "of_a_later_version", "attempt": work.reference})
    await work.send({"type": "output", "attempt": work.reference, "stream": "stdout", "offset": "none", "data": 7})
    await work.output("and yet it was read\n")
    await work.finish()


async def not_yours(work: Work, _: Asked) -> None:
    """It speaks of a call that was never given to it."""
    stranger = {"tool_call_id": "tcl_of_somebody_else", "number": 1}
    await work.send({"type": "acknowledged", "attempt": stranger, "journal_sequence": 1})
    await work.start()
    await work.output("nothing was disclosed\n")
    await work.finish()


PLAYS: Final = (
    Play("twice", "Every frame comes twice.", twice),
    Play("out of order", "Its frames come in the wrong order.", out_of_order),
    Play("garbled", "Frames that cannot be read come in between.", garbled),
    Play("not yours", "It speaks of work that it was never given.", not_yours),
)
