"""A warm shim: everything ready but the order, then everything ready but the go.

Owns what can be done before the claim, so that little is left between it and `exec`: the spool folder, the reserved end
record, the prepared marker, the pipes, the sinks. A connection that ends before go means that nothing may run.
"""

from __future__ import annotations

import base64
import os
import select
import signal
import socket
from typing import Any, Final

from caisey.runtime.platforms import Platform, Tree
from caisey.runtime.platforms.linux import join_cgroup
from caisey.runtime.shim.marks import CONTROL, prepare_marker, reserve_end, sync_directory
from caisey.runtime.shim.sink import Sink
from caisey.runtime.shim.spawn import STREAMS, Pipes
from caisey.runtime.shim.wire import Lines, write_all

RESULT_BYTES: Final = 1024 * 1024
"""A tool's own word is never cut for the sake of its output; what it may be at most is far below."""


class Wakeups:
    """Signals as something to poll: SIGCHLD wakes, SIGTERM is the system shutting down."""

    def __init__(self) -> None:
        self.fd, waker = os.pipe()
        for fd in (self.fd, waker):
            os.set_blocking(fd, False)
        self.shutdown = False
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_shutdown)

    def _on_shutdown(self, *_: object) -> None:
        self.shutdown = True

    def clear(self) -> None:
        os.read(self.fd, 512)


class Warm:
    """One shim before go."""

    def __init__(self, platform: Platform, connection: socket.socket, directory: str, cgroup: str | None) -> None:
        self.platform = platform
        self.directory = directory
        self.link = Lines(connection)
        self.wakeups = Wakeups()
        self.pipes = Pipes()
        self.sinks: dict[str, Sink] = {}
        self.stdin: bytes | None = None
        self.early: list[dict[str, Any]] = []
        """What came in one breath with the go: a stop, or an input, for the life that begins."""
        pid = os.getpid()
        self._key = platform.process_key(pid)
        os.mkdir(directory, 0o700)
        os.chdir(directory)
        reserve_end(directory)
        prepare_marker(directory, {"shim": pid, "shim_key": self._key})
        sync_directory(os.path.dirname(directory))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(CONTROL)  # relative: a path below the state directory may be longer than a socket's may be
        self.listener.listen(8)
        self.listener.setblocking(False)
        # The shim joins first, so that its command is born inside; it leaves before the group is killed.
        joined = cgroup is not None and join_cgroup(cgroup, pid)
        self.tree = Tree(pid, 0, cgroup if joined else None)

    def wait_for_go(self) -> dict[str, Any] | None:
        """The order, once it may be carried out; `None` where the runtime went away, or thought better of it."""
        self.link.say(at="ready", shim=[self.tree.shim, self._key], cgroup=self.tree.cgroup)
        order: dict[str, Any] | None = None
        poll = select.poll()
        poll.register(self.link.fileno(), select.POLLIN)
        poll.register(self.wakeups.fd, select.POLLIN)
        while not self.wakeups.shutdown:
            ready = dict(poll.poll())
            if self.wakeups.fd in ready:
                self.wakeups.clear()
            if self.link.fileno() not in ready:
                continue
            messages = self.link.read()
            if messages is None:
                return None
            for place, message in enumerate(messages, 1):
                if message.get("say") == "order":
                    order = message
                    self._prepare(order)
                elif message.get("say") == "go":
                    self.early = messages[place:]
                    return order
        return None

    def _prepare(self, order: dict[str, Any]) -> None:
        for name, content in order["files"].items():
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            write_all(fd, base64.b64decode(content))
            os.close(fd)
        for name in STREAMS:
            if name != "result" or order["result_fd"] is not None:
                limit = RESULT_BYTES if name == "result" else order["output_bytes"]
                self.sinks[name] = Sink(self.directory, name, limit, order["cut"])
        if order["stdin"] is not None:
            self.stdin = base64.b64decode(order["stdin"])

    def vanish(self) -> None:
        """Leave without having run anything, and take the folder along."""
        for name in os.listdir(self.directory):
            os.unlink(name)
        os.rmdir(self.directory)
