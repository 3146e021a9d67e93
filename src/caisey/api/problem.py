"""Faults as RFC 9457 problem details, for everything that can go wrong with a request.

Owns the only place where an exception becomes an HTTP answer. Must never show a stack trace, a value of a document, or
a bare 500: what has no code of its own is `server.internal`, and only the log knows more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response

from caisey.core.errors import CODES, Fault
from caisey.protocol.frames import ShapeFault

logger = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
_RETRY_SOON: Final = {429: "5", 503: "1"}
_CODE_OF_STATUS: Final = {
    400: "request.invalid_header",
    401: "auth.required",
    404: "resource.not_found",
    405: "request.method_not_allowed",
    413: "request.too_large",
    415: "request.unsupported_media_type",
    429: "request.rate_limited",
}
"""For what the framework itself refuses."""


def shape_fault(code: str, errors: Iterable[ShapeFault], detail: str | None = None, **extra: Any) -> Fault:
    """A fault with all the places that do not fit."""
    return Fault(code, detail, errors=[msgspec.to_builtins(error) for error in errors], **extra)


def document_of(fault: Fault) -> dict[str, Any]:
    """The problem as a JSON document."""
    document: dict[str, Any] = {
        "type": f"urn:caisey:fault:{fault.code}",
        "title": fault.title,
        "status": fault.status,
        "code": fault.code,
        "hint": fault.hint,
    }
    if fault.detail is not None:
        document["detail"] = fault.detail
    return {**fault.extra, **document}


def response_of(fault: Fault) -> Response[bytes]:
    """The problem as an answer."""
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if fault.status in _RETRY_SOON:
        headers["retry-after"] = str(fault.extra.get("retry_after_s", _RETRY_SOON[fault.status]))
    if fault.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(
        content=msgspec.json.encode(document_of(fault)),
        status_code=fault.status,
        media_type=MEDIA_TYPE,
        headers=headers,
    )


def on_fault(_: Request[Any, Any, Any], fault: Any) -> Response[bytes]:
    """A refusal with a code. One that is never an HTTP answer (status 0) is a defect of ours."""
    if not fault.status:
        logger.error("http.fault_without_status", code=fault.code)
        return response_of(Fault("server.internal"))
    return response_of(fault)


def on_framework_exception(_: Request[Any, Any, Any], error: Any) -> Response[bytes]:
    """What the framework refused before a route was asked: unknown paths, methods, oversized bodies."""
    code = _CODE_OF_STATUS.get(error.status_code)
    if code is None:
        code = "server.internal" if error.status_code >= 500 else "request.invalid_header"
    return response_of(Fault(code))


def on_defect(request: Request[Any, Any, Any], error: Any) -> Response[bytes]:
    """Anything else is a defect: told to the log in full and to the caller not at all."""
    logger.error(
        "http.defect", method=request.method, route=str(request.scope.get("path_template", "")), exc_info=error
    )
    return response_of(Fault("server.internal"))


def codes_with_status(status: int) -> list[str]:
    """All codes that an answer of this status may carry."""
    return [code for code, meaning in CODES.items() if meaning.status == status]
