"""The bytes of a step as pages, for who has no script or wants to look closely: output in pages, the raw answer.

Owns how many bytes stand on one page. They come from the API's own route for output, as they are.
"""

from __future__ import annotations

from typing import Any, Final

from caisey.control.roles import Role
from caisey.core.plain_text import visible
from caisey.core.spoken import size
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render
from caisey.web.pages.session import find_step
from caisey.web.views.session_raw import SHOWN_BYTES, raw_of
from caisey.web.visit import Visit
from caisey.web.words import WORDS, word

Document = dict[str, Any]

PAGE_BYTES: Final = 256 * 1024
LINE_LENGTH: Final = 4_000
LINES: Final = 20_000
MAX_DIGITS: Final = 18
RESULT: Final = "result"


async def output(visit: Visit) -> Reply:
    """One page of a stream, from `offset` on."""
    prompt, call = await find_step(visit, visit.path["session_id"], visit.path["tool_call_id"])
    attempt = _attempt(call, visit.query.get("attempt"))
    stream = visit.query.get("stream", "stdout")
    known = attempt["output"].get(stream)
    if known is None:
        raise ApiFault(404, {"code": "resource.not_found", "title": "No such output", "hint": "Look at the step."})
    offset = _number(visit.query.get("offset"), 0)
    gap = next((g for g in known["gaps"] if g["offset"] <= offset < g["offset"] + g["length"]), None)
    if gap is not None:
        offset = gap["offset"] + gap["length"]
    path = f"/tool-calls/{call['id']}/output"
    data, _ = await visit.inside.raw(path, attempt=attempt["number"], stream=stream, offset=offset, limit=PAGE_BYTES)
    end = offset + len(data)
    title = WORDS.get(f"session.stream.{stream}", stream)
    return render(
        visit,
        "session_output.html",
        session_id=visit.path["session_id"],
        call=call,
        prompt=prompt,
        attempt=attempt["number"],
        stream=stream,
        title=word("session.output_of", title=title, size=size(known["bytes"])),
        reach=word("session.bytes_of", first=f"{offset:,}", last=f"{end:,}"),
        earlier=max(0, offset - PAGE_BYTES) if offset else None,
        later=end if end < known["bytes"] else None,
        raw=f"/api/v1{path}?attempt={attempt['number']}&stream={stream}",
        text=_text(data),
        gap=WORDS["session.cut"] if known["gaps"] else "",
    )


def _text(data: bytes) -> str:
    """Visible, and no line longer than a browser can bear."""
    lines = visible(data.decode("utf-8", errors="backslashreplace")).split("\n")[:LINES]
    return "\n".join(line if len(line) <= LINE_LENGTH else f"{line[:LINE_LENGTH]}…" for line in lines)


async def raw(visit: Visit) -> Reply:
    """The answer of a try, exactly, with what does not fit pointed at."""
    prompt, call = await find_step(visit, visit.path["session_id"], visit.path["tool_call_id"])
    attempt = _attempt(call, visit.query.get("attempt"))
    path = f"/tool-calls/{call['id']}/output"
    try:
        data, _ = await visit.inside.raw(path, attempt=attempt["number"], stream=RESULT, limit=SHOWN_BYTES + 1)
    except ApiFault as fault:
        if fault.status != 404:
            raise
        data = b""
    return render(
        visit,
        "session_raw.html",
        session_id=visit.path["session_id"],
        call=call,
        prompt=prompt,
        raw=raw_of(data, attempt["shape_faults"]),
        raw_url=f"/api/v1{path}?attempt={attempt['number']}&stream={RESULT}",
    )


def _attempt(call: Document, asked: str | None) -> Document:
    """The try that is asked for, else the newest."""
    number = _number(asked, 0)
    found = next((a for a in call["attempts"] if a["number"] == number), None)
    if found is None and call["attempts"]:
        found = call["attempts"][-1]
    if found is None:
        raise ApiFault(
            404, {"code": "resource.not_found", "title": "Nothing was sent yet", "hint": "Look at the step."}
        )
    return dict(found)


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else otherwise


PAGES: Final[tuple[Page, ...]] = (
    Page(method="GET", path="/sessions/{session_id}/steps/{tool_call_id}/output", show=output, role=Role.VIEWER),
    Page(method="GET", path="/sessions/{session_id}/steps/{tool_call_id}/raw", show=raw, role=Role.VIEWER),
)
