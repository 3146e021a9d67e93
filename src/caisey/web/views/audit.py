"""Events of the log as lines: what, who, about what, and the contents on request.

Owns how an event is shown. Pure, from `GET /audit/search`. Contents may hold what an endpoint said: they are shown as
text, bounded, and never obeyed.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from caisey.core.catalogue.phrases import PHRASES
from caisey.core.plain_text import cut, one_line, visible

Document = dict[str, Any]

CONTENTS: Final = 6_000
NAME_LENGTH: Final = 60


class Event(NamedTuple):
    """One line of the log."""

    sequence: int
    at: str
    type: str
    who: str
    who_id: str
    session_id: str
    endpoint_id: str
    endpoint: str
    reason: str
    contents: str
    digest: str
    previous: str


def event(item: Document, names: Document) -> Event:
    """One event in words."""
    actor, payload = item["actor"], item["payload"]
    endpoint_id = str(payload.get("endpoint_id") or "")
    return Event(
        sequence=item["sequence"],
        at=item["at"],
        type=one_line(item["type"], 64),
        who=one_line(names.get(actor["id"]) or PHRASES.get(f"who.{actor['kind']}", actor["kind"]), NAME_LENGTH),
        who_id=one_line(f"{actor['kind']} {actor['id']}", 100),
        session_id=item["session_id"] or "",
        endpoint_id=endpoint_id if endpoint_id in names else "",
        endpoint=one_line(names.get(endpoint_id, ""), NAME_LENGTH),
        reason=one_line(item["reason"] or "", 200),
        contents=contents(payload),
        digest=item["digest"],
        previous=item["previous"],
    )


def contents(payload: Document) -> str:
    """The payload as indented JSON, cut where it is long."""
    text = msgspec.json.format(msgspec.json.encode(payload), indent=2).decode()
    return cut(visible(text[: 2 * CONTENTS]), CONTENTS)
