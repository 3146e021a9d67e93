"""The stated seeds: 2,000 of them, run by the tests of two files, so that two workers share them.

Owns how many there are and who runs which. Whoever ends last looks at what all of them together have visited.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.simulation.coverage import wrong_with

ROOT: Final = Path(__file__).resolve().parents[2]
SEEDS: Final = 2_000
PARTS: Final = 8
A_PART: Final = SEEDS // PARTS
LAST: Final = re.compile(r"runs (\d+), steps (\d+), faults (\d+), broken invariants (\d+)")


def simulate(*arguments: str, timeout: float = 420.0) -> str:
    """Run the program; what it printed. It must end with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    return done.stdout


def run_part(part: int, factory: pytest.TempPathFactory) -> None:
    """A part of the seeds; none of them breaks anything, and all parts together visit what can be reached."""
    folder = _shared(factory)
    mine = folder / f"simulation-{part}.json"
    arguments = ("--seed", str(part * A_PART), "--runs", str(A_PART), "--jobs", "1", "--cells", str(mine))
    last = LAST.search(simulate(*arguments).strip().splitlines()[-1])
    assert last is not None
    runs, steps, faults, broken = map(int, last.groups())
    assert (runs, broken) == (A_PART, 0)
    assert steps > 1_000 * runs
    assert faults > runs
    told = [folder / f"simulation-{each}.json" for each in range(PARTS)]
    if all(path.exists() for path in told):
        visited = {(state, event) for path in told for state, event in json.loads(path.read_text())}
        assert not wrong_with(visited)


def _shared(factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run have."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
