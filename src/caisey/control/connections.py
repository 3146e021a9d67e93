"""What lives: the runtimes that are connected, by which bridges, and when they were last heard.

Owns `Bridge` (what a transport must offer), `Connection`, `LiveRuntime`, `LiveEndpoint` and the `Fleet` that finds
them. Pure bookkeeping in memory: it sends nothing by itself and writes nothing. All its times are monotonic
milliseconds; a wall clock would lie about silence.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

from caisey.control.journals import Journal
from caisey.control.lives import Life
from caisey.core.states import Health
from caisey.core.view import Change, EndpointView

BRIDGES: Final = ("websocket", "longpoll")
UNDER_WAY: Final = 64
"""Commands and other writes of one connection that may wait for their COMMIT; at half of it reading goes on."""
BYTES_UNDER_WAY: Final = 1 << 20
PINGS_OPEN: Final = 8  # more than these unanswered on one connection: the oldest is forgotten
CHANGES_PER_ACTOR: Final = 8
ACTORS_PER_ENDPOINT: Final = 64


class Bridge(Protocol):
    """One transport, as the control plane uses it. Nothing here may block or raise for what the peer does."""

    kind: str

    def send(self, data: bytes, handed: Callable[[], None] | None = None) -> None:
        """Queue one frame. `handed` is called once it was given to the network."""

    def close(self, code: int, reason: str) -> None:
        """Send what is queued, then close. Further sends do nothing."""


class Ping(NamedTuple):
    """A question that a `pong` answers. `answered` is set for a handshake that waits for it."""

    nonce: bytes | None
    asked: bool  # by a session, which has to hear of the answer
    answered: asyncio.Future[None] | None


class Connection:
    """One live bridge of one incarnation, from its welcome on."""

    __slots__ = (
        "bridge",
        "closed",
        "fault_times",
        "pings",
        "room",
        "runtime",
        "statements_wait",
        "under_way",
        "unstored",
    )

    def __init__(self, bridge: Bridge, runtime: LiveRuntime) -> None:
        self.bridge = bridge
        self.runtime = runtime
        self.closed = False
        self.pings: dict[str, Ping] = {}
        self.fault_times: deque[int] | None = None
        self.under_way = 0  # given to sessions or to the log, and not durable yet
        self.unstored = 0  # bytes of output likewise
        self.room: asyncio.Future[None] | None = None  # the reader waits for this
        self.statements_wait = False  # more statements follow the hello

    def send(self, data: bytes, handed: Callable[[], None] | None = None) -> None:
        """Queue one frame, unless the connection is closed."""
        if not self.closed:
            self.bridge.send(data, handed)

    def close(self, code: int, reason: str) -> None:
        """Close once."""
        if not self.closed:
            self.closed = True
            self.bridge.close(code, reason)
        self.forget_pings()

    # -- what it has under way: beyond a bound it is read no further -------------------------------------------------

    def begin(self, size: int = 0) -> None:
        """Something of it waits for its COMMIT, with so many bytes of output."""
        self.under_way += 1
        self.unstored += size

    def end(self, size: int = 0) -> None:
        """It waits no more, well or not."""
        self.under_way -= 1
        self.unstored -= size
        waiting = self.room
        if waiting is not None and self.under_way <= UNDER_WAY // 2:
            self.room = None
            if not waiting.done():
                waiting.set_result(None)

    def until(self, committed: asyncio.Future[None]) -> None:
        """A write that no session decided counts as well: the log's queue is everybody's."""
        self.begin()
        committed.add_done_callback(self._committed)

    def _committed(self, done: asyncio.Future[None]) -> None:
        if not done.cancelled():
            done.exception()  # that it was not kept is the log's to say
        self.end()

    def remember_ping(self, ping_id: str, ping: Ping) -> None:
        """Bounded: a runtime that never answers costs nothing."""
        if len(self.pings) >= PINGS_OPEN:
            oldest = next(iter(self.pings))
            self._cancel(self.pings.pop(oldest))
        self.pings[ping_id] = ping

    def forget_pings(self) -> None:
        """None of them will be answered here."""
        for ping in self.pings.values():
            self._cancel(ping)
        self.pings.clear()

    @staticmethod
    def _cancel(ping: Ping) -> None:
        if ping.answered is not None and not ping.answered.done():
            ping.answered.cancel()


class LiveRuntime:
    """One incarnation of a runtime: connected, or the last one known while it is away."""

    __slots__ = (
        "accepting",
        "asleep",
        "beat_ms",
        "boot_id",
        "checked_ms",
        "connections",
        "endpoint",
        "healthy",
        "in_flight",
        "incarnation",
        "interval_ms",
        "journal",
        "proved_ms",
        "public_key",
        "runtime_id",
        "settle_only",
        "signing_key",
        "slept_ms",
        "told_interval_ms",
        "version",
        "watched_ms",
    )

    def __init__(self, runtime_id: str, endpoint: LiveEndpoint, journal: Journal) -> None:
        self.runtime_id = runtime_id
        self.endpoint = endpoint
        self.journal = journal
        self.incarnation = ""
        self.boot_id = ""
        self.version = ""
        self.public_key = b""
        self.signing_key = b""  # the control plane key that it trusts
        self.connections: dict[str, Connection] = {}  # by bridge kind
        self.settle_only = False
        self.accepting = True
        self.asleep = False
        self.healthy = False
        self.watched_ms: int | None = None  # when the sweeper looks at it
        self.interval_ms = 0  # what it states
        self.told_interval_ms = 0  # what it was last asked for
        self.beat_ms = 0
        self.proved_ms: int | None = None
        self.checked_ms: int | None = None
        self.slept_ms = 0  # what its last heartbeat said
        self.in_flight: dict[tuple[str, int], bool] = {}  # likewise; whether that may prove the attempt

    @property
    def best(self) -> Connection | None:
        """The connection to use where none is named."""
        for kind in BRIDGES:
            found = self.connections.get(kind)
            if found is not None:
                return found
        return None


class LiveEndpoint:
    """One computer with everything that is live about it."""

    __slots__ = (
        "changes",
        "endpoint_id",
        "handed",
        "health",
        "open_sessions",
        "organization_id",
        "proofs",
        "runtimes",
        "since_ms",
        "view",
        "was_here",
    )

    def __init__(self, endpoint_id: str, organization_id: str, health: Health, since_ms: int) -> None:
        self.endpoint_id = endpoint_id
        self.organization_id = organization_id
        self.health = health  # as recorded
        self.since_ms = since_ms  # wall time, as recorded
        self.runtimes: dict[str, LiveRuntime] = {}
        self.open_sessions = 0
        self.proofs: dict[tuple[str, int], int] = {}  # wall times: read as they are by `decide`
        self.handed: dict[tuple[str, int], int] = {}
        self.changes: dict[str, deque[Change]] = {}  # by actor
        self.view: EndpointView | None = None  # None: to be made again
        self.was_here = False  # it was connected since this process began

    def connected(self) -> Iterator[LiveRuntime]:
        """The runtimes that have a bridge open."""
        return (runtime for runtime in self.runtimes.values() if runtime.connections)

    def with_journal(self, journal_id: str) -> Iterator[LiveRuntime]:
        """The connected runtimes that have this journal."""
        return (runtime for runtime in self.connected() if runtime.journal.journal_id == journal_id)

    def add_change(self, change: Change) -> None:
        """Keep the newest few of each actor: whether somebody else worked here is never forgotten for one's own."""
        mine = self.changes.pop(change.actor_id, None) or deque(maxlen=CHANGES_PER_ACTOR)
        mine.append(change)
        self.changes[change.actor_id] = mine
        if len(self.changes) > ACTORS_PER_ENDPOINT:
            del self.changes[next(iter(self.changes))]
        self.view = None


class Fleet:
    """Everything live, by id."""

    def __init__(self) -> None:
        self.endpoints: dict[str, LiveEndpoint] = {}
        self.runtimes: dict[str, LiveRuntime] = {}
        self.lives: dict[str, Life] = {}  # who held each runtime's key last, also before this process began
        self.size = 0  # connected runtimes

    def attach(self, connection: Connection) -> None:
        """The bridge is the runtime's one of its kind from now on."""
        runtime = connection.runtime
        if not runtime.connections:
            self.size += 1
        runtime.connections[connection.bridge.kind] = connection
        runtime.endpoint.view, runtime.endpoint.was_here = None, True

    def detach(self, connection: Connection) -> bool:
        """The bridge is gone. True if it was the last one of its incarnation."""
        runtime = connection.runtime
        kind = connection.bridge.kind
        if runtime.connections.get(kind) is not connection:
            return False
        del runtime.connections[kind]
        runtime.endpoint.view = None
        if runtime.connections:
            return False
        self.size -= 1
        return True
