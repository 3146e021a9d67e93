"""Output of running commands on its way into the store: in order, joined where much comes, never written twice.

Owns the chunks that wait while the ones before them become durable, and the comparison of bytes that come again. What
is stored of an attempt is known from its session; the bytes go into the transaction of the event that says so, and are
confirmed only after it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from caisey.control.connections import Connection
from caisey.control.output import CONFLICT_BYTES, Piece, differing, fresh, repeated, within
from caisey.control.sessions import Sessions
from caisey.core import commands as c
from caisey.core.attempt import Attempt, Stream
from caisey.core.errors import Fault
from caisey.core.session import Session
from caisey.storage.contract import Write

C = TypeVar("C", bound=c.RuntimeCommand)

JOINED_BYTES: Final = 256 * 1024
"""Waiting chunks are joined up to this."""

StreamKey = tuple[str, int, str]  # tool call, number, stream


class OutputStore(Protocol):
    """Where the bytes lie."""

    def segment(self, key: StreamKey, offset: int, data: bytes) -> Write:
        """The statement that stores bytes which are not stored yet."""

    def conflict(self, key: StreamKey, offset: int, data: bytes, at_ms: int) -> Write:
        """The statement that keeps differing bytes apart."""

    async def read(self, key: StreamKey, start: int, end: int) -> bytes:
        """The durable bytes of a range that is covered."""


@dataclass(frozen=True, slots=True)
class About:
    """An attempt that a connection speaks of."""

    connection: Connection
    session_id: str
    tool_call_id: str
    number: int

    def command(self, kind: type[C], **fields: Any) -> C:
        """A command about the attempt, in the name of the runtime that spoke."""
        runtime = self.connection.runtime
        return kind(
            runtime_id=runtime.runtime_id,
            incarnation=runtime.incarnation,
            journal_id=runtime.journal.journal_id,
            tool_call_id=self.tool_call_id,
            number=self.number,
            **fields,
        )


def attempt_in(session: Session | None, tool_call_id: str, number: int) -> Attempt:
    """The attempt, or the fault that a runtime is told where there is none."""
    call = session.calls.get(tool_call_id) if session is not None else None
    attempt = call.attempt(number) if call is not None else None
    if attempt is None:
        raise Fault("frame.not_yours")
    return attempt


class Submit(Protocol):
    """How a command goes to its session."""

    def __call__(
        self,
        about: About,
        command: c.RuntimeCommand,
        writes: Sequence[Write] = (),
        *,
        size: int = 0,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Decided at once, in order. `size` bytes count against the connection until it is durable; then `then`."""


@dataclass(slots=True)
class Tail:
    """One stream whose newest bytes are not durable yet."""

    about: About
    under_way: int = 0  # commands
    offset: int = 0  # of the chunks that wait
    size: int = 0
    chunks: list[bytes] = field(default_factory=list)


class Streams:
    """See the module."""

    def __init__(
        self,
        sessions: Sessions,
        store: OutputStore,
        submit: Submit,
        confirm: Callable[[About], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._submit = submit
        self._confirm = confirm
        self._now_ms = now_ms
        self._tails: dict[StreamKey, Tail] = {}
        self._streams_of: dict[tuple[str, int], set[str]] = {}

    def take(self, about: About, stream: str, piece: Piece) -> Awaitable[None] | None:
        """One chunk. An awaitable comes back where it has to be compared with what is stored. Raises Fault."""
        key = (about.tool_call_id, about.number, stream)
        tail = self._tails.get(key)
        if tail is not None and tail.chunks and piece.offset != tail.offset + tail.size:
            self._flush(key, tail)
        if tail is not None and tail.chunks:
            self._wait_behind(key, tail, about, piece)
            return None
        covered = self._known(key, about).covered
        if covered and piece.offset < covered[-1][1]:
            return self._compare(key, about, piece)
        if tail is not None:
            tail.offset = piece.offset
            self._wait_behind(key, tail, about, piece)
        else:
            self._keep(key, about, piece)
        return None

    def flush(self, tool_call_id: str, number: int) -> None:
        """Whatever waits of this attempt goes to its session now: something that comes after it is about to."""
        for stream in self._streams_of.get((tool_call_id, number), ()):
            key = (tool_call_id, number, stream)
            self._flush(key, self._tails[key])

    async def whole(self, about: About, stream: str, size: int) -> bytes | None:
        """All bytes of a stream, once they are durable; None where some are missing."""
        session = await self._sessions.read(about.session_id)
        known = attempt_in(session, about.tool_call_id, about.number).streams.get(stream, Stream())
        if size and known.covered[:1] != ((0, size),):
            return None
        return await self._store.read((about.tool_call_id, about.number, stream), 0, size) if size else b""

    # -- waiting ----------------------------------------------------------------------------------------------------

    def _wait_behind(self, key: StreamKey, tail: Tail, about: About, piece: Piece) -> None:
        tail.about = about
        tail.chunks.append(piece.data)
        tail.size += len(piece.data)
        about.connection.unstored += len(piece.data)
        if tail.size >= JOINED_BYTES:
            self._flush(key, tail)

    def _flush(self, key: StreamKey, tail: Tail) -> None:
        if tail.chunks:
            piece = Piece(tail.offset, b"".join(tail.chunks))
            tail.about.connection.unstored -= tail.size
            tail.chunks.clear()
            tail.size = 0
            self._keep(key, tail.about, piece)

    # -- storing ----------------------------------------------------------------------------------------------------

    def _attempt(self, about: About) -> tuple[Session, Attempt]:
        session = self._sessions.peek(about.session_id)
        attempt = attempt_in(session, about.tool_call_id, about.number)
        assert session is not None
        return session, attempt

    def _known(self, key: StreamKey, about: About) -> Stream:
        return self._attempt(about)[1].streams.get(key[2], Stream())

    def _keep(self, key: StreamKey, about: About, piece: Piece) -> None:
        """The new bytes of a chunk, as far as the limit goes. What is beyond it is marked as a gap."""
        session, attempt = self._attempt(about)
        known = attempt.streams.get(key[2], Stream())
        room = max(0, self._limit(session, attempt) - known.stored)
        for part in fresh(piece, known.covered):
            kept, cut = within(part, room)
            if kept is not None:
                room -= len(kept.data)
                self._send(key, about, kept)
            if cut is not None:
                gap = about.command(c.ReceiveGap, stream=key[2], offset=cut[0], length=cut[1] - cut[0], why="limit")
                self._submit(about, gap)

    def _limit(self, session: Session, attempt: Attempt) -> int:
        call = session.calls[attempt.tool_call_id]
        wanted = (attempt.limits or call.spec.limits).output_bytes
        return wanted or self._sessions.view_of(session).policy.output_limit_bytes

    def _send(self, key: StreamKey, about: About, piece: Piece) -> None:
        tail = self._tails.get(key)
        if tail is None:
            tail = self._tails[key] = Tail(about)
            self._streams_of.setdefault(key[:2], set()).add(key[2])
        tail.under_way += 1
        command = about.command(c.ReceiveOutput, stream=key[2], offset=piece.offset, length=len(piece.data))
        write = self._store.segment(key, piece.offset, piece.data)
        self._submit(about, command, [write], size=len(piece.data), then=lambda: self._durable(key, tail))

    def _durable(self, key: StreamKey, tail: Tail) -> None:
        """A command of the stream is done, well or not: what waited behind it goes."""
        tail.under_way -= 1
        try:
            self._flush(key, tail)
        except Fault:
            tail.chunks.clear()  # the session is not there any more; the bytes come again if it comes back
        if not tail.under_way and self._tails.get(key) is tail:
            del self._tails[key]
            present = self._streams_of[key[:2]]
            present.discard(key[2])
            if not present:
                del self._streams_of[key[:2]]

    # -- bytes that come again ----------------------------------------------------------------------------------------

    async def _compare(self, key: StreamKey, about: About, piece: Piece) -> None:
        """Keep what is new, and apart what differs. The parts that are the same change nothing."""
        compared: set[tuple[int, int]] = set()
        while True:
            await self._sessions.read(about.session_id)  # what was decided is durable now, and can be read
            known = self._known(key, about)
            left = [part for part in repeated(piece, known.covered) if part not in compared]
            if not left:
                break
            for start, end in left:
                stored = Piece(start, await self._store.read(key, start, end))
                compared.add((start, end))
                self._apart(key, about, known, differing(piece, stored))
        if not any(fresh(piece, known.covered)):
            self._confirm(about)  # it would not send them again if it knew that they are durable
        self._keep(key, about, piece)

    def _apart(self, key: StreamKey, about: About, known: Stream, other: Piece | None) -> None:
        if other is None:
            return
        command = about.command(
            c.ReceiveOutput, stream=key[2], offset=other.offset, length=len(other.data), conflict=True
        )
        writes: list[Write] = []
        if len(other.data) <= CONFLICT_BYTES:
            writes.append(self._store.conflict(key, other.offset, other.data, self._now_ms()))
        self._submit(about, command, writes, size=len(other.data))
