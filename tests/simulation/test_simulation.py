"""The simulation as a test: the stories that once broke something, that a seed is a seed, the defects.

The stated seeds are in the two files beside this one. Each part runs in a process of its own, because a seed is a seed
only where the order of sets is fixed from the start.
"""

from __future__ import annotations

import re

import pytest

from tests.simulation.coverage import CELLS, UNREACHABLE
from tests.simulation.defects import BY_TESTS
from tests.simulation.seeds import ROOT, simulate

pytestmark = pytest.mark.simulation


def test_every_story_that_once_broke_something_holds() -> None:
    assert "all hold" in simulate("--regressions")


@pytest.mark.parametrize("seed", ["7", "83"])  # 83: over long polls, with a liar
def test_a_seed_is_told_the_same_twice(seed: str) -> None:
    first, second = (simulate("--seed", seed, "--trace") for _ in range(2))
    assert first == second
    assert len(first.splitlines()) > 100


def test_only_cells_that_exist_are_said_to_be_out_of_reach() -> None:
    assert UNREACHABLE.keys() <= CELLS


@pytest.mark.parametrize("test", BY_TESTS.values())
def test_a_test_that_is_named_for_a_defect_exists(test: str) -> None:
    path, _, name = test.partition("::")
    name, _, case = name.partition("[")
    source = (ROOT / path).read_text()
    assert f"def {name}(" in source
    assert case.removesuffix("]") in source


@pytest.mark.slow
@pytest.mark.timeout(480)
def test_planted_defects_are_found() -> None:
    """Each at the seed that is on record for it, or at one of the next; `--defects` alone looks for it anew."""
    assert re.search(r"not found 0$", simulate("--defects", "--quick", "--jobs", "1").strip())
