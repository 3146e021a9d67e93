"""Plays about how a command ends, and how its end is told (RECOVERY.md §2)."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from caisey.practice.journal import Frame
from caisey.practice.plays.form import Asked, Play
from caisey.practice.work import Work

SIGTERM: Final = 15
LONG_S: Final = 86_400.0


async def empty(work: Work, _: Asked) -> None:
    await work.start()
    await work.finish()


async def fail(work: Work, asked: Asked) -> None:
    await work.start()
    await work.output(f"It failed with exit code {int(asked.number(1, 255))}.\n", "stderr")
    await work.finish(exit_code=int(asked.number(1, 255)))


async def killed(work: Work, asked: Asked) -> None:
    await work.start()
    await work.output("about to be kil", "stdout")
    await work.finish(exit_code=None, signal=int(asked.number(1, 64)))


async def time_out(work: Work, _: Asked) -> None:
    await work.start()
    await work.output("half of it\n")
    await work.finish(exit_code=None, signal=SIGTERM, ended_by="time_limit")


async def tree_goes_on(work: Work, _: Asked) -> None:
    await work.start()
    await work.output("half of it\n")
    await work.finish(exit_code=None, signal=SIGTERM, ended_by="time_limit", tree_ended=False)


async def shut_down(work: Work, _: Asked) -> None:
    await work.start()
    await work.finish(exit_code=None, signal=SIGTERM, ended_by="shutdown")


async def unknown_end(work: Work, _: Asked) -> None:
    await work.start()
    await work.finish(exit_code=None, ended_by="unknown")


async def ignores_stop(work: Work, asked: Asked) -> None:
    """A stop is heard and not obeyed: the wish stays a wish."""
    await work.start()
    work.runtime.uncancellable.add(work.key)
    await work.output("I do not stop.\n")
    for _ in range(int(asked.number(1, 3600))):
        await asyncio.sleep(1)
        await work.progress()
    await work.finish()


async def runs(work: Work, asked: Asked) -> None:
    """Runs until it is stopped, or for so long."""
    await work.start()
    await work.output("running\n")
    for second in range(int(asked.number(1, LONG_S))):
        await asyncio.sleep(1)
        await work.progress(cpu_ms=second * 900)
    await work.finish()


# -- ends that cannot be read -------------------------------------------------------------------------------------


def finished_frame(work: Work, **execution: object) -> Frame:
    """A `finished` as it should be, to be spoiled."""
    return work.frame("finished", execution=work.execution(**execution), changes=[])


async def malformed_result(work: Work, _: Asked) -> None:
    """The execution can be read, so it ran; what it changed cannot."""
    await work.start()
    await work.output("It ran to its end.\n")
    await work.finish_as({**finished_frame(work), "changes": {"what": "an object where a list is wanted"}})


async def malformed_end(work: Work, _: Asked) -> None:
    """The frame is JSON; how it ended is not said in any form that can be used."""
    await work.start()
    work.runtime.ignored.add(work.key)
    await work.finish_as({**finished_frame(work), "execution": {"exit_code": "zero", "ended_by": "itself"}})


async def cut_result(work: Work, _: Asked) -> None:
    """The frame breaks off in the middle: no part of it can be read."""
    await work.start()
    work.runtime.ignored.add(work.key)
    whole = msgspec.json.encode(finished_frame(work))
    await work.finish_as(whole[: len(whole) * 2 // 3])


PLAYS: Final = (
    Play("empty", "It ends well and says nothing.", empty),
    Play("fail", "It ends with an exit code other than 0.", fail, "EXIT_CODE", "3"),
    Play("killed", "A signal ends it.", killed, "SIGNAL", "9"),
    Play("time out", "Its time limit ends it.", time_out),
    Play("tree goes on", "Its time limit passes, and some of it cannot be ended.", tree_goes_on),
    Play("shut down", "The agent ends it because it shuts down.", shut_down),
    Play("unknown end", "It ended, and nobody knows how.", unknown_end),
    Play("runs", "It runs until it is stopped.", runs, "SECONDS", "600"),
    Play("ignores stop", "It runs, and does not stop when it is told to.", ignores_stop, "SECONDS", "120"),
    Play("malformed result", "It ends well; part of the answer has the wrong shape.", malformed_result),
    Play("malformed end", "It ends; how, cannot be read.", malformed_end),
    Play("cut result", "It ends; the answer breaks off in the middle.", cut_result),
)
