"""Figures of the processes themselves: how soon they serve, what they hold, what they cost while idle."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time

from tests.bench.figure import Bar, Measured, figure
from tests.bench.filling import fill
from tests.bench.machine import below, cpu_seconds, memory_mib
from tests.bench.stage import Stage, Watcher, seats, stage

SESSIONS = 100_000


@figure(
    f"Control plane start with {SESSIONS:,} sessions",
    Bar("seconds", "until it serves", "s", 3, 0.5),
    how=f"From the start of `caisey serve` to `/readyz` 200, with {SESSIONS:,} sessions in the log and the read models "
    "(one prompt of nine events each, and every hundredth with work still open). Pages of the file are in the "
    "system's cache.",
)
async def start_up() -> Measured:
    """Stop, fill, start."""
    async with stage() as s:
        await s.fleet(1)
        watcher = Watcher(s)
        [seat] = await seats(s, await s.endpoints(), watcher)
        await seat.ask_until("prompt.ended")
        watcher.end()
        s.server.stop()
        events = fill(s.server.data_dir / "caisey.db", sessions=SESSIONS, prompts_each=1, open_every=100)
        began = time.perf_counter()
        await asyncio.to_thread(s.server.start)
        took = time.perf_counter() - began
        s.server.stop()
        empty = await _empty_start(s)
        return Measured(
            values={"seconds": took, "seconds with an empty log": empty, "events": events, "sessions": SESSIONS}
        )


async def _empty_start(s: Stage) -> float:
    """The same with nothing in the log: what the program alone needs."""
    other = Stage(s.directory / "empty")
    other.directory.mkdir()
    await asyncio.to_thread(other.server.start)
    other.server.stop()
    began = time.perf_counter()
    await asyncio.to_thread(other.server.start)
    took = time.perf_counter() - began
    other.server.stop()
    return took


@figure(
    "Runtime process while idle",
    Bar("rss, MiB", "resident", "MiB", 45, 25),
    Bar("CPU, %", "CPU of one core", "%", 0.3, 0.1),
    how="A real runtime, connected, after twenty commands; CPU over 30 s with heartbeats every 15 s. The bars are of "
    "the "
    "runtime process; its zygote and warm shims stand beside it.",
)
async def runtime_process(seconds: float = 30) -> Measured:
    """Connected and idle."""
    async with stage() as s:
        process, endpoint_id = await s.real_runtime()
        watcher = Watcher(s)
        [seat] = await seats(s, [endpoint_id], watcher)
        for _ in range(20):
            await seat.ask_until("prompt.ended")
        watcher.end()
        await asyncio.sleep(3)
        family = below(process.pid)
        before, before_all = cpu_seconds(process.pid), sum(cpu_seconds(p) for p in family)
        await asyncio.sleep(seconds)
        share = (cpu_seconds(process.pid) - before) / seconds * 100
        share_all = (sum(cpu_seconds(p) for p in family) - before_all) / seconds * 100
        own, others = memory_mib(process.pid), [memory_mib(p) for p in family]
        return Measured(
            values={
                "rss, MiB": own["rss"],
                "pss, MiB": own["pss"],
                "CPU, %": share,
                "with zygote and shims: pss, MiB": own["pss"] + sum(x["pss"] for x in others),
                "with zygote and shims: CPU, %": share + share_all,
                "processes": 1 + len(family),
            },
        )


@figure(
    "Transcript page of 2,000 events",
    Bar("p50", "first byte, p50", "ms", 300, 80),
    how="`GET …/transcript?format=html` of a session with 223 prompts and 2,000 events, ten times, one after the "
    "other.",
)
async def transcript(prompts: int = 223) -> Measured:
    """A long session, read as a page."""
    async with stage() as s:
        await s.fleet(1)
        watcher = Watcher(s)
        [seat] = await seats(s, await s.endpoints(), watcher)
        for _ in range(prompts):
            await seat.ask_until("prompt.ended")
        watcher.end()
        first, whole, size = [], [], 0
        for _ in range(10):
            began = time.perf_counter()
            answer = await seat.line.ask("GET", f"/api/v1/sessions/{seat.session_id}/transcript?format=html")
            whole.append((time.perf_counter() - began) * 1000)
            assert answer.status == 200, answer.status
            first.append(answer.first_byte_s * 1000)
            size = len(answer.body)
        count = _events_of(s, seat.session_id)
        middle = sorted(first)[len(first) // 2]
        return Measured(
            values={"p50": middle, "max": max(first), "events": count, "KiB": size / 1024},
            samples={"first byte, ms": first, "whole page, ms": whole},
            memory_mib=s.memory(),
        )


def _events_of(s: Stage, session_id: str) -> int:
    """How many events the session has."""
    with contextlib.closing(sqlite3.connect(s.server.data_dir / "caisey.db")) as log:
        return int(log.execute("SELECT count(*) FROM events WHERE session_id = ?", (session_id,)).fetchone()[0])
