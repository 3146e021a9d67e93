"""How often something may be tried: buckets that fill slowly.

Owns the counting, in memory and bounded. A restart forgets it; what is guessed at has far more values than a restart
gives tries.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from typing import Final

from caisey.control.clock import Times

KEPT: Final = 20_000
_SIX_NETWORK: Final = 64


class Throttle:
    """`burst` tries at once, then one each `every_ms`."""

    def __init__(self, times: Times, *, burst: int, every_ms: int) -> None:
        self._times = times
        self._burst = burst
        self._every_ms = every_ms
        self._spent: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, key: str) -> int:
        """Whole seconds until the next try is allowed; 0: now."""
        over = self._level(key) - (self._burst - 1)
        return 0 if over <= 0 else max(1, math.ceil(over * self._every_ms / 1000))

    def spend(self, key: str) -> None:
        """One try was made."""
        self._spent[key] = (self._level(key) + 1, self._times.monotonic_ms())
        self._spent.move_to_end(key)
        if len(self._spent) > KEPT:
            self._spent.popitem(last=False)

    def give_back(self, key: str) -> None:
        """The try that was just made does not count; those before it do."""
        if key in self._spent:
            self._spent[key] = (max(0.0, self._level(key) - 1), self._times.monotonic_ms())

    def forgive(self, key: str) -> None:
        """It was somebody who may."""
        self._spent.pop(key, None)

    def _level(self, key: str) -> float:
        spent, at_ms = self._spent.get(key, (0.0, 0))
        return max(0.0, spent - (self._times.monotonic_ms() - at_ms) / self._every_ms)


def place_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the network that an IPv6 line is given."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped  # else all of IPv4 would be one place
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, _SIX_NETWORK), strict=False))
