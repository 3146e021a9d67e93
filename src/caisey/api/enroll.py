"""`POST /runtime/v1/enroll`: the door through which a runtime comes in (PROTOCOL.md §2).

Owns its HTTP side: the bound on size, the limit per address, and the faults. Who is let in is
`directory.enrollment`'s to decide.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any, Final

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from caisey.api import bodies
from caisey.api.problem import shape_fault
from caisey.api.services import Services
from caisey.control.clock import Times
from caisey.control.directory.enrollment import enroll
from caisey.core.errors import Fault
from caisey.protocol import limits
from caisey.protocol.bodies import BodyFault
from caisey.protocol.enrollment import read_request

PATH: Final = "/runtime/v1/enroll"
MINUTE_MS: Final = 60_000
ADDRESSES_KEPT: Final = 20_000


class PerMinute:
    """At most so many per address in any minute. Bounded: the address that was quiet longest is forgotten first."""

    def __init__(self, clock: Times, at_most: int) -> None:
        self._clock = clock
        self._at_most = at_most
        self._times: OrderedDict[str, deque[int]] = OrderedDict()

    def take(self, address: str) -> None:
        """Counts one. Raises `request.rate_limited`, with how long to wait."""
        now = self._clock.monotonic_ms()
        times = self._times.setdefault(address, deque())
        self._times.move_to_end(address)
        while times and times[0] <= now - MINUTE_MS:
            times.popleft()
        if len(times) >= self._at_most:
            wait_ms = times[0] + MINUTE_MS - now
            raise Fault("request.rate_limited", retry_after_s=-(-wait_ms // 1000))
        times.append(now)
        if len(self._times) > ADDRESSES_KEPT:
            self._times.popitem(last=False)


def handler(services: Services, at_most: int = limits.ENROLLMENTS_PER_MINUTE_AND_ADDRESS) -> HTTPRouteHandler:
    """The framework's handler."""
    per_minute = PerMinute(services.clock, at_most)

    async def handle(request: Request[Any, Any, Any]) -> Any:
        per_minute.take(request.client.host if request.client is not None else "")
        read = read_request(await bodies.read(request, limits.ENROLLMENT_BYTES))
        if isinstance(read, BodyFault):
            raise shape_fault("enrollment.invalid_shape", read.errors)
        body = await enroll(services.directory, read, services.control_plane_key)
        return ASGIResponse(
            body=body, status_code=201, media_type="application/json", headers={"cache-control": "no-store"}
        )

    handle.__annotations__ = {"request": Request, "return": ASGIResponse}
    return HTTPRouteHandler(PATH, http_method="POST", include_in_schema=False, status_code=201)(handle)
