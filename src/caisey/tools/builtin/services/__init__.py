"""The service managers: which of them are here, and what all of them can do.

Owns the seam. A manager answers two questions: the state of a service it knows, and how an action ended. It never
decides anything, and a name reaches it only as one argument of a program, never as part of a command line.
"""

from __future__ import annotations

from caisey.tools.builtin.commands import Said


class State:
    """`running`, `stopped`, `failed` or `unknown`; and whether it starts with the system (`None`: not told)."""

    __slots__ = ("enabled", "state")

    def __init__(self, state: str, enabled: bool | None) -> None:
        self.state = state
        self.enabled = enabled


class ServiceManager:
    """One way to run services on this computer."""

    name = ""

    def state(self, service: str) -> State | None:
        """The state of a service; `None` where this manager does not know it."""
        raise NotImplementedError

    def act(self, service: str, action: str) -> Said:
        """Start, stop, restart, enable or disable it, and wait until that is done."""
        raise NotImplementedError


def managers(platform: str, wanted: str | None = None) -> list[ServiceManager]:
    """The managers that are here and may be asked, the one most likely meant first."""
    if platform == "linux":
        here = _linux()
    elif platform == "macos":
        from caisey.tools.builtin.services.launchd import Launchd

        here = [Launchd()]
    else:
        from caisey.tools.builtin.services.windows import WindowsServices

        here = [WindowsServices()]
    return [manager for manager in here if wanted in {None, manager.name}]


def _linux() -> list[ServiceManager]:
    from caisey.tools.builtin.services.initd import InitScripts
    from caisey.tools.builtin.services.supervisor import running_supervisors
    from caisey.tools.builtin.services.systemd import running_systemd

    systemd = running_systemd()
    return [*([systemd] if systemd is not None else []), *running_supervisors(), InitScripts()]
