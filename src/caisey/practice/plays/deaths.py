"""Plays in which the agent, its computer or its network goes away (RECOVERY.md §2, runtime_died; §4, lost)."""

from __future__ import annotations

import asyncio
from typing import Final

from caisey.practice.plays.form import Asked, Play
from caisey.practice.work import Work

PAUSE_S: Final = 0.05
"""So that what was said is on its way before the connection breaks."""


async def die_before_confirming(work: Work, asked: Asked) -> None:
    await work.runtime.crash(back_after_s=asked.number())


async def die_after_confirming(work: Work, asked: Asked) -> None:
    await work.acknowledge()
    await asyncio.sleep(PAUSE_S)
    await work.runtime.crash(back_after_s=asked.number())


async def die_after_start(work: Work, asked: Asked) -> None:
    await work.start()
    await work.output("working…\n")
    await asyncio.sleep(PAUSE_S)
    await work.runtime.crash(back_after_s=asked.number())


async def reboot(work: Work, asked: Asked) -> None:
    await work.start()
    await work.output("The system is going down for reboot NOW!\n")
    await asyncio.sleep(PAUSE_S)
    await work.runtime.crash(back_after_s=asked.number(), reboot=True)


async def die_and_finish(work: Work, asked: Asked) -> None:
    """The command outlives its agent; the next life of the agent adopts it and brings the end."""
    await work.start()
    await work.output("before the crash\n")
    await asyncio.sleep(PAUSE_S)
    await work.runtime.crash(back_after_s=asked.number(), outlive=True)
    await work.output("while the agent was away\n", say=False)
    await work.finish(say=False)


async def die_and_go_on(work: Work, asked: Asked) -> None:
    """The same, and the command still runs when the agent is back."""
    runtime = work.runtime
    await work.start()
    await work.output("before the crash\n")
    await asyncio.sleep(PAUSE_S)
    await runtime.crash(back_after_s=asked.number(), outlive=True)
    await runtime.connected()
    await asyncio.sleep(asked.number())
    await work.output("after it\n")
    await work.finish()


async def network_lost(work: Work, asked: Asked) -> None:
    await work.start()
    await work.output("before\n")
    await asyncio.sleep(PAUSE_S)
    await work.runtime.lose_network(asked.number())
    await work.runtime.connected()
    await work.output("after\n")
    await work.finish()


async def late_result(work: Work, asked: Asked) -> None:
    """It ends while nobody hears it. With a long absence the result is late: the step was given up meanwhile."""
    await work.start()
    await asyncio.sleep(PAUSE_S)
    await work.runtime.disconnect()
    await work.output("done long ago\n", say=False)
    await work.finish(say=False)
    await asyncio.sleep(asked.number())
    work.runtime.connect()


async def hang(work: Work, asked: Asked) -> None:
    """The socket stays open and nothing is said: the agent hangs."""
    await work.start()
    await asyncio.sleep(PAUSE_S)
    await work.runtime.freeze(asked.number())
    await work.output("awake again\n")
    await work.finish()


async def sleep(work: Work, asked: Asked) -> None:
    await work.start()
    await work.output("good night\n")
    await work.runtime.sleep(asked.number())
    await work.runtime.connected()
    await work.output("good morning\n")
    await work.finish()


async def journal_set_back(work: Work, asked: Asked) -> None:
    """It answers; then its disk is as it was before, as after a restore from a snapshot."""
    runtime = work.runtime
    before = runtime.journal.snapshot()
    await work.start()
    await work.output("This will be forgotten.\n")
    await work.finish()
    await asyncio.sleep(PAUSE_S)
    await runtime.crash()
    runtime.journal.set_back(before)
    runtime.soon(_come_back(work, asked.number()))


async def _come_back(work: Work, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await work.runtime.come_back(reboot=True)


PLAYS: Final = (
    Play("die before confirming", "The agent dies before it says anything.", die_before_confirming, "SECONDS", "5"),
    Play("die after confirming", "It confirms, then the agent dies.", die_after_confirming, "SECONDS", "5"),
    Play("die after start", "It starts, then agent and command die.", die_after_start, "SECONDS", "5"),
    Play("die and finish", "The agent dies; the command ends meanwhile.", die_and_finish, "SECONDS", "5"),
    Play("die and go on", "The agent dies; the command still runs when it is back.", die_and_go_on, "SECONDS", "5"),
    Play("reboot", "It starts, then the computer restarts.", reboot, "SECONDS", "10"),
    Play("network lost", "The network breaks while it runs.", network_lost, "SECONDS", "10"),
    Play("late result", "The network breaks, and the result comes when it is back.", late_result, "SECONDS", "150"),
    Play("hang", "The agent hangs: it is connected and says nothing.", hang, "SECONDS", "60"),
    Play("sleep", "The computer goes to sleep and wakes up.", sleep, "SECONDS", "30"),
    Play("journal set back", "It answers; then its disk is set back.", journal_set_back, "SECONDS", "3"),
)
