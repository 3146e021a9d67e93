"""Logs and entries for tests: real files in a private directory, opened and closed in the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.core.events import Actor
from caisey.storage.contract import Appended, AppendFailed, Entry, Log
from caisey.storage.data_directory import DataDirectory
from caisey.storage.sqlite.log import SqliteLog

P = ParamSpec("P")

ONE, TWO = "org_" + "1" * 26, "org_" + "2" * 26
SESSION = "ses_" + "3" * 26
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BAD_WRITE = ("INSERT INTO nowhere VALUES (?)", (1,))
COUNT = "SELECT COUNT(*) FROM events"


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that is a coroutine, in a loop of its own."""

    @wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        asyncio.run(test(*arguments, **named))

    return run


@asynccontextmanager
async def sqlite_log(directory: Path) -> AsyncIterator[SqliteLog]:
    with DataDirectory(directory) as data:
        log = await SqliteLog.open(data.database)
        try:
            yield log
        finally:
            await log.close()


def entry(organization: str = ONE, session: str | None = SESSION, **payload: Any) -> Entry:
    return Entry(organization, session, "noted", 1_700_000_000_123, Actor("user", "usr_" + "4" * 26), None, payload)


async def outcome(appended: Appended | Awaitable[None]) -> bool:
    """Whether it was committed."""
    try:
        await (appended.committed if isinstance(appended, Appended) else appended)
    except AppendFailed:
        return False
    return True


async def every_line(log: Log, organization: str) -> list[dict[str, Any]]:
    """The whole chain of an organization as public events, and its last head."""
    await log.sign_heads(KEY.sign, 1_700_000_000_999)
    lines: list[dict[str, Any]] = []
    after = 0
    while events := await log.read_organization(organization, after, 100):
        lines.extend(event.to_public() for event in events)
        after = events[-1].sequence
    heads = await log.query(
        "SELECT sequence, digest, at_ms, signature FROM heads WHERE organization_id = ? ORDER BY sequence DESC LIMIT 1",
        (organization,),
    )
    lines.extend(
        {"sequence": sequence, "digest": digest, "at": "2023-11-14T22:13:20.999Z", "signature": signature}
        for sequence, digest, _, signature in heads
    )
    return lines
