"""The ASGI application: the API, enrollment, and what stands at the root.

Owns how the framework is set up: every exception has a handler of ours, the framework's own validation, CSRF and
OpenAPI are not used. Further handlers (the runtimes' entrances, the console) are given by `wiring`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from litestar import Litestar, Request, Response
from litestar.config.app import AppConfig
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from caisey.api import enroll, openapi, problem, root
from caisey.api.bodies import PROMPT_BYTES
from caisey.api.call import PREFIX
from caisey.api.services import Services
from caisey.api.serving import handler_of
from caisey.api.table import ROUTES
from caisey.core.errors import Fault

METHOD_NOT_ALLOWED: Final = 405
_PATTERNS: Final = [
    (re.compile(PREFIX + re.sub(r"\{\w+\}", "[^/]+", route.path)), str(route.method)) for route in ROUTES
]

UNKNOWN: Final = "none"
"""The route of a request that fits no route."""


def build(
    services: Services,
    *,
    ready: Callable[[], bool],
    more: Sequence[Any] = (),
    enrollments_per_minute: int | None = None,
) -> Any:
    """The application. It has no lifespan of its own: who builds it starts and ends the parts."""
    enrolling = (
        enroll.handler(services) if enrollments_per_minute is None else enroll.handler(services, enrollments_per_minute)
    )
    app = Litestar.from_config(
        AppConfig(
            route_handlers=[
                *(handler_of(route, services) for route in ROUTES),
                _openapi_handler(),
                *root.handlers(services, ready),
                enrolling,
                *more,
            ],
            exception_handlers={
                Fault: problem.on_fault,
                HTTPException: _on_framework_exception,
                Exception: problem.on_defect,
            },
            openapi_config=None,
            logging_config=None,
            request_max_body_size=PROMPT_BYTES,
            pdb_on_exception=False,
            debug=False,
        )
    )
    return Measured(app, services)


def _on_framework_exception(request: Request[Any, Any, Any], error: Any) -> Response[bytes]:
    response = problem.on_framework_exception(request, error)
    if response.status_code == METHOD_NOT_ALLOWED:
        response.headers["allow"] = ", ".join(_methods_at(request.url.path))
    return response


def _methods_at(path: str) -> list[str]:
    found = {method for pattern, method in _PATTERNS if pattern.fullmatch(path)}
    return sorted(found) or ["POST" if path == enroll.PATH else "GET"]


def _openapi_handler() -> HTTPRouteHandler:
    body = msgspec.json.encode(openapi.document(ROUTES))

    async def show(request: Request[Any, Any, Any]) -> Any:
        return ASGIResponse(body=body, media_type="application/json")

    show.__annotations__ = {"request": Request, "return": ASGIResponse}
    path = f"{PREFIX}/openapi.json"
    return HTTPRouteHandler(path, http_method="GET", include_in_schema=False, status_code=200)(show)


class Measured:
    """The application with its requests counted, by the template of their path."""

    def __init__(self, app: Litestar, services: Services) -> None:
        self._app = app
        self._metrics = services.metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        told = False

        async def counted(message: Any) -> None:
            nonlocal told
            if message["type"] == "http.response.start" and not told:
                told = True
                route = scope.get("path_template") or UNKNOWN
                seconds = time.perf_counter() - began
                self._metrics.request(scope["method"], route, message["status"], seconds)
            await send(message)

        await self._app(scope, receive, counted)
