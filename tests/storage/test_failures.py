"""The log under trouble: a full disk, a lock, an overload, a defect of its own. Nothing is half said."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from caisey.core import audit
from caisey.storage.contract import AppendFailed, Closed, Overloaded, StorageError
from caisey.storage.sqlite import checkpoints, connections
from caisey.storage.sqlite import log as log_module
from caisey.storage.sqlite import writer as writer_module
from caisey.storage.sqlite.log import SqliteLog
from tests.storage.logs import COUNT, KEY, ONE, TWO, entry, every_line, in_loop, outcome, sqlite_log


def writing(log: SqliteLog) -> sqlite3.Connection:
    connection = log._writer._connection
    assert connection is not None
    return connection


def size_of(path: Path) -> int:
    return path.stat().st_size


def generation_of(wal: Path) -> bytes:
    """The salts in the header, new each time the file is begun anew."""
    with wal.open("rb") as file:
        return file.read(24)[16:]


@in_loop
async def test_a_full_disk_fails_all_that_waits_and_the_log_goes_on_after_it(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "data") as log:
        await log.append([entry(ONE), entry(TWO)]).committed
        told: list[int] = []
        log.on_failure(lambda: told.append(1))
        (pages,) = writing(log).execute("PRAGMA page_count").fetchone()
        writing(log).execute(f"PRAGMA max_page_count = {pages}")
        with log._writer._gate:  # all wait when it strikes
            big = entry(ONE, filling="x" * 100_000)
            units = [log.append([big]), log.append([entry(TWO)]), log.append([entry(ONE)])]
        assert [await outcome(unit) for unit in units] == [False, False, False]
        assert told == [1]
        writing(log).execute("PRAGMA max_page_count = 1000000")
        again = log.append([entry(ONE), entry(TWO)])
        await again.committed
        for organization in (ONE, TWO):
            lines = await every_line(log, organization)
            assert audit.verify(lines, KEY.public_key()).ok
        assert again.sequences == [2, 2]
        assert log.health().failures == 1


@in_loop
async def test_a_database_locked_by_somebody_else_fails_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "BUSY_TIMEOUT_S", 0.05)
    async with sqlite_log(tmp_path / "data") as log:
        intruder = sqlite3.connect(tmp_path / "data" / "caisey.db", isolation_level=None)
        intruder.execute("BEGIN IMMEDIATE")
        assert not await outcome(log.append([entry()]))
        intruder.execute("ROLLBACK")
        intruder.close()
        assert log.append([entry()]).sequences == [1]


@in_loop
async def test_above_the_bound_nothing_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "MAX_PENDING_UNITS", 10)
    async with sqlite_log(tmp_path / "data") as log:
        with log._writer._gate:  # the disk is slow
            taken = [log.append([entry()]) for _ in range(10)]
            with pytest.raises(Overloaded):
                log.append([entry()])
            assert log.health().pending_units == 10
        await taken[-1].committed
        assert log.append([entry()]).sequences == [11]


@in_loop
async def test_the_bound_counts_bytes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "MAX_PENDING_BYTES", 50_000)
    store = "INSERT INTO output (tool_call_id, attempt, stream, offset, data) VALUES ('t', 1, 'stdout', ?, ?)"
    async with sqlite_log(tmp_path / "data") as log:
        with log._writer._gate:
            first = log.append([], [(store, (0, b"x" * 40_000))])
            with pytest.raises(Overloaded):
                log.append([], [(store, (40_000, b"x" * 40_000))])
            with pytest.raises(Overloaded):
                log.append([entry(text="x" * 40_000)])
        await first.committed
        await log.append([], [(store, (40_000, b"x" * 40_000))]).committed


@in_loop
async def test_a_defect_in_the_writer_leaves_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: seen.append(arguments.exc_type))

    def defect(*_: object) -> None:
        raise LookupError

    async with sqlite_log(tmp_path / "data") as log:
        told: list[int] = []
        log.on_failure(lambda: told.append(1))
        monkeypatch.setattr(writer_module, "seal", defect)
        assert not await outcome(log.append([entry()]))
        assert told == [1]
        with pytest.raises(Closed):
            log.append([entry()])
    assert seen == [LookupError]


@in_loop
async def test_many_units_share_a_commit(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "data") as log:
        with log._writer._gate:
            taken = [log.append([entry(n=n)]).committed for n in range(600)]
        await asyncio.gather(*taken)
        health = log.health()
        assert (health.units, health.events) == (600, 600)
        assert health.commits <= 4


@in_loop
async def test_a_batch_of_many_shapes_is_inserted_in_order(tmp_path: Path) -> None:
    """Rows go in by statements of 64, 32, … rows: every length has to come out whole."""
    async with sqlite_log(tmp_path / "data") as log:
        for size in range(1, 131):
            await log.append([entry(n=n) for n in range(size)]).committed
        assert log.query_now(COUNT) == [(130 * 131 // 2,)]
        assert audit.verify(await every_line(log, ONE), KEY.public_key()).ok


@in_loop
async def test_the_write_ahead_log_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "INTERVAL_S", 0.01)
    monkeypatch.setattr(checkpoints, "RESTART_BYTES", 256 * 1024)
    monkeypatch.setattr(checkpoints, "TRUNCATE_BYTES", 1024 * 1024)
    wal = tmp_path / "data" / "caisey.db-wal"
    async with sqlite_log(tmp_path / "data") as log:
        reader = connections.open_reader(tmp_path / "data" / "caisey.db")
        reader.execute("BEGIN")
        reader.execute(COUNT).fetchall()
        while size_of(wal) < 2 * 1024 * 1024:  # a reader stands in the way: it can only grow
            await log.append([entry(text="x" * 50_000)]).committed
        reader.execute("COMMIT")
        reader.close()
        while size_of(wal) > 1024 * 1024:
            await log.append([entry(text="x")]).committed
        generation = generation_of(wal)
        while generation_of(wal) == generation:  # it is written from its beginning again
            await log.append([entry(text="x" * 1_000)]).committed
    assert not wal.exists()


@in_loop
async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "data") as log:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            log.query_now("DELETE FROM events")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await log.query("DELETE FROM events")


def test_every_refusal_is_a_storage_error() -> None:
    assert issubclass(Closed, Overloaded)
    assert issubclass(Overloaded, StorageError)
    assert issubclass(AppendFailed, StorageError)
