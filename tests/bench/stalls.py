"""Figures of a stall: how long until the technician sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import msgspec

from tests.bench.figure import Bar, Measured, figure, percentiles
from tests.bench.stage import Watcher, seats, shell, stage
from tests.bench.wire import EventStream

ACK_WINDOW_S = 2
BEAT_S = 1.0


@figure(
    "Runtime killed to `attempt.lost` on the technician's stream",
    Bar("max", "closed socket, max", "ms", 1000, 200),
    how="`kill -9` of a real runtime in the middle of a command; the socket closes. Ten times.",
)
async def killed(rounds: int = 10) -> Measured:
    """The runtime dies, and its operating system says so."""
    waits = []
    async with stage() as s:
        for _ in range(rounds):
            process, endpoint_id = await s.real_runtime()
            watcher = Watcher(s)
            [seat] = await seats(s, [endpoint_id], watcher)
            prompt_id = await seat.ask(shell("sleep 3"))
            await watcher.when(prompt_id, "attempt.started")
            began = time.perf_counter()
            process.kill()
            waits.append((await watcher.when(prompt_id, "attempt.lost") - began) * 1000)
            watcher.end()
            await s.ask("DELETE", f"/endpoints/{endpoint_id}")
        await asyncio.sleep(3)  # the commands outlive their runtimes; let them end before their folders go
        return Measured(values=percentiles(waits), samples={"killed to seen, ms": waits})


@figure(
    "Runtime silent to `endpoint.health_changed` on the technician's stream",
    Bar("max", "max", "heartbeats", 2.2, 2.2),
    how=f"SIGSTOP of a real runtime: nothing closes, nothing is said. In heartbeat intervals (of {BEAT_S:g} s here); "
    "the bar "
    "is two of them, each with the tenth of jitter that PROTOCOL.md §7 allows. Five times.",
)
async def silent(rounds: int = 5) -> Measured:
    """The runtime freezes with its socket open."""
    async with stage() as s:
        await s.ask("PUT", "/policy", {"heartbeat_interval_s": BEAT_S})
        process, _ = await s.real_runtime()
        health: asyncio.Queue[tuple[str, float]] = asyncio.Queue()

        def tell(event: str, data: bytes) -> None:
            if event == "endpoint.health_changed":
                health.put_nowait((msgspec.json.decode(data)["payload"]["health"], time.perf_counter()))

        stream = EventStream(tell)
        await stream.open("127.0.0.1", s.server.port, s.token, "/api/v1/stream")
        await asyncio.sleep(2 * BEAT_S)  # it has beaten by now, and the grace after the start is over
        waits = []
        for number in range(rounds):
            await asyncio.sleep(BEAT_S * number / rounds)  # at another moment between two beats each time
            began = time.perf_counter()
            os.kill(process.pid, signal.SIGSTOP)
            try:
                waits.append((await _turned(health, "unhealthy") - began) / BEAT_S)
            finally:
                os.kill(process.pid, signal.SIGCONT)
            await _turned(health, "healthy")
        stream.close()
        return Measured(values=percentiles(waits), samples={"silent to seen, heartbeats": waits})


async def _turned(health: asyncio.Queue[tuple[str, float]], wanted: str) -> float:
    """When the endpoint became so."""
    async with asyncio.timeout(60):
        while True:
            found, at = await health.get()
            if found == wanted:
                return at


@figure(
    "Orphan known, beyond the acknowledgement window",
    Bar("max", "max", "ms", 500, 50),
    how=f"A simulated runtime loses the dispatch and never answers. Window {ACK_WINDOW_S} s; from "
    "`attempt.dispatched` to "
    "`attempt.ended` on the technician's stream, less the window. Ten endpoints side by side, once the grace after "
    "the start "
    "of the control plane (two heartbeats) is over: no deadline is judged within it.",
)
async def orphan(rounds: int = 10) -> Measured:
    """Each on an endpoint of its own: a runtime that answers nothing is soon sent nothing."""
    async with stage() as s:
        await s.fleet(rounds)
        await s.ask("PUT", "/policy", {"ack_window_s": ACK_WINDOW_S, "heartbeat_interval_s": BEAT_S})
        await asyncio.sleep(2 * BEAT_S)
        watcher = Watcher(s)
        seated = await seats(s, await s.endpoints(), watcher)
        prompts = [await seat.ask(shell("never")) for seat in seated]
        over = []
        for prompt_id in prompts:
            sent = await watcher.when(prompt_id, "attempt.dispatched")
            over.append((await watcher.when(prompt_id, "attempt.ended") - sent - ACK_WINDOW_S) * 1000)
        watcher.end()
        return Measured(values=percentiles(over), samples={"beyond the window, ms": over})
