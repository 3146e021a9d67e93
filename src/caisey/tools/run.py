"""The child process of a builtin: order on standard input, outcome on descriptor 3, words for people on the streams.

Owns the way in and out of every builtin. Starts without site-packages and imports only what the one tool needs, since
its start is part of every call. Must answer in JSON or not at all: an exit without a document is read as a crash.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

from caisey.tools.builtin.report import Order, Report, ToolError, from_os_error

ORDER_BYTES = 2 * 1024 * 1024
OUTCOME_BYTES = 512 * 1024
RESULT_FD = 3
BUILTINS = frozenset(
    {"service", "processes", "system_info", "disk_usage", "file_read", "file_write", "event_log", "network"}
)


def main() -> None:
    """Read one order, carry it out, report. Exits 1 where the tool failed, so that no reader takes it for done."""
    document = json.loads(sys.stdin.buffer.read(ORDER_BYTES))
    order = Order(document["platform"], document["arguments"], document["undo_dir"])
    error: ToolError | None = None
    try:
        report = carry_out(document["tool"], order)
    except ToolError as failure:
        error, report = failure, Report(failure.result, failure.changes)
    except OSError as failure:
        error, report = from_os_error(failure), Report(None)
    error = _write(report, error)
    if error is not None:
        _say(2, error.message)
        sys.exit(1)
    if report.text:
        _say(1, report.text)


def carry_out(tool: str, order: Order) -> Report:
    """Run one builtin in this process. Only its own module is imported."""
    if tool not in BUILTINS:
        raise ToolError("tool.unsupported", f"This runtime has no tool {tool}.")
    module = import_module(f"caisey.tools.builtin.{tool}")
    report: Report = module.run(order)
    return report


def _write(report: Report, error: ToolError | None) -> ToolError | None:
    """Write the outcome; the error that stands, which may be that the result is too long."""
    encoded = _encoded(report.result, report.changes, error)
    if len(encoded) > OUTCOME_BYTES:
        error = ToolError("tool.result_too_large", "The result is over 512 KiB. Ask for less.")
        encoded = _encoded(None, report.changes, error)
    view = memoryview(encoded)
    while view:
        view = view[os.write(RESULT_FD, view) :]
    os.close(RESULT_FD)
    return error


def _say(descriptor: int, text: str) -> None:
    """Words for people, in UTF-8 whatever the locale is; bytes of file names that are no text pass as they are."""
    os.write(descriptor, f"{text}\n".encode("utf-8", "surrogateescape"))


def _encoded(result: object, changes: list[dict[str, object]], error: ToolError | None) -> bytes:
    document: dict[str, object] = {"changes": changes}
    if result is not None:
        document["result"] = result
    if error is not None:
        document["error"] = {"code": error.code, "message": error.message}
    # ASCII escapes keep text that came from the computer's files, and is no UTF-8, a valid document.
    return json.dumps(_without_lone_surrogates(document), separators=(",", ":")).encode("ascii")


def _without_lone_surrogates(value: object) -> object:
    """File names and messages may hold bytes that are no text; Python carries them as surrogates, JSON must not."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_without_lone_surrogates(key): _without_lone_surrogates(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_lone_surrogates(inner) for inner in value]
    return value


if __name__ == "__main__":
    main()
