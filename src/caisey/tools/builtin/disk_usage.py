"""`disk_usage`: how full each file system is."""

from __future__ import annotations

from caisey.tools.builtin.report import Order, Report, Row


def run(order: Order) -> Report:
    """The file systems with their room."""
    return Report({"filesystems": _filesystems(order.platform, order.optional_text("path"))})


def _filesystems(platform: str, path: str | None) -> list[Row]:
    """The platform's own, imported only there."""
    if platform == "linux":
        from caisey.tools.builtin.linux import disks

        return disks.filesystems(path)
    if platform == "macos":
        from caisey.tools.builtin import macos

        return macos.filesystems(path)
    from caisey.tools.builtin import windows

    return windows.filesystems(path)
