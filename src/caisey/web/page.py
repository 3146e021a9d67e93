"""What a page is and what it answers with.

Owns `Page`, one line of the console's table, and `Reply`. A page never writes headers that protect the reader: those
are put on every reply in one place (`headers.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from caisey.control.roles import Role
from caisey.web.visit import Doorstep, Visit

FORM_BYTES: Final = 256 * 1024
"""A form without files; a page that takes scripts asks for more."""
SEE_OTHER: Final = 303
HTML: Final = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to answer: a template with its context, or bytes as they are."""

    status: int = 200
    template: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    media_type: str = HTML


Show = Callable[[Visit], Awaitable[Reply]]
"""One page for somebody who is signed in. An `ApiFault` that it lets through becomes a page of its own."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One line of the table. `role` is the least one; `nav` names the item of the navigation that is lit."""

    method: Literal["GET", "POST"]
    path: str
    show: Show
    role: Role = Role.VIEWER
    nav: str = ""
    form_bytes: int = FORM_BYTES


@dataclass(frozen=True, kw_only=True)
class OpenPage:
    """A page for who is not signed in: sign-in, and the one-time links."""

    method: Literal["GET", "POST"]
    path: str
    show: Callable[[Doorstep], Awaitable[Reply]]
    form_bytes: int = 16 * 1024


def render(visit: Visit | Doorstep, template: str, /, *, status: int = 200, **context: Any) -> Reply:
    """A page or a part from its template.

    The template is given `context` and always `visit`, `person`, `csrf`, `nav` and `attention_count`.
    """
    return Reply(status=status, template=template, context={"visit": visit, **context})


def see_other(path: str, *, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """On to another page, after a form that was taken. `path` is one of ours and begins with a slash."""
    if not path.startswith("/") or path.startswith(("//", "/\\")) or not (path.isascii() and path.isprintable()):
        raise ValueError("a page leads to another page of the console")
    return Reply(status=SEE_OTHER, headers=(("location", path), *headers))
