"""Many stories, one after the other or on all cores; and the shortest story of one that broke something.

Owns quiet logging, the sum of what was seen, and the shortening of a list of events by leaving parts out.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import structlog

from tests.simulation.story import Event, Story, story
from tests.simulation.world import Outcome, World

COLLECT_AFTER = 500_000


class Sum(NamedTuple):
    """Of many runs."""

    runs: int
    steps: int
    faults: int
    starts: int
    events: int
    broken: list[tuple[str, str]]
    cells: Counter[tuple[str, str]]
    fault_cells: set[tuple[str, str, str]]
    happened: Counter[str]
    seconds: float


def quiet() -> None:
    """What the product logs of faults that were made on purpose helps nobody here."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def run(told: Story) -> Outcome:
    """One story."""
    return World(told).run()


def run_seed(seed: str) -> tuple[str, Outcome]:
    """One seed. Rubbish is collected between runs, not in them: a tenth faster."""
    gc.disable()
    outcome = run(story(seed))
    if gc.get_count()[0] > COLLECT_AFTER:
        gc.collect()
    return seed, outcome


def many(seeds: Iterable[str], jobs: int, most_s: float = 0.0, told: Callable[[str, str], None] | None = None) -> Sum:
    """All of them, or as many as there is time for (0: all)."""
    begin = time.monotonic()
    cells: Counter[tuple[str, str]] = Counter()
    happened: Counter[str] = Counter()
    fault_cells: set[tuple[str, str, str]] = set()
    broken: list[tuple[str, str]] = []
    runs = steps = faults = starts = events = 0
    for seed, outcome in _outcomes(seeds, jobs):
        runs += 1
        steps += outcome.steps
        faults += outcome.faults
        starts += outcome.starts
        events += outcome.events
        cells += outcome.cells
        happened += outcome.happened
        fault_cells |= outcome.fault_cells
        if outcome.broken:
            broken.append((seed, outcome.broken))
            if told is not None:
                told(seed, outcome.broken)
        if most_s and time.monotonic() - begin > most_s:
            break
    return Sum(runs, steps, faults, starts, events, broken, cells, fault_cells, happened, time.monotonic() - begin)


def _outcomes(seeds: Iterable[str], jobs: int) -> Iterator[tuple[str, Outcome]]:
    if jobs <= 1:
        yield from map(run_seed, seeds)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(run_seed, seeds, chunksize=4)


def shortened(told: Story, broken: str, tries: int = 300) -> Story:
    """The fewest events that still break the same invariant (delta debugging)."""
    what = broken.partition(":")[0]
    left = tries

    def still(events: tuple[Event, ...]) -> bool:
        nonlocal left
        left -= 1
        return left > 0 and run(told._replace(events=events)).broken.partition(":")[0] == what

    events, parts = told.events, 2
    while len(events) > 1 and left > 0:
        size = max(1, len(events) // parts)
        for at in range(0, len(events), size):
            without = events[:at] + events[at + size :]
            if without and still(without):
                events, parts = without, max(2, parts - 1)
                break
        else:
            if size == 1:
                break
            parts = min(len(events), parts * 2)
    return told._replace(events=events)
