"""For whom a session is told, and with which bytes of output.

Owns what the pure presentation is given from outside: display names, whether other computers of the client answer, and
pieces of the stored streams.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from itertools import islice
from typing import Final

from caisey.api.call import Call
from caisey.control.directory.records import Endpoint
from caisey.control.directory.store import Directory
from caisey.control.zones import zone_of
from caisey.core.present import Telling, wanted
from caisey.core.present_output import STREAM_BYTES
from caisey.core.session import Session
from caisey.core.states import Health

NEIGHBOURS_ASKED: Final = 1_000
"""Of a client with more computers a part is asked: health alone costs a microsecond or two each."""


class Names(Mapping[str, str]):
    """Display names of one organization's actors, looked up when they are needed."""

    __slots__ = ("_directory", "_organization_id")

    def __init__(self, directory: Directory, organization_id: str) -> None:
        self._directory = directory
        self._organization_id = organization_id

    def __getitem__(self, actor_id: str) -> str:
        member = self._directory.members.get(actor_id)
        if member is not None and member.organization_id == self._organization_id:
            return member.name
        token = self._directory.tokens.get(actor_id)
        if token is not None and token.organization_id == self._organization_id and token.name:
            return token.name
        raise KeyError(actor_id)

    def __iter__(self) -> Iterator[str]:
        for known in (self._directory.members, self._directory.tokens):
            yield from (actor_id for actor_id in known if actor_id in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def zone_for(call: Call) -> tzinfo:
    """The zone in which sentences say times of day: that of the header `Time-Zone`, else UTC."""
    return zone_of(call.request.headers.get("time-zone", ""))


def telling_for(call: Call) -> Telling:
    """Without any output."""
    return Telling(names=Names(call.services.directory, call.principal.organization_id), zone=zone_for(call))


async def telling_of(call: Call, session: Session, prompt_id: str | None, each: int = STREAM_BYTES) -> Telling:
    """With the output that a view of the prompt shows, at most `each` bytes of a stream; None: of the whole session,
    for a transcript."""
    pieces: dict[tuple[str, int, str], list[tuple[int, bytes]]] = {}
    for piece in wanted(session, prompt_id, each=each):
        data = await call.services.output.read(piece.key, piece.start, piece.end)
        pieces.setdefault(piece.key, []).append((piece.start, data))
    return Telling(
        names=Names(call.services.directory, call.principal.organization_id),
        zone=zone_for(call),
        neighbours_answer=_neighbours_answer(call, session),
        output={key: tuple(parts) for key, parts in pieces.items()},
    )


def _neighbours_answer(call: Call, session: Session) -> bool:
    """Whether other computers of the same client answer now.

    Only where this one does not, or where something is told of the time when it did not ("We showed …").
    """
    directory, live = call.services.directory, call.services.live
    endpoint = directory.endpoints.get(session.endpoint_id)
    if endpoint is None:
        return False
    if live.health_of(endpoint.endpoint_id) is Health.HEALTHY and not _has_former_words(session):
        return False
    others = directory.endpoints_of.get(endpoint.organization_id, {}).values()
    neighbours = (other for other in others if _is_neighbour(endpoint, other))
    return any(live.health_of(o.endpoint_id) is Health.HEALTHY for o in islice(neighbours, NEIGHBOURS_ASKED))


def _has_former_words(session: Session) -> bool:
    return any(attempt.former for step in session.calls.values() for attempt in step.attempts)


def _is_neighbour(endpoint: Endpoint, other: Endpoint) -> bool:
    return other.endpoint_id != endpoint.endpoint_id and other.client_group_id == endpoint.client_group_id
