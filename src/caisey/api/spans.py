"""A span of time as queries ask for it: `from` and `to`.

Owns what is taken where one of them is missing, and the fault for one that cannot be read.
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from msgspec import Meta

from caisey.api.call import Call
from caisey.api.problem import shape_fault
from caisey.api.times import ms_of
from caisey.protocol.frames import ShapeFault

DAY_MS: Final = 86_400_000

Moment = Annotated[str, Meta(max_length=40)]


class Span(NamedTuple):
    """Milliseconds since the epoch; both ends belong to it."""

    since_ms: int
    until_ms: int


def span_of(call: Call, since: str | None, until: str | None, days: int) -> Span:
    """By default the last `days` until now. Raises `request.invalid_query`."""
    begins, ends = moment("from", since), moment("to", until)
    ends = call.services.clock.now_ms() if ends is None else ends
    return Span(ends - days * DAY_MS if begins is None else begins, ends)


def moment(name: str, text: str | None) -> int | None:
    """Milliseconds; None for None. Raises `request.invalid_query`."""
    if text is None:
        return None
    found = ms_of(text)
    if found is None:
        fault = ShapeFault(pointer=f"/{name}", expected="an RFC 3339 time or a date", found="another string")
        raise shape_fault("request.invalid_query", [fault])
    return found
