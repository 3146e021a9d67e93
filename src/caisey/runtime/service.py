"""The runtime as a service of the operating system, so that a command outlives the runtime and a reboot brings it back.

Owns the text of each service definition, as pure functions, and where it is put. The one thing that all of them must
say: ending or restarting the runtime does not end the commands that it started.
"""

from __future__ import annotations

import plistlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

NAME: Final = "caisey-runtime"
LAUNCHD_LABEL: Final = "com.caisey.runtime"
SYSTEMD_UNIT: Final = Path("/etc/systemd/system/caisey-runtime.service")
LAUNCHD_PLIST: Final = Path("/Library/LaunchDaemons/com.caisey.runtime.plist")
WINDOWS_TASK: Final = "caisey-runtime.xml"


class InstallError(Exception):
    """The service was not installed; the text says why."""


def command(state_dir: Path, bridge: str, python: str = sys.executable) -> list[str]:
    """What the service runs."""
    return [python, "-m", "caisey.runtime", "run", "--state-dir", str(state_dir), "--bridge", bridge]


def systemd_unit(arguments: Sequence[str]) -> str:
    """A unit whose commands are not killed with it: `KillMode=process`, and `Delegate` for a cgroup per command."""
    line = " ".join(_systemd_quoted(argument) for argument in arguments)
    return f"""[Unit]
Description=Caisey runtime
Documentation=man:systemd.kill(5)
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart={line}
Restart=always
RestartSec=1
KillMode=process
SendSIGKILL=no
TimeoutStopSec=10
Delegate=yes
OOMScoreAdjust=-500
UMask=0077
LimitNOFILE=16384

[Install]
WantedBy=multi-user.target
"""


def _systemd_quoted(argument: str) -> str:
    """As systemd reads a command line: quotes, and `%` and `$` that stand for themselves."""
    text = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'


def launchd_plist(arguments: Sequence[str]) -> bytes:
    """A daemon whose process group is left alone when it ends: `AbandonProcessGroup`."""
    return plistlib.dumps(
        {
            "Label": LAUNCHD_LABEL,
            "ProgramArguments": list(arguments),
            "RunAtLoad": True,
            "KeepAlive": True,
            "AbandonProcessGroup": True,
            "ThrottleInterval": 1,
            "ProcessType": "Background",
            "Umask": 0o077,
        }
    )


def windows_task(arguments: Sequence[str]) -> str:
    """A task of the system that starts with the computer, is started again, and is not ended with its children."""
    program, *rest = arguments
    return f"""<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.4" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>Caisey runtime</Description></RegistrationInfo>
  <Triggers><BootTrigger><Enabled>true</Enabled></BootTrigger></Triggers>
  <Principals>
    <Principal id="Author"><UserId>S-1-5-18</UserId><RunLevel>HighestAvailable</RunLevel></Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <AllowHardTerminate>false</AllowHardTerminate>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure><Interval>PT1M</Interval><Count>999</Count></RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec><Command>{escape(program)}</Command><Arguments>{escape(subprocess.list2cmdline(rest))}</Arguments></Exec>
  </Actions>
</Task>
"""


def install(state_dir: str | Path, bridge: str = "auto") -> Path:
    """Write the definition for this system and start it. Returns where it stands. Raises `InstallError`."""
    arguments = command(Path(state_dir).absolute(), bridge)
    name: str = sys.platform
    try:
        if name == "darwin":
            LAUNCHD_PLIST.write_bytes(launchd_plist(arguments))
            _do("/bin/launchctl", "bootstrap", "system", str(LAUNCHD_PLIST))
            return LAUNCHD_PLIST
        if name == "win32":
            path = Path(state_dir).absolute() / WINDOWS_TASK
            path.write_text(windows_task(arguments), encoding="utf-16")
            _do("schtasks.exe", "/Create", "/TN", NAME, "/XML", str(path), "/F")
            return path
        SYSTEMD_UNIT.write_text(systemd_unit(arguments))
        _do("systemctl", "daemon-reload")
        _do("systemctl", "enable", "--now", SYSTEMD_UNIT.name)
        return SYSTEMD_UNIT
    except OSError as error:
        raise InstallError(f"{error.filename or ''} {error.strerror}".strip()) from error


def _do(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    if done.returncode:
        raise InstallError(f"{' '.join(arguments)}: {done.stderr.strip() or done.returncode}")
