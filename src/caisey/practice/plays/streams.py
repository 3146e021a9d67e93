"""Plays about output: slow, silent, waiting for an answer, with holes, too much, hostile (RECOVERY.md §2, §3)."""

from __future__ import annotations

import asyncio
from typing import Final

from caisey.practice.plays.form import Asked, Play
from caisey.practice.work import Work, now_ms, summary

MIB: Final = 1024 * 1024
QUESTION: Final = "Continue? [y/N] "


async def slow(work: Work, asked: Asked) -> None:
    await work.start()
    seconds = int(asked.number(1, 3600))
    for second in range(1, seconds + 1):
        await asyncio.sleep(1)
        await work.output(f"{second} of {seconds}\n")
        await work.progress(cpu_ms=second * 100, last_output_ms=now_ms())
    await work.finish()


async def silent(work: Work, asked: Asked) -> None:
    """It works and says nothing: CPU time rises."""
    await work.start()
    for second in range(1, int(asked.number(1, 3600)) + 1):
        await asyncio.sleep(1)
        await work.progress(cpu_ms=second * 950)
    await work.output("Done at last.\n")
    await work.finish()


async def idle(work: Work, asked: Asked) -> None:
    """Neither output nor CPU time."""
    await work.start()
    for _ in range(int(asked.number(1, 3600))):
        await asyncio.sleep(1)
        await work.progress()
    await work.output("Done at last.\n")
    await work.finish()


async def waits_for_input(work: Work, _: Asked) -> None:
    """It asks a question, and ends with what it was told."""
    await work.start()
    await work.output(QUESTION)
    asking = asyncio.create_task(_keep_asking(work))
    try:
        answer = await work.inputs.get()
    finally:
        asking.cancel()
    told = b"" if answer.sensitive else answer.data.strip()
    await work.output(b"\nIt was told: " + (told or b"(nothing that is shown)") + b"\n")
    await work.finish()


async def _keep_asking(work: Work) -> None:
    while True:
        await work.progress(waiting_for_input=True)
        await asyncio.sleep(1)


async def gap(work: Work, _: Asked) -> None:
    """Bytes in the middle will not come."""
    await work.start()
    head, missing, tail = b"before the gap\n", b"these bytes are lost\n", b"after the gap\n"
    record = work.in_journal
    await work.output(head)
    await work.send(work.frame("gap", stream="stdout", offset=len(head), length=len(missing), why="lost"))
    await work.send(work.output_frame(len(head) + len(missing), tail))
    whole = head + missing + tail
    record.confirmed["stdout"] = len(whole)
    await work.finish(streams={"stdout": summary(whole, truncated=True), "stderr": summary(b"")})


async def conflict(work: Work, _: Asked) -> None:
    """The same place is sent again with other bytes."""
    await work.start()
    await work.output("the first bytes\n")
    await asyncio.sleep(0.05)
    await work.send(work.output_frame(0, b"the other bytes\n"))
    await work.finish()


async def big(work: Work, asked: Asked) -> None:
    line = b"practice " * 7 + b"\n"
    await work.start()
    for _ in range(int(asked.number(1, 64))):
        await work.output(line * (MIB // len(line)))
        await asyncio.sleep(0)
    await work.finish()


async def hostile(work: Work, _: Asked) -> None:
    """What a page or a terminal must not take for its own: markup, control sequences, other directions, no UTF-8."""
    await work.start()
    await work.output(b"<script>alert('practice')</script> <img src=x onerror=alert(1)> &amp;\n")
    await work.output(b"\x1b[2J\x1b[31mred\x1b]0;title\x07\x1b[0m \x08\x08\x00 \xe2\x80\xaeright to left\xe2\x80\xac\n")
    await work.output(b"no UTF-8: \xff\xfe\xc3\x28\n")
    await work.finish()


PLAYS: Final = (
    Play("slow", "A line each second, then the end.", slow, "SECONDS", "30"),
    Play("silent", "It works for long and says nothing.", silent, "SECONDS", "120"),
    Play("idle", "It neither works nor says anything.", idle, "SECONDS", "120"),
    Play("waits for input", "It asks a question and waits for the answer.", waits_for_input),
    Play("gap", "Part of the output is lost.", gap),
    Play("conflict", "The same place of the output comes twice, with other bytes.", conflict),
    Play("big", "So many MiB of output.", big, "MIB", "4"),
    Play("hostile", "Output that tries to be markup, control codes and worse.", hostile),
)
