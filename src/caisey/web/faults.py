"""A fault as a page: what happened, what to do, and the way back.

Owns the mapping from codes to the page. Never shows a stack trace or a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from caisey.core.errors import Fault
from caisey.web.page import Reply

TEMPLATE: Final = "fault.html"
_CODE_OF_STATUS: Final = {
    400: "request.invalid_header",
    401: "auth.required",
    404: "resource.not_found",
    405: "request.method_not_allowed",
    413: "request.too_large",
    415: "request.unsupported_media_type",
    429: "request.rate_limited",
}


def page(status: int, problem: Mapping[str, Any]) -> Reply:
    """From the API's problem document."""
    return Reply(
        status=status,
        template=TEMPLATE,
        context={
            "title": str(problem.get("title", "")),
            "detail": str(problem.get("detail") or ""),
            "hint": str(problem.get("hint", "")),
            "code": str(problem.get("code", "")),
            "errors": problem.get("errors", ()),
            "status": status,
        },
    )


def of(fault: Fault) -> Reply:
    """From a fault of our own."""
    status = fault.status or 500
    reply = page(status, {"title": fault.title, "detail": fault.detail, "hint": fault.hint, "code": fault.code})
    if status == 429:
        wait = str(fault.extra.get("retry_after_s", 5))
        return Reply(status=status, template=reply.template, context=reply.context, headers=(("retry-after", wait),))
    return reply


def of_status(status: int) -> Reply:
    """From what the framework refused."""
    return of(Fault(_CODE_OF_STATUS.get(status, "server.internal" if status >= 500 else "request.invalid_header")))
