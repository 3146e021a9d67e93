"""What handlers reach: the control plane's parts, by the little of each that the API needs.

Owns the protocols for parts that stand elsewhere. `wiring` fills `Services` in; nothing here is made here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from caisey.api.call import Answer
from caisey.core.states import Health
from caisey.core.view import EndpointView
from caisey.storage.contract import Overloaded

if TYPE_CHECKING:
    from caisey.api.metrics import Metrics
    from caisey.control.access import Access
    from caisey.control.browser_sessions import BrowserSessions
    from caisey.control.clock import Times
    from caisey.control.directory.answered import AnsweredWrites, Claim
    from caisey.control.directory.searching import SearchTexts
    from caisey.control.directory.store import Directory
    from caisey.control.ledger import Ledger
    from caisey.control.nudges import Nudges
    from caisey.control.origins import Origins
    from caisey.control.presence import Presence
    from caisey.control.sessions import Sessions
    from caisey.control.sign_in import SignIn
    from caisey.storage.contract import Log


class Live(Protocol):
    """What lives: the hub."""

    def view_of(self, endpoint_id: str) -> EndpointView:
        """The endpoint as it is at this moment."""

    def health_of(self, endpoint_id: str) -> Health:
        """Its health alone: quick enough to be asked of every endpoint."""

    def journal_reviewed(self, endpoint_id: str) -> None:
        """A person has looked at the journals that went back in time: they are trusted again."""


class Output(Protocol):
    """Where the bytes of commands lie."""

    async def read(self, key: tuple[str, int, str], start: int, end: int) -> bytes:
        """The durable bytes of a range that is covered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """See the module."""

    clock: Times
    log: Log
    directory: Directory
    access: Access
    browsers: BrowserSessions
    sign_in: SignIn
    origins: Origins
    answered: AnsweredWrites
    sessions: Sessions
    live: Live
    output: Output
    ledger: Ledger
    nudges: Nudges
    presence: Presence
    metrics: Metrics
    control_plane_key: bytes
    sign: Callable[[bytes], bytes]
    public_keys: tuple[bytes, ...]
    texts: SearchTexts
    public_url: str | None = None

    def query(self, sql: str, values: tuple[Any, ...]) -> Sequence[tuple[Any, ...]]:
        """A quick look into the tables, on the spot: point queries and short ranges over an index only."""
        return self.log.query_now(sql, values)

    def kept(self, claim: Claim, answer: Answer) -> Answer:
        """The answer, kept for repeats of a write whose body was not known at its COMMIT.

        Nobody waits for that: should it be lost, the route's `again` makes it anew.
        """
        writes = claim.complete(answer.status, answer.for_repeats())
        if writes:
            try:
                self.log.append([], writes).committed.add_done_callback(_when_kept(claim))
            except Overloaded:
                return answer
        return answer


def _when_kept(claim: Claim) -> Callable[[asyncio.Future[None]], None]:
    def done(future: asyncio.Future[None]) -> None:
        if not future.cancelled() and future.exception() is None:
            claim.completed()

    return done
