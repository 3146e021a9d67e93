"""Output comes back byte for byte, with its gaps, and is never replaced (RECOVERY.md §9, invariant 4)."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from caisey.storage.output import Conflict, Output, Segment
from tests.storage.logs import in_loop, sqlite_log

KEY = ("tcl_1", 1, "stdout")


@in_loop
async def test_streams_attempts_and_calls_are_apart(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "data") as log:
        output = Output(log)
        keys = [KEY, ("tcl_1", 1, "stderr"), ("tcl_1", 2, "stdout"), ("tcl_2", 1, "stdout")]
        await log.append([], [output.segment(key, 0, f"{at}".encode()) for at, key in enumerate(keys)]).committed
        assert [await output.read(key, 0, 9) for key in keys] == [b"0", b"1", b"2", b"3"]


@in_loop
async def test_a_gap_is_a_gap(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "data") as log:
        output = Output(log)
        await log.append([], [output.segment(KEY, 0, b"abc"), output.segment(KEY, 3, b"de")]).committed
        await log.append([], [output.segment(KEY, 9, b"xyz")]).committed
        assert await output.segments(KEY, 0, 100) == [Segment(0, b"abcde"), Segment(9, b"xyz")]
        assert await output.segments(KEY, 1, 9) == [Segment(1, b"bcde"), Segment(9, b"x")]
        assert await output.segments(KEY, 5, 4) == []
        assert await output.read(KEY, 6, 12) == b""
        assert await output.read(KEY, 10, 11) == b"y"


@in_loop
async def test_stored_bytes_stay_and_others_are_kept_apart(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "data") as log:
        output = Output(log)
        await log.append([], [output.segment(KEY, 0, b"first")]).committed
        await log.append([], [output.segment(KEY, 0, b"other"), output.conflict(KEY, 0, b"other", 7)]).committed
        assert await output.read(KEY, 0, 5) == b"first"
        assert await output.conflicts(KEY) == [Conflict(0, b"other", 7)]


@settings(max_examples=30)
@given(
    pieces=st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=9)), max_size=8),
    start=st.integers(0, 40),
    limit=st.integers(0, 40),
)
def test_any_range_is_what_was_stored_of_it(pieces: list[tuple[bool, bytes]], start: int, limit: int) -> None:
    """The model is a sparse array of bytes."""

    @in_loop
    async def run() -> None:
        model: dict[int, int] = {}
        with tempfile.TemporaryDirectory() as scratch:
            async with sqlite_log(Path(scratch) / "data") as log:
                output, at = Output(log), 0
                for lost, data in pieces:
                    if not lost:
                        await log.append([], [output.segment(KEY, at, data)]).committed
                        model.update(enumerate(data, start=at))
                    at += len(data)
                found = await output.segments(KEY, start, limit)
        read = {offset + at: byte for offset, data in found for at, byte in enumerate(data)}
        assert read == {place: byte for place, byte in model.items() if start <= place < start + limit}
        assert all(before.offset + len(before.data) < after.offset for before, after in pairwise(found))

    run()
