"""Fixtures: one real control plane for each test module with short windows, and foreign runtimes for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.client import Api
from tests.end_to_end.fleet import POLICY, Desk, Fleet
from tests.end_to_end.server import Server
from tests.foreign.loop import LoopThread

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.end_to_end)


@pytest.fixture(scope="session")
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture(scope="module")
def new_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Server]]:
    """Makes control planes on data directories of their own, not yet started."""
    made: list[Server] = []

    def make() -> Server:
        made.append(Server(tmp_path_factory.mktemp("caisey") / "data"))
        return made[-1]

    yield make
    for server in made:
        server.kill()


@pytest.fixture(scope="module")
def server(new_server: Callable[[], Server]) -> Server:
    return new_server().start()


@pytest.fixture(scope="module")
def owner(server: Server) -> Iterator[Api]:
    """The owner of the organization `default`, who has set the short windows."""
    api = Api(server.url, server.token("owner"))
    api.put("/policy", POLICY)
    yield api
    api.close()


@pytest.fixture
def api(owner: Api) -> Api:
    return owner


@pytest.fixture
def person(server: Server) -> Iterator[Callable[..., Api]]:
    """Another person: `person(role, organization, who)`."""
    made: list[Api] = []

    def make(role: str = "technician", organization: str = "default", who: str = "") -> Api:
        made.append(Api(server.url, server.token(role, organization, who)))
        return made[-1]

    yield make
    for api in made:
        api.close()


@pytest.fixture
def fleet(loop: LoopThread, owner: Api) -> Iterator[Fleet]:
    """Runtimes of this test. At its end no frame of the control plane may have been against PROTOCOL.md."""
    fleet = Fleet(loop, owner)
    yield fleet
    fleet.close()
    assert fleet.faults() == []


@pytest.fixture
def desk(api: Api, fleet: Fleet) -> Desk:
    return Desk(api, fleet, fleet.runtime())
