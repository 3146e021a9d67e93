"""`network`: interfaces, listening ports, routes."""

from __future__ import annotations

from caisey.tools.builtin.report import RESULT_BUDGET, Order, Report, Row, fitting


def run(order: Order) -> Report:
    """The three lists, each bounded to a third of the result."""
    result: Row = {}
    truncated = False
    for name, rows in _network(order.platform).items():
        result[name], cut = fitting(rows, RESULT_BUDGET // 3)
        truncated = truncated or cut
    return Report({**result, "truncated": truncated})


def _network(platform: str) -> dict[str, list[Row]]:
    """The platform's own, imported only there."""
    if platform == "linux":
        from caisey.tools.builtin.linux import network

        return network.network()
    if platform == "macos":
        from caisey.tools.builtin import macos

        return macos.network()
    from caisey.tools.builtin import windows

    return windows.network()
