"""Plays about whether a request arrives: lost on either way, unanswered, refused (RECOVERY.md §2)."""

from __future__ import annotations

import asyncio
from typing import Final

from caisey.practice import said
from caisey.practice.plays.form import Asked, Play
from caisey.practice.work import Work


async def no_reply(work: Work, _: Asked) -> None:
    work.runtime.ignored.add(work.key)


async def lost(work: Work, _: Asked) -> None:
    """As if the frame had never come: the journal knows nothing, and promises so when it is asked."""


async def lost_confirmation(work: Work, _: Asked) -> None:
    """All of it happens; every receipt is lost on its way. The journal tells when it is asked."""
    await work.start(say=False)
    await work.output("All of it ran; only the confirmations were lost.\n", say=False)
    await work.finish(say=False)


async def refuse(work: Work, asked: Asked) -> None:
    await work.refuse(asked.value)


async def busy(work: Work, _: Asked) -> None:
    if work.dispatch.attempt.number == 1:
        await work.refuse("runtime.busy", "All of its places are taken.")
    else:
        await work.start()
        await work.output("It had a place now.\n")
        await work.finish()


async def journal_full(work: Work, asked: Asked) -> None:
    """No promise can be written, so none is given; for a while it takes no work."""
    runtime = work.runtime
    runtime.ignored.add(work.key)
    runtime.accepting = False
    await work.send(said.problem("journal.full", said.reference(work.key)))
    if runtime.link is not None:
        runtime.link.beat_soon()
    try:
        await asyncio.sleep(asked.number(most=600))
    finally:
        runtime.accepting = True
        runtime.ignored.discard(work.key)
        if runtime.link is not None:
            runtime.link.beat_soon()


PLAYS: Final = (
    Play("no reply", "Nothing comes back, also not when its journal is asked.", no_reply),
    Play("lost", "The request gets lost. Asked, its journal promises that it never came.", lost),
    Play("lost confirmation", "It runs; the confirmations get lost. Asked, its journal tells.", lost_confirmation),
    Play("refuse", "It refuses to run it, for a reason.", refuse, "CODE", "tool.unknown"),
    Play("busy", "It refuses at first because it is busy, and takes the next try.", busy),
    Play("journal full", "It cannot write its journal, and takes no work for a while.", journal_full, "SECONDS", "20"),
)
