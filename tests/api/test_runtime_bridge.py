"""The socket of a runtime, where the server under it ends it first: bytes that are no UTF-8, messages too long."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest

from caisey.api.runtime_socket import SocketBridge
from caisey.control import logs


def test_what_is_sent_after_the_server_closed_is_dropped_in_silence() -> None:
    """uvicorn answers invalid UTF-8 with 1007 by itself, and then refuses what comes later with a RuntimeError."""

    async def story() -> list[str]:
        unhandled: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context["message"]))
        tried: list[str] = []

        async def send(message: MutableMapping[str, Any]) -> None:
            tried.append(message["type"])
            raise RuntimeError("Unexpected ASGI message 'websocket.send', after sending 'websocket.close'.")

        bridge = SocketBridge(send)
        bridge.send(b"{}")
        await asyncio.sleep(0)
        await bridge.drained()
        bridge.send(b"{}")
        bridge.close(1000, "")
        await bridge.drained()
        gc.collect()
        assert tried == ["websocket.send"]
        return unhandled

    assert asyncio.run(story()) == []


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    former, level = root.handlers[:], root.level
    logs.set_up("info", "json")
    stream = io.StringIO()
    root.handlers[0].stream = stream  # type: ignore[attr-defined]
    yield stream
    root.handlers[:], logging.getLogger("uvicorn.error").filters[:] = former, []
    root.setLevel(level)


def test_bytes_that_are_no_text_are_logged_in_one_line(said: io.StringIO) -> None:
    """A peer may send as many of them as it likes; none of them is a defect of ours, and a real one is still shown."""
    http = logging.getLogger("uvicorn.error")
    for data in (b"\xff", None):
        try:
            assert data is not None, "a defect"
            data.decode()
        except (UnicodeDecodeError, AssertionError):
            http.exception("Invalid UTF-8 sequence received from client.")
    hostile, defect = map(json.loads, said.getvalue().splitlines())
    assert (hostile["level"], "exception" in hostile) == ("warning", False)
    assert (defect["level"], "a defect" in defect["exception"]) == ("error", True)
