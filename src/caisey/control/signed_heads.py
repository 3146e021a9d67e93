"""Signed heads: the control plane's word for the end of an organization's chain.

Owns when one is made (each minute with changes, and for a document that ends with one) and how the newest is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog

from caisey.control.clock import Times
from caisey.core.spoken import rfc3339
from caisey.storage.contract import AppendFailed, Log, Overloaded

logger = structlog.get_logger(__name__)

EVERY_S: Final = 60.0
Sign = Callable[[bytes], bytes]

_NEWEST: Final = """
    SELECT sequence, digest, at_ms, signature FROM heads WHERE organization_id = ? ORDER BY sequence DESC LIMIT 1
"""


async def newest_head(log: Log, sign: Sign, organization_id: str, at_least: int, now_ms: int) -> dict[str, Any] | None:
    """The newest head; a new one is made where it does not reach the event `at_least`. None without any event."""
    head = await _newest(log, organization_id)
    if head is None or head["sequence"] < at_least:
        await log.sign_heads(sign, now_ms)
        head = await _newest(log, organization_id)
    return head


async def _newest(log: Log, organization_id: str) -> dict[str, Any] | None:
    rows = await log.query(_NEWEST, (organization_id,))
    if not rows:
        return None
    sequence, digest, at_ms, signature = rows[0]
    return {"sequence": sequence, "digest": digest, "at": rfc3339(at_ms), "signature": signature}


async def sign_each_minute(log: Log, sign: Sign, clock: Times) -> None:
    """Until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await log.sign_heads(sign, clock.now_ms())
        except (AppendFailed, Overloaded) as error:
            logger.error("heads.not_signed", error=str(error))
