"""What a figure is measured on: a real server in a process of its own, simulated or real runtimes in others.

Owns starting and ending of processes, and a technician's side of the API. Everything is on loopback and ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.machine import cpu_seconds, memory_mib
from tests.bench.wire import Connection, EventStream
from tests.end_to_end.server import Server, command

TRUE = {"tool": "shell", "arguments": {"command": "true"}, "effect": "read_only"}
SETTLE_S = 0.5


def shell(command_line: str) -> dict[str, Any]:
    """A read-only call of the shell."""
    return TRUE | {"arguments": {"command": command_line}}


class Stage:
    """One server and whatever is connected to it."""

    def __init__(self, directory: Path) -> None:
        os.environ["CAISEY_ENROLLMENTS_PER_MINUTE"] = "1000000"
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program does not compile itself at each start
        self.directory = directory
        self.server = Server(directory / "data")
        self.processes: list[subprocess.Popen[bytes]] = []
        self.simulated = 0

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

    async def prompt(self, session_id: str, line: Connection, call: dict[str, Any] | None = None) -> str:
        """Send one tool call; the id of its prompt, once it is accepted."""
        headers = {"Idempotency-Key": secrets.token_hex(12)}
        body = {"tool_calls": [call or TRUE]}
        answer = await line.ask("POST", f"/api/v1/sessions/{session_id}/prompts", body, headers)
        assert answer.status == 202, answer
        return _identified(answer.body).id

    async def enrollment_token(self, uses: int) -> str:
        """A token for that many runtimes."""
        body = {"scope": "organization", "uses": uses, "expires_in_s": 3600}
        return str((await self.ask("POST", "/enrollment-tokens", body))["token"])

    async def fleet(self, count: int) -> subprocess.Popen[bytes]:
        """Simulated runtimes in a process of their own; returns when all are connected."""
        token = await self.enrollment_token(count)
        process = await asyncio.to_thread(
            subprocess.Popen,
            [sys.executable, "-m", "tests.bench.fleet", self.server.url, str(count), str(self.simulated)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.simulated += count
        assert process.stdin
        assert process.stdout
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
        with (self.directory / "runtime.log").open("ab") as log:
            process = await asyncio.to_thread(
                subprocess.Popen,
                [*command(), "runtime", "run", "--state-dir", str(state)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        async with asyncio.timeout(60):
            while True:
                items = (await self.ask("GET", "/endpoints?limit=200"))["items"]
                ready = [e for e in items if e["sendable"]["value"] and not e["name"].startswith("SIM-")]
                if ready:
                    return process, str(ready[0]["id"])
                await asyncio.sleep(0.05)

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

    async def connected(self) -> int:
        """How many runtimes the control plane says are connected."""
        answer = await self.api.ask("GET", "/metrics")
        lines = answer.body.decode().splitlines()
        return int(float(next(x for x in lines if x.startswith("caisey_runtimes_connected ")).split()[1]))

    async def session(self, endpoint_id: str) -> str:
        """A session on the endpoint."""
        body = {"endpoint_id": endpoint_id, "title": "bench", "ticket": None}
        return str((await self.ask("POST", "/sessions", body))["id"])

    def memory(self) -> dict[str, float]:
        """What the server holds."""
        return {"control plane": memory_mib(self.server.pid)["rss"]}

    def end(self) -> None:
        """End every process; the server first and at once: nothing is measured any more, and its files go too."""
        if self.server.running:
            self.server.kill()
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


class _Identified(msgspec.Struct):
    id: str


_identified = msgspec.json.Decoder(_Identified).decode


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """A fresh server in a fresh directory."""
    with tempfile.TemporaryDirectory(prefix="caisey-bench-", ignore_cleanup_errors=True) as name:
        found = Stage(Path(name))
        try:
            await asyncio.to_thread(found.start)
            yield found
        finally:
            await asyncio.to_thread(found.end)


# -- watching ----------------------------------------------------------------------------------------------------


class _Call(msgspec.Struct):
    id: str


class _Payload(msgspec.Struct):
    prompt_id: str = ""
    tool_call_id: str = ""
    calls: list[_Call] = []


class _Event(msgspec.Struct):
    payload: _Payload


_read = msgspec.json.Decoder(_Event).decode


class Watcher:
    """Follows sessions over SSE and tells when something happened to a prompt, by this process's clock."""

    def __init__(self, at: Stage) -> None:
        self._stage = at
        self._streams: list[EventStream] = []
        self._times: dict[tuple[str, str], float] = {}
        self._waiting: dict[tuple[str, str], asyncio.Future[float]] = {}
        self._prompt_of: dict[str, str] = {}

    async def follow(self, session_id: str) -> None:
        """Begin to follow; returns when the stream is open."""
        stream = EventStream(self._tell)
        self._streams.append(stream)
        path = f"/api/v1/sessions/{session_id}/stream"
        await stream.open("127.0.0.1", self._stage.server.port, self._stage.token, path)

    def _tell(self, event: str, data: bytes) -> None:
        now = time.perf_counter()
        payload = _read(data).payload
        for call in payload.calls:
            self._prompt_of[call.id] = payload.prompt_id
        key = (payload.prompt_id or self._prompt_of.get(payload.tool_call_id, ""), event)
        self._times.setdefault(key, now)
        waiting = self._waiting.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(now)

    async def when(self, prompt_id: str, event: str, within: float = 60) -> float:
        """When this happened to the prompt for the first time."""
        key = (prompt_id, event)
        if key in self._times:
            return self._times[key]
        future = self._waiting.setdefault(key, asyncio.get_running_loop().create_future())
        return await asyncio.wait_for(future, within)

    def end(self) -> None:
        """Stop following."""
        for stream in self._streams:
            stream.close()


@dataclass
class Seat:
    """A technician at one session: followed over SSE, with a connection to post on."""

    stage: Stage
    watcher: Watcher
    session_id: str
    line: Connection

    async def ask(self, call: dict[str, Any] | None = None) -> str:
        """Send one tool call; the id of its prompt."""
        return await self.stage.prompt(self.session_id, self.line, call)

    async def ask_until(self, event: str, call: dict[str, Any] | None = None, within: float = 60) -> float:
        """Milliseconds from the request's first byte to that event on the stream."""
        began = time.perf_counter()
        prompt_id = await self.ask(call)
        return (await self.watcher.when(prompt_id, event, within) - began) * 1000


async def seats(s: Stage, endpoint_ids: list[str], watcher: Watcher) -> list[Seat]:
    """A session on each of these endpoints, followed."""
    found = []
    for endpoint_id in endpoint_ids:
        session_id = await s.session(endpoint_id)
        await watcher.follow(session_id)
        found.append(Seat(s, watcher, session_id, s.connection()))
    return found


class Cost:
    """CPU of the server from here on: what a figure costs, whoever else uses the machine."""

    def __init__(self, s: Stage) -> None:
        self._pid = s.server.pid
        self._began = cpu_seconds(self._pid)

    def ms_each(self, count: int) -> float:
        """Milliseconds of CPU for each of so many."""
        return (cpu_seconds(self._pid) - self._began) * 1000 / count
