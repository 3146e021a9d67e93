"""The simulation as a test: as many seeds as there is time for, every story that once broke, a sample of the defects.

`SIMULATION_SECONDS` says for how long new seeds are run (75); `SIMULATION_SEED` where they begin. Each part runs in a
process of its own, because a seed is a seed only where the order of sets is fixed from the start.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = os.environ.get("SIMULATION_SECONDS", "75")
SEED = os.environ.get("SIMULATION_SEED", "0")
LAST = re.compile(r"runs (\d+), steps (\d+), faults (\d+), broken invariants (\d+)")

pytestmark = pytest.mark.simulation


def simulate(*arguments: str, timeout: float = 300.0) -> str:
    """Run the program; what it printed. It must end with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": "0"}, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_seed_breaks_an_invariant() -> None:
    said = simulate("--seed", SEED, "--runs", "20000", "--seconds", SECONDS, "--jobs", "1")
    last = LAST.search(said.strip().splitlines()[-1])
    assert last is not None, said[-500:]
    runs, _, faults, broken = map(int, last.groups())
    assert runs > 50
    assert faults > runs
    assert broken == 0


def test_every_story_that_once_broke_something_holds() -> None:
    assert "all hold" in simulate("--regressions")


def test_a_seed_is_told_the_same_twice() -> None:
    first, second = (simulate("--seed", "7", "--trace") for _ in range(2))
    assert first == second


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_planted_defects_are_found() -> None:
    """Each at the seed that is on record for it; `--defects` alone looks for it anew."""
    assert re.search(r"not found 0$", simulate("--defects", "--quick", "--jobs", "1").strip())
