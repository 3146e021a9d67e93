"""launchd: the system's daemons on macOS, asked by `launchctl`."""

from __future__ import annotations

from caisey.tools.builtin.commands import Said, ask
from caisey.tools.builtin.services import ServiceManager, State

LAUNCHCTL = "/bin/launchctl"
_ACTIONS = {
    "start": ["kickstart"],
    "stop": ["kill", "SIGTERM"],
    "restart": ["kickstart", "-k"],
    "enable": ["enable"],
    "disable": ["disable"],
}


class Launchd(ServiceManager):
    """The services of the system's domain, by label."""

    name = "launchd"

    def state(self, service: str) -> State | None:
        """Two questions: what it does now, and whether it is disabled."""
        printed = ask([LAUNCHCTL, "print", f"system/{service}"])
        if printed.exit_code != 0:
            return None
        disabled = ask([LAUNCHCTL, "print-disabled", "system"])
        enabled = parse_disabled(service, disabled.stdout.decode("utf-8", "replace"))
        return State(parse_print(printed.stdout.decode("utf-8", "replace")), enabled)

    def act(self, service: str, action: str) -> Said:
        """One `launchctl` command for each action."""
        return ask([LAUNCHCTL, *_ACTIONS[action], f"system/{service}"])


def parse_print(text: str) -> str:
    """Read `launchctl print`: the state, and the last exit code of one that does not run."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition(" = ")
        # The service's own fields are indented once; what is deeper belongs to its parts.
        if equals and line.startswith("\t") and not line.startswith("\t\t"):
            fields.setdefault(name.strip(), value.strip())
    state = fields.get("state")
    if state == "running":
        return "running"
    if state in {"not running", "waiting", "exited"}:
        code = fields.get("last exit code", "0").split(":")[0]
        return "stopped" if code in {"0", "(never exited)"} else "failed"
    return "unknown"


def parse_disabled(service: str, text: str) -> bool:
    """Read `launchctl print-disabled`: what it does not name is enabled."""
    for line in text.splitlines():
        name, arrow, value = line.strip().partition(" => ")
        if arrow and name.strip('"') == service:
            return value.strip() in {"enabled", "false"}
    return True
