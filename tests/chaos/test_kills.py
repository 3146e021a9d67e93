"""A short run of the chaos: enough to see every kind of kill. `make chaos` makes 200."""

from __future__ import annotations

import os

import pytest

from tests.chaos.kills import run


@pytest.mark.timeout(400)
def test_kills_lose_nothing_and_start_nothing_twice() -> None:
    seed = int(os.environ.get("SEED", "7"))
    report = run(seed, kills=12)
    assert not report.broken, report.text()
    assert report.accepted > 20
    assert min(report.kills.values()) > 0
