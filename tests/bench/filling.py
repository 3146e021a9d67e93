"""A log that is large already: copies of one real session, written while nobody serves the file.

Owns the copying. Events and read models are as a real session leaves them, with ids of their own; only the digests of
the chain are those of the first (nothing that is measured verifies it, and a million real ones take minutes).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

OPEN_FOR_MS = 3_600_000
_COPIED = ("sessions", "prompts", "tool_calls", "output")
_BATCH = 20_000
Row = tuple[Any, ...]


class Sample(NamedTuple):
    """The first session of the file, with its only prompt."""

    columns: list[str]
    opening: list[Row]  # up to the first prompt
    prompt: list[Row]
    models: dict[str, list[Row]]
    ids: tuple[str, str, str]  # session, prompt, tool call
    endpoint_id: str


def fill(path: Path, *, sessions: int, prompts_each: int, open_every: int = 0) -> int:
    """Add so many sessions; every so-manieth has its last command still running. How many events there are then."""
    log = sqlite3.connect(path, isolation_level=None)
    try:
        log.execute("PRAGMA synchronous = OFF")
        log.execute("PRAGMA cache_size = -400000")
        log.execute("BEGIN")
        sample = _sample(log)
        position, sequence = log.execute("SELECT max(position), max(sequence) FROM events").fetchone()
        events = _events(sample, sessions, prompts_each, open_every, position, sequence)
        while batch := list(islice(events, _BATCH)):
            _insert(log, "events", batch)
        for table in _COPIED:
            rows = _models(sample, table, sessions, prompts_each)
            while batch := list(islice(rows, _BATCH)):
                _insert(log, table, batch)
        if open_every:
            due = time.time_ns() // 1_000_000 + OPEN_FOR_MS
            _insert(log, "open_work", [(_session(n), sample.endpoint_id, due) for n in range(0, sessions, open_every)])
        log.execute("COMMIT")
        log.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(log.execute("SELECT count(*) FROM events").fetchone()[0])
    finally:
        log.close()


def _sample(log: sqlite3.Connection) -> Sample:
    columns = [row[1] for row in log.execute("PRAGMA table_info(events)")]
    session_id, endpoint_id = log.execute("SELECT session_id, endpoint_id FROM sessions LIMIT 1").fetchone()
    prompt_id, call_id = log.execute(
        "SELECT prompt_id, tool_call_id FROM tool_calls WHERE session_id = ? LIMIT 1", (session_id,)
    ).fetchone()
    rows = log.execute("SELECT * FROM events WHERE session_id = ? ORDER BY sequence", (session_id,)).fetchall()
    kind = columns.index("type")
    first = next(i for i, row in enumerate(rows) if row[kind] == "prompt.accepted")
    last = next(i for i, row in enumerate(rows) if row[kind] == "prompt.ended")
    models = {}
    for table in _COPIED:
        by = "session_id" if table in ("sessions", "prompts", "tool_calls") else "tool_call_id"
        of = session_id if by == "session_id" else call_id
        models[table] = log.execute(f"SELECT * FROM {table} WHERE {by} = ?", (of,)).fetchall()  # noqa: S608  # constants
    return Sample(columns, rows[:first], rows[first : last + 1], models, (session_id, prompt_id, call_id), endpoint_id)


def _session(number: int) -> str:
    return f"ses_{number:026d}"


def _own(row: Row, ids: tuple[str, str, str], number: int, prompt: int) -> list[Any]:
    """The row with the ids of that copy."""
    session_id, prompt_id, call_id = ids
    whose = f"{number:018d}{prompt:08d}"
    return [
        x.replace(session_id, _session(number)).replace(prompt_id, f"pmt_{whose}").replace(call_id, f"tcl_{whose}")
        if isinstance(x, str)
        else x
        for x in row
    ]


def _events(
    sample: Sample, sessions: int, prompts_each: int, open_every: int, position: int, sequence: int
) -> Iterator[Row]:
    at = sample.columns.index("position"), sample.columns.index("sequence"), sample.columns.index("type")
    numbers = count(1)
    started = next(i for i, row in enumerate(sample.prompt) if row[at[2]] == "attempt.started")
    for number in range(sessions):
        for prompt in range(prompts_each):
            running = open_every and number % open_every == 0 and prompt == prompts_each - 1
            own = sample.prompt[: started + 1] if running else sample.prompt
            for row in (*(sample.opening if prompt == 0 else ()), *own):
                copy = _own(row, sample.ids, number, prompt)
                step = next(numbers)
                copy[at[0]], copy[at[1]] = position + step, sequence + step
                yield tuple(copy)


def _models(sample: Sample, table: str, sessions: int, prompts_each: int) -> Iterator[Row]:
    for number in range(sessions):
        for prompt in range(1 if table == "sessions" else prompts_each):
            for row in sample.models[table]:
                own = _own(row, sample.ids, number, prompt)
                yield (None, *own[1:]) if table == "output" else tuple(own)


def _insert(log: sqlite3.Connection, table: str, rows: list[Row]) -> None:
    marks = ",".join("?" * len(rows[0]))
    log.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608  # names of our own tables
