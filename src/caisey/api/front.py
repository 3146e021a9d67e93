"""The first look at a connection: which application it is for.

Owns the split between the runtimes' entrances, which need none of a framework's cost, the API with what stands at the
root, and the console, which has every other address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

API_BELOW: Final = ("/api/", "/runtime/")
API_PATHS: Final = frozenset({"/api", "/runtime", "/healthz", "/readyz", "/metrics"})


class Front:
    """An ASGI application over others. `sockets` and `paths` are exact paths."""

    def __init__(self, api: Any, console: Any, *, sockets: Mapping[str, Any], paths: Mapping[str, Any]) -> None:
        self._api = api
        self._console = console
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
            app = self._paths.get(scope["path"]) or self._whose(scope["path"])
        await app(scope, receive, send)

    def _whose(self, path: str) -> Any:
        return self._api if path in API_PATHS or path.startswith(API_BELOW) else self._console
