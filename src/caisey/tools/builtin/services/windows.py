"""Windows services, asked through PowerShell, whose objects have the same names in every language of Windows."""

from __future__ import annotations

import json

from caisey.tools.builtin.commands import Said
from caisey.tools.builtin.powershell import ask_powershell
from caisey.tools.builtin.services import ServiceManager, State

NAME_VARIABLE = "CAISEY_SERVICE"
"""The name travels in a variable: it is never a part of the script."""
_GET = (
    f"Get-CimInstance Win32_Service | Where-Object {{ $_.Name -eq $env:{NAME_VARIABLE} }} | Select-Object -First 1 |"
    " Select-Object Name, State, StartMode, ExitCode | ConvertTo-Json -Compress"
)
_ACTIONS = {
    "start": f"Start-Service -Name $env:{NAME_VARIABLE} -ErrorAction Stop",
    "stop": f"Stop-Service -Name $env:{NAME_VARIABLE} -Force -ErrorAction Stop",
    "restart": f"Restart-Service -Name $env:{NAME_VARIABLE} -Force -ErrorAction Stop",
    "enable": f"Set-Service -Name $env:{NAME_VARIABLE} -StartupType Automatic -ErrorAction Stop",
    "disable": f"Set-Service -Name $env:{NAME_VARIABLE} -StartupType Disabled -ErrorAction Stop",
}
_STATES = {
    "Running": "running",
    "Start Pending": "running",
    "Continue Pending": "running",
    "Pause Pending": "running",
    "Paused": "stopped",
    "Stopped": "stopped",
    "Stop Pending": "stopped",
}
_NEVER_STARTED = 1077


class WindowsServices(ServiceManager):
    """The services of the service control manager."""

    name = "windows"

    def state(self, service: str) -> State | None:
        """One object, or nothing where there is no such service."""
        return parse_service(ask_powershell(_GET, {NAME_VARIABLE: service}).stdout.decode("utf-8", "replace"))

    def act(self, service: str, action: str) -> Said:
        """The cmdlets wait until the service has changed."""
        return ask_powershell(_ACTIONS[action], {NAME_VARIABLE: service})


def parse_service(text: str) -> State | None:
    """Read one `Win32_Service` as JSON."""
    if not text.strip():
        return None
    fields = json.loads(text)
    state = _STATES.get(fields.get("State"), "unknown")
    if state == "stopped" and fields.get("ExitCode", 0) not in {0, _NEVER_STARTED}:
        state = "failed"
    mode = fields.get("StartMode")
    return State(state, None if mode in {None, "Unknown"} else mode in {"Auto", "Boot", "System"})
