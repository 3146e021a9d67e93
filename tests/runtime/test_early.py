"""What reaches a shim in one breath with the go is not lost: a stop in the moment of the start, an early answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caisey.runtime.launcher import ShimLauncher
from caisey.runtime.platforms import this_platform
from caisey.runtime.processes import EndSeen, InputSeen, Order
from caisey.runtime.spool import Spool


@pytest.mark.parametrize(
    ("command", "messages", "ended_by"),
    [
        ("exec sleep 600", [{"say": "cancel"}], "cancel"),
        ("read line; exit 0", [{"say": "input", "sequence": 1, "data": "", "close": True}], "itself"),
    ],
)
def test_it_is_obeyed(tmp_path: Path, command: str, messages: list[dict[str, Any]], ended_by: str) -> None:
    async def story() -> None:
        launcher = ShimLauncher(this_platform(), tmp_path, "inc_1")
        await launcher.open()
        seen: list[Any] = []
        ended = asyncio.Event()

        def watch(what: Any) -> None:
            seen.append(what)
            if isinstance(what, EndSeen):
                ended.set()

        order = Order(
            argv=("/bin/sh", "-c", command), env={"PATH": "/usr/bin:/bin"}, cwd="/", stdin=None, files={},
            result_fd=None, output_bytes=1000,
        )  # fmt: skip
        try:
            shim = await launcher.prepare(lambda _: order)
            lines = [{"say": "go"}, *messages]
            assert shim._writer is not None
            shim._writer.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
            shim.watch(watch)
            async with asyncio.timeout(20):
                await ended.wait()
            record = Spool(tmp_path).end_record(shim.shelter.spool)
            assert record is not None
            assert json.loads(record.execution)["ended_by"] == ended_by
            assert any(isinstance(what, InputSeen) for what in seen) == (ended_by == "itself")
            shim.detach()
        finally:
            await launcher.close()

    asyncio.run(story())
