"""Getting to the control plane: which bridge, how long to wait, and the handshake (PROTOCOL.md §1, §3, §7).

Owns the back-off and the choice between the bridges. Sends nothing of its own accord before the welcome was checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from caisey.protocol import limits
from caisey.protocol.codec import decode_from_control_plane, encode
from caisey.protocol.faults import FrameFault
from caisey.protocol.frames import Challenge, Hello, Reject, Welcome
from caisey.protocol.handshake import Rejected, Rejection, RuntimeHandshake
from caisey.runtime.clock import Chance
from caisey.transport.bridge import Bridge, BridgeClosedError, Connector

WAIT_AFTER_FAULTS: Final = limits.CLOSE_FAULTS
TRIES_BEFORE_OTHER_BRIDGE: Final = 2


class HandshakeError(Exception):
    """The handshake did not end in a welcome. `reject` is what the control plane said, if it said anything."""

    def __init__(self, reason: str, reject: Reject | None = None) -> None:
        super().__init__(reason)
        self.reject = reject


class Backoff:
    """0.5 s doubling to 30 s, with full jitter, so that a fleet does not come back in step."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._tries = 0

    def reset(self) -> None:
        self._tries = 0

    def next_s(self, closed: BridgeClosedError | None = None) -> float:
        """How long to wait before the next try."""
        if closed is not None and closed.code == WAIT_AFTER_FAULTS:
            return limits.WAIT_AFTER_FAULTS_MS / 1000
        most_ms = min(limits.BACKOFF_LAST_MS, limits.BACKOFF_FIRST_MS * 2 ** min(self._tries, 16))
        self._tries += 1
        return self._chance.uniform(0, most_ms) / 1000


class BridgeChoice:
    """Which bridge to try. The first of the list is preferred, and tried again after each that worked and broke.

    A control plane that is away has failed nobody: else a fleet would come back by the other bridge, and stay there.
    """

    def __init__(self, connectors: Sequence[Connector]) -> None:
        self._connectors = connectors
        self._failed = 0

    def next(self) -> Connector:
        return self._connectors[(self._failed // TRIES_BEFORE_OTHER_BRIDGE) % len(self._connectors)]

    def failed(self) -> None:
        self._failed += 1

    def worked(self) -> None:
        self._failed = 0


async def challenge_of(bridge: Bridge, handshake: RuntimeHandshake) -> Challenge:
    """Wait for the challenge. Raises `HandshakeError`."""
    found = handshake.receive_challenge(decode_from_control_plane(await bridge.receive()))
    if isinstance(found, Challenge):
        return found
    raise HandshakeError(_reason(found))


async def welcome_of(bridge: Bridge, handshake: RuntimeHandshake, hello: Hello) -> Welcome:
    """Send the hello and check the welcome. Raises `HandshakeError`."""
    await bridge.send(encode(hello))
    found = handshake.receive_welcome(decode_from_control_plane(await bridge.receive()))
    if isinstance(found, Welcome):
        return found
    raise HandshakeError(_reason(found), found.frame if isinstance(found, Rejected) else None)


def _reason(found: Rejected | Rejection | FrameFault) -> str:
    if isinstance(found, Rejected):
        return f"{found.frame.code}: {found.frame.hint}"
    return str(found.code)


def handshake_timeout() -> asyncio.Timeout:
    return asyncio.timeout(limits.HANDSHAKE_MS / 1000)
