"""The command's birth: its pipes, and one `posix_spawn` that costs no copy of this process.

Owns what the command inherits: standard streams, a result descriptor, default signals, its own process group. Never a
shell of its own making, and never a descriptor that was not meant for it: all others close at `exec`.
"""

from __future__ import annotations

import os
import signal
from typing import Any, Final

NOT_EXECUTED: Final = 127
"""The exit code of a command that could not be executed, as shells have it."""
STREAMS: Final = ("stdout", "stderr", "result")


class Pipes:
    """The pipes of one command. `stdin` and `out` are ours, the others become the command's."""

    def __init__(self) -> None:
        self.stdin_child, self.stdin = os.pipe()
        self.out: dict[str, int] = {}
        self.out_child: dict[str, int] = {}
        for name in STREAMS:
            self.out[name], self.out_child[name] = os.pipe()

    def close_child_ends(self) -> None:
        for fd in (self.stdin_child, *self.out_child.values()):
            os.close(fd)


def spawn(order: dict[str, Any], pipes: Pipes, home: str) -> int:
    """Execute the order's command and return its pid. `home` is where this process goes back to. Raises `OSError`."""
    actions = [
        (os.POSIX_SPAWN_DUP2, pipes.stdin_child, 0),
        (os.POSIX_SPAWN_DUP2, pipes.out_child["stdout"], 1),
        (os.POSIX_SPAWN_DUP2, pipes.out_child["stderr"], 2),
    ]
    if order["result_fd"] is not None:
        actions.append((os.POSIX_SPAWN_DUP2, pipes.out_child["result"], order["result_fd"]))
    own_umask = os.umask(order["umask"])
    try:
        if order["cwd"] is not None:
            os.chdir(order["cwd"])
        return os.posix_spawn(
            found_on_path(order["argv"][0], order["env"].get("PATH", os.defpath)),
            order["argv"],
            order["env"],
            file_actions=actions,
            setpgroup=0,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
    finally:
        os.umask(own_umask)
        os.chdir(home)


def found_on_path(program: str, path: str) -> str:
    """Where the command's own PATH finds the program; the program itself where it is a path, or is not found."""
    if "/" in program:
        return program
    for directory in path.split(os.pathsep):
        candidate = os.path.join(directory or ".", program)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return program
