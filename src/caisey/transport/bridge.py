"""One live transport of one incarnation, as the agent sees it (PROTOCOL.md §1).

Owns the interface that `websocket` and `longpoll` fulfil, and how a bridge says that it is over. Knows no frame: what
crosses it is the bytes of one.
"""

from __future__ import annotations

from typing import Protocol

from caisey.protocol.fields import BridgeKind


class BridgeClosedError(Exception):
    """The bridge is over. `code` is a WebSocket close code; `None` where the network just failed.

    `nobody_there`: nobody serves at that address now, which says nothing against this kind of bridge.
    """

    def __init__(self, code: int | None, reason: str, *, nobody_there: bool = False) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.nobody_there = nobody_there


class Bridge(Protocol):
    """One connection. `send` and `receive` raise `BridgeClosedError` once it is over."""

    kind: BridgeKind

    async def send(self, data: bytes) -> None:
        """Hand one frame over; waits while the other side does not keep up."""

    async def receive(self) -> bytes | str:
        """The next frame of the other side."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End it."""


class Connector(Protocol):
    """Opens bridges of one kind."""

    kind: BridgeKind

    async def connect(self) -> Bridge:
        """Open one. Raises `BridgeClosedError` where it cannot be had."""
