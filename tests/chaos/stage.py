"""One control plane and its runtimes, as their owner would run them, with everything that scenes break around them.

Owns the processes, the mounts and the proxy, and ends them all. Never imports the product: what it knows of it, it
knows by the command line, the HTTP API and the files.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.clock import FakeClock
from tests.chaos.disk import SmallDisk
from tests.chaos.load import Load, Sender, sending
from tests.chaos.proxy import Proxy
from tests.chaos.report import Report
from tests.end_to_end.server import Server, command, until

POLICY = {
    "heartbeat_interval_s": 0.5,
    "ack_window_s": 2,
    "reconcile_window_s": 4,
    "hold_expiry_s": 600,
    "max_automatic": 3,
}
"""Windows so short that a whole life of a stall fits into a scene."""

READY_WITHIN_S = 60.0
_PAUSE = threading.Event()


def pause(seconds: float) -> None:
    """Time that the scene gives to a fault. Nothing is concluded from its end alone."""
    _PAUSE.wait(seconds)


class RuntimeProgram:
    """One enrolled runtime: its state directory, and the process that runs it."""

    def __init__(self, state_dir: Path, url: str, bridge: str, environment: Mapping[str, str], log: Path) -> None:
        self.state_dir, self.log = state_dir, log
        self._url, self._bridge = url, bridge
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint_id = ""

    def enroll(self, token: str) -> None:
        """By its token, as an owner does it."""
        words = ["runtime", "enroll", "--url", self._url, "--token", "-", "--state-dir", str(self.state_dir), "--json"]
        done = subprocess.run(
            [*command(), *words], input=token.encode(), check=True, capture_output=True, timeout=60
        )  # fmt: skip
        self.endpoint_id = httpx.Response(200, content=done.stdout).json()["endpoint_id"]

    def start(self) -> None:
        """In the foreground of its own process."""
        words = ["runtime", "run", "--state-dir", str(self.state_dir), "--bridge", self._bridge]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command(), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
            )

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether that process has not ended."""
        return self._process is not None and self._process.poll() is None

    def end(self, how: signal.Signals) -> int:
        """Its exit code. A frozen one is let go first."""
        process = self._process
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)
        return process.wait(30)


class Stage:
    """One installation. `needs` names what stands between it and the machine: proxy, disk, clock."""

    def __init__(
        self,
        directory: Path,
        report: Report,
        *,
        needs: frozenset[str] = frozenset(),
        bridges: tuple[str, ...] = ("websocket",),
        policy: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory, self.report = directory, report
        self.dice = random.Random(report.seed)
        self._needs, self.bridges = needs, bridges
        self._policy = {**POLICY, **(policy or {})}
        self._exits = contextlib.ExitStack()
        self._loads = 0
        self.sessions: dict[str, str] = {}
        self.runtimes: list[RuntimeProgram] = []
        self.loads: list[Load] = []
        self.settled: dict[str, dict[str, Any]] = {}
        """Each accepted prompt as it was shown once it had come to rest."""
        self.disks: dict[str, SmallDisk] = {}
        self.clocks: dict[str, FakeClock] = {}
        self.proxy: Proxy | None = None
        self.missing: dict[str, str] = {}
        """What this machine does not permit, and why."""

    # -- life ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Stage:
        try:
            self._set_up()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def _set_up(self) -> None:
        places = {"control_plane": self.directory / "plane", "runtime": self.directory / "endpoint"}
        for name, place in places.items():
            if "disk" in self._needs:
                self.disks[name] = self._exits.enter_context(SmallDisk(place))
            else:
                place.mkdir()
            self.clocks[name] = FakeClock(self.directory / f"{name}.time", preload="clock" in self._needs)
            self._exits.callback(self.clocks[name].clean)
        self.plane = Server(places["control_plane"] / "data", self.clocks["control_plane"].environment)
        self.plane.log = self.directory / "plane.log"
        self._exits.callback(self._end_plane)
        self.plane.start()
        self.token = self.plane.token("owner")
        self.api = self._exits.enter_context(self.client())
        self.api.put("/policy", json=self._policy).raise_for_status()
        if "proxy" in self._needs:
            self.proxy = self._exits.enter_context(Proxy(self.plane.port, self.report.seed))
        for number, bridge in enumerate(self.bridges):
            self._add_runtime(places["runtime"] / f"state{number}", bridge)
        for runtime in self.runtimes:
            until(partial(self.sendable, runtime.endpoint_id), within=READY_WITHIN_S, what=self._logs())
            self.sessions |= {self.session(runtime.endpoint_id): runtime.endpoint_id for _ in range(4)}

    def _add_runtime(self, state_dir: Path, bridge: str) -> None:
        url = self.proxy.url if self.proxy is not None else self.plane.url
        log = self.directory / f"{state_dir.name}.log"
        runtime = RuntimeProgram(state_dir, url, bridge, self.clocks["runtime"].environment, log)
        made = self.api.post("/enrollment-tokens", json={"scope": "organization"}).raise_for_status().json()
        runtime.enroll(made["token"])
        self._exits.callback(runtime.end, signal.SIGKILL)
        runtime.start()
        self.runtimes.append(runtime)

    def _end_plane(self) -> None:
        if self.plane.running:
            signal_process(self.plane.pid, signal.SIGCONT)
            self.plane.kill()

    def begin(self, report: Report) -> None:
        """The next scene on the same stage."""
        self.report = report
        self.dice = random.Random(report.seed)

    @property
    def runtime(self) -> RuntimeProgram:
        """The first one."""
        return self.runtimes[0]

    def alive(self) -> list[str]:
        """Programs that ended by themselves."""
        dead = [f"{runtime.state_dir.name}: {tail(runtime.log)}" for runtime in self.runtimes if not runtime.alive]
        try:
            until(self.plane.ready, within=READY_WITHIN_S, what="/readyz answers 200")
        except AssertionError as error:
            dead.append(str(error))
        return dead

    def _logs(self) -> str:
        return "\n".join(f"the runtime is ready\n{tail(runtime.log)}" for runtime in self.runtimes)

    # -- a technician's side -------------------------------------------------------------------------------------

    def client(self) -> httpx.Client:
        """A connection of its own to the API."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"{self.plane.url}/api/v1", headers=headers, timeout=30, trust_env=False)

    def get(self, path: str, **params: Any) -> Any:
        """Decoded. A connection that was lost with the process is opened anew, once."""
        try:
            answer = self.api.get(path, params=params)
        except httpx.TransportError:
            answer = self.api.get(path, params=params)
        return answer.raise_for_status().json()

    def sendable(self, endpoint_id: str) -> bool:
        """Whether work may be sent there now."""
        return bool(self.get(f"/endpoints/{endpoint_id}")["sendable"]["value"])

    def session(self, endpoint_id: str) -> str:
        """A new one."""
        body = {"endpoint_id": endpoint_id, "title": "chaos", "ticket": None}
        return str(self.api.post("/sessions", json=body).raise_for_status().json()["id"])

    def ask(self, endpoint_id: str, text: str, effect: str = "mutating", **more: Any) -> str:
        """One shell command in a session of its own; the prompt's id."""
        call = {"tool": "shell", "arguments": {"command": text}, "effect": effect, **more}
        answer = self.api.post(f"/sessions/{self.session(endpoint_id)}/prompts", json={"tool_calls": [call]})
        return str(answer.raise_for_status().json()["id"])

    def last(self, prompt_id: str) -> dict[str, Any]:
        """The newest attempt of a prompt's first call."""
        attempts: list[dict[str, Any]] = self.get(f"/prompts/{prompt_id}")["tool_calls"][0]["attempts"]
        return attempts[-1] if attempts else {"state": None, "verdict": None}

    def verdict(self, prompt_id: str, *, within: float = 60.0) -> tuple[str, str]:
        """(kind, ran) of its newest attempt, once it has ended."""
        found = until(lambda: self.last(prompt_id)["verdict"], within=within, what=f"{prompt_id} has a verdict")
        return found["kind"], found["ran"]

    @contextlib.contextmanager
    def load(self, rate: float) -> Iterator[Load]:
        """Prompts to all endpoints while the block runs."""
        load = Load(self.directory / f"effects{len(self.loads)}")
        self.loads.append(load)
        seed = self.report.seed + len(self.loads)
        with sending(Sender(self.plane.url, self.token, self.sessions, load, rate, seed)):
            yield load


def signal_process(pid: int, how: signal.Signals) -> None:
    """To a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)


def resident_kib(pid: int) -> int:
    """What a process holds in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def open_files(pid: int) -> list[int]:
    """The descriptors of a process."""
    return sorted(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())


def limit_open_files(pid: int, most: int) -> int:
    """Lowers or raises the soft limit of a running process; the former one."""
    former, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(most, hard), hard))
    return former


def tail(log: Path, size: int = 3000) -> str:
    """The end of a log."""
    return log.read_text(errors="replace")[-size:] if log.exists() else ""
