"""Every scene by its name: what it needs, how big it is, and how it is run on a stage of its own.

Owns the sizes: `full` for `make chaos`, `small` for `make test`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.clocks import clocks
from tests.chaos.descriptors import descriptors
from tests.chaos.disks import disks
from tests.chaos.flood import flood
from tests.chaos.frames import frames
from tests.chaos.freezes import freezes
from tests.chaos.judge import Judge
from tests.chaos.kills import kills
from tests.chaos.network import network
from tests.chaos.outputs import outputs
from tests.chaos.report import Report, SkippedError
from tests.chaos.stage import Stage

Act = Callable[[Stage, int, float], None]


@dataclass(frozen=True)
class Size:
    """`rounds` of what the scene counts in, at `rate` prompts a second beside it."""

    rounds: int
    rate: float


@dataclass(frozen=True)
class Scene:
    """One way of breaking things."""

    act: Act
    full: Size
    small: Size
    stage: Mapping[str, Any] = field(default_factory=dict)
    judged: Mapping[str, Any] = field(default_factory=dict)


SCENES: Mapping[str, Scene] = {
    "freezes": Scene(freezes, Size(6, 20), Size(3, 10)),
    "network": Scene(
        network,
        Size(24, 15),
        Size(6, 10),
        {"needs": frozenset({"proxy"}), "bridges": ("websocket", "longpoll")},
        {"exact_output": False},
    ),
    "disks": Scene(disks, Size(8, 15), Size(2, 10), {"needs": frozenset({"disk"})}, {"gaps": ("spool_full",)}),
    "clocks": Scene(clocks, Size(6, 10), Size(2, 5), {"needs": frozenset({"clock"})}),
    "descriptors": Scene(descriptors, Size(8, 15), Size(4, 10)),
    "outputs": Scene(outputs, Size(50, 10), Size(50, 5)),
    "frames": Scene(frames, Size(40, 10), Size(8, 5)),
    "flood": Scene(flood, Size(100, 0), Size(15, 0)),
    "kills": Scene(kills, Size(200, 20), Size(6, 20)),
}
"""In the order in which they are run; the longest one last."""


def run(name: str, seed: int, size: Size) -> Report:
    """One scene, on a stage of its own, with everything asked that must hold. What breaks the scene is broken."""
    scene, report = SCENES[name], Report(name, seed)
    with tempfile.TemporaryDirectory(prefix="caisey-chaos-") as directory:
        try:
            with Stage(Path(directory), report, **scene.stage) as stage:
                judge = Judge(stage, **scene.judged)
                scene.act(stage, size.rounds, size.rate)
                for load in stage.loads:
                    judge.settle(load)
                judge.afterwards()
        except SkippedError as skipped:
            report.skipped = str(skipped)
        except AssertionError as error:
            report.broken.append(str(error))
    return report
