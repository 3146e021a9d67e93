"""The zygote: one small process per runtime that has everything imported and forks a shim in a millisecond.

Owns the fork and what a shim is born with: its own session, the role of subreaper, a group of the kernel for its
command. Runs nothing itself and dies with the runtime; its shims do not.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
from typing import NoReturn

from caisey.runtime.platforms import Platform, this_platform
from caisey.runtime.platforms.linux import leave_cgroup, make_cgroup, own_cgroup, remove_cgroup, sweep_cgroups
from caisey.runtime.shim.life import Life
from caisey.runtime.shim.warm import Warm

_PR_SET_CHILD_SUBREAPER = 36
CGROUP_PREFIX = "caisey-"


def main(control_fd: int) -> None:
    """Fork one shim for every message on the control socket, until it closes. Each carries the shim's connection."""
    control = socket.socket(fileno=control_fd)
    platform = this_platform()
    libc = ctypes.CDLL(None, use_errno=True) if platform.name == "linux" else None
    woken, waker = os.pipe()
    for fd in (woken, waker):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # whether it is over is for the runtime to say
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    group = own_cgroup()
    if group is not None:
        sweep_cgroups(group, CGROUP_PREFIX)
    gc.disable()
    gc.freeze()
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(woken, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if woken in ready:
            os.read(woken, 512)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
        if control.fileno() not in ready:
            continue
        message, fds, _, _ = socket.recv_fds(control, 65536, 1)
        if not message:
            return
        if os.fork() == 0:
            for fd in (control.fileno(), woken, waker):
                os.close(fd)
            _live(platform, group, libc, json.loads(message)["directory"], socket.socket(fileno=fds[0]))
        os.close(fds[0])


def _live(
    platform: Platform, group: str | None, libc: ctypes.CDLL | None, directory: str, connection: socket.socket
) -> NoReturn:
    """In the fork: become a shim, live its life, and never return to the zygote's loop."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(nowhere, standard)  # a shim outlives the terminal, or the log, of the runtime
        os.close(nowhere)
        os.umask(0o077)
        if libc is not None:
            libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _execute(platform, group, directory, connection)
        status = 0
    finally:
        os._exit(status)


def _execute(platform: Platform, group: str | None, directory: str, connection: socket.socket) -> None:
    cgroup = make_cgroup(group, CGROUP_PREFIX + os.path.basename(directory)) if group is not None else None
    try:
        _be(Warm(platform, connection, directory, cgroup))
    finally:
        if cgroup is not None:
            leave_cgroup(cgroup)
            remove_cgroup(cgroup)


def _be(warm: Warm) -> None:
    order = warm.wait_for_go()
    if order is None:
        warm.vanish()
        return
    life = Life(warm, order)
    life.run()
    life.linger()
