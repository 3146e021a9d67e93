"""Lists in pages: `?cursor=&limit=` and `{"items", "next"}` (API.md, conventions).

Owns the cursor: the sort key of the last item, in a form that nobody should read. A cursor names a place, not a
moment: what is added before it is not seen, what is removed is not missed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar, cast

import msgspec

from caisey.api.problem import shape_fault
from caisey.protocol.frames import ShapeFault

T = TypeVar("T")
V = TypeVar("V")

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200

Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str, msgspec.Meta(max_length=512)]
Key = tuple[str | int, ...]


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What every list takes."""

    cursor: Cursor | None = None
    limit: Limit = DEFAULT_LIMIT


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some items, and the cursor of the next ones."""

    items: Sequence[T]
    next: str | None = None


def encode_cursor(key: Key) -> str:
    """The cursor of a sort key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).rstrip(b"=").decode()


def decode_cursor(cursor: str | None, kind: type[V]) -> V | None:
    """The sort key of a cursor. Raises `request.invalid_query` for one that this list did not give."""
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        key: Any = msgspec.json.decode(text, type=kind)
        if any(isinstance(part, int) and not -(2**63) <= part < 2**63 for part in key):
            raise ValueError("no number of ours has more than 64 bits")
        return cast("V", key)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        fault = ShapeFault(pointer="/cursor", expected="a cursor of this list", found="another string")
        raise shape_fault("request.invalid_query", [fault]) from None


def page_of(rows: Sequence[T], limit: int, key: Callable[[T], Key], show: Callable[[T], V]) -> Page[V]:
    """A page from up to `limit + 1` rows in order: the last one only says that there are more."""
    shown = rows[:limit]
    following = encode_cursor(key(shown[-1])) if len(rows) > limit else None
    return Page(items=[show(row) for row in shown], next=following)


def page_in_memory(
    everything: Iterable[T], query: PageQuery, key: Callable[[T], Key], show: Callable[[T], V], kind: Any = tuple
) -> Page[V]:
    """A page of what is at hand, ordered by `key`."""
    after = decode_cursor(query.cursor, kind)
    ordered = sorted(everything, key=key)
    if after is not None:
        try:
            ordered = [item for item in ordered if key(item) > tuple(after)]
        except TypeError:
            fault = ShapeFault(pointer="/cursor", expected="a cursor of this list", found="another list's")
            raise shape_fault("request.invalid_query", [fault]) from None
    return page_of(ordered[: query.limit + 1], query.limit, key, show)
