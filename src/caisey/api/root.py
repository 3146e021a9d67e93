"""What stands at the root: `/healthz`, `/readyz`, `/metrics`.

Owns the answers that a load balancer and a monitor ask for. Metrics are for who asks from this machine, or has a token.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from caisey.api.metrics import MEDIA_TYPE
from caisey.api.services import Services
from caisey.core.errors import Fault

_HEADERS: Final = {"cache-control": "no-store"}
_FORWARDED: Final = ("x-forwarded-for", "forwarded", "x-real-ip")


def handlers(services: Services, ready: Callable[[], bool]) -> list[HTTPRouteHandler]:
    """The three handlers. `ready` says whether requests are served now."""

    async def healthz(request: Request[Any, Any, Any]) -> Any:
        return _json({"status": "ok"})

    async def readyz(request: Request[Any, Any, Any]) -> Any:
        if not ready():
            raise Fault("server.not_ready")
        return _json({"status": "ready"})

    async def metrics(request: Request[Any, Any, Any]) -> Any:
        if not from_this_machine(request):
            services.access.authenticate(request.headers.get("authorization"))
        return ASGIResponse(body=services.metrics.text(), media_type=MEDIA_TYPE, headers=_HEADERS)

    found = []
    for path, handle in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        handle.__annotations__ = {"request": Request, "return": ASGIResponse}
        found.append(HTTPRouteHandler(path, http_method="GET", include_in_schema=False, status_code=200)(handle))
    return found


def from_this_machine(request: Request[Any, Any, Any]) -> bool:
    """Whether the other end is a loopback address, and no proxy stands between that hides another."""
    client = request.client
    if client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(client.host).is_loopback
    except ValueError:
        return False


def _json(document: dict[str, str]) -> ASGIResponse:
    return ASGIResponse(body=msgspec.json.encode(document), media_type="application/json", headers=_HEADERS)
