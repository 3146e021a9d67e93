"""A control plane and a runtime on this machine, as child processes: started in order, watched, ended in order.

Owns the children and their logs. It decides nothing about where they keep their state, and speaks to nobody over HTTP.
The children end with this process, however it ends, where the system allows that (Linux).
"""

from __future__ import annotations

import http.client
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from caisey.cli.faults import CliFault

START_WITHIN_S = 60.0
END_WITHIN_S = 20.0
LOOK_EVERY_S = 0.05
TAIL_BYTES = 2000

# Become the program, asking the system for a signal when the parent dies; without ctypes or prctl just the program.
_WITH_PARENT = """
import os, sys
try:
    import ctypes
    ctypes.CDLL(None).prctl(1, int(sys.argv[2]))
except (ImportError, OSError, AttributeError):
    pass
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.executable, [sys.executable, *sys.argv[3:]])
"""


class Child:
    """One program of ours. Its output goes to `log`; Ctrl-C of the terminal does not reach it."""

    def __init__(self, name: str, words: list[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._words = words
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._process = subprocess.Popen(  # noqa: S603  # words of our own
                with_parent(words, signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def again(self) -> Child:
        """The same program, started anew."""
        return Child(self.name, self._words, self.log)

    def ended(self) -> CliFault:
        """What there is to say of a child that ended by itself."""
        lines = "\n".join(_tail(self.log).splitlines()[-5:])
        return CliFault(
            f"The {self.name} ended by itself with exit code {self.exit_code}",
            hint=f"Its log is {self.log}. It ends with:\n{lines}",
            code="up.child_ended",
        )

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if it does not end in time."""
        if self.exit_code is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def with_parent(words: list[str], farewell: signal.Signals) -> list[str]:
    """The command line of a program of ours that gets this signal when this process ends, however it ends."""
    return [sys.executable, "-c", _WITH_PARENT, str(os.getpid()), str(int(farewell)), *words]


def serve_words(data_dir: Path, listen: str) -> list[str]:
    """The control plane."""
    return ["-m", "caisey.cli.main", "serve", "--data-dir", str(data_dir), "--listen", listen]


def runtime_words(state_dir: Path) -> list[str]:
    """The runtime."""
    return ["-m", "caisey.runtime", "run", "--state-dir", str(state_dir)]


def own_name() -> str:
    """How this program is called in another terminal: `caisey` where the PATH leads to it, else by its place."""
    found = shutil.which("caisey")
    beside = Path(sys.executable).parent / "caisey"
    if found is not None and (not beside.exists() or Path(found).samefile(beside)):
        return "caisey"
    return shlex.quote(str(beside)) if beside.exists() else f"{shlex.quote(sys.executable)} -m caisey.cli.main"


def is_ready(url: str) -> bool:
    """Whether a control plane serves there: `/readyz` answers 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait_until(condition: Callable[[], Any], what: str, *children: Child, within_s: float = START_WITHIN_S) -> Any:
    """The condition's first true value. CliFault when a child ends meanwhile, or when it takes too long."""
    deadline = time.monotonic() + within_s
    while True:
        found = condition()
        if found:
            return found
        for child in children:
            if child.exit_code is not None:
                raise child.ended()
        if time.monotonic() > deadline:
            logs = " and ".join(str(child.log) for child in children)
            raise CliFault(f"{what} took longer than {within_s:.0f} s", hint=f"Logs: {logs}", code="up.too_slow")
        time.sleep(LOOK_EVERY_S)


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - TAIL_BYTES))
        return file.read().decode("utf-8", "replace")
