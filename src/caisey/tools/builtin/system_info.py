"""`system_info`: what the computer is."""

from __future__ import annotations

from caisey.tools.builtin.report import Order, Report, Row


def run(order: Order) -> Report:
    """One row of facts."""
    return Report(_facts(order.platform))


def _facts(platform: str) -> Row:
    """The platform's own, imported only there."""
    if platform == "linux":
        from caisey.tools.builtin.linux import system

        return system.facts()
    if platform == "macos":
        from caisey.tools.builtin import macos

        return macos.facts()
    from caisey.tools.builtin import windows

    return windows.facts()
