"""Answered writes: the same request twice is done once (API.md, Idempotency-Key).

Owns the claims on keys: who is doing a write right now, and what was answered to it in the last 24 hours. The answer's
row is committed in the transaction of what the write did, so that a crash between COMMIT and answer loses neither.
Must never store a secret: what is kept is what a repeated request is told. Bodies hold passwords and what is typed into
commands, so their digest is keyed with the request's own key, which is not stored: it cannot be guessed at.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from caisey.control.clock import Times
from caisey.control.directory.store import Statement
from caisey.core.errors import Fault

KEPT_MS: Final = 86_400_000
RECENT: Final = 1_000
"""Answers kept in memory: many more than are ever on their way into the table."""
WAIT_S: Final = 30.0
"""How long a repeated request waits for the first one before it is told that that one still runs."""

_SELECT: Final = (
    "SELECT body_digest, status, resource, body FROM answered_writes WHERE key_digest = ? AND created_at_ms > ?"
)
_INSERT: Final = """
    INSERT OR REPLACE INTO answered_writes (key_digest, body_digest, status, resource, body, created_at_ms)
    VALUES (?, ?, ?, ?, ?, ?)
"""
_COMPLETE: Final = "UPDATE answered_writes SET body = ? WHERE key_digest = ?"
_CLEAN: Final = "DELETE FROM answered_writes WHERE created_at_ms <= ?"

Query = Callable[[str, tuple[Any, ...]], Sequence[tuple[Any, ...]]]


class Answered(NamedTuple):
    """What was answered. `body` None: it was not known at COMMIT; `resource` names what was made."""

    status: int
    resource: str | None
    body: bytes | None


class Claim:
    """One write on its way. Without a key it remembers nothing."""

    __slots__ = ("_body_digest", "_key_digest", "_writes", "answered")

    def __init__(
        self, writes: AnsweredWrites, key_digest: bytes | None, body_digest: bytes, answered: Answered | None = None
    ) -> None:
        self._writes = writes
        self._key_digest = key_digest
        self._body_digest = body_digest
        self.answered = answered

    @property
    def keyed(self) -> bool:
        """Whether the request carried an Idempotency-Key."""
        return self._key_digest is not None

    def remember(self, status: int, *, resource: str | None = None, body: bytes | None = None) -> list[Statement]:
        """For the transaction of what the write does; empty without a key."""
        if self._key_digest is None:
            return []
        now = self._writes.clock.now_ms()
        return [(_INSERT, (self._key_digest, self._body_digest, status, resource, body, now))]

    def complete(self, status: int, body: bytes) -> list[Statement]:
        """For after the COMMIT, where the body could not be known before; empty without a key.

        A repeated request gets this body from now on, also before the statement is durable.
        """
        if self._key_digest is None:
            return []
        self._writes.keep(self._key_digest, self._body_digest, Answered(status, None, body))
        return [(_COMPLETE, (body, self._key_digest))]

    def completed(self) -> None:
        """The statement of `complete` is durable: the table knows, with its end after 24 hours."""
        if self._key_digest is not None:
            self._writes.forget(self._key_digest)


class AnsweredWrites:
    """See the module."""

    def __init__(self, query: Query, clock: Times) -> None:
        self.clock = clock
        self._query = query
        self._recent: OrderedDict[bytes, tuple[bytes, Answered]] = OrderedDict()
        self._running: dict[bytes, tuple[bytes, asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def claim(self, who: tuple[str, str, str], key: str | None, body: bytes) -> AsyncIterator[Claim]:
        """Do a write inside the block, unless `answered` says what was answered to it.

        `who` is actor, method and path; `body` is what has to be the same. A second request with the key of a running
        one waits for it. Raises `idempotency.mismatch` and `idempotency.in_progress`.
        """
        if key is None:
            yield Claim(self, None, b"")
            return
        whole_key = "\n".join((*who, key)).encode()
        key_digest = hashlib.sha256(whole_key).digest()
        body_digest = hmac.digest(whole_key, body, hashlib.sha256)
        await self._wait_for_first(key_digest, body_digest)
        answered = self._look_up(key_digest, body_digest)
        if answered is not None:
            yield Claim(self, key_digest, body_digest, answered)
            return
        done = asyncio.get_running_loop().create_future()
        self._running[key_digest] = (body_digest, done)
        try:
            yield Claim(self, key_digest, body_digest)
        finally:
            del self._running[key_digest]
            done.set_result(None)

    async def _wait_for_first(self, key_digest: bytes, body_digest: bytes) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                while (running := self._running.get(key_digest)) is not None:
                    if running[0] != body_digest:
                        raise Fault("idempotency.mismatch")
                    await asyncio.shield(running[1])
        except TimeoutError:
            raise Fault("idempotency.in_progress") from None

    def keep(self, key_digest: bytes, body_digest: bytes, answered: Answered) -> None:
        """An answer whose body is still on its way into the table."""
        self._recent[key_digest] = (body_digest, answered)
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    def forget(self, key_digest: bytes) -> None:
        """It has arrived there."""
        self._recent.pop(key_digest, None)

    def _look_up(self, key_digest: bytes, body_digest: bytes) -> Answered | None:
        found = self._recent.get(key_digest)
        if found is None:
            rows = self._query(_SELECT, (key_digest, self.clock.now_ms() - KEPT_MS))
            if not rows:
                return None
            first_digest, *rest = rows[0]
            found = (first_digest, Answered(*rest))
        if found[0] != body_digest:
            raise Fault("idempotency.mismatch")
        return found[1]

    def clean(self) -> Statement:
        """Forgets what is older than 24 hours."""
        return (_CLEAN, (self.clock.now_ms() - KEPT_MS,))
