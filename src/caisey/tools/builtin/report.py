"""What goes into a builtin and what comes out of it.

Owns the order, the report, the one exception that is an answer, and the spelling of times. Light on purpose: imported
by every child process.
"""

from __future__ import annotations

import errno
import json
import time

RESULT_BUDGET = 480 * 1024
"""Bytes of JSON that a list may take, with room for what stands around it."""
TEXT_LENGTH = 4096

Row = dict[str, object]


class Order:
    """One call: the platform's name, the arguments as their schema lets them in, and where undo copies are kept."""

    __slots__ = ("_arguments", "platform", "undo_dir")

    def __init__(self, platform: str, arguments: dict[str, object], undo_dir: str) -> None:
        self.platform = platform
        self.undo_dir = undo_dir
        self._arguments = arguments

    def text(self, name: str) -> str:
        """A text that the schema requires."""
        return str(self._arguments[name])

    def optional_text(self, name: str) -> str | None:
        """A text that may be left out."""
        return str(self._arguments[name]) if name in self._arguments else None

    def number(self, name: str, default: int) -> int:
        """A whole number, or its default."""
        value = self._arguments.get(name, default)
        return value if isinstance(value, int) else default


class Report:
    """What a builtin found and did. `text` is one line for people; the result and the changes are for programs."""

    __slots__ = ("changes", "result", "text")

    def __init__(self, result: object, changes: list[Row] | None = None, text: str = "") -> None:
        self.result = result
        self.changes = changes or []
        self.text = text


class ToolError(Exception):
    """A failure that a technician can act on. `changes` are what happened before it, `result` what is known anyway."""

    def __init__(self, code: str, message: str, *, changes: list[Row] | None = None, result: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message[:TEXT_LENGTH]
        self.changes = changes or []
        self.result = result


_OS_CODES = {
    errno.ENOENT: "tool.not_found",
    errno.ENOTDIR: "tool.not_found",
    errno.EACCES: "tool.permission_denied",
    errno.EPERM: "tool.permission_denied",
    errno.EISDIR: "tool.not_a_file",
}


def from_os_error(error: OSError) -> ToolError:
    """The operating system's refusal as an answer."""
    code = _OS_CODES.get(error.errno or 0, "tool.os_error")
    where = f": {error.filename}" if error.filename else ""
    return ToolError(code, f"{error.strerror or type(error).__name__}{where}")


def change(what: str, before: object, after: object) -> Row:
    """One recorded change of state."""
    return {"what": what, "before": before, "after": after}


def spelled_time(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds, for seconds since the epoch."""
    whole = int(seconds // 1)
    milliseconds = int((seconds - whole) * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{milliseconds:03d}Z"


def fitting(rows: list[Row], budget: int = RESULT_BUDGET) -> tuple[list[Row], bool]:
    """As many rows from the front as the result has room for, and whether some are left out."""
    taken = 0
    for position, row in enumerate(rows):
        taken += len(json.dumps(row)) + 1
        if taken > budget:
            return rows[:position], True
    return rows, False
