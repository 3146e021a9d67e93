"""What a figure is measured on: a real server in a process of its own, simulated or real runtimes in others.

Owns starting and ending of processes, and the reading of their memory. Everything is on loopback and ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.bench.wire import Connection
from tests.end_to_end.server import Server, command

TRUE = {"tool": "shell", "arguments": {"command": "true"}, "effect": "read_only"}


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p90, p99 and max, in the unit of the values."""
    ordered = sorted(values)
    pick = lambda share: ordered[min(len(ordered) - 1, int(len(ordered) * share))]  # noqa: E731  # three uses, one line
    return {"p50": pick(0.5), "p90": pick(0.9), "p99": pick(0.99), "max": ordered[-1], "count": len(ordered)}


def memory_kib(pid: int, what: str = "VmRSS") -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1])
    return 0


def pss_kib(pid: int) -> int:
    """Proportional set size: what the process really costs."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


class Stage:
    """One server and whatever is connected to it."""

    def __init__(self, directory: Path) -> None:
        os.environ["CAISEY_ENROLLMENTS_PER_MINUTE"] = "1000000"
        self.directory = directory
        self.server = Server(directory / "data")
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the server and get an owner's token."""
        self.server.start()
        self.token = self.server.token("owner")
        self.api = self.connection()

    def connection(self) -> Connection:
        """A fresh connection to the API."""
        return Connection("127.0.0.1", self.server.port, self.token)

    async def ask(self, method: str, path: str, body: object = None, line: Connection | None = None) -> Any:
        """One call that has to work."""
        headers = {"Idempotency-Key": secrets.token_hex(12)} if method != "GET" else None
        status, said = await (line or self.api).request(method, "/api/v1" + path, body, headers)
        assert status < 300, (method, path, status, said)
        return said

    async def enrollment_token(self, uses: int) -> str:
        """A token for that many runtimes."""
        body = {"scope": "organization", "uses": uses, "expires_in_s": 3600}
        return str((await self.ask("POST", "/enrollment-tokens", body))["token"])

    async def fleet(self, count: int) -> subprocess.Popen[bytes]:
        """Simulated runtimes in a process of their own; returns when all are connected."""
        token = await self.enrollment_token(count)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.fleet", self.server.url, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin and process.stdout
        process.stdin.write(token.encode() + b"\n")
        process.stdin.close()
        self.processes.append(process)
        line = await asyncio.to_thread(process.stdout.readline)
        assert line == b"ready\n", line
        return process

    async def real_runtime(self) -> tuple[subprocess.Popen[bytes], str]:
        """A real runtime; (process, endpoint id)."""
        state = self.directory / f"runtime{len(self.processes)}"
        token = await self.enrollment_token(1)
        enroll = [*command(), "runtime", "enroll", "--url", self.server.url, "--token", "-", "--state-dir", str(state)]
        done = await asyncio.to_thread(
            subprocess.run, enroll, input=token.encode(), capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done
        log = (self.directory / "runtime.log").open("ab")
        process = subprocess.Popen(
            [*command(), "runtime", "run", "--state-dir", str(state)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self.processes.append(process)
        for _ in range(600):
            items = (await self.ask("GET", "/endpoints?limit=200"))["items"]
            ready = [e for e in items if e["sendable"]["value"] and not e["name"].startswith("SIM-")]
            if ready:
                return process, ready[0]["id"]
            await asyncio.sleep(0.05)
        raise AssertionError("the runtime did not connect")

    async def endpoints(self) -> list[str]:
        """Ids of all endpoints."""
        found: list[str] = []
        cursor = ""
        while True:
            page = await self.ask("GET", f"/endpoints?limit=200{cursor}")
            found += [e["id"] for e in page["items"]]
            if not page["next"]:
                return found
            cursor = f"&cursor={page['next']}"

    async def session(self, endpoint_id: str) -> str:
        """A session on the endpoint."""
        body = {"endpoint_id": endpoint_id, "title": "bench", "ticket": None}
        return str((await self.ask("POST", "/sessions", body))["id"])

    def end(self) -> None:
        """End every process."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        if self.server.running:
            self.server.stop()


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """A fresh server in a fresh directory."""
    with tempfile.TemporaryDirectory(prefix="caisey-bench-") as name:
        found = Stage(Path(name))
        try:
            await asyncio.to_thread(found.start)
            yield found
        finally:
            await asyncio.to_thread(found.end)


class Watcher:
    """Follows sessions over SSE and tells when something happened to a prompt, by this process's clock."""

    def __init__(self) -> None:
        self.times: dict[tuple[str, str], float] = {}
        self.waiting: dict[tuple[str, str], asyncio.Future[float]] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self._prompt_of: dict[str, str] = {}

    async def follow(self, line: Connection, session_id: str) -> None:
        """Begin to follow; returns when the stream is open."""
        opened = asyncio.Event()
        self.tasks.append(asyncio.create_task(self._follow(line, session_id, opened)))
        await asyncio.wait_for(opened.wait(), 10)

    async def _follow(self, line: Connection, session_id: str, opened: asyncio.Event) -> None:
        async for event, data in line.stream(f"/api/v1/sessions/{session_id}/stream"):
            now = time.perf_counter()
            opened.set()
            payload = data.get("payload", {}) if isinstance(data, dict) else {}
            if event == "prompt.accepted":
                for call in payload["calls"]:
                    self._prompt_of[call["id"]] = payload["prompt_id"]
            prompt = payload.get("prompt_id") or self._prompt_of.get(payload.get("tool_call_id", ""), "")
            key = (prompt, event)
            self.times.setdefault(key, now)
            future = self.waiting.pop(key, None)
            if future is not None and not future.done():
                future.set_result(now)

    async def when(self, prompt_id: str, event: str, within: float = 30) -> float:
        """When this happened to the prompt."""
        key = (prompt_id, event)
        if key in self.times:
            return self.times[key]
        future = self.waiting.setdefault(key, asyncio.get_running_loop().create_future())
        return await asyncio.wait_for(future, within)

    def end(self) -> None:
        """Stop following."""
        for task in self.tasks:
            task.cancel()


def show(name: str, bar: str, figures: dict[str, Any]) -> None:
    """One figure as a line for people and one for machines."""
    text = "  ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items())
    sys.stdout.write(f"{name:<34} bar {bar:<16} {text}\n")
    sys.stdout.write(json.dumps({"figure": name, "bar": bar, **figures}) + "\n")
    sys.stdout.flush()
