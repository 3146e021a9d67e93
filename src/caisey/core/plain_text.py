"""Text of an endpoint, or of anybody else, made fit to stand inside our own sentences.

Owns the one way by which foreign text gets into words: on one line, every control character shown, cut to length, and
without braces, so that no unfilled place can be feigned. Never used for output itself, which keeps every byte.
"""

from __future__ import annotations

from typing import Any

_BRACES = str.maketrans("{}", "()")
_SPACES = frozenset("\u00a0\u2007\u202f")
SCANNED = 4096


def one_line(text: str, length: int) -> str:
    """At most `length` characters, all of them visible; `…` stands where something was cut."""
    kept = " ".join(text[:SCANNED].split())
    shown = "".join(c if c.isprintable() or c in _SPACES else _shown(c) for c in kept).translate(_BRACES)
    return cut(shown, length)


def cut(text: str, length: int) -> str:
    """At most `length` characters."""
    return text if len(text) <= length else f"{text[: max(length - 1, 0)].rstrip()}…"


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def visible(text: str) -> str:
    """Text of several lines: line feeds and tabs stay, every other control or invisible character is shown."""
    text = text.replace("\r\n", "\n")
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" or c in _SPACES else _shown(c) for c in text)


def first_line(text: str, length: int) -> str | None:
    """The first line that is not blank, made fit."""
    return next((one_line(line, length) for line in text[:SCANNED].splitlines() if line.strip()), None)


def last_line(text: str, length: int) -> str | None:
    """The last line that is not blank, made fit."""
    return next((one_line(line, length) for line in reversed(text[-SCANNED:].splitlines()) if line.strip()), None)


def literal(tool: str, arguments: dict[str, Any], length: int = 400) -> str:
    """A tool call as one says it: the tool, what it shall do, then the other values in their order."""
    order = sorted(arguments, key=lambda name: name not in ("action", "run_as"))
    words = [_value(name, arguments[name]) for name in order if arguments[name] is not None]
    return one_line(" ".join([tool, *words]), length)


def _value(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value[:SCANNED] if name != "run_as" else f"(as {value[:SCANNED]})"
    if isinstance(value, bool):
        return name if value else f"{name}=no"
    if isinstance(value, int | float):
        return str(value)
    return f"{name}=…"
