"""A control plane in a thread: the real log, directory, sessions, hub and HTTP server, without the API around them.

Tests talk to it from their own thread and wait on conditions; foreign runtimes talk to it over loopback.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.api.runtime_poll import POLL_PATH, RuntimePoll
from caisey.api.runtime_socket import CONNECT_PATH, RuntimeSocket
from caisey.control.clock import SystemClock
from caisey.control.directory.records import Endpoint, Machine, Organization, PolicyLevel, Runtime
from caisey.control.directory.store import Directory
from caisey.control.hub import Hub
from caisey.control.keyring import Keyring
from caisey.control.ledger import Ledger
from caisey.control.sessions import Sessions
from caisey.control.sweeper import SteadyClock, Sweeper
from caisey.control.traffic import Parts
from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.ids import PROMPT, TOOL_CALL, new_id
from caisey.core.policy import PolicyFields
from caisey.core.session import Session
from caisey.core.states import Effect
from caisey.core.tool_call import ToolCall
from caisey.protocol import limits
from caisey.storage.output import Output
from caisey.storage.sqlite.log import SqliteLog
from tests.foreign.loop import LoopThread
from tests.foreign.runtime import Runtime as ForeignRuntime
from tests.foreign.wire import decode, encode

T = TypeVar("T")

ORGANIZATION = "org_" + "0" * 26
PERSON = e.Actor("user", "usr_" + "1" * 26)
OTHER_PERSON = e.Actor("user", "usr_" + "2" * 26)
SHORT = PolicyFields(heartbeat_interval_s=0.3, ack_window_s=1.0, reconcile_window_s=2.0, stall_after_s=5.0)
PATIENCE_S = 15.0


class ShiftedClock(SystemClock):
    """The machine's clock, whose wall time a test may step."""

    def __init__(self) -> None:
        self.step_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.step_ms


class Plane:
    """A control plane on a data directory."""

    def __init__(self, path: Path, key: Ed25519PrivateKey, *, policy: PolicyFields = SHORT) -> None:
        self.path = path
        self.keyring = Keyring([key])
        self.policy = policy
        self.clock = ShiftedClock()
        self.port = 0
        self.start()

    def start(self) -> None:
        """The first life, or the next one on the same data and the same port."""
        self.thread = LoopThread()
        self.run(self._start())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """On the control plane's loop."""
        return self.thread.run(work)

    def call(self, function: Callable[[], T]) -> T:
        """Likewise, for what is no coroutine."""

        async def called() -> T:
            return function()

        return self.run(called())

    # -- its life ----------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        self.log = await SqliteLog.open(self.path / "caisey.db")
        self.steady = SteadyClock(self.clock)
        self.directory = Directory(self.log, self.steady)
        await self.directory.refresh()
        parts = Parts(
            log=self.log,
            output=Output(self.log),
            directory=self.directory,
            keyring=self.keyring,
            times=self.steady,
            random_bytes=secrets.token_bytes,
            ledger=Ledger(),
        )
        self.hub = Hub(parts)
        self.sessions = Sessions(self.log, self.steady, self.hub, secrets.token_bytes)
        self.hub.connect(self.sessions)
        self._listeners: list[threading.Event] = []
        self.sessions.follow(lambda _: self._news())
        self.hub.also(lambda _: self._news())
        await self.hub.load()
        self.sweeper = Sweeper(self.sessions, self.steady, self.hub.paused)
        self.sweeper.start(self.steady.now_ms())
        if ORGANIZATION not in self.directory.organizations:
            await self._found()
        self._tasks = [asyncio.create_task(self.hub.run()), asyncio.create_task(self.sweeper.run())]
        await self._serve()

    async def _found(self) -> None:
        async with self.directory.changing(ORGANIZATION, e.CONTROL_PLANE) as draft:
            draft.save(Organization(organization_id=ORGANIZATION, name="default", created_at_ms=draft.at_ms))
            draft.save(
                PolicyLevel(
                    organization_id=ORGANIZATION,
                    level="organization",
                    subject="",
                    fields=self.policy,
                    updated_at_ms=draft.at_ms,
                )
            )

    async def _serve(self) -> None:
        self.socket = RuntimeSocket(self.hub, secrets.token_bytes)
        self.poll = RuntimePoll(self.hub, secrets.token_bytes, self.steady.monotonic_ms)
        listener = socket.create_server(("127.0.0.1", self.port))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as uvloop does; connections inherit it
        self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(
            self._application,
            interface="asgi3",
            ws="websockets-sansio",
            ws_max_size=limits.MESSAGE_BYTES,
            ws_per_message_deflate=False,
            ws_ping_interval=None,
            log_config=None,
            access_log=False,
            lifespan="off",
        )
        self.server = uvicorn.Server(config)
        self._served = asyncio.create_task(self.server.serve(sockets=[listener]))

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        entrances: dict[str, Any] = {CONNECT_PATH: self.socket, POLL_PATH: self.poll}
        await entrances[scope["path"]](scope, receive, send)

    def stop(self) -> None:
        """Ends as it should."""
        self.run(self._stop())
        self.thread.close()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.hub.close()
        self.server.should_exit = True
        self.server.force_exit = True
        await self._served
        await self.log.close()

    def restart(self) -> None:
        """Ends, and lives again."""
        self.stop()
        self.start()

    # -- who there is ------------------------------------------------------------------------------------------------

    def enroll(self, runtime: ForeignRuntime, endpoint_id: str | None = None) -> ForeignRuntime:
        """As if it had been enrolled; on a computer of its own unless one is given."""
        self.run(self._enroll(runtime, endpoint_id))
        runtime.trusted = [encode(self.keyring.current_public)]
        runtime.url = self.url
        return runtime

    async def _enroll(self, runtime: ForeignRuntime, endpoint_id: str | None) -> None:
        async with self.directory.changing(ORGANIZATION, e.CONTROL_PLANE) as draft:
            runtime.runtime_id = draft.new_id("rtm")
            runtime.endpoint_id = endpoint_id or draft.new_id("ept")
            if endpoint_id is None:
                draft.save(
                    Endpoint(
                        endpoint_id=runtime.endpoint_id,
                        organization_id=ORGANIZATION,
                        client_group_id=None,
                        name=runtime.machine.hostname,
                        tags=(),
                        machine=Machine(hostname="ACCT-07", os="linux", os_version="Debian 12", arch="x86_64"),
                        machine_fingerprint=runtime.machine.machine_fingerprint,
                        created_at_ms=draft.at_ms,
                    )
                )
            draft.save(
                Runtime(
                    runtime_id=runtime.runtime_id,
                    organization_id=ORGANIZATION,
                    endpoint_id=runtime.endpoint_id,
                    public_key=decode(runtime.keys.public),
                    journal_id=runtime.journal.journal_id,
                    machine_fingerprint=runtime.machine.machine_fingerprint,
                    version="0.1.0",
                    boot_id=runtime.machine.boot_id,
                    enrolled_at_ms=draft.at_ms,
                )
            )

    # -- work --------------------------------------------------------------------------------------------------------

    def session(self, endpoint_id: str) -> str:
        """A new session on the computer."""
        return self.run(self.sessions.create(ORGANIZATION, endpoint_id, PERSON, "printing", None)).id

    def prompt(self, session_id: str, *effects: Effect, command: str = "true", tool: str = "shell") -> list[str]:
        """One request with a shell call per effect; the ids of its calls."""
        calls = tuple(
            e.CallSpec(
                id=new_id(TOOL_CALL, secrets.token_bytes(17)),
                position=place,
                tool=tool,
                tool_version=1,
                arguments={"command": command} if tool == "shell" else {},
                effect=effect,
                structured=tool != "shell",
            )
            for place, effect in enumerate(effects or (Effect.READ_ONLY,), 1)
        )
        prompt_id = new_id(PROMPT, secrets.token_bytes(17))
        accept = c.AcceptPrompt(actor=PERSON, prompt_id=prompt_id, calls=calls)
        self.run(self.sessions.handle(session_id, accept))
        return [spec.id for spec in calls]

    def act(self, tool_call_id: str, action: str, **fields: Any) -> None:
        """One recovery action."""
        session = self.read(tool_call_id)
        act = c.Act(actor=PERSON, tool_call_id=tool_call_id, action=action, seen=session.sequence, **fields)
        self.run(self.sessions.handle(session.id, act))

    # -- seeing ------------------------------------------------------------------------------------------------------

    def read(self, tool_call_id: str) -> Session:
        """The session of a call, durable."""
        session = self.run(self._read(tool_call_id))
        assert session is not None
        return session

    async def _read(self, tool_call_id: str) -> Session | None:
        place = self.sessions.session_of_call(tool_call_id)
        return await self.sessions.read(place[0]) if place else None

    def attempt(self, tool_call_id: str, number: int = 1) -> Attempt:
        """One attempt."""
        found = self.tool_call(tool_call_id).attempt(number)
        assert found is not None
        return found

    def tool_call(self, tool_call_id: str) -> ToolCall:
        """One tool call."""
        return self.read(tool_call_id).calls[tool_call_id]

    def until(self, what: Callable[[], T], *, timeout: float = PATIENCE_S) -> T:
        """Wait until `what` is true: it is asked again after each decision and each sweep."""
        deadline = time.monotonic() + timeout
        while True:
            news = self.call(self._listen)
            found = what()
            if found:
                return found
            left = deadline - time.monotonic()
            assert left > 0, "it did not happen"
            news.wait(min(left, 0.3))

    def _listen(self) -> threading.Event:
        news = threading.Event()
        self._listeners.append(news)
        return news

    def _news(self) -> None:
        listeners, self._listeners[:] = list(self._listeners), []
        for listener in listeners:
            listener.set()

    def ended(self, tool_call_id: str, number: int = 1) -> Attempt:
        """The attempt, once it has its verdict."""

        def look() -> Attempt | None:
            found = self.tool_call(tool_call_id).attempt(number)
            return found if found is not None and found.verdict is not None else None

        ended = self.until(look)
        assert ended is not None
        return ended

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """What the tables say."""
        return self.run(self.log.query(sql, values))

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The payloads of the organization's events of one type."""
        stored = self.run(self.log.read_organization(ORGANIZATION, limit=10_000))
        return [event.payload for event in stored if event.type == kind]

    def health(self, endpoint_id: str) -> str:
        """The endpoint's health."""
        return self.call(lambda: self.hub.view_of(endpoint_id).health.value)
