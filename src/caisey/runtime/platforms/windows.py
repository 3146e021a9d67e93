"""Windows: processes by their creation time, the machine by its registry.

Owns every call into kernel32 and the registry. It names processes and the computer; trees belong to a job object, which
the service's installation describes. The shim needs `fork` and does not run here (docs/limits.md).
"""

from __future__ import annotations

import ctypes
import platform
import struct
import time
from typing import Any

from caisey.runtime.platforms import Tree, Usage

_QUERY = 0x1000
_STILL_ACTIVE = 259
_EPOCH_FILETIME = 116_444_736_000_000_000
_MACHINE_GUID = (r"SOFTWARE\Microsoft\Cryptography", "MachineGuid")
_BOOT_COUNT = (
    r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters",
    "BootId",
)


class Windows:
    """The platform of an endpoint that runs Windows."""

    name = "windows"

    def __init__(self) -> None:
        self._kernel: Any = vars(ctypes)["WinDLL"]("kernel32", use_last_error=True)
        self._boot_id = f"boot-{_registry(*_BOOT_COUNT) or 'unknown'}"

    def boot_id(self) -> str:
        return self._boot_id

    def boottime_ms(self) -> int:
        ticks: int = self._kernel.GetTickCount64()
        return ticks

    def monotonic_ms(self) -> int:
        unbiased = ctypes.c_uint64()
        self._kernel.QueryUnbiasedInterruptTime(ctypes.byref(unbiased))
        return unbiased.value // 10_000

    def _created(self, pid: int) -> int | None:
        handle = self._kernel.OpenProcess(_QUERY, False, pid)
        if not handle:
            return None
        try:
            code = ctypes.c_uint32()
            times = (ctypes.c_uint64 * 4)()
            self._kernel.GetExitCodeProcess(handle, ctypes.byref(code))
            places = [ctypes.byref(times, index * 8) for index in range(4)]
            known = self._kernel.GetProcessTimes(handle, *places)
            return int(times[0]) if known and code.value == _STILL_ACTIVE else None
        finally:
            self._kernel.CloseHandle(handle)

    def process_key(self, pid: int, *, zombie: bool = False) -> str | None:
        created = self._created(pid)
        return None if created is None else f"{self._boot_id}:{created}"

    def process_started_ms(self, pid: int) -> int | None:
        created = self._created(pid)
        return None if created is None else (created - _EPOCH_FILETIME) // 10_000

    def descendants(self, tree: Tree) -> list[int]:
        return [tree.child] if self.process_key(tree.child) is not None else []

    def orphans(self, shim: int) -> list[int]:
        return []

    def usage(self, tree: Tree) -> Usage:
        return Usage(0, None)

    def end_tree(self, tree: Tree) -> None:
        handle = self._kernel.OpenProcess(1, False, tree.child)
        if handle:
            self._kernel.TerminateProcess(handle, 1)
            self._kernel.CloseHandle(handle)

    def own_cpu_ms(self) -> int:
        return time.process_time_ns() // 1_000_000

    def own_rss_bytes(self) -> int:
        counters = ctypes.create_string_buffer(72)
        known = self._kernel.K32GetProcessMemoryInfo(self._kernel.GetCurrentProcess(), counters, 72)
        return int(struct.unpack_from("=Q", counters.raw, 16)[0]) if known else 0

    def machine_identity(self) -> list[str]:
        found = _registry(*_MACHINE_GUID)
        return [found] if found else []

    def os_version(self) -> str:
        return f"Windows {platform.release()} {platform.version()}"


def _registry(path: str, name: str) -> str:
    import importlib

    registry: Any = importlib.import_module("winreg")
    try:
        with registry.OpenKey(registry.HKEY_LOCAL_MACHINE, path) as key:
            return str(registry.QueryValueEx(key, name)[0])
    except OSError:
        return ""
