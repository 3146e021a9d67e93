"""What the executor asks of whoever starts processes, and what it hears back.

Owns the interface between the executor and the operating system: `launcher` fulfils it with shims, the simulation with
simulated processes. Knows no socket, no fork.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from caisey.runtime.platforms import Tree, Usage


@dataclass(frozen=True, slots=True)
class Identity:
    """A process of one boot: the pid, and the OS's start time with the boot id."""

    pid: int
    key: str


@dataclass(frozen=True, slots=True)
class Shelter:
    """Where an execution lives: the shim, the command once it is known who that is, the spool."""

    shim: Identity
    child: Identity | None
    spool: str
    cgroup: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """One command, as the shim is to run it. `cut` says why output past `output_bytes` is not kept."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | None
    stdin: bytes | None
    files: Mapping[str, bytes]
    result_fd: int | None
    time_ms: int | None = None
    output_bytes: int = 0
    cut: str = "limit"
    umask: int = 0o022


OrderIn = Callable[[str], Order]
"""The order of a command whose files lie in that folder."""


@dataclass(frozen=True, slots=True)
class StartSeen:
    """The marker is on disk and the command was let go. This is who it is."""

    child: Identity
    started_ms: int


@dataclass(frozen=True, slots=True)
class OutputSeen:
    """How much each stream has written, and how much of it can be read from the spool by now."""

    written: Mapping[str, int]
    kept: Mapping[str, int]
    last_output_ms: int | None


@dataclass(frozen=True, slots=True)
class InputSeen:
    """That input was written to the command, now or before."""

    sequence: int


@dataclass(frozen=True, slots=True)
class EndSeen:
    """Look for the end record: it is there, or no process is left that could write one."""


Seen = StartSeen | OutputSeen | InputSeen | EndSeen
Watcher = Callable[[Seen], None]


class Execution(Protocol):
    """A command that was let go, started here or adopted."""

    def cancel(self) -> None:
        """Ask for its process tree to be ended."""

    def input(self, sequence: int, data: bytes, *, close: bool) -> None:
        """Hand it input; `InputSeen` follows when it was written. A number that was seen is not written again."""

    def detach(self) -> None:
        """Stop watching. The command goes on."""


class Prepared(Protocol):
    """A shim that has its order and waits for one go."""

    shelter: Shelter

    def go(self, watcher: Watcher) -> Execution:
        """Let the command go. Only after the claim was committed."""

    def abandon(self) -> None:
        """End the shim without running anything."""


class Launcher(Protocol):
    """Prepares executions, and finds those that a former life of the runtime left running."""

    async def prepare(self, order_in: OrderIn) -> Prepared:
        """A shim with its order, waiting for go. Raises `LaunchError` where none can be had."""

    async def adopt(self, shelter: Shelter, watcher: Watcher) -> Execution:
        """Watch an execution that was let go before. `EndSeen` follows at once where it has ended. Raises `LaunchError`
        where that cannot be told now."""

    async def close(self) -> None:
        """End the idle shims. Running commands go on."""


def tree_of(shelter: Shelter) -> Tree:
    """The process tree of an execution, for the platform."""
    return Tree(shelter.shim.pid, shelter.child.pid if shelter.child is not None else 0, shelter.cgroup)


class LaunchError(Exception):
    """No shim could be made ready: the computer is out of processes, memory or disk. Whose fault: the endpoint's."""


@dataclass(frozen=True, slots=True)
class End:
    """An end record as JSON texts: `execution` and the parsed `result` and `changes` as sent, `layout` of the spool."""

    execution: bytes
    layout: bytes
    result: bytes | None = None
    changes: bytes | None = None


class Census(Protocol):
    """What the operating system and the spool say of a started attempt, asked inside the journal's transaction."""

    def alive(self, process: Identity) -> bool:
        """Whether that very process lives. A zombie is dead."""

    def child_of(self, spool: str) -> StartSeen | None:
        """Who the command of an execution is, as its shim wrote it down."""

    def strays(self, shim: Identity) -> bool:
        """Whether a command may live that a dead shim let go and did not write down."""

    def end_record(self, spool: str) -> End | None:
        """The end record of an execution, if there is one."""

    def incarnation_lives(self, runtime_id: str, incarnation: str) -> bool:
        """Whether that incarnation of a runtime on this journal is alive now."""

    def usage(self, shelter: Shelter) -> Usage:
        """What its process tree uses."""
