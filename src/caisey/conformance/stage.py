"""What a run needs on the control plane: a client group with a policy of short windows, endpoints, sessions.

Owns making it and taking it away again. Everything it makes is marked, and nothing else is touched: enrollment by
ordinary tokens for that client group, so no other endpoint can be reached from here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from caisey.conformance.bench import Computer
from caisey.conformance.client import Client, RefusedError
from caisey.conformance.form import WINDOWS
from caisey.practice.identity import Home, PracticeError, enroll
from caisey.protocol.fields import BridgeKind

GROUP: Final = "Conformance test"
POLICY: Final[dict[str, Any]] = {f"{name}_s": seconds for name, seconds in WINDOWS.items()} | {
    "missed_to_unhealthy": 2,
    "max_automatic": 2,
    "automatic_for": ["read_only", "idempotent", "mutating"],
    "when_unhealthy": "hold",
    "mutating_age_s": 900,
}
TOKEN_LIFE_S: Final = 900
RATE_LIMIT_WAIT_S: Final = 5.0
CONNECT_WITHIN_S: Final = 60.0


class StageError(Exception):
    """The control plane cannot be tested as things are. The text says what to do."""


class Stage:
    """`async with Stage(...)`: the group is there on entry; everything is taken away on exit, unless `keep`."""

    def __init__(
        self, client: Client, directory: Path, *, keep: bool = False, insecure_http: bool = False,
        restart: Callable[[], Awaitable[None]] | None = None,
    ) -> None:  # fmt: skip
        self.restart = restart
        """Kills the control plane and starts it again, where it is ours to kill."""
        self.client = client
        self.group_id = ""
        self.computers: list[Computer] = []
        self.left: list[str] = []
        """What could not be taken away again, in words."""
        self._directory = directory
        self._keep = keep
        self._insecure_http = insecure_http
        self._lives: list[asyncio.Task[None]] = []
        self._sessions: list[str] = []
        self._enrolling = asyncio.Lock()
        self._other: tuple[str, Client] | None = None
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Stage:
        try:
            self.group_id = await self._group()
            await self.client.send("PUT", f"/client-groups/{self.group_id}/policy", POLICY)
        except RefusedError as refused:
            raise StageError(f"The test's client group could not be made ({refused}). It takes an admin.") from refused
        return self

    async def _group(self) -> str:
        """The group of this name, made where there is none. A client group is never removed, so it is used again."""
        cursor: str | None = None
        while True:
            query: dict[str, Any] = {"limit": 200} | ({"cursor": cursor} if cursor else {})
            page = await self.client.get("/client-groups", **query)
            for group in page["items"]:
                if group["name"] == GROUP:
                    return str(group["id"])
            cursor = page["next"]
            if not cursor:
                return str((await self.client.post("/client-groups", {"name": GROUP}))["id"])

    async def __aexit__(self, *_: object) -> None:
        for computer in self.computers:
            computer.runtime.stop()
        await asyncio.gather(*self._lives, return_exceptions=True)
        if self._other is not None:
            token_id, other = self._other
            await other.close()
            await self._leave(f"token {token_id}", self.client.send("DELETE", f"/tokens/{token_id}"))
        if self._keep:
            return
        for session_id in self._sessions:
            await self._leave(f"session {session_id}", self._close(session_id))
        for computer in self.computers:
            path = f"/endpoints/{computer.endpoint_id}"
            await self._leave(f"computer {computer.endpoint_id}", self.client.send("DELETE", path))

    async def _leave(self, what: str, taking: Any) -> None:
        try:
            await taking
        except RefusedError as refused:
            self.left.append(f"{what}: {refused}")

    # -- computers ----------------------------------------------------------------------------------------------------

    async def computer(self, like: Computer | None = None, bridge: BridgeKind = "websocket") -> Computer:
        """A new endpoint with a connected runtime; with `like` one more runtime of that one, with its own journal."""
        name = f"practice-{next(self._numbers)}"
        home = Home(self._directory / name)
        async with self._enrolling:
            await self._enroll(home, name, like)
        identity = home.identity()
        assert identity is not None
        computer = Computer(home, identity.endpoint_id, bridge)
        self.computers.append(computer)
        self._lives.append(asyncio.create_task(computer.runtime.run()))
        await asyncio.sleep(0)
        if like is None:
            tags = ["conformance", "practice"]
            await self.client.send("PATCH", f"/endpoints/{computer.endpoint_id}", {"tags": tags})
        await self.ready(computer)
        return computer

    async def _enroll(self, home: Home, name: str, like: Computer | None) -> None:
        scope: dict[str, Any] = {"scope": "client_group", "client_group_id": self.group_id}
        if like is not None:
            scope = {"scope": "endpoint", "endpoint_id": like.endpoint_id}
        token = await self.client.post("/enrollment-tokens", {**scope, "uses": 1, "expires_in_s": TOKEN_LIFE_S})
        deadline = time.monotonic() + 90
        while True:
            try:
                await asyncio.to_thread(
                    enroll, home, self.client.url, token["token"], hostname=name,
                    insecure_http=self._insecure_http, same_computer=None if like is None else like.runtime.identity,
                )  # fmt: skip
            except PracticeError as error:
                if error.code != "request.rate_limited" or time.monotonic() > deadline:
                    raise StageError(f"A test computer could not be enrolled: {error.hint}") from error
                await asyncio.sleep(RATE_LIMIT_WAIT_S)
            else:
                return

    async def ready(self, computer: Computer) -> None:
        """As it was at first: connected, taking work, with nothing that a play left behind."""
        runtime = computer.runtime
        await runtime.as_new()
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                await runtime.connected()
                while not (await self.client.get(f"/endpoints/{computer.endpoint_id}"))["sendable"]["value"]:  # noqa: ASYNC110  # over HTTP
                    await asyncio.sleep(0.1)
        except TimeoutError:
            why = f": {runtime.closed}" if runtime.closed else ""
            raise StageError(f"A test computer does not get through to {self.client.url}{why}") from None

    async def other_person(self) -> Client:
        """A second technician, with a token for this client group alone. It is revoked in the end."""
        async with self._enrolling:
            if self._other is None:
                body = {"role": "technician", "name": GROUP, "client_group_ids": [self.group_id]}
                made = await self.client.post("/tokens", {**body, "expires_in_s": TOKEN_LIFE_S})
                self._other = (made["id"], self.client.as_somebody_else(made["token"]))
            return self._other[1]

    # -- sessions -----------------------------------------------------------------------------------------------------

    async def session(self, computer: Computer, title: str) -> str:
        body = {"endpoint_id": computer.endpoint_id, "title": title[:200]}
        session_id = str((await self.client.post("/sessions", body))["id"])
        self._sessions.append(session_id)
        return session_id

    async def clear(self, session_id: str, prompt_ids: list[str]) -> None:
        """Stop what is still open, so that it cannot get in the way of the next row."""
        for prompt_id in prompt_ids:
            prompt = await self.client.prompt(prompt_id)
            for number, call in enumerate(prompt["tool_calls"], 1):
                if call["state"] != "ended":
                    with contextlib.suppress(RefusedError):
                        await self.client.act(prompt, "cancel", step=number)

    async def _close(self, session_id: str) -> None:
        body: dict[str, Any] = {"outcome": "conformance test"}
        try:
            await self.client.post(f"/sessions/{session_id}/close", body)
        except RefusedError as refused:
            if refused.code != "session.open_work":
                raise
            body["drop"] = [item["tool_call_id"] for item in refused.problem.get("open") or []]
            await self.client.post(f"/sessions/{session_id}/close", body)
