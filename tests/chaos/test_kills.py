"""A short run of the deaths: enough to see every kind. `make chaos` makes 200."""

from __future__ import annotations

import os

import pytest

from tests.chaos.scenes import SCENES, run

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]


@pytest.mark.timeout(400)
def test_kills_lose_nothing_and_start_nothing_twice() -> None:
    seed = int(os.environ.get("SEED", "7"))
    report = run("kills", seed, SCENES["kills"].small)
    assert not report.broken, report.text()
    assert report.figures["control planes"] > 0
    assert report.figures["runtimes"] > 0
    assert report.held
