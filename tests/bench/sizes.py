"""Figures that grow: with the log, with the number of runtimes, with the number of sessions at once."""

from __future__ import annotations

import asyncio
import contextlib
import time

from tests.bench.figure import Bar, Measured, figure, percentiles
from tests.bench.filling import fill
from tests.bench.machine import cpu_seconds, memory_mib
from tests.bench.prompts import closed_loop
from tests.bench.stage import Cost, Seat, Stage, Watcher, seats, stage

LOGS = (1_000, 10_000, 100_000, 1_000_000)
PROMPTS_EACH = 20
FLEETS = (100, 1_000, 5_000, 10_000, 15_000)
FLEET_PROCESS = 2_500
SESSIONS = (1, 2, 4, 8, 16, 32, 64)
IDLE_S = 20


@figure(
    "One more prompt with 1 million events in the log against 1 thousand",
    Bar("ratio", "p50 with 1M / p50 with 1k", "x", 1.5, 1.1),
    how="Four control planes side by side with 1k, 10k, 100k and 1M events (sessions of 20 prompts, with their read "
    "models), each with a simulated runtime; prompts go to them in turn, so that they share every moment of the "
    "machine.",
)
async def growth(rounds: int = 300) -> Measured:
    """Interleaved, so that the ratio is of one run."""
    async with contextlib.AsyncExitStack() as stack:
        seated, waits, held = [], {size: list[float]() for size in LOGS}, {}
        for size in LOGS:
            s = await stack.enter_async_context(stage())
            seat, held[size] = await _with_a_log(s, size)
            seated.append(seat)
        for number in range(rounds + 20):
            for size, seat in zip(LOGS, seated, strict=True):
                took = await seat.ask_until("prompt.ended")
                if number >= 20:
                    waits[size].append(took)
        for seat in seated:
            seat.watcher.end()
        found = {size: percentiles(waits[size]) for size in LOGS}
        memory = [memory_mib(seat.stage.server.pid)["rss"] for seat in seated]
        return Measured(
            values={"ratio": found[LOGS[-1]]["p50"] / found[LOGS[0]]["p50"]},
            samples={f"with {size:,} events, ms": waits[size] for size in LOGS},
            series=[
                {"events": held[size], "p50 ms": found[size]["p50"], "p99 ms": found[size]["p99"], "rss MiB": rss}
                for size, rss in zip(LOGS, memory, strict=True)
            ],
        )


async def _with_a_log(s: Stage, events: int) -> tuple[Seat, int]:
    """A server whose log holds about so many events, with a seat at a session of its own; and how many there are."""
    await s.fleet(1)
    watcher = Watcher(s)
    [endpoint_id] = await s.endpoints()
    [first] = await seats(s, [endpoint_id], watcher)
    await first.ask_until("prompt.ended")
    watcher.end()
    s.server.stop()
    s.end()
    s.processes.clear()
    sessions = max(1, events // (9 * PROMPTS_EACH))
    held = await asyncio.to_thread(fill, s.server.data_dir / "caisey.db", sessions=sessions, prompts_each=PROMPTS_EACH)
    await asyncio.to_thread(s.start)
    await s.fleet(1)
    watcher = Watcher(s)
    known = set(await s.endpoints()) - {endpoint_id}
    [seat] = await seats(s, list(known), watcher)
    return seat, held


@figure(
    "Connected runtimes in one control plane process",
    Bar("connected", "connected", "", 5_000, 15_000, more_is_better=True),
    Bar("KiB each", "memory of an idle runtime", "KiB", 40, 24),
    how="Simulated runtimes in processes of their own, heartbeats every 15 s. Memory is the growth of the control "
    "plane's "
    "proportional set size over that of the first hundred; the prompt is one at a time at one of them.",
)
async def runtimes() -> Measured:
    """More and more of them at one server."""
    async with stage() as s:
        await s.fleet(FLEETS[0])
        watcher = Watcher(s)
        [seat] = await seats(s, (await s.endpoints())[:1], watcher)
        pid, series = s.server.pid, []
        base = 0.0
        for size in FLEETS:
            began, former = time.perf_counter(), s.simulated
            while s.simulated < size:
                await s.fleet(min(FLEET_PROCESS, size - s.simulated))
            took = time.perf_counter() - began
            waits = percentiles([await seat.ask_until("prompt.ended") for _ in range(100)])
            before = cpu_seconds(pid)
            await asyncio.sleep(IDLE_S)
            idle = (cpu_seconds(pid) - before) / IDLE_S * 100
            held = memory_mib(pid)["pss"]
            base = base or held
            row = {"runtimes": size, "p50 ms": waits["p50"], "p99 ms": waits["p99"], "idle CPU %": idle, "MiB": held}
            if size > FLEETS[0]:
                row |= {"KiB each": (held - base) * 1024 / (size - FLEETS[0]), "connected/s": (size - former) / took}
            series.append(row)
        connected = await s.connected()
        watcher.end()
        return Measured(
            values={
                "connected": connected,
                "KiB each": series[-1]["KiB each"],
                "idle CPU, % of one core": series[-1]["idle CPU %"],
            },
            series=series,
            memory_mib=s.memory(),
        )


@figure(
    "1 to 64 sessions at once",
    how="Each session has one prompt open at any time, at a simulated runtime of its own; 40 prompts a session, at "
    "least "
    "400. What a technician waits, and what the control plane gets through.",
)
async def sessions_at_once() -> Measured:
    """Closed loops, wider and wider."""
    async with stage() as s:
        await s.fleet(max(SESSIONS))
        watcher = Watcher(s)
        seated = await seats(s, await s.endpoints(), watcher)
        await closed_loop(seated, len(seated), len(seated))
        series = []
        for at_once in SESSIONS:
            count = max(400, 40 * at_once)
            cost = Cost(s)
            waits, took = await closed_loop(seated[:at_once], count, at_once)
            found = percentiles(waits)
            series.append(
                {
                    "sessions": at_once,
                    "per second": count / took,
                    "p50 ms": found["p50"],
                    "p99 ms": found["p99"],
                    "server CPU ms": cost.ms_each(count),
                }
            )
        watcher.end()
        return Measured(values={"per second at 64": series[-1]["per second"]}, series=series, memory_mib=s.memory())
