"""Server-sent events: bytes of a stream to events (the WHATWG rules), with the id to go on from.

Owns the reading of the format only: no socket, no clock. A line longer than the bound ends the stream as broken.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

LINE_LENGTH = 16 * 1024 * 1024


class BrokenStream(Exception):
    """The other side sends something that is no event stream."""


@dataclass(frozen=True)
class ServerEvent:
    """One dispatched event. `id` is the last id that the stream gave, as a client would send it back."""

    id: str
    type: str
    data: str


class SseParser:
    """Feed it bytes in any pieces; it yields whole events. An event that is not complete at the end is dropped."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._started = False
        self._type = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> Iterator[ServerEvent]:
        """The events that these bytes complete."""
        self._text += self._decoder.decode(data)
        if not self._started and self._text:
            self._text = self._text.removeprefix("\ufeff")
            self._started = True
        while (line := self._next_line()) is not None:
            event = self._take(line)
            if event is not None:
                yield event
        if len(self._text) > LINE_LENGTH:
            raise BrokenStream("a line of the event stream does not end")

    def _next_line(self) -> str | None:
        ends = [found for found in (self._text.find("\n"), self._text.find("\r")) if found >= 0]
        if not ends:
            return None
        end = min(ends)
        after = end + 1
        if self._text[end] == "\r":
            if after == len(self._text):
                return None  # perhaps half of a CR LF
            if self._text[after] == "\n":
                after += 1
        line, self._text = self._text[:end], self._text[after:]
        return line

    def _take(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        name, colon, value = line.partition(":")
        if colon and value.startswith(" "):
            value = value[1:]
        if name == "event":
            self._type = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self.last_id = value
        return None

    def _dispatch(self) -> ServerEvent | None:
        kind, data = self._type or "message", self._data
        self._type, self._data = "", []
        return ServerEvent(self.last_id, kind, "\n".join(data)) if data else None
