"""The life of one shim after go: the command is let go, watched, and its end recorded.

Owns the order that RECOVERY.md §5 asks for on this side of the go byte: marker synced, then `exec`; output into the
spool; end record durable, then said. Needs nothing from the runtime any more: a runtime that dies is only a connection
less.
"""

from __future__ import annotations

import base64
import contextlib
import os
import select
import time
from typing import Any, Final

from caisey.runtime.shim.marks import set_marker, sync_directory, write_child, write_end
from caisey.runtime.shim.spawn import NOT_EXECUTED, spawn
from caisey.runtime.shim.tree import Ending
from caisey.runtime.shim.warm import Warm
from caisey.runtime.shim.wire import Lines

DRAIN_MS: Final = 1_000
"""How long output is awaited after the command has exited; a daemon that keeps the pipe open holds nothing up."""
TELL_MS: Final = 50
"""Output is told of at most this often."""
END_RETRY_MS: Final = 1_000
_READ_BYTES: Final = 1 << 18


class Life:
    """One execution, from go to its end record."""

    def __init__(self, warm: Warm, order: dict[str, Any]) -> None:
        self._order = order
        self._platform = warm.platform
        self._directory = warm.directory
        self._wakeups = warm.wakeups
        self._pipes = warm.pipes
        self._sinks = warm.sinks
        self._listener = warm.listener
        self._tree = warm.tree
        self._links = [warm.link]
        self._early = warm.early
        self._poll = select.poll()
        self._open: dict[int, str] = {}
        self._status: int | None = None
        self._stdin: list[tuple[int | None, bytes, bool]] = [] if warm.stdin is None else [(None, warm.stdin, True)]
        self._input_seen = 0
        self._ended_by = "itself"
        self._ending: Ending | None = None
        self._tree_ended: bool | None = None
        self._last_output_ms = 0
        self._told_at = 0
        self._untold = False

    def run(self) -> None:
        """Let the command go and see it through. Returns when the end is recorded and told."""
        set_marker(self._directory)
        started_ms = _wall_ms()
        self._spawn(started_ms)
        self._register()
        for message in self._early:
            self._obey(self._links[0], message)
        limit_ms = self._order["time_ms"]
        deadline = _now() + limit_ms if limit_ms is not None else None
        while not self._done(deadline):
            self._turn(self._wait_ms(deadline))
        drained_by = _now() + DRAIN_MS
        while self._open and _now() < drained_by:
            self._turn(drained_by - _now())
        self._record_end(started_ms)

    def _spawn(self, started_ms: int) -> None:
        """Execute the command, and write down who it is where a dead shim can still be asked."""
        try:
            child = spawn(self._order, self._pipes, self._directory)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            self._sinks["stderr"].take(f"caisey: the command cannot be executed: {why}\n".encode())
            self._status = NOT_EXECUTED << 8
            child, key, at_ms = os.getpid(), self._platform.process_key(os.getpid()), started_ms
        else:
            key, at_ms = self._platform.process_key(child, zombie=True), started_ms
            self._tree = self._tree._replace(child=child)
        born = {"pid": child, "process_key": key or "unknown", "process_started_ms": at_ms}
        write_child(self._directory, born)
        self._pipes.close_child_ends()
        self._tell(at="started", started_ms=started_ms, **born)

    def _register(self) -> None:
        self._poll.register(self._wakeups.fd, select.POLLIN)
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
            if self._wakeups.shutdown:
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
            elif fd == self._wakeups.fd:
                self._wakeups.clear()
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
                if pid == self._tree.child:
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
            self._obey(link, message)

    def _obey(self, link: Lines, message: dict[str, Any]) -> None:
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

    def _record_end(self, started_ms: int) -> None:
        if (
            self._wakeups.shutdown
            and self._ended_by == "itself"
            and self._status is not None
            and os.WIFSIGNALED(self._status)
        ):
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
        """Its space was reserved, so this fails only on a broken disk; then it is tried for as long as we live.

        Where the directory itself was taken away nobody will ever look: that ends this process. The pause must not be
        a poll: what is ready and not taken would make it none at all, and a core would burn until the disk is mended.
        """
        while True:
            try:
                write_end(self._directory, content)
            except FileNotFoundError:
                raise
            except OSError:
                time.sleep(END_RETRY_MS / 1000)
            else:
                return

    def linger(self) -> None:
        """Read, and throw away, what daemons of the command still write, so that they do not die of a closed pipe."""
        self._close_stdin()
        while self._open and not self._wakeups.shutdown:
            for fd, _ in self._poll_output():
                with contextlib.suppress(BlockingIOError):
                    if not os.read(fd, _READ_BYTES):
                        os.close(fd)
                        del self._open[fd]
        self._reap()

    def _poll_output(self) -> list[tuple[int, int]]:
        poll = select.poll()
        for fd in (self._wakeups.fd, *self._open):
            poll.register(fd, select.POLLIN)
        ready = poll.poll()
        if any(fd == self._wakeups.fd for fd, _ in ready):
            self._wakeups.clear()
            self._reap()
        return [(fd, event) for fd, event in ready if fd in self._open]


def _now() -> int:
    return time.monotonic_ns() // 1_000_000


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
