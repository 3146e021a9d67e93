"""The runtime under test: how it is started, ended and reached again, and what checks ask of it often.

Owns the processes of `--enroll` and `--launch`, started as argument lists, never by a shell. Without them the person
starts the runtime, and the checks that need its death are not tried.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from caisey.conformance.runtimes.link import Failed, Link
from caisey.conformance.runtimes.plane import Handshake, Plane
from caisey.protocol.frames import Acknowledged, Finished, Output, Reference, Started, Statement

CONNECT_WITHIN_S: Final = 45.0
"""Its back-off may have come to 30 s."""
PERSON_WITHIN_S: Final = 600.0
END_WITHIN_S: Final = 15.0


class NotTried(Exception):
    """A check that cannot be made as things are. The text says why."""


def words_of_command(command: str, places: dict[str, str]) -> list[str]:
    """The arguments of a command line, with `{url}`, `{token}` and `{state_dir}` filled in one by one. No shell."""
    return [_filled_in(word, places) for word in shlex.split(command)]


def _filled_in(word: str, places: dict[str, str]) -> str:
    filled = word
    for name, value in places.items():
        filled = filled.replace("{" + name + "}", value)
    return filled


class Subject:
    """See the module."""

    def __init__(self, plane: Plane, directory: Path, *, enroll: str = "", launch: str = "") -> None:
        self.plane = plane
        self.directory = directory
        self.enroll_command = enroll
        self.launch_command = launch
        self.process: asyncio.subprocess.Process | None = None
        self._used = 0
        self._calls = itertools.count(1)
        self._run = secrets.token_hex(4)

    @property
    def can_launch(self) -> bool:
        return bool(self.launch_command)

    def places(self, token: str | None = None, state: str = "state") -> dict[str, str]:
        return {
            "url": self.plane.url,
            "token": token or self.plane.token,
            "state_dir": str(self.directory / state),
        }

    # -- its life -----------------------------------------------------------------------------------------------------

    async def run_enrollment(self, token: str | None = None, state: str = "state") -> int:
        """`--enroll`, to its end; its exit code."""
        process = await self._start(self.enroll_command, token, state)
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                return await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            return -1

    async def launch(self) -> None:
        self.process = await self._start(self.launch_command, None, "state")

    async def _start(self, command: str, token: str | None, state: str) -> asyncio.subprocess.Process:
        places = self.places(token, state)
        log = os.open(self.directory / "runtime.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            return await asyncio.create_subprocess_exec(
                *words_of_command(command, places), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "CAISEY_ENROLLMENT_TOKEN": places["token"]},
            )  # fmt: skip
        finally:
            os.close(log)

    async def kill(self) -> None:
        """`kill -9`, as a crash."""
        await self._end(signal.SIGKILL)

    async def terminate(self) -> None:
        """As a service manager ends it."""
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            raise NotTried("it takes --launch")
        if process.returncode is None:
            process.send_signal(how)
        try:
            async with asyncio.timeout(END_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def restart(self) -> Link:
        """Crash, and its next life."""
        await self.kill()
        since = len(self.plane.links)
        await self.launch()
        return await self.next_link(since)

    async def close(self) -> None:
        if self.process is not None:
            await self.terminate()

    # -- its connections ----------------------------------------------------------------------------------------------

    async def link(self) -> Link:
        """The connection that is open now, or the next one."""
        open_now = [link for link in self.plane.links if not link.closed]
        return open_now[-1] if open_now else await self.next_link(len(self.plane.links))

    async def next_link(self, since: int, within_s: float = CONNECT_WITHIN_S) -> Link:
        """The connection after so many."""
        await self._until(lambda: len(self.plane.links) > since, within_s, "a connection")
        return self.plane.links[-1]

    async def next_handshake(self, since: int, within_s: float = CONNECT_WITHIN_S) -> Handshake:
        await self._until(lambda: len(self.plane.handshakes) > since, within_s, "`hello`")
        return self.plane.handshakes[since]

    async def reconnected(self, link: Link) -> Link:
        """Break the connection; the one after it."""
        since = len(self.plane.links)
        await link.drop()
        return await self.next_link(since)

    async def _until(self, condition: Any, within_s: float, what: str) -> None:
        try:
            async with asyncio.timeout(within_s), self.plane.news:
                await self.plane.news.wait_for(condition)
        except TimeoutError:
            raise Failed(f"{what} within {within_s:g} s", "none") from None

    # -- work ---------------------------------------------------------------------------------------------------------

    def new_call(self) -> str:
        """An id that no check has used."""
        return f"tcl_{self._run}_{next(self._calls)}"

    def needs_shell(self, link: Link) -> None:
        if not any((tool.name, tool.version) == ("shell", 1) for tool in link.hello.tools):
            raise NotTried("it has no tool `shell`, version 1")

    def counter(self) -> Path:
        """A file to which a command appends a line each time it runs: the truth about how often it did."""
        return self.directory / f"count-{next(self._calls)}"

    async def ran(self, link: Link, call: str, number: int = 1, consent: int = 1, **more: Any) -> Finished:
        """Dispatch, and wait for the end."""
        await link.dispatch(call, number, consent, **more)
        return await link.wait(Finished, about(call, number))

    async def heard_all(self, link: Link) -> None:
        """Wait until everything that was sent so far has been judged: the answer to a question that came after it."""
        call = self.new_call()
        mark = link.mark()
        await link.reconcile(call)
        await link.wait(Statement, about(call), since=mark)


def about(call: str, number: int = 1) -> Any:
    return lambda frame: frame.attempt == Reference(call, number)


def sequenced(number: int) -> Any:
    return lambda frame: frame.sequence == number


def lines(path: Path) -> int:
    """How often a counting command ran."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def output_of(links: Sequence[Link], call: str, stream: str = "stdout") -> bytes:
    """The bytes of a stream over several connections. Raises `Failed` where they do not fit together."""
    held: dict[int, int] = {}
    for link in links:
        for frame in link.said(Output, about=Reference(call, 1)):
            if frame.stream != stream:
                continue
            for place, byte in enumerate(frame.data, frame.offset):
                if held.setdefault(place, byte) != byte:
                    raise Failed(f"the same byte at {stream} offset {place} each time", "another one")
    if held and sorted(held) != list(range(len(held))):
        raise Failed(f"every byte of {stream} from 0 on", "holes")
    return bytes(held[place] for place in range(len(held)))


async def receipts(link: Link, call: str, number: int = 1, *, since: int = 0) -> tuple[Acknowledged, Started, Finished]:
    """All three, in whatever order they came."""
    return (
        await link.wait(Acknowledged, about(call, number), since=since),
        await link.wait(Started, about(call, number), since=since),
        await link.wait(Finished, about(call, number), since=since),
    )


async def quiet(seconds: float) -> None:
    """Time in which something must not happen."""
    await asyncio.sleep(seconds)
