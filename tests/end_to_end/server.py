"""One real control plane, started and ended as its owner would: API.md, last section. Never imports the product."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

START_WITHIN_S = 90.0
ENDS_WITHIN_S = 30.0
"""It gives requests `shutdown_grace_s`, 10 s; the rest is for a busy machine."""
_PAUSE = threading.Event()
"""Never set: the wait between two looks at a condition."""


def until(condition: Callable[[], Any], *, within: float, what: str, pause: float = 0.03) -> Any:
    """The condition's first true value, looked for again and again, at most `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what}")
        _PAUSE.wait(pause)


def command() -> list[str]:
    installed = Path(sys.executable).parent / "caisey"
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "caisey.cli.main"]


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A data directory and the process that serves it."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.environment = dict(environment or {})
        self.log = data_dir.with_suffix(".log")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._tokens: dict[tuple[str, str, str], str] = {}

    def start(self) -> Server:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command(), "serve", "--data-dir", str(self.data_dir), "--listen", f"127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.environment},
            )
        until(self.ready, within=START_WITHIN_S, what=f"/readyz answers 200\n{self.log_tail()}")
        return self

    def ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(f"the control plane ended by itself\n{self.log_tail()}")
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """`kill -9`: no goodbye."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, as a service manager ends it. Returns the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(how)
        try:
            return process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(15)
            raise AssertionError(f"the control plane did not end within {ENDS_WITHIN_S} s of {how.name}") from None

    def log_tail(self, size: int = 4000) -> str:
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None

    def cli_raw(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the command line beside the server."""
        return subprocess.run([*command(), *arguments], capture_output=True, text=True, timeout=60, check=False)

    def cli(self, *arguments: str, expect: int = 0) -> str:
        """The same, with the exit code that is expected; returns its stdout."""
        done = self.cli_raw(*arguments)
        assert done.returncode == expect, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def organization(self, name: str) -> Any:
        return json.loads(self.cli("organizations", "create", name, "--data-dir", str(self.data_dir), "--json"))

    def token(self, role: str = "owner", organization: str = "default", who: str = "") -> str:
        """An API token of that role; the same one for the same question, unless it is for another person (`who`)."""
        key = (role, organization, who)
        if key not in self._tokens:
            where = ("--data-dir", str(self.data_dir), "--organization", organization)
            said = self.cli("tokens", "create", *where, "--role", role, "--json")
            self._tokens[key] = json.loads(said)["token"]
        return self._tokens[key]
