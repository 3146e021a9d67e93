"""The second half of the stated seeds."""

from __future__ import annotations

import pytest

from tests.simulation.seeds import PARTS, run_part

pytestmark = [pytest.mark.simulation, pytest.mark.slow, pytest.mark.timeout(480)]


@pytest.mark.parametrize("part", range(PARTS // 2, PARTS))
def test_no_seed_breaks_an_invariant(part: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    run_part(part, tmp_path_factory)
