"""The builtin tools on Windows: scripts whose answers are JSON, and how each answer is read.

Owns both halves side by side, so that a field is named once in each. Scripts use CIM objects and their properties,
whose names are the same in every language of Windows.
"""

from __future__ import annotations

import os

from caisey.tools.builtin.event_log import UNKNOWN, entry
from caisey.tools.builtin.powershell import rows_of
from caisey.tools.builtin.report import Row, ToolError

# Times are written in UTC by the script, since `ConvertTo-Json` has a form of its own for them.
_UTC = "{ param($t) if ($t) { $t.ToUniversalTime().ToString('yyyy-MM-ddTHH:mm:ss.fffZ') } }"

PROCESSES = f"""$utc = {_UTC}
$cpu = @{{}}
Get-CimInstance Win32_PerfFormattedData_PerfProc_Process |
  ForEach-Object {{ $cpu[[int]$_.IDProcess] = [double]$_.PercentProcessorTime }}
Get-CimInstance Win32_Process | ForEach-Object {{
  $o = Invoke-CimMethod -InputObject $_ -MethodName GetOwner -ErrorAction SilentlyContinue
  [pscustomobject]@{{ pid = [int]$_.ProcessId; name = $_.Name; user = $(if ($o.User) {{ $o.Domain + '\\' + $o.User }});
    cpu = $cpu[[int]$_.ProcessId]; rss = [long]$_.WorkingSetSize; started = & $utc $_.CreationDate }}
}} | ConvertTo-Json -Compress"""

FACTS = f"""$utc = {_UTC}
$o = Get-CimInstance Win32_OperatingSystem
$c = Get-CimInstance Win32_ComputerSystem
$users = @(Get-CimInstance Win32_Process -Filter "Name='explorer.exe'" | ForEach-Object {{
  $u = Invoke-CimMethod -InputObject $_ -MethodName GetOwner; if ($u.User) {{ $u.Domain + '\\' + $u.User }} }})
$restart = 'HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\RebootPending'
[pscustomobject]@{{ hostname = $c.DNSHostName; caption = $o.Caption; version = $o.Version;
  arch = $env:PROCESSOR_ARCHITECTURE;
  boot = & $utc $o.LastBootUpTime; cpus = [int]$c.NumberOfLogicalProcessors; memory = [long]$c.TotalPhysicalMemory;
  free = [long]$o.FreePhysicalMemory * 1024; users = $users; restart = (Test-Path $restart)
}} | ConvertTo-Json -Compress"""

DISKS = """Get-CimInstance Win32_Volume | Where-Object { $_.Capacity } |
  Select-Object Name, DeviceID, Capacity, FreeSpace, FileSystem, DriveType | ConvertTo-Json -Compress"""

EVENTS = f"""$utc = {_UTC}
$since = (Get-Date).AddMinutes(-[int]$env:CAISEY_SINCE)
$filter = @{{ LogName = 'System', 'Application'; StartTime = $since }}
if ($env:CAISEY_LEVEL) {{ $filter.Level = 1..[int]$env:CAISEY_LEVEL + 0 }}
Get-WinEvent -FilterHashtable $filter -MaxEvents $env:CAISEY_MOST -ErrorAction SilentlyContinue | ForEach-Object {{
  [pscustomobject]@{{ at = & $utc $_.TimeCreated; source = $_.ProviderName; level = [int]$_.Level;
    message = $_.Message }}
}} | ConvertTo-Json -Compress"""

INTERFACES = """Get-NetAdapter -IncludeHidden:$false | ForEach-Object {
  $i = $_.ifIndex
  [pscustomobject]@{ name = $_.Name; up = ($_.Status -eq 'Up'); mac = $_.MacAddress; mtu = [int]$_.MtuSize;
    addresses = @(Get-NetIPAddress -InterfaceIndex $i -ErrorAction SilentlyContinue | ForEach-Object {
      [pscustomobject]@{ address = $_.IPAddress; prefix = [int]$_.PrefixLength } }) }
} | ConvertTo-Json -Compress -Depth 4"""

LISTENING = """$names = @{}; Get-Process | ForEach-Object { $names[[int]$_.Id] = $_.ProcessName }
@(Get-NetTCPConnection -State Listen | ForEach-Object {
  [pscustomobject]@{ protocol = 'tcp'; address = $_.LocalAddress; port = [int]$_.LocalPort; pid = [int]$_.OwningProcess;
    process = $names[[int]$_.OwningProcess] } }) + @(Get-NetUDPEndpoint | ForEach-Object {
  [pscustomobject]@{ protocol = 'udp'; address = $_.LocalAddress; port = [int]$_.LocalPort; pid = [int]$_.OwningProcess;
    process = $names[[int]$_.OwningProcess] } }) | ConvertTo-Json -Compress"""

ROUTES = """Get-NetRoute | ForEach-Object {
  [pscustomobject]@{ destination = $_.DestinationPrefix; gateway = $_.NextHop; interface = $_.InterfaceAlias;
    metric = [int]$_.RouteMetric } } | ConvertTo-Json -Compress"""

_LEVELS = {1: "critical", 2: "error", 3: "warning", 4: "info", 0: "info", 5: "debug"}
_LEVEL_NUMBERS = {"critical": "1", "error": "2", "warning": "3", "info": "4"}
_REMOTE_DRIVE = 4
_NO_GATEWAY = {"0.0.0.0", "::"}  # noqa: S104  (what Windows prints for none; nothing is bound)


def processes() -> list[Row]:
    """Every process."""
    return parse_processes(rows_of(PROCESSES))


def parse_processes(rows: list[Row]) -> list[Row]:
    """Rows of `PROCESSES`. Process 0 is no process: its time is what is left over."""
    return [
        {
            "pid": row["pid"],
            "name": row["name"],
            "user": row.get("user"),
            "cpu_percent": row.get("cpu") or 0,
            "rss_bytes": row.get("rss") or 0,
            "started_at": row.get("started"),
        }
        for row in rows
        if row["pid"] != 0
    ]


def facts() -> Row:
    """The result of `system_info`."""
    return parse_facts(rows_of(FACTS))


def parse_facts(rows: list[Row]) -> Row:
    """The one row of `FACTS`. A list of one user is a bare text in Windows PowerShell."""
    row = rows[0]
    users = row.get("users") or []
    return {
        "hostname": row["hostname"],
        "os": "windows",
        "os_version": f"{row['caption']} ({row['version']})",
        "arch": row["arch"],
        "boot_at": row.get("boot"),
        "cpu_count": row["cpus"],
        "memory_bytes": row["memory"],
        "memory_available_bytes": row.get("free") or 0,
        "users": sorted(set(users)) if isinstance(users, list) else [users],
        "pending_restart": bool(row.get("restart")),
    }


def filesystems(path: str | None) -> list[Row]:
    """The volumes, or the one that holds a path."""
    rows = parse_volumes(rows_of(DISKS))
    if path is None:
        return rows
    if not os.path.exists(path):
        raise ToolError("tool.not_found", f"There is no {path}.")
    holding = [row for row in rows if path.casefold().startswith(str(row["mount"]).casefold())]
    return sorted(holding, key=lambda row: len(str(row["mount"])))[-1:]


def parse_volumes(rows: list[Row]) -> list[Row]:
    """Rows of `DISKS`; volumes without a letter keep the name Windows gives them."""
    return [
        {
            "mount": row["Name"],
            "device": row["DeviceID"],
            "total_bytes": row["Capacity"],
            "free_bytes": row.get("FreeSpace") or 0,
            "type": row.get("FileSystem"),
        }
        for row in rows
        if row.get("DriveType") != _REMOTE_DRIVE
    ]


def entries(since_minutes: int, level: str | None, most: int) -> tuple[list[Row], bool]:
    """Entries of the system and application logs, oldest first, and whether these are all of them."""
    variables = {"CAISEY_SINCE": str(since_minutes), "CAISEY_MOST": str(most)}
    if level is not None:
        variables["CAISEY_LEVEL"] = _LEVEL_NUMBERS[level]
    rows = parse_events(rows_of(EVENTS, variables))
    return rows[::-1], len(rows) < most


def parse_events(rows: list[Row]) -> list[Row]:
    """Rows of `EVENTS`, in their order."""
    return [
        entry(
            str(row["at"]) if row.get("at") else None,
            str(row.get("source") or ""),
            _LEVELS.get(int(str(row.get("level"))), UNKNOWN),
            str(row.get("message") or ""),
        )
        for row in rows
    ]


def network() -> dict[str, list[Row]]:
    """The three lists of `network`."""
    return {
        "interfaces": parse_interfaces(rows_of(INTERFACES)),
        "listening": rows_of(LISTENING),
        "routes": parse_routes(rows_of(ROUTES)),
    }


def parse_interfaces(rows: list[Row]) -> list[Row]:
    """Rows of `INTERFACES`, with MAC addresses as elsewhere."""
    found = []
    for row in rows:
        mac = row.get("mac")
        found.append({**row, "mac": str(mac).replace("-", ":").lower() if mac else None})
    return found


def parse_routes(rows: list[Row]) -> list[Row]:
    """Rows of `ROUTES`; a gateway of zeros is none."""
    return [{**row, "gateway": None if row.get("gateway") in _NO_GATEWAY else row.get("gateway")} for row in rows]
