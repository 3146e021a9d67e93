"""The builtin tools on macOS: programs of the system, and how what they print is read.

Owns both halves side by side. Programs run in the C locale, so that their words and times have one form.
"""

from __future__ import annotations

import json
import os
import time

from caisey.tools.builtin.commands import answer
from caisey.tools.builtin.event_log import UNKNOWN, entry
from caisey.tools.builtin.report import Row, spelled_time

PROCESSES = ["/bin/ps", "-axww", "-o", "pid=,user=,pcpu=,rss=,lstart=,comm="]
FACTS = ["/usr/sbin/sysctl", "-n", "hw.memsize", "hw.logicalcpu", "kern.boottime"]
VERSION = ["/usr/bin/sw_vers", "-productVersion"]
USERS = ["/usr/bin/who"]
DISKS = ["/bin/df", "-kPl"]
INTERFACES = ["/sbin/ifconfig", "-a"]
ROUTES = ["/usr/sbin/netstat", "-rn"]
LISTENING = ["/usr/sbin/lsof", "-nP", "-iTCP", "-sTCP:LISTEN", "-iUDP", "-FpcPn"]
LOG = ["/usr/bin/log", "show", "--style", "ndjson", "--no-pager"]
_LEVELS = {"Fault": "critical", "Error": "error", "Default": "info", "Info": "info", "Debug": "debug"}
_GRAVE = "messageType == error OR messageType == fault"
_PREDICATES = {"critical": "messageType == fault", "error": _GRAVE, "warning": _GRAVE}
_KIB = 1024


def processes() -> list[Row]:
    """Every process."""
    return parse_processes(answer(PROCESSES))


def parse_processes(text: str) -> list[Row]:
    """Read `PROCESSES`; the start has five words, the name is the rest and may hold spaces."""
    rows: list[Row] = []
    for line in text.splitlines():
        fields = line.split(None, 9)
        if len(fields) == 10 and fields[0].isdecimal():
            started = time.mktime(time.strptime(" ".join(fields[4:9]), "%a %b %d %H:%M:%S %Y"))
            rows.append(
                {
                    "pid": int(fields[0]),
                    "name": os.path.basename(fields[9]),
                    "user": fields[1],
                    "cpu_percent": float(fields[2].replace(",", ".")),
                    "rss_bytes": int(fields[3]) * _KIB,
                    "started_at": spelled_time(started),
                }
            )
    return rows


def facts() -> Row:
    """The result of `system_info`."""
    return parse_facts(answer(FACTS), answer(VERSION), answer(USERS))


def parse_facts(sysctl: str, version: str, who: str) -> Row:
    """Read `FACTS` (memory, processors, `{ sec = …, usec = … }`), `VERSION` and `USERS`."""
    lines = sysctl.splitlines()
    booted = lines[2].partition("sec = ")[2].partition(",")[0]
    return {
        "hostname": os.uname().nodename,
        "os": "macos",
        "os_version": f"macOS {version.strip()}",
        "arch": os.uname().machine,
        "boot_at": spelled_time(int(booted)) if booted.isdecimal() else None,
        "cpu_count": int(lines[1]),
        "memory_bytes": int(lines[0]),
        "users": sorted({line.split()[0] for line in who.splitlines() if line.strip()}),
    }


def filesystems(path: str | None) -> list[Row]:
    """The local file systems, or the one that holds a path."""
    return parse_disks(answer([*DISKS[:1], "-kP", "--", path] if path is not None else DISKS))


def parse_disks(text: str) -> list[Row]:
    """Read `df -kP`. The mount point comes last and may hold spaces; so may the device, rarely, but its figures not."""
    rows: list[Row] = []
    for line in text.splitlines()[1:]:
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[1].isdecimal() and fields[0] != "devfs":
            rows.append(
                {
                    "mount": fields[5],
                    "device": fields[0],
                    "total_bytes": int(fields[1]) * _KIB,
                    "free_bytes": int(fields[3]) * _KIB,
                }
            )
    return rows


def entries(since_minutes: int, level: str | None, most: int) -> tuple[list[Row], bool]:
    """Entries of the unified log, oldest first, and whether these are all of them."""
    argv = [*LOG, "--last", f"{since_minutes}m"]
    if level in _PREDICATES:
        argv += ["--predicate", _PREDICATES[str(level)]]
    rows = parse_log(answer(argv))
    return rows[-most:], len(rows) <= most


def parse_log(text: str) -> list[Row]:
    """Read `log show --style ndjson`: one object a line, and a last line that only counts them."""
    rows = []
    for line in text.splitlines():
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        if isinstance(fields, dict) and "eventMessage" in fields:
            source = fields.get("subsystem") or os.path.basename(str(fields.get("processImagePath") or ""))
            level = _LEVELS.get(fields.get("messageType", ""), UNKNOWN)
            rows.append(entry(_log_time(fields.get("timestamp")), str(source), level, str(fields["eventMessage"])))
    return rows


def _log_time(text: object) -> str | None:
    """`2026-01-31 12:00:00.123456+0100`, in UTC."""
    from datetime import datetime

    try:
        return spelled_time(datetime.fromisoformat(str(text)).timestamp())
    except ValueError:
        return None


def network() -> dict[str, list[Row]]:
    """The three lists of `network`."""
    return {
        "interfaces": parse_interfaces(answer(INTERFACES)),
        "listening": parse_listening(answer(LISTENING)),
        "routes": parse_routes(answer(ROUTES)),
    }


def parse_interfaces(text: str) -> list[Row]:
    """Read `ifconfig -a`: an interface begins at the margin, what belongs to it is indented."""
    rows: list[Row] = []
    addresses: list[Row] = []
    for line in text.splitlines():
        if line[:1] not in {"\t", " ", ""}:
            name, _, rest = line.partition(":")
            flags = rest.partition("<")[2].partition(">")[0].split(",")
            addresses = []
            rows.append({"name": name, "up": "UP" in flags, "mac": None, "addresses": addresses})
            continue
        words = line.split()
        if not rows or len(words) < 2:
            continue
        if words[0] == "ether":
            rows[-1]["mac"] = words[1]
        elif words[0] == "inet" and "netmask" in words:
            mask = int(words[words.index("netmask") + 1], 16)
            addresses.append({"address": words[1], "prefix": mask.bit_count()})
        elif words[0] == "inet6" and "prefixlen" in words:
            prefix = int(words[words.index("prefixlen") + 1])
            addresses.append({"address": words[1].partition("%")[0], "prefix": prefix})
    return rows


def parse_listening(text: str) -> list[Row]:
    """Read `lsof -FpcPn`: one field a line, named by its first letter; `p` begins a process, `f` a file of it."""
    rows: list[Row] = []
    pid, process, protocol = 0, "", ""
    for line in text.splitlines():
        kind, value = line[:1], line[1:]
        if kind == "p":
            pid = int(value)
        elif kind == "c":
            process = value
        elif kind == "P":
            protocol = value.lower()
        elif kind == "n" and "->" not in value:
            address, _, port = value.rpartition(":")
            if port.isdecimal():
                rows.append(
                    {
                        "protocol": protocol,
                        "address": address.strip("[]"),
                        "port": int(port),
                        "pid": pid,
                        "process": process,
                    }
                )
    return rows


def parse_routes(text: str) -> list[Row]:
    """Read `netstat -rn`: destination, gateway, flags, interface. A gateway that names a link is none."""
    rows: list[Row] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4 and words[2].startswith("U"):
            gateway = None if words[1].startswith("link#") else words[1]
            rows.append({"destination": words[0], "gateway": gateway, "interface": words[3]})
    return rows
