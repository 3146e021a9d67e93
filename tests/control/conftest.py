"""A control plane for each test, and foreign runtimes on a loop of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.control.plane import Plane
from tests.foreign.loop import LoopThread
from tests.foreign.runtime import Runtime


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    plane = Plane(tmp_path, Ed25519PrivateKey.generate())
    yield plane
    plane.stop()


@pytest.fixture
def new_runtime(loop: LoopThread, plane: Plane) -> Iterator[Callable[..., Runtime]]:
    """Makes enrolled runtimes; at the end none of them has a complaint."""
    made: list[Runtime] = []

    def make(endpoint_id: str | None = None, **given: Any) -> Runtime:
        made.append(plane.enroll(Runtime(loop, plane.url, **given), endpoint_id))
        return made[-1]

    yield make
    for runtime in made:
        runtime.die()
        assert runtime.recording.faults == []


@pytest.fixture
def runtime(new_runtime: Callable[..., Runtime]) -> Runtime:
    return new_runtime()
