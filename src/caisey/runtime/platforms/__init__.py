"""What differs between operating systems, behind one small interface.

Owns the interface and the choice. Everything here is standard library only and cheap to import, because the shim uses
it too. A process is named by its pid and a key made of the boot id and the OS's own start time, never the wall clock.
"""

from __future__ import annotations

import sys
from typing import NamedTuple, Protocol


class Usage(NamedTuple):
    """What the process tree of one command uses. `waiting_for_input` is `None` where it cannot be told."""

    cpu_ms: int
    waiting_for_input: bool | None


class Tree(NamedTuple):
    """Where the process tree of one command is found: below its shim, and in its own cgroup if it has one."""

    shim: int
    child: int
    cgroup: str | None


class Platform(Protocol):
    """One operating system. Nothing here blocks for long; what cannot be told is `None`."""

    name: str

    def boot_id(self) -> str:
        """What names the present run of the operating system."""

    def boottime_ms(self) -> int:
        """Milliseconds since boot, on a clock that runs while the computer sleeps."""

    def monotonic_ms(self) -> int:
        """Milliseconds since boot, on a clock that stands while the computer sleeps."""

    def process_key(self, pid: int, *, zombie: bool = False) -> str | None:
        """The key of a process that lives; `None` of one that is gone. A zombie is dead, unless it is asked for."""

    def process_started_ms(self, pid: int) -> int | None:
        """When it started, by the wall clock, for people to read."""

    def descendants(self, tree: Tree) -> list[int]:
        """Every live process of the tree below the shim, the shim itself not among them."""

    def orphans(self, shim: int) -> list[int]:
        """Live processes that a dead shim let go, found without knowing who they are; for a shim that died at once."""

    def usage(self, tree: Tree) -> Usage:
        """CPU time of the tree, also of its ended parts where the OS keeps it, and whether it waits for input."""

    def end_tree(self, tree: Tree) -> None:
        """Kill every process of the tree at once, as far as the OS lets it be found. The shim is not part of it."""

    def own_cpu_ms(self) -> int:
        """CPU time of this process so far."""

    def own_rss_bytes(self) -> int:
        """Resident memory of this process now; 0 where it cannot be told."""

    def machine_identity(self) -> list[str]:
        """Facts that name this machine and outlive a reinstallation of the runtime, the best one first."""

    def os_version(self) -> str:
        """The name and version of the operating system as people say it."""


def this_platform() -> Platform:
    """The platform that this program runs on."""
    name: str = sys.platform
    if name == "linux":
        from caisey.runtime.platforms.linux import Linux

        return Linux()
    if name == "darwin":
        from caisey.runtime.platforms.darwin import Darwin

        return Darwin()
    if name == "win32":
        from caisey.runtime.platforms.windows import Windows

        return Windows()
    raise OSError(f"no runtime for {name}")
