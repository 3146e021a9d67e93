"""Challenges that are given out without being remembered, and taken once.

Owns their form: random bytes and an end, signed with a key that this process alone has. Whoever asks for thousands
fills no memory with that; only those that came back are remembered, until they would be over anyway.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
from collections import OrderedDict
from typing import Final

from caisey.control.clock import Times

LIFE_MS: Final = 5 * 60_000
TAKEN_KEPT: Final = 50_000
_RANDOM_BYTES: Final = 24
_END: Final = struct.Struct(">Q")
_MAC_BYTES: Final = 32
LENGTH: Final = _RANDOM_BYTES + _END.size + _MAC_BYTES


class Challenges:
    """See the module. `about` ties a challenge to whom and what it is for."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._key = secrets.token_bytes(32)
        self._taken: OrderedDict[bytes, int] = OrderedDict()

    def give(self, about: str) -> bytes:
        """A fresh one."""
        head = secrets.token_bytes(_RANDOM_BYTES) + _END.pack(self._times.now_ms() + LIFE_MS)
        return head + self._mac(head, about)

    def take(self, challenge: bytes, about: str) -> bool:
        """Whether it was given for this, is not over, and comes back for the first time."""
        if len(challenge) != LENGTH:
            return False
        head, mac = challenge[:-_MAC_BYTES], challenge[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(head, about)):
            return False
        (end,) = _END.unpack(head[_RANDOM_BYTES:])
        now = self._times.now_ms()
        if end <= now or challenge in self._taken:
            return False
        self._taken[challenge] = end
        while len(self._taken) > TAKEN_KEPT or (self._taken and next(iter(self._taken.values())) <= now):
            self._taken.popitem(last=False)
        return True

    def _mac(self, head: bytes, about: str) -> bytes:
        return hmac.digest(self._key, head + about.encode(), hashlib.sha256)
