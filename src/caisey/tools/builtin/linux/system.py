"""What a Linux computer is, from /proc and os-release."""

from __future__ import annotations

import os

from caisey.tools.builtin.linux.logins import logins
from caisey.tools.builtin.report import Row, spelled_time

OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
RESTART_WANTED = ("/run/reboot-required", "/var/run/reboot-required")


def facts() -> Row:
    """The result of `system_info`."""
    memory = _memory()
    return {
        "hostname": os.uname().nodename,
        "os": "linux",
        "os_version": _os_version(),
        "arch": os.uname().machine,
        "boot_at": spelled_time(boot_time()),
        "cpu_count": os.cpu_count() or 1,
        "memory_bytes": memory.get("MemTotal", 0),
        "memory_available_bytes": memory.get("MemAvailable", 0),
        "users": sorted({login.name for login in logins()}),
        "kernel": os.uname().release,
        "load": [round(figure, 2) for figure in os.getloadavg()],
        "pending_restart": any(os.path.exists(path) for path in RESTART_WANTED),
    }


def boot_time() -> int:
    """When the system was started, in seconds since the epoch, as the kernel says it."""
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            if line.startswith("btime "):
                return int(line.split()[1])
    return 0


def _memory() -> dict[str, int]:
    figures = {}
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            name, _, rest = line.partition(":")
            figures[name] = int(rest.split()[0]) * 1024
    return figures


def _os_version() -> str:
    for path in OS_RELEASE:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    name, _, value = line.strip().partition("=")
                    if name == "PRETTY_NAME":
                        return value.strip("\"'")
        except FileNotFoundError:
            continue
    return f"Linux {os.uname().release}"
