"""`event_log`: the newest entries of the system's log.

Owns the selection; where the entries come from is the platform's. A file of plain text says nothing about how grave an
entry is: its level is `unknown`, and a filter by level keeps it rather than hiding what may matter.
"""

from __future__ import annotations

from caisey.tools.builtin.report import RESULT_BUDGET, Order, Report, Row, fitting

DEFAULT_SINCE_MINUTES = 60
DEFAULT_LIMIT = 100
READ_ENTRIES = 20_000
"""How many entries are looked through for those that fit."""
MESSAGE_LENGTH = 4_000
LEVELS = ("critical", "error", "warning", "info", "debug")
UNKNOWN = "unknown"


def run(order: Order) -> Report:
    """The entries that were asked for, oldest first."""
    level = order.optional_text("level")
    found, complete = _entries(order.platform, order.number("since_minutes", DEFAULT_SINCE_MINUTES), level)
    wanted = chosen(found, level=level, source=order.optional_text("source"), text=order.optional_text("contains"))
    limit = order.number("limit", DEFAULT_LIMIT)
    newest_first, cut = fitting(wanted[-limit:][::-1], RESULT_BUDGET)
    return Report({"entries": newest_first[::-1], "truncated": cut or len(wanted) > limit or not complete})


def chosen(rows: list[Row], *, level: str | None, source: str | None, text: str | None) -> list[Row]:
    """The entries that fit the filters, in their order."""
    if level is not None:
        kept = {*LEVELS[: LEVELS.index(level) + 1], UNKNOWN}
        rows = [row for row in rows if row["level"] in kept]
    if source is not None:
        rows = [row for row in rows if source.casefold() in str(row["source"]).casefold()]
    if text is not None:
        rows = [row for row in rows if text.casefold() in str(row["message"]).casefold()]
    return rows


def entry(at: str | None, source: str, level: str, message: str) -> Row:
    """One entry, its message cut to a bound."""
    return {"at": at, "source": source[:256], "level": level, "message": message[:MESSAGE_LENGTH]}


def _entries(platform: str, since_minutes: int, level: str | None) -> tuple[list[Row], bool]:
    """The platform's own, imported only there."""
    if platform == "linux":
        from caisey.tools.builtin.linux import logs

        return logs.entries(since_minutes, level, READ_ENTRIES)
    if platform == "macos":
        from caisey.tools.builtin import macos

        return macos.entries(since_minutes, level, READ_ENTRIES)
    from caisey.tools.builtin import windows

    return windows.entries(since_minutes, level, READ_ENTRIES)
