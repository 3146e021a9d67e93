"""A stand-in for the control plane, and the program beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli import program
from tests.cli.stub_server import Listener, Stub, serving

Cli = Callable[..., program.Done]


@pytest.fixture
def listener_and_stub() -> Iterator[tuple[Listener, Stub]]:
    """Both, for the two fixtures below."""
    stub = Stub()
    stub.endpoint()
    with serving(stub) as listener:
        yield listener, stub


@pytest.fixture
def stub(listener_and_stub: tuple[Listener, Stub]) -> Stub:
    """A control plane with one computer, ACCT-07."""
    return listener_and_stub[1]


@pytest.fixture
def listener(listener_and_stub: tuple[Listener, Stub]) -> Listener:
    """What listens for that control plane: it can go away and come back."""
    return listener_and_stub[0]


@pytest.fixture
def env(stub: Stub, tmp_path: Path) -> dict[str, str]:
    """The environment of a person who works with that control plane."""
    return program.environment(tmp_path, stub.url)


@pytest.fixture
def caisey(env: dict[str, str]) -> Cli:
    """Runs `caisey …` to its end."""

    def run(*arguments: str, stdin: str = "", **more: str) -> program.Done:
        return program.run(list(arguments), {**env, **more}, stdin=stdin)

    return run
