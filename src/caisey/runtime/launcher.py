"""Starts shims: a zygote that forks them, a small pool of warm ones, and the sockets to those that run.

Owns the zygote's process and every connection to a shim. Knows nothing of attempts: it is given an order and says what
it sees. A shim of a former life is found by its socket in the spool, else watched by its process alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

import caisey
from caisey.runtime.platforms import Platform
from caisey.runtime.processes import (
    EndSeen,
    Identity,
    InputSeen,
    LaunchError,
    Order,
    OrderIn,
    OutputSeen,
    Shelter,
    StartSeen,
    Watcher,
    tree_of,
)
from caisey.runtime.shim.marks import CONTROL
from caisey.runtime.spool import child_in

WARM: Final = 4
"""Shims that wait at the go byte. One costs two forks and about 3 MiB; a burst is served as fast as forks are."""
FILL_S: Final = 0.01
READY_S: Final = 10.0
LOOK_AGAIN_S: Final = 0.25
_LINE_LIMIT: Final = 4 * 1024 * 1024
# One message, one shim. macOS has no such socket for a pair; there a message is one small write.
_MESSAGES: Final = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_STREAM
_SOURCE: Final = str(Path(caisey.__file__).resolve().parent.parent)
_BOOT: Final = "import sys; sys.path.insert(0, sys.argv[1]); from caisey.runtime.shim.zygote import main; main(0)"


class Shim:
    """One connection to a shim, from its birth or from its adoption on."""

    def __init__(
        self, platform: Platform, shelter: Shelter, folder: Path, reader: asyncio.StreamReader | None,
        writer: asyncio.StreamWriter | None,
    ) -> None:  # fmt: skip
        self._folder = folder
        self.shelter = shelter
        self._platform = platform
        self._reader = reader
        self._writer = writer
        self._watching: asyncio.Task[None] | None = None

    @property
    def broken(self) -> bool:
        return self._reader is None or self._reader.at_eof()

    def order(self, order: Order) -> None:
        self._say(
            say="order",
            argv=order.argv,
            env=dict(order.env),
            cwd=order.cwd,
            stdin=order.stdin,
            files=dict(order.files),
            result_fd=order.result_fd,
            time_ms=order.time_ms,
            output_bytes=order.output_bytes,
            cut=order.cut,
            umask=order.umask,
        )

    def go(self, watcher: Watcher) -> Shim:
        self._say(say="go")
        return self.watch(watcher)

    def watch(self, watcher: Watcher) -> Shim:
        self._watching = asyncio.create_task(self._watch(watcher))
        return self

    def abandon(self) -> None:
        self.detach()

    def cancel(self) -> None:
        if self._writer is None:  # the shim is dead and its command is not: nobody else can end it
            self._platform.end_tree(tree_of(self.shelter))
            child = self.shelter.child
            with contextlib.suppress(OSError):  # gone, not ours, or not to be told: the cancel is sent again
                if child is not None and self._platform.process_key(child.pid) == child.key:
                    os.killpg(child.pid, signal.SIGKILL)
        self._say(say="cancel")

    def input(self, sequence: int, data: bytes, *, close: bool) -> None:
        self._say(say="input", sequence=sequence, data=data, close=close)

    def detach(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        if self._writer is not None:
            self._writer.close()

    def _say(self, **message: Any) -> None:
        if self._writer is not None:
            self._writer.write(msgspec.json.encode(message) + b"\n")

    async def _watch(self, watcher: Watcher) -> None:
        """Pass on what the shim says; when it says no more, wait until its processes are gone."""
        try:
            while self._reader is not None:
                line = await self._reader.readline()
                if not line:
                    break
                seen = _seen(msgspec.json.decode(line))
                if isinstance(seen, StartSeen):
                    self.shelter = replace(self.shelter, child=seen.child)
                if seen is not None:
                    watcher(seen)
                if isinstance(seen, EndSeen):
                    return
        except ConnectionError:
            pass  # the shim was killed: what matters now is who still lives
        await self._outlast(self.shelter.shim)
        child = self.shelter.child or await self._written_child()
        if child is not None:
            await self._outlast(child)
        watcher(EndSeen())

    async def _written_child(self) -> Identity | None:
        while True:
            with contextlib.suppress(OSError):  # no descriptor left to read it with
                seen = child_in(self._folder)
                return seen.child if seen is not None else None
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _outlast(self, process: Identity) -> None:
        """Wait until a process is dead, by its pidfd where there is one, and never for a later one of the same pid."""
        if not hasattr(os, "pidfd_open"):
            await self._look_until_dead(process)
            return
        try:
            fd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return
        except OSError:  # no descriptor left: that says nothing of the process
            await self._look_until_dead(process)
            return
        loop = asyncio.get_running_loop()
        dead = asyncio.Event()
        loop.add_reader(fd, dead.set)
        try:
            if self._platform.process_key(process.pid) == process.key:
                await dead.wait()
            return
        except OSError:
            pass  # whose pidfd it is cannot be told
        finally:
            loop.remove_reader(fd)
            os.close(fd)
        await self._look_until_dead(process)

    async def _look_until_dead(self, process: Identity) -> None:
        while True:
            with contextlib.suppress(OSError):  # who cannot look takes it for alive
                if self._platform.process_key(process.pid) != process.key:
                    return
            await asyncio.sleep(LOOK_AGAIN_S)


def _seen(message: dict[str, Any]) -> StartSeen | OutputSeen | InputSeen | EndSeen | None:
    match message.get("at"):
        case "started":
            return StartSeen(Identity(message["pid"], message["process_key"]), message["process_started_ms"])
        case "output":
            return OutputSeen(message["bytes"], message["kept"], message["last_output_ms"])
        case "input":
            return InputSeen(message["sequence"])
        case "ended":
            return EndSeen()
    return None


class ShimLauncher:
    """The launcher of a real endpoint."""

    def __init__(self, platform: Platform, spool: Path, incarnation: str) -> None:
        self._platform = platform
        self._spool = spool
        self._names: Callable[[], str] = map(f"{incarnation}-{{}}".format, itertools.count(1)).__next__
        self._zygote: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._warm: list[asyncio.Task[Shim]] = []
        self._closed = False
        self._starting = asyncio.Lock()
        self._filling: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Start the zygote and fill the pool."""
        await self._start_zygote()
        self._fill()

    async def _start_zygote(self) -> None:
        ours, theirs = _socketpair(_MESSAGES)
        try:
            self._zygote = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-B", "-c", _BOOT, _SOURCE),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise LaunchError(f"the zygote cannot be started: {error.strerror}") from error
        finally:
            theirs.close()
        self._control = ours

    async def _bury_zygote(self) -> None:
        """It does not answer: end it for good, so that the next fork starts a new one."""
        zygote, self._zygote = self._zygote, None
        if self._control is not None:
            self._control.close()
            self._control = None
        if zygote is not None and zygote.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                zygote.kill()
            await zygote.wait()

    async def close(self) -> None:
        self._closed = True
        for task in self._warm:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, LaunchError):
                (await task).abandon()
        self._warm.clear()
        if self._control is not None:
            self._control.close()
        if self._zygote is not None:
            await self._zygote.wait()

    async def prepare(self, order_in: OrderIn) -> Shim:
        """A warm shim with its order. Raises `LaunchError`."""
        shim = await self._take()
        shim.order(order_in(str(self._spool / shim.shelter.spool)))
        return shim

    async def _take(self) -> Shim:
        """A warm shim if one is fit; else a fresh one. What made the warm ones fail may be over by now."""
        while self._warm:
            task = self._warm.pop(0)
            self._fill_soon()
            with contextlib.suppress(LaunchError):
                shim = await task
                if not shim.broken:
                    return shim
                shim.abandon()
        try:
            return await self._fork()
        except LaunchError:
            return await self._fork()  # the zygote was dead, and is a new one now

    def _fill_soon(self) -> None:
        """Let the command that takes this one start first; but never let the pool run dry."""
        if not self._warm:
            self._fill()
        elif self._filling is None:
            self._filling = asyncio.get_running_loop().call_later(FILL_S, self._fill)

    def _fill(self) -> None:
        self._filling = None
        while len(self._warm) < WARM and not self._closed:
            task = asyncio.create_task(self._fork())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # whoever takes it is told
            self._warm.append(task)

    async def _zygote_control(self) -> socket.socket:
        async with self._starting:
            if self._control is None or self._zygote is None or self._zygote.returncode is not None:
                await self._start_zygote()
            if self._control is None:
                raise LaunchError("the launcher is closed")
            return self._control

    async def _fork(self) -> Shim:
        control = await self._zygote_control()
        name = self._names()
        ours, theirs = _socketpair(socket.SOCK_STREAM)
        birth = msgspec.json.encode({"directory": str(self._spool / name)})
        try:
            socket.send_fds(control, [birth], [theirs.fileno()])
        except OSError as error:
            ours.close()
            await self._bury_zygote()
            raise LaunchError(f"the zygote does not take orders: {error.strerror}") from error
        finally:
            theirs.close()
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_LINE_LIMIT)
        try:
            async with asyncio.timeout(READY_S):
                line = await reader.readline()
            ready = msgspec.json.decode(line)
            shelter = Shelter(
                shim=Identity(*ready["shim"]),
                child=None,
                spool=name,
                cgroup=ready["cgroup"],
            )
        except (TimeoutError, ConnectionError, msgspec.DecodeError) as error:
            writer.close()
            raise LaunchError("a shim did not become ready") from error
        except BaseException:  # we close while it is born: it sees its connection end, and vanishes
            writer.close()
            raise
        return Shim(self._platform, shelter, self._spool / shelter.spool, reader, writer)

    async def adopt(self, shelter: Shelter, watcher: Watcher) -> Shim:
        """Watch a shim of a former life."""
        reader, writer = None, None
        with contextlib.ExitStack() as open_folder, _dead_or_past_its_end():
            path = self._spool / shelter.spool / CONTROL
            if self._platform.name == "linux":
                # By way of the open folder: the path of a state directory may be longer than a socket's address.
                folder = os.open(path.parent, os.O_RDONLY)
                open_folder.callback(os.close, folder)
                path = Path(f"/proc/self/fd/{folder}/{CONTROL}")
            reader, writer = await asyncio.open_unix_connection(path, limit=_LINE_LIMIT)
        return Shim(self._platform, shelter, self._spool / shelter.spool, reader, writer).watch(watcher)


def _socketpair(kind: int) -> tuple[socket.socket, socket.socket]:
    try:
        return socket.socketpair(socket.AF_UNIX, kind)
    except OSError as error:
        raise LaunchError(f"no shim can be reached: {error.strerror}") from error


@contextlib.contextmanager
def _dead_or_past_its_end() -> Iterator[None]:
    """A shim whose socket is not there. Raises `LaunchError` where it is this process that has no descriptor for it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise LaunchError(f"it cannot be reached: {error.strerror}") from error
