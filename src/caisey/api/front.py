"""The first look at a connection: which application it is for.

Owns the split between the runtimes' entrances, which need none of a framework's cost, and everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Front:
    """An ASGI application over others. `sockets` and `paths` are exact paths."""

    def __init__(self, otherwise: Any, *, sockets: Mapping[str, Any], paths: Mapping[str, Any]) -> None:
        self._otherwise = otherwise
        self._sockets = sockets
        self._paths = paths

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "websocket":
            app = self._sockets.get(scope["path"])
            if app is None:
                await receive()
                await send({"type": "websocket.close", "code": 1008})
                return
        else:
            app = self._paths.get(scope["path"], self._otherwise)
        await app(scope, receive, send)
