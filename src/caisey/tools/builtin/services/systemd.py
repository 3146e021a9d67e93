"""systemd: asked by `systemctl`, only where it is what started the system."""

from __future__ import annotations

import os

from caisey.tools.builtin.commands import Said, answer, ask, find_program
from caisey.tools.builtin.services import ServiceManager, State

STARTED_BY_SYSTEMD = "/run/systemd/system"
_PROPERTIES = "--property=LoadState,ActiveState,UnitFileState"
_STATES = {
    "active": "running",
    "reloading": "running",
    "activating": "running",
    "refreshing": "running",
    "inactive": "stopped",
    "deactivating": "stopped",
    "maintenance": "stopped",
    "failed": "failed",
}
_ENABLED = {"enabled": True, "enabled-runtime": True, "disabled": False, "masked": False, "masked-runtime": False}


class Systemd(ServiceManager):
    """The system's own units."""

    name = "systemd"

    def __init__(self, systemctl: str) -> None:
        self._systemctl = systemctl

    def state(self, service: str) -> State | None:
        """Ask for properties, whose form is kept stable, and not for words meant for people."""
        return parse_show(answer([self._systemctl, "show", _PROPERTIES, "--", service]))

    def act(self, service: str, action: str) -> Said:
        """Waits for the job to end; never asks for a password."""
        return ask([self._systemctl, "--no-ask-password", action, "--", service])


def parse_show(text: str) -> State | None:
    """Read the output of `systemctl show`; `None` for a unit that does not exist."""
    properties = dict(line.partition("=")[::2] for line in text.splitlines())
    if properties.get("LoadState") in {None, "not-found"}:
        return None
    state = _STATES.get(properties.get("ActiveState", ""), "unknown")
    return State(state, _ENABLED.get(properties.get("UnitFileState", "")))


def running_systemd() -> Systemd | None:
    """systemd, where it runs this computer; elsewhere `systemctl` may exist and only says that it is offline."""
    systemctl = find_program("systemctl")
    return Systemd(systemctl) if systemctl is not None and os.path.isdir(STARTED_BY_SYSTEMD) else None
