"""Fixtures: one control plane for all tests of the API, and one of its own for tests that end it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.plane import Api, Plane


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    plane = Plane(tmp_path_factory.mktemp("api") / "data", enrollments_per_minute=100_000).start()
    yield plane
    plane.stop()


@pytest.fixture
def api(plane: Plane) -> Api:
    """The owner of the default organization."""
    return plane.api()


@pytest.fixture
def new_plane(tmp_path: Path) -> Iterator[Callable[..., Plane]]:
    """A control plane of the test's own, on the same data directory each time; not started."""
    made: list[Plane] = []

    def make(**settings: Any) -> Plane:
        made.append(Plane(tmp_path / "data", **settings))
        return made[-1]

    yield make
    for plane in made:
        plane.stop()
