"""What Linux says of itself: the builtins for real on this computer, and their readers on what others print."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caisey.protocol import limits
from caisey.tools.builtin import event_log
from caisey.tools.builtin import processes as selection
from caisey.tools.builtin.linux import disks, logins, logs, network, processes, system
from caisey.tools.builtin.report import Row, ToolError, fitting, spelled_time
from caisey.tools.checking import result_shape
from tests.tools.carrying_out import code_of, result_of, tool

# ---------------------------------------------------------------------------------------------------------------------
# Processes
# ---------------------------------------------------------------------------------------------------------------------


def test_processes_shows_one_of_our_own() -> None:
    with subprocess.Popen(["/bin/sleep", "600"]) as child:
        try:
            result = result_of("processes", {"name": "SLEEP", "sort": "pid", "limit": 2000})
        finally:
            child.kill()
    row = next(row for row in result["processes"] if row["pid"] == child.pid)
    assert row["name"] == "sleep"
    assert row["rss_bytes"] > 0
    started = time.mktime(time.strptime(row["started_at"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
    assert abs(started - time.time()) < 120
    assert all("sleep" in row["name"] for row in result["processes"])


def test_processes_measures_what_is_used_now() -> None:
    with subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"]) as child:
        try:
            result = result_of("processes", {"limit": 2000})
        finally:
            child.kill()
    busy = {row["pid"]: row["cpu_percent"] for row in result["processes"]}
    assert busy[child.pid] > 5


def test_the_limit_is_said() -> None:
    result = result_of("processes", {"limit": 1})
    assert len(result["processes"]) == 1
    assert result["truncated"]
    assert result["total"] > 1
    assert result_of("processes", {"name": "no process has this name"}) == {
        "processes": [],
        "total": 0,
        "truncated": False,
    }


def test_a_name_with_brackets_and_spaces() -> None:
    look = processes.Look("12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 99 20 21 22")
    assert (look.name, look.state, look.cpu_ticks, look.start_ticks, look.pages) == ("a) b (c", "S", 23, 99, 21)


def test_a_process_that_ends_between_two_looks_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[subprocess.Popen[bytes]] = []

    def start_and_end(_seconds: float) -> None:
        children[0].kill()
        children[0].wait()
        children.append(subprocess.Popen(["/bin/sleep", "600"]))

    children.append(subprocess.Popen(["/bin/sleep", "600"]))
    monkeypatch.setattr(time, "sleep", start_and_end)
    pids = {row["pid"] for row in processes.processes()}
    children[1].kill()
    children[1].wait()
    assert children[0].pid not in pids
    assert children[1].pid in pids


ROWS: list[Row] = [
    {"pid": 3, "name": "Alpha", "user": "ana", "cpu_percent": 1.0, "rss_bytes": 30},
    {"pid": 1, "name": "beta", "user": "bob", "cpu_percent": 9.0, "rss_bytes": 10},
    {"pid": 2, "name": "alphabet", "user": None, "cpu_percent": 1.0, "rss_bytes": 90},
]


@pytest.mark.parametrize(
    ("filters", "pids"),
    [
        ({"sort": "cpu"}, [1, 2, 3]),
        ({"sort": "memory"}, [2, 3, 1]),
        ({"sort": "pid"}, [1, 2, 3]),
        ({"sort": "pid", "name": "ALPHA"}, [2, 3]),
        ({"sort": "pid", "user": "ANA"}, [3]),
        ({"sort": "pid", "user": "an"}, []),
    ],
)
def test_selection(filters: dict[str, Any], pids: list[int]) -> None:
    assert [row["pid"] for row in selection.chosen(ROWS, **{"name": None, "user": None, **filters})] == pids


# ---------------------------------------------------------------------------------------------------------------------
# System and disks
# ---------------------------------------------------------------------------------------------------------------------


def test_system_info() -> None:
    result = result_of("system_info", {})
    assert result["hostname"] == socket.gethostname()
    assert result["os"] == "linux"
    assert result["cpu_count"] == os.cpu_count()
    assert result["memory_bytes"] > 2**20
    assert result["boot_at"].endswith("Z")


def test_signed_in_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login = struct.Struct("<hi32s4s32s256shhiii4i20s")

    def entry(kind: int, user: bytes) -> bytes:
        return login.pack(kind, 1, b"tty1", b"1", user, b"", 0, 0, 0, 0, 0, 0, 0, 0, 0, b"")

    utmp = tmp_path / "utmp"
    utmp.write_bytes(entry(7, b"ana") + entry(8, b"gone") + entry(7, b"bob") + entry(7, b"ana") + b"cut")
    sessions = tmp_path / "sessions"
    monkeypatch.setattr(logins, "LOGINS", str(utmp))
    monkeypatch.setattr(logins, "SESSIONS", str(sessions))
    assert system.facts()["users"] == ["ana", "bob"]
    sessions.mkdir()
    (sessions / "1").write_text("UID=1\nUSER=carla\nCLASS=user\n")
    (sessions / "2").write_text("UID=2\nUSER=gdm\nCLASS=greeter\n")
    os.mkfifo(sessions / "1.ref")
    assert system.facts()["users"] == ["carla"]
    monkeypatch.setattr(logins, "LOGINS", str(tmp_path / "nothing"))
    monkeypatch.setattr(logins, "SESSIONS", str(tmp_path / "nothing"))
    assert system.facts()["users"] == []


def test_the_version_of_a_system_that_does_not_name_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "OS_RELEASE", (str(tmp_path / "nothing"),))
    assert system._os_version().startswith("Linux ")


def test_disk_usage() -> None:
    result = result_of("disk_usage", {})
    mounts = [row["mount"] for row in result["filesystems"]]
    assert "/" in mounts
    assert "/proc" not in mounts
    room = os.statvfs("/")
    root = next(row for row in result["filesystems"] if row["mount"] == "/")
    assert root["total_bytes"] == room.f_blocks * room.f_frsize


def test_disk_usage_of_a_path(tmp_path: Path) -> None:
    result = result_of("disk_usage", {"path": "/proc/self"})
    assert [row["mount"] for row in result["filesystems"]] == ["/proc"]
    assert len(result_of("disk_usage", {"path": str(tmp_path)})["filesystems"]) == 1
    assert code_of("disk_usage", {"path": str(tmp_path / "nothing")}) == "tool.not_found"


TABLE = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:5 / /proc rw - proc proc rw
24 22 8:2 / /mnt/My\040Disk rw - xfs /dev/sdb1 rw
25 22 8:2 /sub /srv/bind rw - xfs /dev/sdb1 rw
26 22 0:9 / /run rw - tmpfs tmpfs rw
27 22 0:44 / /net/home rw master:2 propagate_from:1 - nfs4 server:/home rw
28 22 8:3 / /over rw - ext4 /dev/sdc1 rw
29 22 8:4 / /over rw - ext4 /dev/sdd1 rw
30 22 0:50 / /snap/x/1 ro - squashfs /dev/loop1 ro
not a line
31 22 0:51 / /broken"""


def test_the_mount_table() -> None:
    shown = [(mount.point, mount.device) for mount in disks.worth_showing(disks.parse_mounts(TABLE))]
    assert shown == [
        ("/", "/dev/sda1"),
        ("/over", "/dev/sdd1"),
        ("/net/home", "server:/home"),
        ("/srv/bind", "/dev/sdb1"),
    ]
    assert disks.parse_mounts(TABLE)[2].point == "/mnt/My Disk"


# ---------------------------------------------------------------------------------------------------------------------
# Logs
# ---------------------------------------------------------------------------------------------------------------------


def journal_line(**fields: Any) -> str:
    return json.dumps({"__REALTIME_TIMESTAMP": "1764000000123456", "PRIORITY": "3", **fields})


def test_the_journal() -> None:
    text = "\n".join(
        [
            journal_line(MESSAGE="one", SYSLOG_IDENTIFIER="cron", _COMM="x"),
            journal_line(MESSAGE=[103, 114, 252, 195, 159], _SYSTEMD_UNIT="a.service", PRIORITY="6"),
            journal_line(MESSAGE=None, PRIORITY=None),
            journal_line(MESSAGE=["first", "second"], SYSLOG_IDENTIFIER=["twice", "named"], PRIORITY="99"),
            '{"cut',
        ]
    )
    assert logs.parse_journal(text) == [
        {"at": "2025-11-24T16:00:00.123Z", "source": "cron", "level": "error", "message": "one"},
        {"at": "2025-11-24T16:00:00.123Z", "source": "a.service", "level": "info", "message": "gr\ufffdß"},
        {"at": "2025-11-24T16:00:00.123Z", "source": "", "level": "unknown", "message": ""},
        {"at": "2025-11-24T16:00:00.123Z", "source": "twice", "level": "unknown", "message": "first"},
    ]


def test_the_journal_is_asked_by_a_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def answer(argv: list[str]) -> str:
        asked.append(argv)
        return "\n".join([journal_line(MESSAGE="newer"), journal_line(MESSAGE="older")])

    (tmp_path / "machine").mkdir()
    (tmp_path / "machine" / "system.journal").touch()
    monkeypatch.setattr(logs, "JOURNALS", (str(tmp_path),))
    monkeypatch.setattr(logs, "find_program", lambda _name: "/usr/bin/journalctl")
    monkeypatch.setattr(logs, "answer", answer)
    rows, complete = logs.entries(60, "warning", 100)
    assert [row["message"] for row in rows] == ["older", "newer"]
    assert complete
    assert "--priority=4" in asked[0]
    assert logs.entries(60, None, 2)[1] is False


SYSLOG = """Jan 30 23:59:59 host cron[12]: before midnight
Jan 31 00:00:01 host kernel: [   12.3] with brackets: and colons
 a line that goes on
2026-01-31T00:00:02.500000+01:00 host systemd[1]: new form
2026-01-30T23:00:03Z host app: zulu
Foo 99 00:00:00 host app: no date
2026-13-99T00:00:00Z host app: no such day
"""


@pytest.fixture
def in_utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_utc")
def test_the_files_of_syslog() -> None:
    rows = [row for _, row in logs.parse_syslog(SYSLOG, now=1_769_900_000)]
    assert rows == [
        {"at": "2026-01-30T23:59:59.000Z", "source": "cron", "level": "unknown", "message": "before midnight"},
        {
            "at": "2026-01-31T00:00:01.000Z",
            "source": "kernel",
            "level": "unknown",
            "message": "[   12.3] with brackets: and colons\n a line that goes on",
        },
        {"at": "2026-01-30T23:00:02.500Z", "source": "systemd", "level": "unknown", "message": "new form"},
        {
            "at": "2026-01-30T23:00:03.000Z",
            "source": "app",
            "level": "unknown",
            "message": "zulu\nFoo 99 00:00:00 host app: no date",
        },
        {"at": None, "source": "app", "level": "unknown", "message": "no such day"},
    ]


def test_a_time_without_a_year_is_never_in_the_future() -> None:
    now = time.mktime((2026, 1, 2, 12, 0, 0, 0, 0, -1))
    at, _ = logs.parse_syslog("Dec 31 12:00:00 host a: b", now)[0]
    assert at == time.mktime((2025, 12, 31, 12, 0, 0, 0, 0, -1))


def test_a_log_that_was_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    file = tmp_path / "syslog"
    file.write_text(f"{spelled_time(now - 60)} host a: newest\n")
    (tmp_path / "syslog.1").write_text(
        f"{spelled_time(now - 7200)} host a: too old\n{spelled_time(now - 600)} host a: older\n"
    )
    monkeypatch.setattr(logs, "JOURNALS", ())
    monkeypatch.setattr(logs, "FILES", (str(tmp_path / "nothing"), str(file)))
    rows, complete = logs.entries(60, None, 100)
    assert [row["message"] for row in rows] == ["older", "newest"]
    assert complete
    rows, complete = logs.entries(60, None, 1)
    assert [row["message"] for row in rows] == ["newest"]
    assert not complete


def test_only_the_end_of_a_huge_log_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = f"{spelled_time(time.time() - 60)} host a: {'x' * 100}\n"
    file = tmp_path / "syslog"
    file.write_text(line * 100)
    monkeypatch.setattr(logs, "TAIL_BYTES", 1_000)
    monkeypatch.setattr(logs, "JOURNALS", ())
    monkeypatch.setattr(logs, "FILES", (str(file),))
    rows, complete = logs.entries(60, None, 1_000)
    assert 0 < len(rows) < 10
    assert not complete


def test_what_the_kernel_remembers() -> None:
    records = [
        b"6,1,5000000,-;Linux version 6\n SUBSYSTEM=x\n",
        b"11,2,6500000,-,caller=T1;disk error; sector 9\n",
        b"junk",
        b"x,y,z;junk",
    ]
    assert logs.parse_kernel(records, 1_764_000_000) == [
        (
            1_764_000_005.0,
            {"at": "2025-11-24T16:00:05.000Z", "source": "kernel", "level": "info", "message": "Linux version 6"},
        ),
        (
            1_764_000_006.5,
            {"at": "2025-11-24T16:00:06.500Z", "source": "kernel", "level": "error", "message": "disk error; sector 9"},
        ),
    ]


@pytest.mark.skipif(not os.access(logs.KERNEL, os.R_OK), reason="the kernel's messages are not ours to read")
def test_the_kernel_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "JOURNALS", ())
    monkeypatch.setattr(logs, "FILES", ())
    rows, _ = logs.entries(43_200, None, 5)
    assert len(rows) <= 5
    assert all(row["source"] == "kernel" for row in rows)
    assert logs.entries(0, None, 5)[0] == []


def test_a_computer_without_a_log_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "JOURNALS", ())
    monkeypatch.setattr(logs, "FILES", ())
    monkeypatch.setattr(logs, "KERNEL", "/nothing")
    with pytest.raises(ToolError) as failure:
        logs.entries(60, None, 100)
    assert failure.value.code == "tool.unsupported"


ENTRIES = [
    event_log.entry("1", "Kernel", "critical", "disk is gone"),
    event_log.entry("2", "cron", "info", "Ran a job"),
    event_log.entry("3", "plain", "unknown", "no level known"),
]


@pytest.mark.parametrize(
    ("filters", "at"),
    [
        ({}, ["1", "2", "3"]),
        ({"level": "error"}, ["1", "3"]),
        ({"level": "info"}, ["1", "2", "3"]),
        ({"source": "KERN"}, ["1"]),
        ({"text": "ran A"}, ["2"]),
    ],
)
def test_entries_are_chosen(filters: dict[str, str], at: list[str]) -> None:
    chosen = event_log.chosen(ENTRIES, **{"level": None, "source": None, "text": None, **filters})
    assert [row["at"] for row in chosen] == at


# ---------------------------------------------------------------------------------------------------------------------
# Network
# ---------------------------------------------------------------------------------------------------------------------


def test_network_shows_a_port_of_our_own() -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp.bind(("127.0.0.1", 0))
        result = result_of("network", {})
        ports = {(row["protocol"], row["port"]): row for row in result["listening"]}
        row = ports["tcp", tcp.getsockname()[1]]
        assert (row["address"], row["pid"]) == ("127.0.0.1", os.getpid())
        assert ("udp", udp.getsockname()[1]) in ports
    loopback = next(row for row in result["interfaces"] if row["name"] == "lo")
    assert {"address": "127.0.0.1", "prefix": 8} in loopback["addresses"]
    assert loopback["mac"] is None


def test_addresses_of_the_kernel() -> None:
    table = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1
   1: 00000000000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 222 1
   2: 0100007F:0051 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 333 1
"""
    assert network.parse_sockets(table, "0A") == [("127.0.0.1", 80, "111"), ("::1", 443, "222")]


def test_an_old_system_without_ip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "find_program", lambda *_names: None)
    with pytest.raises(ToolError) as failure:
        network.network()
    assert failure.value.code == "tool.unsupported"


def test_routes() -> None:
    text = '[{"dst":"default","gateway":"192.0.2.1","dev":"eth0","metric":100},{"dst":"192.0.2.0/24","dev":"eth0"}]'
    assert network.parse_routes(text) == [
        {"destination": "default", "gateway": "192.0.2.1", "interface": "eth0", "metric": 100},
        {"destination": "192.0.2.0/24", "gateway": None, "interface": "eth0", "metric": 0},
    ]
    assert network.parse_routes("") == []


# ---------------------------------------------------------------------------------------------------------------------
# Bounds
# ---------------------------------------------------------------------------------------------------------------------


def test_lists_are_cut_to_the_bound_of_a_result() -> None:
    rows: list[Row] = [event_log.entry(None, "a", "info", "\0" * 4_000) for _ in range(1_000)]
    kept, cut = fitting(rows)
    assert cut
    assert len(json.dumps(kept)) < limits.RESULT_BYTES
    assert result_shape(tool("event_log"), {"entries": kept, "truncated": True}) is None
    assert fitting(rows[:1]) == (rows[:1], False)


def test_times() -> None:
    assert spelled_time(0) == "1970-01-01T00:00:00.000Z"
    assert spelled_time(1_764_000_000.9999) == "2025-11-24T16:00:00.999Z"
