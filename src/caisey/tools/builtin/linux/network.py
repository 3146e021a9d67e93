"""Interfaces, listening ports and routes on Linux: `ip` for the first and the last, /proc for the ports.

Owns the reading of both. Which process holds a port is told by looking at the open files of all; what may not be looked
at has no process.
"""

from __future__ import annotations

import json
import os
import socket

from caisey.tools.builtin.commands import answer, find_program
from caisey.tools.builtin.report import Row, ToolError

_SBIN = ("/usr/sbin", "/sbin")
_TABLES = (("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp"))
_TCP_LISTEN, _UDP_UNCONNECTED = "0A", "07"


def network() -> dict[str, list[Row]]:
    """The three lists of `network`."""
    ip = find_program("ip", *_SBIN)
    if ip is None:
        raise ToolError("tool.unsupported", "The program `ip` is not installed.")
    routes = answer([ip, "-json", "route", "show"]) or "[]"
    routes6 = answer([ip, "-json", "-6", "route", "show"]) or "[]"
    return {
        "interfaces": parse_interfaces(answer([ip, "-json", "address", "show"])),
        "listening": listening(),
        "routes": parse_routes(routes) + parse_routes(routes6),
    }


def parse_interfaces(text: str) -> list[Row]:
    """Read `ip -json address`."""
    return [
        {
            "name": link.get("ifname", ""),
            "up": "UP" in link.get("flags", []),
            "mac": link.get("address") if link.get("link_type") == "ether" else None,
            "mtu": link.get("mtu", 0),
            "addresses": [
                {"address": address.get("local", ""), "prefix": address.get("prefixlen", 0)}
                for address in link.get("addr_info", [])
            ],
        }
        for link in json.loads(text)
        if link
    ]


def parse_routes(text: str) -> list[Row]:
    """Read `ip -json route`."""
    return [
        {
            "destination": route.get("dst", ""),
            "gateway": route.get("gateway"),
            "interface": route.get("dev", ""),
            "metric": route.get("metric", 0),
        }
        for route in json.loads(text or "[]")
    ]


def listening() -> list[Row]:
    """Ports that something listens on (TCP), or has open without a peer (UDP)."""
    holders = _holders()
    rows = []
    for table, protocol in _TABLES:
        try:
            with open(f"/proc/net/{table}", encoding="ascii") as file:
                text = file.read()
        except FileNotFoundError:
            continue  # no IPv6
        for address, port, inode in parse_sockets(text, _TCP_LISTEN if protocol == "tcp" else _UDP_UNCONNECTED):
            pid, process = holders.get(inode, (None, None))
            rows.append({"protocol": protocol, "address": address, "port": port, "pid": pid, "process": process})
    return sorted(rows, key=lambda row: (str(row["protocol"]), str(row["port"]).zfill(5), str(row["address"])))


def parse_sockets(table: str, state: str) -> list[tuple[str, int, str]]:
    """Address, port and inode of every socket in that state, from a table of /proc/net."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == state:
            address, _, port = fields[1].partition(":")
            found.append((_address(address), int(port, 16), fields[9]))
    return found


def _address(text: str) -> str:
    """The kernel prints each 32-bit word of an address in the byte order of the computer."""
    words = [bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8)]
    packed = b"".join(words)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _holders() -> dict[str, tuple[int, str]]:
    """Which process has which socket open, by the socket's inode."""
    holders: dict[str, tuple[int, str]] = {}
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            targets = [os.readlink(f"/proc/{name}/fd/{fd}") for fd in os.listdir(f"/proc/{name}/fd")]
            with open(f"/proc/{name}/comm", encoding="utf-8", errors="replace") as file:
                process = file.read().strip()
        except OSError:
            continue  # gone, or not ours to look at
        for target in targets:
            if target.startswith("socket:["):
                holders.setdefault(target[8:-1], (int(name), process))
    return holders
