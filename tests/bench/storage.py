"""What the event log costs: units per second, and how long a commit takes at a steady rate.

Run with `python -m tests.bench.storage`. A unit is what one step of a prompt writes: 3 events with about 250 bytes of
payload each, and 3 statements on read models.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from caisey.core.events import Actor
from caisey.storage.contract import Entry, Write
from caisey.storage.data_directory import DataDirectory
from caisey.storage.sqlite.log import SqliteLog

ORGANIZATION = "org_" + "0" * 26
ACTOR = Actor("user", "usr_" + "1" * 26)
WINDOW = 2_000
"""Units under way at once when the question is how many go through."""

_CALL = "INSERT INTO tool_calls VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_PROMPT = "INSERT INTO prompts VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state"
_DUE = "INSERT INTO open_work VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET due_at_ms = excluded.due_at_ms"


def unit(number: int) -> tuple[list[Entry], list[Write]]:
    session, call = f"ses_{number % 500:026}", f"tcl_{number:026}"
    payload = {
        "tool_call_id": call,
        "number": 1,
        "consent": 1,
        "runtime_id": "rtm_" + "2" * 26,
        "incarnation": "0123456789abcdef0123456789abcdef",
        "evidence": {"at_ms": 1_700_000_000_000 + number, "source": "runtime", "pid": 4242, "user": "root"},
    }
    entry = Entry(ORGANIZATION, session, "attempt_acknowledged", 1_700_000_000_000 + number, ACTOR, None, payload)
    writes: list[Write] = [
        (_CALL, (call, "pmt_1", session, "ept_1", ORGANIZATION)),
        (_PROMPT, (f"pmt_{number % 500:026}", session, "running", number)),
        (_DUE, (session, "ept_1", number)),
    ]
    return [entry, entry, entry], writes


async def flood(log: SqliteLog, seconds: float) -> float:
    """Units per second with as many under way as the window holds."""
    room = asyncio.Semaphore(WINDOW)
    loop = asyncio.get_running_loop()
    ends, done = loop.time() + seconds, 0
    begun = loop.time()

    def settled(future: asyncio.Future[None]) -> None:
        nonlocal done
        future.result()
        done += 1
        room.release()

    number = 0
    while loop.time() < ends:
        await room.acquire()
        number += 1
        log.append(*unit(number)).committed.add_done_callback(settled)
    for _ in range(WINDOW):
        await room.acquire()
    return done / (loop.time() - begun)


async def steady(log: SqliteLog, rate: int, seconds: float, first: int) -> list[float]:
    """Milliseconds from append to durable, at a rate that does not wait for answers."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    latencies: list[float] = []
    total = int(rate * seconds)

    def measure(since: float) -> None:
        log.append(*unit(first + len(latencies))).committed.add_done_callback(
            lambda _: latencies.append((time.perf_counter() - since) * 1000)
        )

    for number in range(total):
        behind = begun + number / rate - loop.time()
        if behind > 0:
            await asyncio.sleep(behind)
        measure(time.perf_counter())
    await log.append(*unit(first)).committed  # the last in the line
    return sorted(latencies)


def place(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def measure(directory: Path, seconds: float) -> None:
    with DataDirectory(directory) as data:
        log = await SqliteLog.open(data.database)
        try:
            for rate in (300, 2_000):
                took = await steady(log, rate, seconds, first=rate * 1_000_000)
                print(
                    f"append to durable at {rate}/s: p50 {place(took, 0.5):.2f} ms, p99 {place(took, 0.99):.2f} ms,"
                    f" worst {took[-1]:.2f} ms"
                )
            per_second = await flood(log, seconds)
            health = log.health()
            print(f"units: {per_second:,.0f}/s ({per_second * 3:,.0f} events/s)")
            print(f"units a commit: {health.units / health.commits:.1f}; log {health.wal_bytes / 1e6:.1f} MB")
            begun = time.perf_counter()
            for _ in range(2_000):
                log.query_now("SELECT due_at_ms FROM open_work WHERE session_id = ?", (f"ses_{7:026}",))
            print(f"indexed look-up on the loop's thread: {(time.perf_counter() - begun) / 2_000 * 1e6:.1f} µs")
        finally:
            await log.close()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--directory", type=Path, help="where the data directory is made (default: a temporary one)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
        asyncio.run(measure(Path(scratch) / "data", options.seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
