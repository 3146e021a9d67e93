"""Fixtures: one control plane for all tests of the console without a browser, and people who are signed in to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.plane import Api, Plane
from tests.web.limited import People
from tests.web.visitor import Visitor, join, quick_passwords


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with quick_passwords():
        plane = Plane(tmp_path_factory.mktemp("web") / "data", enrollments_per_minute=100_000).start()
        yield plane
        plane.stop()


@pytest.fixture
def api(plane: Plane) -> Api:
    """The owner of the default organization, by token."""
    return plane.api()


@pytest.fixture(scope="session")
def person(plane: Plane) -> Iterator[Callable[..., Visitor]]:
    """Somebody of a role who is signed in; the same one for the same question, unless `fresh`."""
    known: dict[Any, Visitor] = {}
    made: list[Visitor] = []

    def find(role: str = "owner", groups: tuple[str, ...] | None = None, *, fresh: bool = False) -> Visitor:
        key = (role, groups)
        if fresh or key not in known:
            visitor = join(plane, role, groups=None if groups is None else list(groups))
            made.append(visitor)
            if fresh:
                return visitor
            known[key] = visitor
        return known[key]

    yield find
    for visitor in made:
        visitor.close()


@pytest.fixture
def new_plane(tmp_path: Path) -> Iterator[Callable[..., Plane]]:
    """A control plane of the test's own, on the same data directory each time; not started."""
    made: list[Plane] = []

    def make(**settings: Any) -> Plane:
        made.append(Plane(tmp_path / "data", **settings))
        return made[-1]

    with quick_passwords():
        yield make
        for plane in made:
            plane.stop()


@pytest.fixture(scope="session")
def people(plane: Plane, person: Callable[..., Visitor]) -> People:
    """Somebody of a role who sees some client groups."""
    return People(plane.api(), person)
