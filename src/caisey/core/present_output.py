"""Output as the API shows it: how much there is, the text of head and tail, what is cut and what is missing.

Owns which bytes are wanted (`wanted`, so that the shell reads them in one go) and how pieces become text. The session
knows only which bytes are stored; the bytes themselves are an argument. Bounded, whatever a command wrote.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from caisey.core.attempt import Attempt, Stream
from caisey.core.present_evidence import gap_words
from caisey.core.scene import OutputKey, Parts, Scene, stated_stream
from caisey.core.session import Session
from caisey.core.spoken import size

STREAMS = ("stdout", "stderr")
PROMPT_BYTES = 2 * 1024 * 1024  # of text in one answer
STREAM_BYTES = 128 * 1024
LEAST_BYTES = 1024
TAIL_SHARE = 4  # a quarter of what is shown is the end


class Wanted(NamedTuple):
    """Bytes [start, end) of one stream."""

    tool_call_id: str
    number: int
    stream: str
    start: int
    end: int

    @property
    def key(self) -> OutputKey:
        """Where `Telling.output` holds the piece."""
        return self.tool_call_id, self.number, self.stream


def wanted(
    session: Session, prompt_id: str | None = None, budget: int = PROMPT_BYTES, each: int = STREAM_BYTES
) -> list[Wanted]:
    """The stored ranges that are shown as text: head and tail of every stream, newest attempts first.

    Of one prompt, or (for a transcript) of all of them. Raises KeyError for a prompt that the session does not have.
    """
    prompts = list(session.prompts.values()) if prompt_id is None else [session.prompts[prompt_id]]
    streams = [
        (a, name, stream)
        for prompt in prompts
        for call_id in prompt.call_ids
        for a in session.calls[call_id].attempts
        for name, stream in a.streams.items()
        if name in STREAMS and stream.stored
    ]
    share = max(LEAST_BYTES, min(each, budget // max(1, len(streams))))
    ranges: list[Wanted] = []
    for a, name, stream in sorted(streams, key=lambda item: -item[0].queued_at_ms):
        pieces = _pieces(stream, share)
        cost = sum(end - start for start, end in pieces)
        if cost > budget:
            break
        budget -= cost
        ranges += [Wanted(a.tool_call_id, a.number, name, start, end) for start, end in pieces]
    return ranges


def _pieces(stream: Stream, share: int) -> list[tuple[int, int]]:
    """At most `share` bytes of what is stored: the head, and the tail."""
    if stream.stored <= share:
        return list(stream.covered)
    tail = share // TAIL_SHARE
    return _first(stream, share - tail) + _last(stream, tail)


def _first(stream: Stream, count: int) -> list[tuple[int, int]]:
    pieces = []
    for start, end in stream.covered:
        length = min(end - start, count)
        if length <= 0:
            break
        pieces.append((start, start + length))
        count -= length
    return pieces


def _last(stream: Stream, count: int) -> list[tuple[int, int]]:
    pieces: list[tuple[int, int]] = []
    for start, end in reversed(stream.covered):
        length = min(end - start, count)
        if length <= 0:
            break
        pieces.append((end - length, end))
        count -= length
    return pieces[::-1]


def output(scene: Scene, attempt: Attempt) -> dict[str, dict[str, Any]]:
    """Per stream: `bytes` so far (or as stated at the end), `text`, `truncated`, `gaps`; stdout and stderr always."""
    names = [*STREAMS, *(n for n in attempt.streams if n not in STREAMS)]
    return {name: _stream(scene, attempt, name) for name in names}


def _stream(scene: Scene, attempt: Attempt, name: str) -> dict[str, Any]:
    stream = attempt.streams.get(name, Stream())
    stated = stated_stream(attempt, name)
    reached = max([end for _, end in stream.covered] + [o + n for o, n, _ in stream.gaps], default=0)
    total = max(reached, stated["bytes"])
    parts = scene.telling.output.get((attempt.tool_call_id, attempt.number, name), ())
    text = joined(scene, parts, stream)
    shown = sum(len(data) for _, data in parts)
    return {
        "bytes": total,
        "text": text,
        "truncated": shown < total or bool(stated["truncated"]),
        "gaps": [{"offset": o, "length": n, "why": why} for o, n, why in sorted(stream.gaps)],
        "stored": stream.stored,
        "conflicts": stream.conflicts,
    }


def joined(scene: Scene, parts: Parts, stream: Stream) -> str:
    """The pieces as text; where bytes stand between them, one line says how many, and why."""
    pieces: list[str] = []
    reached = 0
    for offset, data in sorted(parts):
        if offset > reached:
            pieces.append(_between(scene, stream, reached, offset))
        cut_before, cut_after = offset > 0, not _ends_there(stream, offset + len(data))
        pieces.append(decoded(data, cut_before=cut_before, cut_after=cut_after))
        reached = offset + len(data)
    rest = [(o, n) for o, n, _ in stream.gaps if o >= reached]
    if pieces and rest:
        pieces.append(_between(scene, stream, reached, max(o + n for o, n in rest)))
    return "".join(pieces)


def _ends_there(stream: Stream, offset: int) -> bool:
    return any(end == offset for _, end in stream.covered)


def _between(scene: Scene, stream: Stream, start: int, end: int) -> str:
    lost = [(n, why) for o, n, why in stream.gaps if start <= o < end]
    missing = sum(n for n, _ in lost)
    lines = []
    if end - start > missing:
        lines.append(scene.phrase("not_shown").replace("{size}", size(end - start - missing)))
    lines += [
        scene.phrase("missing").replace("{size}", size(n)).replace("{why}", gap_words(scene, why))
        for n, why in lost[:8]
    ]
    return "".join(f"\n[… {line} …]\n" for line in lines)


def decoded(data: bytes, *, cut_before: bool = False, cut_after: bool = False) -> str:
    """UTF-8; what is none becomes U+FFFD. A character that our own cut went through is left out instead."""
    if cut_before:
        start = 0
        while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
            start += 1
        data = data[start:]
    if cut_after:
        for back in range(1, min(4, len(data)) + 1):
            byte = data[-back]
            if byte & 0xC0 == 0xC0:
                needs = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
                data = data[:-back] if back < needs else data
                break
            if byte < 0x80:
                break
    return data.decode("utf-8", errors="replace")
