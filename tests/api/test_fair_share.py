"""One connection is read as fast as its share of everybody's time, and the others have their turns in between."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caisey.api.fair_share import (
    BURST_S,
    BYTE_S,
    FRAME_S,
    FRAMES_IN_A_ROW,
    IN_A_ROW_S,
    SHARE,
    SHARED_BYTE_S,
    FairShare,
    stand_back,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 0.01), st.integers(0, 1 << 20), st.booleans()), min_size=1, max_size=400))
def test_a_connection_takes_its_share_for_long_and_no_more(frames: list[tuple[float, int, bool]]) -> None:
    clock = Clock()
    share, taken = FairShare(clock), 0.0
    for cost, size, shared in frames:
        began = share.begin()
        clock.now += cost
        pause = share.took(began, size, shared=shared)
        taken += cost + FRAME_S + size * (SHARED_BYTE_S if shared else BYTE_S)
        clock.now += pause or 0.0
        longest = 0.01 + FRAME_S + (1 << 20) * SHARED_BYTE_S
        assert taken <= clock.now * SHARE + BURST_S + longest


def test_one_that_works_as_hard_as_it_can_is_never_held_up() -> None:
    """Five hundred small frames a second, each half a millisecond of the loop."""
    clock = Clock()
    share = FairShare(clock)
    for number in range(5_000):
        clock.now = number / 500
        began = share.begin()
        clock.now += 0.000_5
        assert not share.took(began, 300, shared=True)


@pytest.mark.parametrize(("shared", "chunks_per_s"), [(True, 256), (False, 960)])
def test_output_is_never_held_up_below_its_share(shared: bool, chunks_per_s: int) -> None:
    """16 MiB a second where others are at work, 60 where nobody is."""
    clock = Clock()
    share = FairShare(clock)
    for number in range(chunks_per_s * 10):
        clock.now = number / chunks_per_s
        began = share.begin()
        clock.now += 0.000_2
        assert not share.took(began, 64 * 1024 * 4 // 3 + 200, shared=shared)


@pytest.mark.parametrize("cost", [0.0, 0.000_3])
def test_after_a_row_of_frames_the_others_have_turns(cost: float) -> None:
    clock = Clock()
    share = FairShare(clock)
    pauses: list[float | None] = []
    for _ in range(FRAMES_IN_A_ROW):
        began = share.begin()
        clock.now += cost
        pauses.append(share.took(began, 100, shared=False))
        if pauses[-1] is not None:
            break
    assert pauses[-1] == 0.0
    assert len(pauses) == (FRAMES_IN_A_ROW if cost == 0.0 else -(-IN_A_ROW_S // (cost + FRAME_S + 100 * BYTE_S)))


def test_what_waits_in_the_loop_goes_first() -> None:
    async def story() -> list[str]:
        heard: list[str] = []

        async def other() -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            heard.append("other")

        task = asyncio.create_task(other())
        await stand_back(0.0)
        heard.append("flooder")
        await task
        return heard

    assert asyncio.run(story()) == ["other", "flooder"]
