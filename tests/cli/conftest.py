"""A stand-in for the control plane, and the program beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli import program
from tests.cli.stub_server import Stub, serving

Cli = Callable[..., program.Done]


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A control plane with one computer, ACCT-07."""
    with serving(Stub()) as serving_stub:
        serving_stub.endpoint()
        yield serving_stub


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
