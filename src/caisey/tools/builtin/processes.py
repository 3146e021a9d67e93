"""`processes`: what runs, filtered, sorted and cut.

Owns the selection; where the rows come from is the platform's.
"""

from __future__ import annotations

from caisey.tools.builtin.report import Order, Report, Row, fitting

DEFAULT_LIMIT = 100


def run(order: Order) -> Report:
    """The processes that were asked for, the busiest first."""
    wanted = chosen(
        _processes(order.platform),
        name=order.optional_text("name"),
        user=order.optional_text("user"),
        sort=order.optional_text("sort") or "cpu",
    )
    rows, cut = fitting(wanted[: order.number("limit", DEFAULT_LIMIT)])
    return Report({"processes": rows, "total": len(wanted), "truncated": cut or len(rows) < len(wanted)})


def chosen(rows: list[Row], *, name: str | None, user: str | None, sort: str) -> list[Row]:
    """The rows that fit the filters, in the order that was asked for."""
    if name is not None:
        rows = [row for row in rows if name.casefold() in str(row["name"]).casefold()]
    if user is not None:
        rows = [row for row in rows if str(row["user"]).casefold() == user.casefold()]
    if sort == "pid":
        return sorted(rows, key=lambda row: _number(row["pid"]))
    first, second = ("rss_bytes", "cpu_percent") if sort == "memory" else ("cpu_percent", "rss_bytes")
    return sorted(rows, key=lambda row: (_number(row[first]), _number(row[second])), reverse=True)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _processes(platform: str) -> list[Row]:
    """The platform's own, imported only there."""
    if platform == "linux":
        from caisey.tools.builtin.linux import processes

        return processes.processes()
    if platform == "macos":
        from caisey.tools.builtin import macos

        return macos.processes()
    from caisey.tools.builtin import windows

    return windows.processes()
