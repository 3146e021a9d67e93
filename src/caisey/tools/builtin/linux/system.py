"""What a Linux computer is, from /proc, os-release and the list of sessions."""

from __future__ import annotations

import os
import struct

from caisey.tools.builtin.report import Row, spelled_time

OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
SESSIONS = "/run/systemd/sessions"
LOGINS = "/run/utmp"
RESTART_WANTED = ("/run/reboot-required", "/var/run/reboot-required")
# utmp(5) on Linux: type, pid, line, id, user, host, exit, session, time, address, unused.
_LOGIN = struct.Struct("<hi32s4s32s256shhiii4i20s")
_USER_PROCESS = 7


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
        "users": signed_in(),
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


def signed_in() -> list[str]:
    """Who is signed in: by the sessions of systemd where there are any, else by the list of logins."""
    return sorted(set(_session_users(SESSIONS)) or set(_login_users(LOGINS)))


def _session_users(directory: str) -> list[str]:
    users = []
    try:
        names = [name for name in os.listdir(directory) if not name.endswith(".ref")]
    except FileNotFoundError:
        return []
    for name in names:
        try:
            with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as file:
                fields = dict(line.strip().partition("=")[::2] for line in file if "=" in line)
        except OSError:
            continue  # a session may end while it is looked at
        if fields.get("CLASS", "user") == "user" and fields.get("USER"):
            users.append(fields["USER"])
    return users


def _login_users(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            data = file.read(_LOGIN.size * 10_000)
    except FileNotFoundError:
        return []
    whole = len(data) - len(data) % _LOGIN.size
    return [
        fields[4].rstrip(b"\0").decode("utf-8", "replace")
        for fields in _LOGIN.iter_unpack(data[:whole])
        if fields[0] == _USER_PROCESS
    ]
