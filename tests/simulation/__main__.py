"""`python -m tests.simulation --seed S --runs N`: N seeds from S on; a single seed is told in full if it breaks.

The last line says runs, steps, faults and broken invariants. The exit code is 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.simulation import defects
from tests.simulation.coverage import CELLS, MOVES, REACHABLE, UNREACHABLE, wrong_with
from tests.simulation.regressions import REGRESSIONS
from tests.simulation.runs import Sum, many, quiet, shortened
from tests.simulation.story import Story, story
from tests.simulation.world import World


def main() -> int:
    """See the module."""
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of words keep their order, so that a seed is a seed
        again = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        return subprocess.call(again, env=os.environ | {"PYTHONHASHSEED": "0"})
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--runs", type=int, default=0, help="how many seeds; 1 if a seed is given, else 2000")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after about so long (0: when all have run)")
    parser.add_argument("--only", default="", help="event numbers of a shortened story, as a failure prints them")
    parser.add_argument("--trace", action="store_true", help="tell everything that is said and committed (one seed)")
    parser.add_argument(
        "--defects", action="store_true", help="plant each defect of the list, and demand that it is found"
    )
    parser.add_argument(
        "--coverage", action="store_true", help="list the cells of state and event that were not visited"
    )
    parser.add_argument("--cells", type=Path, help="write the cells that were visited into this file")
    parser.add_argument("--quick", action="store_true", help="with --defects: only the seed on record for each")
    parser.add_argument("--regressions", action="store_true", help="run every story that once broke something")
    given = parser.parse_args()
    quiet()
    if given.defects:
        return _defects(given.only, given.jobs, quick=given.quick)
    if given.regressions:
        return _regressions()
    runs = given.runs or (1 if "--seed" in " ".join(sys.argv) else 2000)
    if given.only or given.trace:
        return _one(given.seed, given.only, given.trace)
    seeds = [str(seed) for seed in range(given.seed, given.seed + runs)]
    total = many(
        seeds, min(given.jobs, runs), given.seconds, lambda seed, broken: print(f"seed {seed}: {broken}", flush=True)
    )
    for seed, broken in total.broken[:3]:
        _tell(seed, broken)
    _coverage(total, listed=given.coverage)
    if given.cells is not None:
        part = given.cells.with_suffix(".part")
        part.write_text(json.dumps(sorted(total.cells)))
        part.replace(given.cells)
    kinds = " · ".join(f"{kind} {count}" for kind, count in sorted(total.happened.items()))
    print(f"what happened: {kinds}")
    print(
        f"{total.starts} commands started, {total.events} events of attempts,"
        f" {total.steps / total.seconds:,.0f} steps/s"
    )
    print(f"runs {total.runs}, steps {total.steps}, faults {total.faults}, broken invariants {len(total.broken)}")
    return 1 if total.broken else 0


def _defects(only: str, jobs: int, *, quick: bool) -> int:
    """Every planted defect, or those with this text in their names; 1 if one is not found."""
    planted = missed = 0
    for name, needed, seed, what in defects.found(only, jobs, quick=quick):
        planted, missed = planted + 1, missed + (not needed)
        found = f"after {needed} seeds ({seed})" if needed else "NOT FOUND"
        print(f"{found:>24}  {name}: {what}", flush=True)
    for name, test in defects.BY_TESTS.items():
        print(f"{'by test':>24}  {name}: {test}")
    print(f"defects {planted}, found {planted - missed}, by tests {len(defects.BY_TESTS)}, not found {missed}")
    return 1 if missed else 0


def _regressions() -> int:
    broken = 0
    for name, told in REGRESSIONS.items():
        outcome = World(told).run()
        broken += bool(outcome.broken)
        print(f"{'BROKEN' if outcome.broken else 'holds':>6}  {name}{': ' + outcome.broken if outcome.broken else ''}")
    print(f"stories {len(REGRESSIONS)}, {'all hold' if not broken else f'{broken} broken'}")
    return 1 if broken else 0


def _one(seed: int, only: str, trace: bool) -> int:
    told = story(seed)
    if only:
        told = told._replace(events=tuple(told.events[int(place)] for place in only.split(",")))
    world = World(told, tracing=trace)
    outcome = world.run()
    for line in world.trace or ():
        print(line)
    print(outcome.broken or "nothing is broken")
    print(f"runs 1, steps {outcome.steps}, faults {outcome.faults}, broken invariants {int(bool(outcome.broken))}")
    return 1 if outcome.broken else 0


def _tell(seed: str, broken: str) -> None:
    """The shortest story, and how to see it again."""
    whole = story(seed)
    short: Story = shortened(whole, broken)
    places = []
    rest = list(enumerate(whole.events))
    for event in short.events:
        place = next(i for i, (_, known) in enumerate(rest) if known == event)
        places.append(str(rest.pop(place)[0]))
    print(f"\nseed {seed}, {len(short.events)} of {len(whole.events)} events are enough:")
    for event in short.events:
        print(f"  {event}")
    print(f"  → {broken.splitlines()[0]}")
    print(f"  for regressions.py: {short!r}")
    print(f"  again: python -m tests.simulation --seed {seed} --only {','.join(places)} --trace")


def _coverage(total: Sum, *, listed: bool) -> None:
    visited = set(total.cells) & CELLS
    faults = {fault for *_, fault in total.fault_cells}
    print(
        f"coverage: {len(visited & MOVES)} of {len(MOVES & REACHABLE)} transitions,"
        f" {len(visited)} of {len(REACHABLE)} state × event, {len(total.fault_cells)} state × event × fault"
        f" ({len(faults)} kinds in force); {len(UNREACHABLE)} of {len(CELLS)} cells are out of reach"
    )
    if listed:
        for line in wrong_with(visited):
            print(f"  {line}")


if __name__ == "__main__":
    raise SystemExit(main())
