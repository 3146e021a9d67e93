"""How much of everybody's time one runtime's connection may take: the event loop's, and the disk's.

Owns the shares, and the moment at which a connection stands back. Both entrances of runtimes go by it. A runtime that
works as hard as it can stays below its share; one that floods is read as slowly as that, and nobody else feels it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from caisey.control.connections import Connection
from caisey.control.hub import Hub

FRAMES_IN_A_ROW: Final = 8
IN_A_ROW_S: Final = 0.001
TURNS_OF_OTHERS: Final = 8
"""After so many frames of one connection, or so much time with long ones, everybody else has so many turns: a prompt
takes some twenty from its request to its verdict. Where nobody else has anything to do they cost next to nothing."""
SHARE: Final = 0.4
"""At most this share of the event loop's time for long."""
BURST_S: Final = 0.05
"""What may be saved up. It is a delay of somebody's prompt: at a quarter of a second, the first second of a flood was
two to seven times the quiet p99 of everybody else."""
FRAME_S: Final = 40e-6
"""What the socket's own layers take for a frame before it is seen here."""
BYTE_S: Final = 2e-9
"""What a byte takes to be parsed."""
SHARED_BYTE_S: Final = 15e-9
"""What it takes where others are at work: the disk is theirs as well. With this, one runtime stores some 17 MiB/s.
Without, a checkpoint of the log carried 20 MiB, and the commits beside it took up to 130 ms."""


class FairShare:
    """Of one connection. `seconds` is a steady clock that goes on while a frame is read."""

    __slots__ = ("_at", "_credit", "_in_a_row", "_seconds", "_spent")

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._credit, self._at = BURST_S, seconds()
        self._in_a_row, self._spent = 0, 0.0

    def begin(self) -> float:
        """A frame is about to be read. What comes back goes into `took`."""
        return self._seconds()

    def took(self, began: float, size: int, *, shared: bool) -> float | None:
        """A frame of so many bytes was read: seconds to stand back for; None to go on at once.

        `shared`: others are at work, and wait for the same disk.
        """
        now = self._seconds()
        cost = now - began + FRAME_S + size * (SHARED_BYTE_S if shared else BYTE_S)
        self._credit = min(BURST_S, self._credit + (now - self._at) * SHARE) - cost
        self._at = now
        self._in_a_row += 1
        self._spent += cost
        if self._credit >= 0.0 and self._in_a_row < FRAMES_IN_A_ROW and self._spent < IN_A_ROW_S:
            return None
        self._in_a_row, self._spent = 0, 0.0
        return max(0.0, -self._credit / SHARE)


async def receive(share: FairShare, hub: Hub, connection: Connection, data: bytes | str) -> None:
    """One frame of a welcomed connection, and what its sender has to leave to the others for it."""
    began = share.begin()
    waiting = hub.receive(connection, data)
    pause = share.took(began, len(data), shared=hub.others_wait(connection))
    if waiting is not None:
        await waiting
    if pause is not None:
        await stand_back(pause)


async def stand_back(seconds: float) -> None:
    """The others first: for so long, and for some turns of the loop in any case."""
    if seconds:
        await asyncio.sleep(seconds)
    for _ in range(TURNS_OF_OTHERS):
        await asyncio.sleep(0)
