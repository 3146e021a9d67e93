"""The system's log on Linux: the journal where one is kept, else the files of syslog, else the kernel's own memory.

Owns the reading of all three. Files are read from their end and only so far, whatever they have grown to.
"""

from __future__ import annotations

import json
import os
import re
import time
from datetime import datetime

from caisey.tools.builtin.commands import answer, find_program
from caisey.tools.builtin.event_log import UNKNOWN, entry
from caisey.tools.builtin.report import Row, ToolError, spelled_time

JOURNALS = ("/run/log/journal", "/var/log/journal")
FILES = ("/var/log/syslog", "/var/log/messages")
KERNEL = "/dev/kmsg"
TAIL_BYTES = 8 * 1024 * 1024
KERNEL_RECORDS = 100_000
_PRIORITIES = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")
_JOURNAL_LEVELS = {"critical": "2", "error": "3", "warning": "4", "info": "6"}
_OLD = re.compile(r"([A-Z][a-z]{2}) +(\d{1,2}) (\d\d):(\d\d):(\d\d) \S+ ([^:\[ ]+)(?:\[\d+\])?: ?(.*)")
_NEW = re.compile(r"(\d{4}-\d\d-\d\dT\S+) \S+ ([^:\[ ]+)(?:\[\d+\])?: ?(.*)")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY_S = 86_400


def entries(since_minutes: int, level: str | None, most: int) -> tuple[list[Row], bool]:
    """Entries of the last minutes, oldest first, and whether these are all of them."""
    since = time.time() - since_minutes * 60
    journalctl = find_program("journalctl")
    if journalctl is not None and any(_holds_files(path) for path in JOURNALS):
        return _journal(journalctl, since, level, most)
    files = [path for path in FILES if os.path.exists(path)]
    if files:
        return _from_files(files[0], since, most)
    if os.path.exists(KERNEL):
        return _from_kernel(since, most)
    raise ToolError("tool.unsupported", "No journal is kept here, and there is no syslog file.")


def _holds_files(directory: str) -> bool:
    return any(name.endswith(".journal") for _, _, names in os.walk(directory) for name in names)


# ---------------------------------------------------------------------------------------------------------------------
# The journal
# ---------------------------------------------------------------------------------------------------------------------


def _journal(journalctl: str, since: float, level: str | None, most: int) -> tuple[list[Row], bool]:
    argv = [
        journalctl,
        "--output=json",
        "--no-pager",
        "--quiet",
        "--reverse",
        f"--since=@{int(since)}",
        f"--lines={most}",
    ]
    if level is not None:
        argv.append(f"--priority={_JOURNAL_LEVELS[level]}")
    rows = parse_journal(answer(argv))
    return rows[::-1], len(rows) < most


def parse_journal(text: str) -> list[Row]:
    """Read `journalctl --output=json`: one object a line, in the order they came."""
    rows = []
    for line in text.splitlines():
        try:
            fields = json.loads(line)
        except ValueError:
            continue  # the last line may be cut
        at = _text(fields.get("__REALTIME_TIMESTAMP"))
        source = next((fields[name] for name in ("SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT", "_COMM") if name in fields), "")
        priority = _text(fields.get("PRIORITY"))
        known = priority.isdecimal() and int(priority) < len(_PRIORITIES)
        rows.append(
            entry(
                spelled_time(int(at) / 1_000_000) if at.isdecimal() else None,
                _text(source),
                _PRIORITIES[int(priority)] if known else UNKNOWN,
                _text(fields.get("MESSAGE")),
            )
        )
    return rows


def _text(field: object) -> str:
    """A field of the journal: text, bytes as a list of numbers, several values as a list, or nothing."""
    if isinstance(field, list):
        if field and all(isinstance(item, int) for item in field):
            return bytes(item & 0xFF for item in field).decode("utf-8", "replace")
        return _text(field[0]) if field else ""
    return "" if field is None else str(field)


# ---------------------------------------------------------------------------------------------------------------------
# The files
# ---------------------------------------------------------------------------------------------------------------------


def _from_files(path: str, since: float, most: int) -> tuple[list[Row], bool]:
    """The file and, where it begins too late, the one it was rotated from."""
    lines, whole = _tail(path)
    rows = parse_syslog(lines, time.time())
    rotated = f"{path}.1"
    if whole and os.path.exists(rotated) and (not rows or (rows[0][0] or since) >= since):
        earlier, whole = _tail(rotated)
        rows = parse_syslog(earlier, time.time()) + rows
    reached = bool(rows) and (rows[0][0] or since) < since
    wanted = [row for at, row in rows if at is None or at >= since]
    return wanted[-most:], (whole or reached) and len(wanted) <= most


def _tail(path: str) -> tuple[str, bool]:
    """The end of a file from a line's beginning, and whether that is all of it."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - TAIL_BYTES)
        file.seek(start)
        data = file.read(TAIL_BYTES)
    if start > 0:
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", "replace"), start == 0


def parse_syslog(text: str, now: float) -> list[tuple[float | None, Row]]:
    """Read lines of syslog, in the old form (local time without a year) and the new one.

    A line of neither form belongs to the one before it.
    """
    rows: list[tuple[float | None, Row]] = []
    for line in text.splitlines():
        at, source, message = _line(line, now)
        if source is None:
            if rows:
                rows[-1][1]["message"] = f"{rows[-1][1]['message']}\n{line}"[:4_000]
            continue
        rows.append((at, entry(None if at is None else spelled_time(at), source, UNKNOWN, message)))
    return rows


def _line(line: str, now: float) -> tuple[float | None, str | None, str]:
    """When, by whom, what; no source where the line is none of a log's own."""
    new = _NEW.fullmatch(line)
    if new is not None:
        return _with_zone(new[1]), new[2], new[3]
    old = _OLD.fullmatch(line)
    if old is not None and old[1] in _MONTHS:
        return _without_year(old, now), old[6], old[7]
    return None, None, ""


def _with_zone(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _without_year(match: re.Match[str], now: float) -> float | None:
    """The newest such time that is not in the future, by this computer's time zone."""
    month, day = _MONTHS.index(match[1]) + 1, int(match[2])
    year = time.localtime(now).tm_year
    for candidate in (year, year - 1):
        try:
            at = time.mktime((candidate, month, day, int(match[3]), int(match[4]), int(match[5]), 0, 0, -1))
        except (OverflowError, ValueError):
            return None
        if at <= now + _DAY_S:
            return at
    return None


# ---------------------------------------------------------------------------------------------------------------------
# The kernel
# ---------------------------------------------------------------------------------------------------------------------


def _from_kernel(since: float, most: int) -> tuple[list[Row], bool]:
    """What the kernel still remembers of its own messages: a ring, so its first may be gone."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    rows = parse_kernel(_kernel_records(), booted)
    wanted = [row for at, row in rows if at >= since]
    return wanted[-most:], len(wanted) < len(rows) and len(wanted) <= most


def _kernel_records() -> list[bytes]:
    """Each read gives one record; one that is overwritten while it is read is passed over."""
    records: list[bytes] = []
    descriptor = os.open(KERNEL, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while len(records) < KERNEL_RECORDS:
            try:
                records.append(os.read(descriptor, 8192))
            except BrokenPipeError:
                continue
            except BlockingIOError:
                break
    finally:
        os.close(descriptor)
    return records


def parse_kernel(records: list[bytes], booted: float) -> list[tuple[float, Row]]:
    """Read records of /dev/kmsg: facility and level, number, microseconds since boot, flags; then the text."""
    rows = []
    for record in records:
        head, semicolon, text = record.decode("utf-8", "replace").partition(";")
        fields = head.split(",")
        if semicolon and len(fields) >= 3 and fields[0].isdecimal() and fields[2].isdecimal():
            at = booted + int(fields[2]) / 1_000_000
            level = _PRIORITIES[int(fields[0]) & 7]
            rows.append((at, entry(spelled_time(at), "kernel", level, text.partition("\n")[0])))
    return rows
