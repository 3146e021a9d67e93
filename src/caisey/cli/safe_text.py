"""What an endpoint says, made harmless for a terminal: shown, never obeyed.

Owns the one way by which text of an endpoint may reach a terminal, a table or a log line. Output of these functions
holds nothing but printable characters, line feeds and tabs, so that no colour, cursor movement, title, link, bidi
override or invisible character gets through. Never decides where text goes, and knows nothing of Rich.

A C0 control is shown as its picture (`␛[31m`), anything else that does not print as its code point (`\\u202e`), a byte
that is not UTF-8 as `\\xff`. What is printable stays as it is, the backslash too: a Windows path stays readable, and a
reader who has to tell the two apart asks for the bytes (`--raw`).
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

_PICTURES = 0x2400
_DELETE = "\x7f"
_DELETE_PICTURE = "\u2421"
_NO_BREAK_SPACES = frozenset("\u00a0\u2007\u202f")  # numbers of other languages hold them; they cannot deceive
_PLAIN = re.compile(r"[\x20-\x7e\n\t]*")
_PLAIN_LINE = re.compile(r"[\x20-\x7e]*")

INVALID_BYTES = "backslashreplace"


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(_PICTURES + code)
    if character == _DELETE:
        return _DELETE_PICTURE
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _visible(text: str, kept: str) -> str:
    return "".join(
        character
        if character.isprintable() or character in kept or character in _NO_BREAK_SPACES
        else _shown(character)
        for character in text
    )


def visible_line(text: str) -> str:
    """`text` on one line: line feeds and tabs are shown as their pictures too. For names, labels, table cells."""
    return text if _PLAIN_LINE.fullmatch(text) else _visible(text, "")


def visible(text: str) -> str:
    """`text` with its line feeds and tabs; CR LF counts as a line feed, a lone CR is shown."""
    return text if _PLAIN.fullmatch(text) else _visible(text.replace("\r\n", "\n"), "\n\t")


def safe_json(document: Any, *, indent: int | None = None) -> str:
    """JSON that loses nothing and holds no character that a terminal may obey: those are escaped, as JSON allows."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(document, ensure_ascii=False, indent=indent, separators=separators)
    if text.isascii():
        return text.replace(_DELETE, "\\u007f")
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text).replace(_DELETE, "\\u007f")


def cut(text: str, length: int) -> str:
    """At most `length` characters, the last one `…` where something was cut. `text` is visible already."""
    return text if len(text) <= length else f"{text[: max(length - 1, 0)]}…"


class VisibleStream:
    """A stream of bytes as visible text, piece by piece; the pieces may cut characters and CR LF anywhere.

    Whatever the pieces, the joined text is that of the whole stream. `shown` counts what was replaced.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(INVALID_BYTES)
        self._held = ""
        self.shown = 0

    def feed(self, data: bytes) -> str:
        """The visible text of the next bytes."""
        return self._next(self._decoder.decode(data))

    def finish(self) -> str:
        """What was still held back: half a character, or a last CR."""
        text = self._next(self._decoder.decode(b"", final=True))
        rest, self._held = visible(self._held), ""
        self.shown += len(rest)
        return text + rest

    def _next(self, text: str) -> str:
        text = self._held + text
        # A CR at the end may be half of a CR LF.
        self._held, text = ("\r", text[:-1]) if text.endswith("\r") else ("", text)
        text = text.replace("\r\n", "\n")
        if _PLAIN.fullmatch(text):
            return text
        self.shown += sum(1 for c in text if not (c.isprintable() or c in "\n\t" or c in _NO_BREAK_SPACES))
        return _visible(text, "\n\t")
