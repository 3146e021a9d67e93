"""Every other scene once, small, one after the other on one stage: a start costs more than most of them.

`make chaos` runs each on a stage of its own, and longer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.judge import Judge
from tests.chaos.report import Report, SkippedError
from tests.chaos.scenes import SCENES
from tests.chaos.stage import Stage

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow, pytest.mark.timeout(400)]
SEED = int(os.environ.get("SEED", "7"))
ON_ONE_STAGE = [name for name in SCENES if name != "kills"]
NEEDS = ("proxy", "disk", "clock")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """With everything that this machine permits. Ended at last, and asked once more what held."""
    possible = set(NEEDS)
    missing: dict[str, str] = {}
    while True:
        report = Report("all on one stage", SEED)
        directory = tmp_path_factory.mktemp("chaos")
        try:
            with Stage(directory, report, needs=frozenset(possible), bridges=("websocket", "longpoll")) as made:
                made.missing = missing
                yield made
                Judge(made).afterwards(most=100)
                assert not report.broken, report.text()
                return
        except SkippedError as skipped:
            need = "disk" if "tmpfs" in str(skipped) or "mount" in str(skipped) else "clock"
            possible.discard(need)
            missing[need] = str(skipped)


@pytest.mark.parametrize("name", ON_ONE_STAGE)
def test_it_holds(stage: Stage, name: str, tmp_path: Path) -> None:
    scene, before = SCENES[name], len(stage.loads)
    for need in scene.stage.get("needs", ()):
        if need in stage.missing:
            pytest.skip(stage.missing[need])
    stage.begin(Report(name, SEED))
    scene.act(stage, scene.small.rounds, scene.small.rate)
    judge = Judge(stage, **scene.judged)
    for load in stage.loads[before:]:
        judge.settle(load)
    assert not stage.report.broken, stage.report.text()
    assert stage.report.held
