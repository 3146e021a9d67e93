"""Figures of the console's lists: the computers of a large house, searched and filtered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from tests.bench.console import _loads, _somebody
from tests.bench.figure import Bar, Measured, figure
from tests.bench.stage import Stage, stage
from tests.web.plane_at import PlaneAt

COMPUTERS = 5_000
CLIENTS = 40
PATHS = {
    "all": "/endpoints",
    "search": "/endpoints?q=user-42",
    "filter": "/endpoints?health=offline",
}


@figure(
    "List of 5,000 computers",
    Bar("all, first byte p50, ms", "first byte, p50", "ms", 150, 40),
    Bar("search, first byte p50, ms", "of a search as one types, p50", "ms", 150, 40),
    Bar("filter, first byte p50, ms", "of those that are offline, p50", "ms", 150, 40),
    how="`GET /endpoints` of the console with 5,000 computers of 40 clients, each with its facts, signed in, ten "
    "times: all "
    "of them, by a signed-in user, by health.",
)
async def endpoints_list(computers: int = COMPUTERS) -> Measured:
    """What a technician has open all day, in a large house."""
    async with stage() as s:
        await _house(s, computers)
        plane, visitor = await asyncio.to_thread(_somebody, s)
        samples: dict[str, list[float]] = {}
        sizes: dict[str, float] = {}
        for name, path in PATHS.items():
            await asyncio.to_thread(_loads, visitor, path)  # the first one makes what is kept for the next
            samples[f"{name}, first byte, ms"], size = await asyncio.to_thread(_loads, visitor, path)
            sizes[f"{name}, KiB"] = size / 1024
        await asyncio.to_thread(visitor.close)
        plane.close()
        p50 = {f"{name[:-4]} p50, ms": sorted(found)[len(found) // 2] for name, found in samples.items()}
        values = {**p50, **sizes, "computers": float(computers)}
        return Measured(values=values, samples=samples, memory_mib=s.memory())


async def _house(s: Stage, computers: int) -> None:
    """One computer through the front door, the others as copies of its row, written while nobody serves the file."""
    plane = PlaneAt(s.server.url, s.token)
    groups = [await asyncio.to_thread(plane.api().group, f"Client {n:02}") for n in range(CLIENTS)]
    await asyncio.to_thread(plane.api().endpoint, groups[0], "PC-00000")
    plane.close()
    await asyncio.to_thread(s.server.stop)
    _copy(s.server.data_dir / "caisey.db", groups, computers)
    await asyncio.to_thread(s.server.start)
    s.api = s.connection()


def _copy(path: Path, groups: list[str], computers: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as log:
        columns = [row[1] for row in log.execute("PRAGMA table_info(endpoints)")]
        first = dict(zip(columns, log.execute("SELECT * FROM endpoints").fetchone(), strict=True))
        rows = [_computer(first, groups, n) for n in range(1, computers)]
        marks = ",".join("?" * len(columns))
        log.executemany(f"INSERT INTO endpoints VALUES ({marks})", [[row[name] for name in columns] for row in rows])  # noqa: S608
        health = [
            (row["endpoint_id"], "offline" if n % 3 else "asleep", row["created_at_ms"]) for n, row in enumerate(rows)
        ]
        log.executemany("INSERT INTO endpoint_health VALUES (?, ?, ?)", health)
        facts = [fact for n, row in enumerate(rows) for fact in _facts(row, n)]
        log.executemany("INSERT INTO facts (endpoint_id, name, value, source, at_ms) VALUES (?, ?, ?, ?, ?)", facts)
        log.commit()


def _computer(first: dict[str, Any], groups: list[str], number: int) -> dict[str, Any]:
    return {
        **first,
        "endpoint_id": f"ept_{number:026d}",
        "name": f"PC-{number:05}",
        "client_group_id": groups[number % len(groups)],
        "tags": json.dumps(["till"] if number % 5 == 0 else ["office", f"floor-{number % 7}"]),
        "machine_fingerprint": f"{number:064x}",
    }


def _facts(row: dict[str, Any], number: int) -> list[tuple[str, str, str, str, int]]:
    known = {
        "signed_in_users": [f"user-{number}"],
        "addresses": [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "fd00::1"],
        "serial": f"SN{number:08}",
        "memory_bytes": 16_000_000_000,
        "idle_s": number,
    }
    return [
        (row["endpoint_id"], name, json.dumps(value), "system_info", row["created_at_ms"])
        for name, value in known.items()
    ]
