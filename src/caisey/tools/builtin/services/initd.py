"""Init scripts: what the Linux Standard Base says they do, in /etc/init.d.

Owns the rule that a name is one file directly in that directory, executable and a regular file; nothing else is run.
"""

from __future__ import annotations

import os
import stat

from caisey.tools.builtin.commands import Said, ask, find_program
from caisey.tools.builtin.services import ServiceManager, State

SCRIPTS = "/etc/init.d"
RUNLEVELS = "/etc/rc{}.d"
_STARTING_LEVELS = "2345"
_SBIN = ("/usr/sbin", "/sbin")
# LSB: 0 running, 1 and 2 dead with its pid or lock file left, 3 not running, 4 and more not known.
_STATES = {0: "running", 1: "failed", 2: "failed", 3: "stopped"}


class InitScripts(ServiceManager):
    """The scripts of one directory."""

    name = "initd"

    def __init__(self, scripts: str = SCRIPTS, runlevels: str = RUNLEVELS) -> None:
        self._scripts = scripts
        self._runlevels = runlevels

    def state(self, service: str) -> State | None:
        """Ask the script by its exit code; what it prints is for people."""
        script = self._script(service)
        if script is None:
            return None
        return State(_STATES.get(ask([script, "status"]).exit_code, "unknown"), self._enabled(service))

    def act(self, service: str, action: str) -> Said:
        """Let the script do it. Enabling is the distribution's matter, not the script's."""
        if action in {"enable", "disable"}:
            return _set_enabled(service, action)
        script = self._script(service)
        return ask([script, action]) if script is not None else Said(5, b"", b"the script is gone")

    def _script(self, service: str) -> str | None:
        if "/" in service or service.startswith("."):
            return None
        path = os.path.join(self._scripts, service)
        try:
            mode = os.stat(path).st_mode
        except OSError:
            return None
        return path if stat.S_ISREG(mode) and mode & 0o111 else None

    def _enabled(self, service: str) -> bool | None:
        """By the links that start it in a runlevel; `None` where there are no runlevels at all."""
        names: list[str] = []
        for level in _STARTING_LEVELS:
            directory = self._runlevels.format(level)
            if os.path.isdir(directory):
                names += [*os.listdir(directory), ""]
        if not names:
            return None
        return any(name[:1] == "S" and name[3:] == service and name[1:3].isdecimal() for name in names)


def _set_enabled(service: str, action: str) -> Said:
    debian = find_program("update-rc.d", *_SBIN)
    if debian is not None:
        return ask([debian, service, action])
    fedora = find_program("chkconfig", *_SBIN)
    if fedora is not None:
        return ask([fedora, service, "on" if action == "enable" else "off"])
    return Said(5, b"", b"neither update-rc.d nor chkconfig is installed")
