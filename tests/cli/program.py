"""The command line as a process of its own: with pipes, or on a terminal of its own (a pty)."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cli.stub_server import TOKEN

WITHIN_S = 30.0
COMMAND = [sys.executable, "-m", "caisey.cli.main"]


@dataclass(frozen=True)
class Done:
    """How a process ended."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def environment(home: Path, url: str | None = None, **more: str) -> dict[str, str]:
    """A clean one: nothing of the person who runs the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
    token = {} if url is None else {"CAISEY_URL": url, "CAISEY_TOKEN": TOKEN}
    return {**kept, "HOME": str(home), "TERM": "xterm", "COLUMNS": "80", "PYTHONUTF8": "1", **token, **more}


def run(arguments: list[str], env: dict[str, str], *, stdin: str = "", cwd: Path | None = None) -> Done:
    """Run it to its end, with pipes."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=env,
        input=stdin.encode(),
        capture_output=True,
        timeout=WITHIN_S,
        check=False,
        cwd=cwd,
    )
    return Done(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def run_for_bytes(arguments: list[str], env: dict[str, str]) -> bytes:
    """Run it to its good end; stdout as it is."""
    return subprocess.run([*COMMAND, *arguments], env=env, capture_output=True, timeout=WITHIN_S, check=True).stdout


class WithPipes:
    """A process that runs beside the test, its streams in pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def stderr_line(self) -> str:
        """The next line of stderr; fails when none comes. Read what you wait for: it is gone from `end` then."""
        assert self.process.stderr is not None
        ready, _, _ = select.select([self.process.stderr], [], [], WITHIN_S)
        assert ready, "no line on stderr in time"
        return self.process.stderr.readline().decode("utf-8", "replace")

    def stdout_line(self) -> str:
        """As `stderr_line`, of stdout."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], WITHIN_S)
        assert ready, "no line on stdout in time"
        return self.process.stdout.readline().decode("utf-8", "replace")

    def end(self) -> Done:
        """Read on to its end."""
        out, err = self.process.communicate(timeout=WITHIN_S)
        return Done(self.process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


@contextmanager
def with_pipes(arguments: list[str], env: dict[str, str]) -> Iterator[WithPipes]:
    """Start it; it is ended with the block."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    try:
        yield WithPipes(process)
    finally:
        if process.poll() is None:
            process.kill()
        with process:
            pass


class OnTerminal:
    """A process whose stdin, stdout and stderr are one terminal."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self._process = process
        self._master = master
        self.seen = ""
        self._at = 0

    def read_until(self, text: str) -> str:
        """What it wrote up to `text`, looked for behind the last one; fails when it ends or takes too long."""
        deadline = time.monotonic() + WITHIN_S
        while text not in self.seen[self._at :]:
            data = self._read(deadline)
            assert data, f"ended, or silent for too long, before {text!r} came:\n{self.seen[self._at :]}"
            self.seen += data
        begin = self._at
        self._at = self.seen.index(text, begin) + len(text)
        return self.seen[begin : self._at]

    def type(self, text: str) -> None:
        """Type on its keyboard; `\\x03` is Ctrl-C."""
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Read on to its end; its exit code."""
        deadline = time.monotonic() + WITHIN_S
        while data := self._read(deadline):
            self.seen += data
        return self._process.wait(WITHIN_S)

    def _read(self, deadline: float) -> str:
        ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return ""
        try:
            return os.read(self._master, 65536).decode("utf-8", "replace")
        except OSError:  # Linux says EIO when the other end is closed
            return ""


@contextmanager
def on_terminal(arguments: list[str], env: dict[str, str]) -> Iterator[OnTerminal]:
    """Start it on a terminal of its own, which sends Ctrl-C as a signal; it is ended with the block."""
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *COMMAND[1:], *arguments],
            env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, close_fds=True,
        )  # fmt: skip
    finally:
        os.close(slave)
    try:
        yield OnTerminal(process, master)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(WITHIN_S)
        os.close(master)


# Make the pty the controlling terminal of the new session, then become the program.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
)
