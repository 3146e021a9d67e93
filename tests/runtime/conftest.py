"""One event loop a test, one plane and one endpoint for those that want them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.endpoint import Endpoint, endpoint
from tests.runtime.plane import Link, control_plane

Story = Callable[[Endpoint, Link], Awaitable[None]]


@pytest.fixture
def live(tmp_path: Path) -> Callable[[Story], None]:
    """Runs a story with a started endpoint and its first connection."""

    def run(story: Story) -> None:
        async def all_of_it() -> None:
            async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
                await story(made, await made.connect())

        asyncio.run(all_of_it())

    return run


def awaited(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test written as a coroutine."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))  # type: ignore[arg-type]

    return run
