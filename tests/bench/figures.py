"""The budgets of the design, each as one function that measures and shows its figure."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path

from tests.bench.stage import TRUE, Stage, Watcher, memory_kib, percentiles, pss_kib, show, stage
from tests.bench.wire import Connection


async def open_sessions(s: Stage, endpoint_ids: list[str], watcher: Watcher | None) -> list[tuple[str, Connection]]:
    """A session on each endpoint, followed over SSE where a watcher is given, with a connection to post on."""
    found = []
    for endpoint_id in endpoint_ids:
        session_id = await s.session(endpoint_id)
        if watcher is not None:
            await watcher.follow(s.connection(), session_id)
        found.append((session_id, s.connection()))
    return found


async def first_receipt(rate: int = 300, seconds: int = 10) -> None:
    """Accepted prompt → first receipt back, open loop at a fixed rate over 20 endpoints."""
    async with stage() as s:
        await s.fleet(20)
        watcher = Watcher()
        sessions = await open_sessions(s, await s.endpoints(), watcher)
        sent: dict[str, float] = {}

        async def one(number: int) -> None:
            session_id, line = sessions[number % len(sessions)]
            began = time.perf_counter()
            prompt = await s.ask("POST", f"/sessions/{session_id}/prompts", {"tool_calls": [TRUE]}, line)
            sent[prompt["id"]] = began

        start = time.perf_counter()
        tasks = []
        for number in range(rate * seconds):
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(one(number)))
        await asyncio.gather(*tasks)
        waits = [(await watcher.when(p, "attempt.acknowledged") - began) * 1000 for p, began in sent.items()]
        watcher.end()
        show(f"first receipt at {rate}/s, ms", "p50 3, p99 15", percentiles(waits))


async def verdict(count: int = 300) -> None:
    """`true` → verdict, one after the other, with the real runtime and real processes."""
    async with stage() as s:
        _, endpoint_id = await s.real_runtime()
        watcher = Watcher()
        [(session_id, line)] = await open_sessions(s, [endpoint_id], watcher)
        waits = []
        for number in range(count + 20):
            began = time.perf_counter()
            prompt = await s.ask("POST", f"/sessions/{session_id}/prompts", {"tool_calls": [TRUE]}, line)
            ended = await watcher.when(prompt["id"], "prompt.ended")
            if number >= 20:
                waits.append((ended - began) * 1000)
        watcher.end()
        show("true → verdict, ms", "p50 10, p99 25", percentiles(waits))


async def in_flight(count: int = 1000, at_once: int = 50) -> None:
    """50 prompts in flight at one real runtime."""
    async with stage() as s:
        _, endpoint_id = await s.real_runtime()
        watcher = Watcher()
        sessions = await open_sessions(s, [endpoint_id] * 10, watcher)
        gate = asyncio.Semaphore(at_once)

        async def one(number: int) -> None:
            session_id, line = sessions[number % len(sessions)]
            async with gate:
                prompt = await s.ask("POST", f"/sessions/{session_id}/prompts", {"tool_calls": [TRUE]}, line)
                await watcher.when(prompt["id"], "prompt.ended", 60)

        began = time.perf_counter()
        await asyncio.gather(*(one(n) for n in range(count)))
        took = time.perf_counter() - began
        watcher.end()
        show("50 in flight, verdicts/s", "150, none dropped", {"per_s": count / took, "count": count})


async def throughput(count: int = 5000, at_once: int = 64) -> None:
    """Prompts/s end to end with simulated runtimes."""
    async with stage() as s:
        await s.fleet(20)
        watcher = Watcher()
        sessions = await open_sessions(s, await s.endpoints(), watcher)
        gate = asyncio.Semaphore(at_once)

        async def one(number: int) -> None:
            session_id, line = sessions[number % len(sessions)]
            async with gate:
                prompt = await s.ask("POST", f"/sessions/{session_id}/prompts", {"tool_calls": [TRUE]}, line)
                await watcher.when(prompt["id"], "prompt.ended", 60)

        began = time.perf_counter()
        await asyncio.gather(*(one(n) for n in range(count)))
        took = time.perf_counter() - began
        watcher.end()
        show("prompts end to end, per s", "500", {"per_s": count / took, "count": count})


async def idle_runtimes(count: int = 5000) -> None:
    """Connected idle runtimes in one process, and what each costs."""
    async with stage() as s:
        await s.fleet(20)
        pid = s.server.pid
        before = pss_kib(pid)
        began = time.perf_counter()
        await s.fleet(count)
        took = time.perf_counter() - began
        each = (pss_kib(pid) - before) / count
        show("idle runtimes, KiB each", "40", {"runtimes": count, "kib_each": each, "connected_in_s": took})


async def growth(small: int = 1_000, large: int = 1_000_000) -> None:
    """The cost of one more prompt when the log holds many events."""
    async with stage() as s:
        await s.fleet(1)
        [endpoint_id] = await s.endpoints()
        costs = {}
        for size in (small, large):
            fill(s.server.data_dir / "caisey.db", size)
            watcher = Watcher()
            [(session_id, line)] = await open_sessions(s, [endpoint_id], watcher)
            waits = []
            for _ in range(300):
                began = time.perf_counter()
                prompt = await s.ask("POST", f"/sessions/{session_id}/prompts", {"tool_calls": [TRUE]}, line)
                waits.append((await watcher.when(prompt["id"], "prompt.ended") - began) * 1000)
            watcher.end()
            costs[size] = percentiles(waits)["p50"]
        ratio = costs[large] / costs[small]
        show(
            "one more prompt, 1M against 1k",
            "1.5 x",
            {"ratio": ratio, "small_ms": costs[small], "large_ms": costs[large]},
        )


def fill(path: Path, events: int) -> None:
    """Events of other sessions of another organization, straight into the table: only their number matters."""
    with sqlite3.connect(path, timeout=60) as log:
        have = log.execute("SELECT count(*) FROM events").fetchone()[0]
        columns = [row[1] for row in log.execute("PRAGMA table_info(events)") if row[1] != "position"]
        sample = log.execute(f"SELECT {', '.join(columns)} FROM events WHERE session_id IS NOT NULL LIMIT 1").fetchone()  # noqa: S608  # column names of our own table
        if sample is None:
            sample = log.execute(f"SELECT {', '.join(columns)} FROM events LIMIT 1").fetchone()  # noqa: S608
        marks = ", ".join("?" * len(columns))
        rows = []
        for number in range(max(0, events - have)):
            row = dict(zip(columns, sample, strict=True))
            row |= {
                "organization_id": "org_filling",
                "sequence": have + number + 1,
                "session_id": f"ses_{number // 50}",
            }
            rows.append(tuple(row[c] for c in columns))
        log.executemany(f"INSERT INTO events ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608


async def killed() -> None:
    """Runtime killed → the technician's stream says so."""
    waits = []
    async with stage() as s:
        for _ in range(3):
            process, endpoint_id = await s.real_runtime()
            watcher = Watcher()
            [(session_id, line)] = await open_sessions(s, [endpoint_id], watcher)
            call = TRUE | {"arguments": {"command": "sleep 30"}}
            prompt = await s.ask("POST", f"/sessions/{session_id}/prompts", {"tool_calls": [call]}, line)
            await watcher.when(prompt["id"], "attempt.started")
            began = time.perf_counter()
            process.kill()
            waits.append((await watcher.when(prompt["id"], "attempt.lost") - began) * 1000)
            watcher.end()
            await s.ask("DELETE", f"/endpoints/{endpoint_id}")
    show("killed → seen, ms", "1000", percentiles(waits))


async def orphan() -> None:
    """Orphan known after the acknowledgement window."""
    async with stage() as s:
        await s.fleet(1)
        await s.ask("PUT", "/policy", {"ack_window_s": 2})
        watcher = Watcher()
        sessions = await open_sessions(s, await s.endpoints(), watcher)
        over = []
        for _ in range(5):
            session_id, line = sessions[0]
            call = TRUE | {"arguments": {"command": "never"}}
            prompt = await s.ask("POST", f"/sessions/{session_id}/prompts", {"tool_calls": [call]}, line)
            sent = await watcher.when(prompt["id"], "attempt.dispatched")
            over.append((await watcher.when(prompt["id"], "attempt.ended") - sent) * 1000 - 2000)
        watcher.end()
        show("orphan known after window, ms", "500", percentiles(over))


async def start_up(sessions: int = 100_000) -> None:
    """Control plane start with many sessions, until it serves."""
    async with stage() as s:
        await s.fleet(1)
        [endpoint_id] = await s.endpoints()
        session_id = await s.session(endpoint_id)
        s.server.stop()
        clone_session(s.server.data_dir / "caisey.db", session_id, sessions)
        began = time.perf_counter()
        s.server.start()
        show(f"start with {sessions} sessions, s", "3", {"s": time.perf_counter() - began})


def clone_session(path: Path, session_id: str, count: int) -> None:
    """Many sessions like one, in the log and in the read model."""
    with sqlite3.connect(path, timeout=60) as log:
        for table in ("sessions",):
            columns = [row[1] for row in log.execute(f"PRAGMA table_info({table})")]
            sample = log.execute(
                f"SELECT {', '.join(columns)} FROM {table} WHERE session_id = ?",  # noqa: S608  # our own table
                (session_id,),
            ).fetchone()
            marks = ", ".join("?" * len(columns))
            at = columns.index("session_id")
            rows = [(*sample[:at], f"ses_c{n}", *sample[at + 1 :]) for n in range(count)]
            log.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608
    fill(path, count * 5)


async def runtime_process(seconds: int = 20) -> None:
    """The runtime's memory and its CPU while idle."""
    async with stage() as s:
        process, _ = await s.real_runtime()
        await asyncio.sleep(3)
        ticks = os.sysconf("SC_CLK_TCK")
        before = cpu_ticks(process.pid)
        await asyncio.sleep(seconds)
        share = (cpu_ticks(process.pid) - before) / ticks / seconds * 100
        figures = {
            "rss_mib": memory_kib(process.pid) / 1024,
            "pss_mib": pss_kib(process.pid) / 1024,
            "cpu_percent": share,
        }
        show("runtime process", "45 MiB, 0.3 %", figures)


def cpu_ticks(pid: int) -> int:
    """User and system time of a process, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


async def transcript() -> None:
    """First byte of a transcript page of 2,000 events."""
    async with stage() as s:
        await s.fleet(1)
        watcher = Watcher()
        sessions = await open_sessions(s, await s.endpoints(), watcher)
        session_id, line = sessions[0]
        for _ in range(220):  # about nine events each
            prompt = await s.ask("POST", f"/sessions/{session_id}/prompts", {"tool_calls": [TRUE]}, line)
            await watcher.when(prompt["id"], "prompt.ended")
        watcher.end()
        waits = []
        for _ in range(5):
            began = time.perf_counter()
            await line.request("GET", f"/api/v1/sessions/{session_id}/transcript?format=html")
            waits.append((time.perf_counter() - began) * 1000)
        show("transcript of 2,000 events, ms", "300", percentiles(waits))


FIGURES = {
    "first_receipt": first_receipt,
    "verdict": verdict,
    "in_flight": in_flight,
    "throughput": throughput,
    "idle_runtimes": idle_runtimes,
    "growth": growth,
    "killed": killed,
    "orphan": orphan,
    "start_up": start_up,
    "runtime_process": runtime_process,
    "transcript": transcript,
}
