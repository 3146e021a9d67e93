"""What a handler is given and what it gives back.

Owns `Call`, `Answer`, `Route` and the services that handlers reach. A handler sees a principal, a checked path, query
and body; it never reads headers to find out who asks, and never writes to the wire itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import msgspec
from litestar import Request

from caisey.control.access import Principal
from caisey.control.roles import Role

if TYPE_CHECKING:
    from caisey.api.services import Services
    from caisey.control.directory.answered import Claim
    from caisey.control.directory.store import Draft

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
PREFIX: Final = "/api/v1"


class Nothing(msgspec.Struct, frozen=True):
    """No query, or no body."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as far as a handler is concerned."""

    services: Services
    principal: Principal
    path: Mapping[str, str]
    query: Any
    body: Any
    request: Request[Any, Any, Any]
    asks: Callable[[], Principal]  # who asks, found anew; raises where they may not any more

    def as_of_now(self) -> Call:
        """Asked by whoever asks as they are now: while a change waited for its turn, what they may do may have been
        taken away."""
        return replace(self, principal=self.asks())


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send. `remembered` is what a repeated request gets instead, where a secret must not be shown again;
    `after` runs once the change is committed."""

    body: Any = None
    status: int = 200
    remembered: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after: Callable[[], None] | None = None

    def for_repeats(self) -> bytes:
        """The body that a repeated request gets."""
        return encode(self.body if self.remembered is None else self.remembered)


class Sending(Protocol):
    """An answer that is no JSON document: a stream, raw bytes. An ASGI application."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


Read = Callable[[Call], Awaitable[Answer | Sending]]
"""Looks and changes nothing."""
Change = Callable[[Call, "Draft"], Answer]
"""Changes the directory: fills the draft, awaits nothing; committed together with the remembered answer."""
Work = Callable[[Call, "Claim"], Awaitable[Answer]]
"""Changes a session; puts what the claim remembers into the same transaction."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One line of the table. `role` is the least one; it has to be held somewhere, and `principal` sees where;
    `whole_organization`: not for whose role is not enough in every client group.
    `again` shows what a write has made, from its id, where the first answer was lost before it could be kept."""

    method: Method
    path: str
    role: Role
    summary: str
    read: Read | None = None
    change: Change | None = None
    work: Work | None = None
    query: type[msgspec.Struct] = Nothing
    body: type[msgspec.Struct] | None = None
    body_as_document: bool = False  # the handler checks it itself; `body` only describes it
    body_bytes: int | None = None
    shape_code: str = "request.invalid_shape"
    again: Callable[[Call, str], Awaitable[Any]] | None = None
    whole_organization: bool = False
    status: int = 200
    answers: Any = None
    media_types: tuple[str, ...] = ("application/json",)
    endless: bool = False  # a stream: it ends when the reader goes

    @property
    def writes(self) -> bool:
        """Whether it takes an Idempotency-Key."""
        return self.read is None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


_ENCODER: Final = msgspec.json.Encoder()


def encode(body: Any) -> bytes:
    """A JSON document; nothing for None."""
    return b"" if body is None else _ENCODER.encode(body)
