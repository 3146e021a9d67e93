"""The life of one shim: warm, ordered, let go, watching, recording the end.

Owns the order that RECOVERY.md §5 asks for on this side of the go byte: marker synced, then `exec`; output into the
spool; end record durable, then said. Needs nothing from the runtime once it was let go: a runtime that dies is only a
connection less. Before that, a connection that ends means that nothing may run.
"""

from __future__ import annotations

import base64
import contextlib
import os
import select
import signal
import socket
import time
from typing import Any, Final

from caisey.runtime.platforms import Platform, Tree
from caisey.runtime.platforms.linux import join_cgroup
from caisey.runtime.shim.child import wait_and_become
from caisey.runtime.shim.marks import CONTROL, prepare_marker, reserve_end, set_marker, sync_directory, write_end
from caisey.runtime.shim.sink import Sink
from caisey.runtime.shim.tree import Ending
from caisey.runtime.shim.wire import Lines, packed, read_exactly, write_all

DRAIN_MS: Final = 1_000
"""How long output is awaited after the command has exited; a daemon that keeps the pipe open holds nothing up."""
TELL_MS: Final = 50
"""Output is told of at most this often."""
END_RETRY_MS: Final = 1_000
RESULT_BYTES: Final = 1024 * 1024
"""A tool's own word is never cut for the sake of its output; what it may be at most is far below."""
_NAMES: Final = ("stdout", "stderr", "result")
_READ_BYTES: Final = 1 << 18


class Pipes:
    """The pipes between the shim and its child, made before the child is forked."""

    def __init__(self) -> None:
        self.gate_child, self.gate = os.pipe()
        self.failure, self.failure_child = os.pipe()
        self.stdin_child, self.stdin = os.pipe()
        self.out = {}
        self.out_child = {}
        for name in _NAMES:
            self.out[name], self.out_child[name] = os.pipe()

    def become_child(self) -> None:
        """In the child: keep only its own ends, then wait at the gate."""
        for fd in (self.gate, self.failure, self.stdin, *self.out.values()):
            os.close(fd)
        stdio = (self.stdin_child, self.out_child["stdout"], self.out_child["stderr"])
        wait_and_become(self.gate_child, self.failure_child, stdio, self.out_child["result"])

    def become_shim(self) -> None:
        for fd in (self.gate_child, self.failure_child, self.stdin_child, *self.out_child.values()):
            os.close(fd)


class Shim:
    """One execution, from the fork of its child to its end record."""

    def __init__(self, platform: Platform, connection: socket.socket, directory: str, cgroup: str | None) -> None:
        self._platform = platform
        self._directory = directory
        self._links = [Lines(connection)]
        self._poll = select.poll()
        self._woken, waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(waker, False)
        self._waker = waker
        self._shutdown = False
        self._pipes = Pipes()
        self._sinks: dict[str, Sink] = {}
        self._open: dict[int, str] = {}
        self._status: int | None = None
        self._stdin: list[tuple[int | None, bytes, bool]] = []
        self._input_seen = 0
        self._ended_by = "itself"
        self._ending: Ending | None = None
        self._tree_ended: bool | None = None
        self._last_output_ms = 0
        self._told_at = 0
        self._untold = False
        os.mkdir(directory, 0o700)
        os.chdir(directory)
        reserve_end(directory)
        sync_directory(os.path.dirname(directory))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(CONTROL)  # relative: a path below the state directory may be longer than a socket's may be
        self._listener.listen(8)
        self._listener.setblocking(False)
        self._child = os.fork()
        if self._child == 0:
            self._listener.close()
            connection.close()
            self._pipes.become_child()
        self._pipes.become_shim()
        prepare_marker(directory, {"pid": self._child, "process_key": platform.process_key(self._child)})
        joined = cgroup is not None and join_cgroup(cgroup, self._child)
        self._tree = Tree(os.getpid(), self._child, cgroup if joined else None)

    # -- before go ----------------------------------------------------------------------------------------------------

    def listen_to_signals(self) -> None:
        """SIGCHLD wakes; SIGTERM is the system shutting down."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_shutdown)

    def _on_shutdown(self, *_: object) -> None:
        self._shutdown = True

    def wait_for_go(self) -> dict[str, Any] | None:
        """The order, once it may be carried out; `None` where the runtime went away, or thought better of it."""
        link = self._links[0]
        key = self._platform.process_key
        link.say(
            at="ready",
            shim=[os.getpid(), key(os.getpid())],
            child=[self._child, key(self._child), self._platform.process_started_ms(self._child)],
            cgroup=self._tree.cgroup,
        )
        order: dict[str, Any] | None = None
        poll = select.poll()
        poll.register(link.fileno(), select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            woken = dict(poll.poll())
            if self._shutdown or (self._woken in woken and os.waitpid(-1, os.WNOHANG)[0]):
                return None
            if link.fileno() not in woken:
                os.read(self._woken, 512)
                continue
            messages = link.read()
            if messages is None:
                return None
            for message in messages:
                if message.get("say") == "order":
                    order = message
                    self._prepare(order)
                elif message.get("say") == "go":
                    return order

    def vanish(self) -> None:
        """Leave without having run anything: the child sees its gate close, and the directory goes."""
        os.close(self._pipes.gate)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._child, 0)
        for name in os.listdir(self._directory):
            os.unlink(name)
        os.rmdir(self._directory)

    def _prepare(self, order: dict[str, Any]) -> None:
        """All that can be done before the claim: files, sinks, and the order in the child's hands."""
        for name, content in order["files"].items():
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            write_all(fd, base64.b64decode(content))
            os.close(fd)
        for name in _NAMES:
            if name != "result" or order["result_fd"] is not None:
                limit = RESULT_BYTES if name == "result" else order["output_bytes"]
                self._sinks[name] = Sink(self._directory, name, limit, order["cut"])
        if order["stdin"] is not None:
            self._stdin.append((None, base64.b64decode(order["stdin"]), True))
        write_all(self._pipes.gate, packed({key: order[key] for key in ("argv", "env", "cwd", "result_fd", "umask")}))

    # -- after go -----------------------------------------------------------------------------------------------------

    def run(self, order: dict[str, Any]) -> None:
        """Let the command go and see it through. Returns when the end is recorded and told."""
        set_marker(self._directory)
        started_ms = _wall_ms()
        os.write(self._pipes.gate, b"!")
        os.close(self._pipes.gate)
        self._tell(at="started", started_ms=started_ms)
        self._register()
        limit_ms = order["time_ms"]
        deadline = _now() + limit_ms if limit_ms is not None else None
        while not self._done(deadline):
            self._turn(self._wait_ms(deadline))
        drained_by = _now() + DRAIN_MS
        while self._open and _now() < drained_by:
            self._turn(drained_by - _now())
        self._note_failed_exec()
        self._record_end(started_ms)

    def _register(self) -> None:
        self._poll.register(self._woken, select.POLLIN)
        self._poll.register(self._listener.fileno(), select.POLLIN)
        for link in self._links:
            link.connection.setblocking(False)
            self._poll.register(link.fileno(), select.POLLIN)
        for name in self._sinks:
            fd = self._pipes.out[name]
            os.set_blocking(fd, False)
            self._open[fd] = name
            self._poll.register(fd, select.POLLIN)
        os.set_blocking(self._pipes.stdin, False)
        self._feed()

    def _done(self, deadline: int | None) -> bool:
        """Whether there is nothing more to wait for: the child is reaped, and its tree is ended if it is to be."""
        self._reap()
        if self._ending is None and self._status is None:
            if self._shutdown:
                self._end("shutdown")
            elif deadline is not None and _now() >= deadline:
                self._end("time_limit")
        if self._ending is None:
            return self._status is not None
        self._tree_ended = (
            self._ending.step(_now()) if _now() >= self._ending.due_ms or self._status is not None else None
        )
        return self._tree_ended is not None

    def _end(self, why: str) -> None:
        if self._ending is None and self._status is None:
            self._ended_by = why
            self._ending = Ending(self._platform, self._tree, _now())

    def _wait_ms(self, deadline: int | None) -> int | None:
        due = [self._ending.due_ms] if self._ending is not None else [] if deadline is None else [deadline]
        if self._untold:
            due.append(self._told_at + TELL_MS)
        return max(0, min(due) - _now()) if due else None

    def _turn(self, wait_ms: int | None) -> None:
        """Wait once, and handle what is there."""
        for fd, event in self._poll.poll(wait_ms):
            if fd in self._open:
                self._take_output(fd)
            elif fd == self._pipes.stdin:
                self._feed()
            elif fd == self._woken:
                os.read(fd, 512)
            elif fd == self._listener.fileno():
                self._accept()
            else:
                self._hear(fd, event)
        self._tell_output()

    def _take_output(self, fd: int) -> None:
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._poll.unregister(fd)
            os.close(fd)
            del self._open[fd]
            return
        self._sinks[self._open[fd]].take(data)
        self._last_output_ms = _wall_ms()
        self._untold = True

    def _reap(self) -> None:
        """Collect what died below us: the child itself, and what it left behind, for we are the subreaper."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._child:
                    self._status = status

    # -- the runtime, and others of the same journal ------------------------------------------------------------------

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            link = Lines(connection)
            self._links.append(link)
            self._poll.register(link.fileno(), select.POLLIN)
            link.say(**self._news())

    def _hear(self, fd: int, event: int) -> None:
        link = next(link for link in self._links if link.fileno() == fd)
        link.flush()
        messages = link.read() if event & select.POLLIN else None
        if messages is None:
            self._poll.unregister(fd)
            self._links.remove(link)
            link.close()
            return
        for message in messages:
            if message.get("say") == "cancel":
                self._end("cancel")
            elif message.get("say") == "input":
                self._take_input(link, message)

    def _take_input(self, link: Lines, message: dict[str, Any]) -> None:
        """Write an input once: a number that was seen is not written again, whoever sends it."""
        sequence = int(message["sequence"])
        if sequence <= self._input_seen:
            link.say(at="input", sequence=sequence)
            return
        self._input_seen = sequence
        self._stdin.append((sequence, base64.b64decode(message["data"]), bool(message["close"])))
        self._feed()

    def _feed(self) -> None:
        """Write waiting input to the command, as much as it takes now."""
        while self._stdin:
            sequence, data, close = self._stdin[0]
            try:
                while data:
                    data = data[os.write(self._pipes.stdin, data) :]
            except BlockingIOError:
                self._stdin[0] = (sequence, data, close)
                self._poll.register(self._pipes.stdin, select.POLLOUT)
                return
            except OSError:
                self._close_stdin()  # the command reads no more: what is left was never written, and is not confirmed
                return
            self._stdin.pop(0)
            if close:
                self._close_stdin()
            if sequence is not None:
                self._tell(at="input", sequence=sequence)
        if self._pipes.stdin >= 0:
            with contextlib.suppress(KeyError):
                self._poll.unregister(self._pipes.stdin)

    def _close_stdin(self) -> None:
        self._stdin.clear()
        if self._pipes.stdin >= 0:
            with contextlib.suppress(KeyError):
                self._poll.unregister(self._pipes.stdin)
            os.close(self._pipes.stdin)
            self._pipes.stdin = -1

    def _news(self) -> dict[str, Any]:
        written = {name: sink.bytes for name, sink in self._sinks.items()}
        kept = {name: sink.head for name, sink in self._sinks.items()}
        return {"at": "output", "bytes": written, "kept": kept, "last_output_ms": self._last_output_ms or None}

    def _tell_output(self) -> None:
        if self._untold and _now() >= self._told_at + TELL_MS:
            self._untold, self._told_at = False, _now()
            for link in self._links:
                if not link.behind:
                    link.say(**self._news())

    def _tell(self, **message: Any) -> None:
        for link in self._links:
            link.say(**message)

    # -- the end ------------------------------------------------------------------------------------------------------

    def _note_failed_exec(self) -> None:
        """What `exec` said, where there was no command to say anything: on its standard error, as a shell would."""
        failure = read_exactly(self._pipes.failure, 1)
        if not failure:
            return
        os.set_blocking(self._pipes.failure, False)
        with contextlib.suppress(BlockingIOError):
            failure += os.read(self._pipes.failure, 4096)
        self._sinks["stderr"].take(b"caisey: the command cannot be executed: " + failure + b"\n")

    def _record_end(self, started_ms: int) -> None:
        if self._shutdown and self._ended_by == "itself" and self._status is not None and os.WIFSIGNALED(self._status):
            self._ended_by = "shutdown"  # the system's SIGTERM reached the command before it reached us
        if self._tree_ended is None:
            self._tree_ended = not self._platform.descendants(self._tree)
        status = self._status
        execution = {
            "exit_code": os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None,
            "ended_by": self._ended_by,
            "tree_ended": self._tree_ended,
            "started_ms": started_ms,
            "ended_ms": _wall_ms(),
            "streams": {name: sink.summary() for name, sink in self._sinks.items()},
        }
        for sink in self._sinks.values():
            sink.close()
        layouts = {name: sink.layout() for name, sink in self._sinks.items()}
        self._write_end({"execution": execution, "spool": layouts})
        self._tell(at="ended")
        sync_directory(self._directory)
        for link in self._links:
            link.close()
        self._listener.close()

    def _write_end(self, content: dict[str, Any]) -> None:
        """Its space was reserved, so this fails only on a broken disk; then it is tried for as long as we live."""
        while True:
            try:
                write_end(self._directory, content)
            except OSError:
                self._poll.poll(END_RETRY_MS)
            else:
                return

    def linger(self) -> None:
        """Read, and throw away, what daemons of the command still write, so that they do not die of a closed pipe."""
        self._close_stdin()
        while self._open and not self._shutdown:
            for fd, _ in self._poll_output():
                with contextlib.suppress(BlockingIOError):
                    if not os.read(fd, _READ_BYTES):
                        os.close(fd)
                        del self._open[fd]
        self._reap()

    def _poll_output(self) -> list[tuple[int, int]]:
        poll = select.poll()
        for fd in (self._woken, *self._open):
            poll.register(fd, select.POLLIN)
        ready = poll.poll()
        if any(fd == self._woken for fd, _ in ready):
            os.read(self._woken, 512)
            self._reap()
        return [(fd, event) for fd, event in ready if fd in self._open]


def _now() -> int:
    return time.monotonic_ns() // 1_000_000


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
