"""Supervisor: the programs of a `supervisord` that runs, asked by `supervisorctl`.

Owns how it is found: by the process that runs, since its configuration may lie anywhere. Whether a program starts with
it stands in that configuration and is not told.
"""

from __future__ import annotations

import os
import sys

from caisey.tools.builtin.commands import Said, ask, find_program
from caisey.tools.builtin.services import ServiceManager, State

DAEMON = "supervisord"
CONTROL = "supervisorctl"
_STATES = {
    "RUNNING": "running",
    "STARTING": "running",
    "STOPPED": "stopped",
    "STOPPING": "stopped",
    "EXITED": "stopped",
    "BACKOFF": "failed",
    "FATAL": "failed",
}
_NOT_SUPPORTED = 2


class Supervisor(ServiceManager):
    """The programs of one `supervisord`."""

    name = "supervisor"

    def __init__(self, control: list[str]) -> None:
        self._control = control

    def state(self, service: str) -> State | None:
        """Ask for one program. Its exit code says nothing that its line does not say better."""
        return parse_status(service, ask([*self._control, "status", service]).stdout.decode("utf-8", "replace"))

    def act(self, service: str, action: str) -> Said:
        """Waits for as long as the program's own `startsecs` and `stopwaitsecs` ask."""
        if action in {"enable", "disable"}:
            return Said(_NOT_SUPPORTED, b"", b"set `autostart` in the configuration of supervisor")
        said = ask([*self._control, action, service])
        # Older versions end with 0 whatever happened; what they print begins with the name and tells.
        if said.exit_code == 0 and b": ERROR (" in said.stdout:
            return Said(1, said.stdout, said.stderr)
        return said


def parse_status(service: str, text: str) -> State | None:
    """Read `supervisorctl status NAME`: the name, the state, and words for people."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 2 and fields[0] in {service, f"{service}:{service}"} and fields[1].isupper():
            return State(_STATES.get(fields[1], "unknown"), None)
    return None


def running_supervisors(processes: str = "/proc") -> list[Supervisor]:
    """Each `supervisord` that runs, with the configuration it was started with."""
    found: dict[str, Supervisor] = {}
    for argv in _command_lines(processes):
        place = next((place for place, word in enumerate(argv[:3]) if os.path.basename(word) == DAEMON), None)
        if place is None:
            continue
        control = find_program(CONTROL, os.path.dirname(argv[place]), os.path.dirname(sys.executable))
        if control is not None:
            configuration = _configuration(argv[place + 1 :])
            command = [control, "-c", configuration] if configuration else [control]
            found.setdefault(" ".join(command), Supervisor(command))
    return list(found.values())


def _command_lines(processes: str) -> list[list[str]]:
    found = []
    for name in os.listdir(processes):
        if name.isdecimal():
            try:
                with open(os.path.join(processes, name, "cmdline"), "rb") as file:
                    found.append([os.fsdecode(word) for word in file.read(16_384).split(b"\0") if word])
            except OSError:
                continue  # gone, or not ours to look at
    return found


def _configuration(words: list[str]) -> str | None:
    """The value of `-c` or `--configuration` in the daemon's own command line."""
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if word in {"-c", "--configuration"}:
            return following or None
        if word.startswith("--configuration="):
            return word.partition("=")[2]
        if word.startswith("-c") and len(word) > 2:
            return word[2:]
    return None
