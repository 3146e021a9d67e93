"""Figures of a prompt on its way: to its first receipt, to its verdict, many at once."""

from __future__ import annotations

import asyncio
import time

from tests.bench.figure import Bar, Measured, figure, percentiles
from tests.bench.machine import below, cpu_seconds, memory_mib, with_ended_children_seconds
from tests.bench.stage import Cost, Seat, Stage, Watcher, seats, stage

WARM_UP = 20


@figure(
    "Accepted prompt to first receipt, 300 prompts/s",
    Bar("p50", "p50", "ms", 3, 1.5),
    Bar("p99", "p99", "ms", 15, 6),
    how="From the first byte of the request to `attempt.acknowledged` on the technician's event stream: two commits "
    "(`synchronous=FULL`), a signed dispatch, a receipt. Open loop, 20 sessions, 20 simulated runtimes in a process of "
    "their own.",
)
async def first_receipt(rate: int = 300, seconds: int = 10) -> Measured:
    """Open loop: the next prompt does not wait for the one before."""
    async with stage() as s:
        await s.fleet(20)
        watcher = Watcher(s)
        seated = await seats(s, await s.endpoints(), watcher)
        sent: dict[str, tuple[float, float]] = {}

        async def one(number: int) -> None:
            began = time.perf_counter()
            prompt_id = await seated[number % len(seated)].ask()
            sent[prompt_id] = (began, time.perf_counter())

        await asyncio.gather(*(one(n) for n in range(WARM_UP)))
        warm = set(sent)
        cost = Cost(s)
        start = time.perf_counter()
        tasks = []
        for number in range(rate * seconds):
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(one(number)))
        await asyncio.gather(*tasks)
        receipts = {p: await watcher.when(p, "attempt.acknowledged") for p in sent if p not in warm}
        each = cost.ms_each(rate * seconds)
        watcher.end()
        waits = [(at - sent[p][0]) * 1000 for p, at in receipts.items()]
        return Measured(
            values=percentiles(waits) | {"server CPU, ms a prompt": each},
            samples={
                "first receipt, ms": waits,
                "202 to first receipt, ms": [max(0.0, at - sent[p][1]) * 1000 for p, at in receipts.items()],
                "request to 202, ms": [(accepted - began) * 1000 for p, (began, accepted) in sent.items()],
            },
            memory_mib=s.memory(),
        )


@figure(
    "`shell: true` to its verdict, real runtime, real process",
    Bar("p50", "p50", "ms", 10, 4),
    Bar("p99", "p99", "ms", 25, 10),
    how="From the first byte of the request to `prompt.ended` on the technician's event stream, one after the other. "
    "Durable on both ends: the control plane's log and the runtime's journal are synced before anything is said.",
)
async def verdict(count: int = 300) -> Measured:
    """One after the other."""
    async with stage() as s:
        process, endpoint_id = await s.real_runtime()
        watcher = Watcher(s)
        [seat] = await seats(s, [endpoint_id], watcher)
        waits: list[float] = []
        steps: dict[str, list[float]] = {x: [] for x in ("acknowledged", "started", "ended")}
        for number in range(count + WARM_UP):
            began = time.perf_counter()
            prompt_id = await seat.ask()
            ended = await watcher.when(prompt_id, "prompt.ended")
            if number >= WARM_UP:
                waits.append((ended - began) * 1000)
                for step, times in steps.items():
                    times.append((await watcher.when(prompt_id, f"attempt.{step}") - began) * 1000)
        watcher.end()
        return Measured(
            values=percentiles(waits),
            samples={"verdict, ms": waits} | {f"to attempt.{step}, ms": times for step, times in steps.items()},
            memory_mib=s.memory() | {"runtime": memory_mib(process.pid)["rss"]},
        )


async def closed_loop(seated: list[Seat], count: int, at_once: int) -> tuple[list[float], float]:
    """(milliseconds of each, seconds in all): so many prompts, never more than `at_once` of them open."""
    waits: list[float] = []
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            took = await seated[number % len(seated)].ask_until("prompt.ended")
            waits.append(took)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return waits, time.perf_counter() - began


async def many(s: Stage, endpoint_ids: list[str], count: int, at_once: int) -> Measured:
    """Verdicts a second, and how long each took."""
    watcher = Watcher(s)
    seated = await seats(s, endpoint_ids, watcher)
    await closed_loop(seated, at_once, at_once)
    cost = Cost(s)
    waits, took = await closed_loop(seated, count, at_once)
    each = cost.ms_each(count)
    watcher.end()
    return Measured(
        values={"per second": count / took, "dropped": count - len(waits), "server CPU, ms a prompt": each},
        samples={"prompt to verdict, ms": waits},
        memory_mib=s.memory(),
    )


@figure(
    "50 prompts in flight at one real runtime",
    Bar("per second", "verdicts/s", "1/s", 150, 500, more_is_better=True),
    Bar("dropped", "dropped", "", 0, 0),
    how="1,000 times `shell: true` over 10 sessions of one endpoint, 50 open at any time, each with a real process.",
)
async def in_flight(count: int = 1000, at_once: int = 50) -> Measured:
    """Closed loop over one real runtime."""
    async with stage() as s:
        process, endpoint_id = await s.real_runtime()
        zygote = below(process.pid)[0]
        before = cpu_seconds(process.pid), with_ended_children_seconds(zygote)
        found = await many(s, [endpoint_id] * 10, count, at_once)
        all_of_them = (count + at_once) / 1000  # with those that warmed it up
        found.values["runtime CPU, ms a prompt"] = (cpu_seconds(process.pid) - before[0]) / all_of_them
        found.values["shims and commands CPU, ms a prompt"] = (
            with_ended_children_seconds(zygote) - before[1]
        ) / all_of_them
        found.memory_mib["runtime"] = memory_mib(process.pid)["rss"]
        return found


@figure(
    "Prompts end to end, simulated runtimes",
    Bar("per second", "prompts/s", "1/s", 500, 1500, more_is_better=True),
    how="5,000 prompts over 20 sessions and 20 simulated runtimes, 64 open at any time: dispatch, acknowledged, "
    "started, "
    "output, finished, verdict. One control plane process; the technicians and the runtimes share its two cores.",
)
async def throughput(count: int = 5000, at_once: int = 64) -> Measured:
    """Closed loop over a fleet."""
    async with stage() as s:
        await s.fleet(20)
        return await many(s, await s.endpoints(), count, at_once)
