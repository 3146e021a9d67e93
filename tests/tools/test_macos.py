"""macOS: what its programs print, read here on whatever computer the tests run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from caisey.tools.builtin import macos
from caisey.tools.checking import result_shape
from tests.tools.carrying_out import tool

PROCESSES = """    1 root               0.4  17328 Fri Jan 30 22:00:00 2026     /sbin/launchd
  612 ana                3,2 204800 Sat Jan 31 08:15:30 2026     /Applications/My App.app/Contents/MacOS/My App
junk
"""
SYSCTL = "17179869184\n8\n{ sec = 1769810400, usec = 123456 } Fri Jan 30 22:00:00 2026\n"
WHO = "ana      console  Jan 30 22:01 \nana      ttys000  Jan 30 22:05 \n"
DISKS = """Filesystem     1024-blocks      Used Available Capacity  Mounted on
/dev/disk3s1s1   482797652  10240000 300000000     4%    /
devfs                  200       200         0   100%    /dev
/dev/disk4s1       1000000    500000    500000    50%    /Volumes/My Disk
"""
LOG = "\n".join(
    [
        json.dumps(
            {
                "timestamp": "2026-01-31 09:00:00.123456+0100",
                "messageType": "Error",
                "subsystem": "com.apple.print",
                "eventMessage": "no printer",
            }
        ),
        json.dumps(
            {
                "timestamp": "soon",
                "messageType": None,
                "subsystem": "",
                "processImagePath": "/usr/libexec/syspolicyd",
                "eventMessage": "words",
            }
        ),
        '{"count":2,"finished":1}',
    ]
)
INTERFACES = """lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu 16384
\tinet 127.0.0.1 netmask 0xff000000
\tinet6 ::1 prefixlen 128
\tinet6 fe80::1%lo0 prefixlen 64 scopeid 0x1
en0: flags=8822<BROADCAST,SMART,SIMPLEX,MULTICAST> mtu 1500
\tether a4:83:e7:00:00:01
\tinet 192.0.2.7 netmask 0xffffff00 broadcast 192.0.2.255
\tstatus: inactive
"""
LISTENING = """p88
claunchd
f5
PTCP
n127.0.0.1:631
f6
PTCP
n[::1]:631
p90
cmDNSResponder
f7
PUDP
n*:5353
f8
PUDP
n192.0.2.7:123->192.0.2.1:123
"""
ROUTES = """Routing tables

Internet:
Destination        Gateway            Flags           Netif Expire
default            192.0.2.1          UGScg             en0
192.0.2            link#6             UCS               en0      !
"""


def fits(name: str, result: Any) -> bool:
    return result_shape(tool(name), json.loads(json.dumps(result))) is None


@pytest.fixture(autouse=True)
def in_utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def test_processes() -> None:
    rows = macos.parse_processes(PROCESSES)
    assert rows[1] == {
        "pid": 612,
        "name": "My App",
        "user": "ana",
        "cpu_percent": 3.2,
        "rss_bytes": 204800 * 1024,
        "started_at": "2026-01-31T08:15:30.000Z",
    }
    assert fits("processes", {"processes": rows, "truncated": False})


def test_facts() -> None:
    facts = macos.parse_facts(SYSCTL, "15.2\n", WHO)
    assert (facts["boot_at"], facts["users"]) == ("2026-01-30T22:00:00.000Z", ["ana"])
    assert (facts["memory_bytes"], facts["cpu_count"], facts["os_version"]) == (17179869184, 8, "macOS 15.2")
    assert fits("system_info", facts)


def test_disks() -> None:
    rows = macos.parse_disks(DISKS)
    assert [row["mount"] for row in rows] == ["/", "/Volumes/My Disk"]
    assert rows[1]["free_bytes"] == 500000 * 1024
    assert fits("disk_usage", {"filesystems": rows})


def test_log() -> None:
    rows = macos.parse_log(LOG)
    assert rows == [
        {"at": "2026-01-31T08:00:00.123Z", "source": "com.apple.print", "level": "error", "message": "no printer"},
        {"at": None, "source": "syspolicyd", "level": "unknown", "message": "words"},
    ]
    assert fits("event_log", {"entries": rows, "truncated": False})


def test_network() -> None:
    interfaces = macos.parse_interfaces(INTERFACES)
    assert interfaces == [
        {
            "name": "lo0",
            "up": True,
            "mac": None,
            "addresses": [
                {"address": "127.0.0.1", "prefix": 8},
                {"address": "::1", "prefix": 128},
                {"address": "fe80::1", "prefix": 64},
            ],
        },
        {
            "name": "en0",
            "up": False,
            "mac": "a4:83:e7:00:00:01",
            "addresses": [{"address": "192.0.2.7", "prefix": 24}],
        },
    ]
    listening = macos.parse_listening(LISTENING)
    assert [(row["process"], row["protocol"], row["address"], row["port"]) for row in listening] == [
        ("launchd", "tcp", "127.0.0.1", 631),
        ("launchd", "tcp", "::1", 631),
        ("mDNSResponder", "udp", "*", 5353),
    ]
    routes = macos.parse_routes(ROUTES)
    assert [route["gateway"] for route in routes] == ["192.0.2.1", None]
    assert fits("network", {"interfaces": interfaces, "listening": listening, "routes": routes})


def test_each_question_is_asked_by_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    printed = {"ps": PROCESSES, "sysctl": SYSCTL, "sw_vers": "15.2", "who": WHO, "df": DISKS, "log": LOG,
               "ifconfig": INTERFACES, "lsof": LISTENING, "netstat": ROUTES}  # fmt: skip

    def answer(argv: list[str]) -> str:
        asked.append(argv)
        return printed[argv[0].rpartition("/")[2]]

    monkeypatch.setattr(macos, "answer", answer)
    assert macos.processes()
    assert macos.facts()
    assert macos.filesystems("/Volumes/My Disk")
    assert macos.filesystems(None)
    rows, complete = macos.entries(5, "warning", 1)
    assert (len(rows), complete) == (1, False)
    assert all(macos.network().values())
    assert asked[4][-2:] == ["--", "/Volumes/My Disk"]
    assert all(word.startswith("/") for word, *_ in asked)
