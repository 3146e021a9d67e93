"""What an event log promises, whatever it is built on.

Owns the types that cross the border of `storage/` and its errors. `tests/conformance/test_event_log.py` holds every
implementation to this page. Never names an implementation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from caisey.core.events import Actor
from caisey.core.spoken import rfc3339

Write = tuple[str, tuple[object, ...]]
"""One statement and its values, executed in the transaction of the events beside it. The SQL is a constant."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One event on its way into the log. The payload is an object of JSON built-ins; its names are ASCII."""

    organization_id: str
    session_id: str | None
    type: str
    at_ms: int
    actor: Actor
    reason: str | None
    payload: dict[str, Any]


class Stored(Entry, frozen=True, kw_only=True):
    """One event as it stands in the log. `digests` holds what is left of redacted fields."""

    position: int
    sequence: int
    salts: dict[str, str]
    previous: str
    digest: str
    digests: dict[str, str] = {}

    def to_public(self) -> dict[str, Any]:
        """The event as the log, SSE and the audit line show it (API.md, "Event").

        `digests` stands there once a field was redacted, so that the chain verifies without it.
        """
        public: dict[str, Any] = {
            "sequence": self.sequence,
            "at": rfc3339(self.at_ms),
            "organization_id": self.organization_id,
            "session_id": self.session_id,
            "type": self.type,
            "actor": {"kind": self.actor.kind, "id": self.actor.id},
            "reason": self.reason,
            "payload": self.payload,
            "salts": self.salts,
            "previous": self.previous,
            "digest": self.digest,
        }
        if self.digests:
            public["digests"] = self.digests
        return public


class EventsWanted(NamedTuple):
    """Which events are looked for; what is None is not asked. `type` may end with a dot: all types that begin so."""

    type: str | None = None
    actor: str | None = None  # an id or a kind
    session_id: str | None = None
    endpoint_id: str | None = None
    text: str | None = None  # in reason or payload, in any case
    since_ms: int | None = None
    until_ms: int | None = None


class EventsFound(NamedTuple):
    """Newest first. Nothing below `searched_to` was looked at."""

    events: list[Stored]
    searched_to: int


class Appended(NamedTuple):
    """What `append` answers at once. `committed` resolves after the COMMIT, or raises `AppendFailed`."""

    sequences: list[int]
    committed: asyncio.Future[None]


class Health(NamedTuple):
    """Figures of a log for metrics and for `caisey doctor`."""

    pending_units: int
    commits: int
    units: int
    events: int
    failures: int
    wal_bytes: int


class StorageError(Exception):
    """Something about the storage that an operator can act on."""


class Overloaded(StorageError):
    """Nothing was accepted: too much waits for its COMMIT, or a failed one is being cleared up. Try again soon."""


class Closed(Overloaded):
    """Nothing was accepted: the log is closed."""


class AppendFailed(StorageError):
    """The unit was not committed, and never will be, unless the failure struck the COMMIT itself: then the answer is
    only that it is not known to be durable. Sequences it was given may be given again; drop what was derived from it.
    """


class DataDirectoryInUse(StorageError):
    """Another process works on the data directory."""

    def __init__(self, path: str, pid: int | None) -> None:
        self.path, self.pid = path, pid
        who = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"{path} is in use by {who}; stop it first, or choose another --data-dir")


class DataDirectoryUnsafe(StorageError):
    """The data directory, or a file in it, may be read or written by others, or cannot be used."""


class DatabaseTooNew(StorageError):
    """The database was written by a newer version."""

    def __init__(self, path: str, found: int, known: int) -> None:
        self.path, self.found, self.known = path, found, known
        super().__init__(f"{path} has schema version {found}, this version knows {known}; upgrade Caisey")


class Log(Protocol):
    """An append-only log with read models. `append` and `query_now` are called on the event loop's thread alone."""

    def append(self, entries: Sequence[Entry], writes: Sequence[Write] = ()) -> Appended:
        """Take one unit: its events and statements are committed together or not at all, in the order of the calls.

        Sequences are given at once, contiguous per organization, and hold unless the unit fails. Raises `Overloaded`
        where nothing was taken. If a unit fails, all later units of its organizations fail with it.
        """

    def next_sequence(self, organization_id: str) -> int:
        """What the organization's next event will be given, unless a failed commit gives sequences back first."""

    def on_failure(self, callback: Callable[[], None]) -> None:
        """`callback` runs on the loop's thread when units failed, before their futures say so and before anything new
        is taken from these organizations: whatever was derived from appended events in memory has to go.
        """

    def query_now(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Read committed rows at once, on the loop's thread: for indexed look-ups of some rows only."""

    async def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Read committed rows in another thread."""

    def newest_of_session(self, session_id: str, after: int, limit: int) -> list[Stored]:
        """As `read_session`, at once, on the loop's thread: for who follows and lacks some of the newest only. Another
        thread would cost more than so few rows, and a turn of waiting for it (docs/performance.md).
        """

    def newest_of_organization(self, organization_id: str, after: int, limit: int) -> list[Stored]:
        """As `newest_of_session`, for an organization."""

    async def read_session(self, session_id: str, after: int = 0, limit: int = 1_000) -> list[Stored]:
        """Events of a session with a sequence above `after`, in order, at most `limit`."""

    async def read_organization(self, organization_id: str, after: int = 0, limit: int = 1_000) -> list[Stored]:
        """Events of an organization with a sequence above `after`, in order, at most `limit`."""

    async def search_organization(
        self, organization_id: str, wanted: EventsWanted, before: int, limit: int
    ) -> EventsFound:
        """Events of an organization below the sequence `before`, newest first, in a bounded piece of the log."""

    async def read_positions(self, after: int = 0, limit: int = 1_000) -> list[Stored]:
        """Events of every organization with a position above `after`, in order: to build read models anew."""

    async def sign_heads(self, sign: Callable[[bytes], bytes], at_ms: int) -> int:
        """Write a signed head for every organization with events since its last one; returns how many, durable."""

    def health(self) -> Health:
        """Figures for metrics."""

    async def close(self) -> None:
        """Commit what was taken, then stop."""
