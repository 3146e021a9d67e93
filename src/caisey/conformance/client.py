"""The HTTP API as the matrix sees it: a technician's side, with an event loop.

Owns requests and what a refusal of them is. Never logs or shows the token; never follows a redirect with it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import httpx

from caisey.conformance.form import Prompt

PREFIX: Final = "/api/v1"
LOOK_EVERY_S: Final = 0.05
READ_S: Final = 40.0


class RefusedError(Exception):
    """The control plane refused a request. The text holds method, path, status and the problem's code and hint."""

    def __init__(self, method: str, path: str, answer: httpx.Response) -> None:
        self.status = answer.status_code
        self.problem: dict[str, Any] = {}
        if "json" in answer.headers.get("content-type", ""):
            self.problem = answer.json()
        self.code = str(self.problem.get("code", ""))
        hint = self.problem.get("hint") or self.problem.get("detail") or ""
        super().__init__(f"{method} {path}: {self.status} {self.code} {hint}".strip())


class Client:
    """One control plane with one token."""

    def __init__(self, url: str, token: str, *, trust_env: bool = True) -> None:
        self.url = url
        self._trust_env = trust_env
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=READ_S,
            follow_redirects=False,
            trust_env=trust_env,
        )

    def as_somebody_else(self, token: str) -> Client:
        """The same control plane, with another token."""
        return Client(self.url, token, trust_env=self._trust_env)

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """One request; its decoded answer. Raises `RefusedError`."""
        headers = {} if method == "GET" else {"Idempotency-Key": secrets.token_hex(16)}
        answer = await self._http.request(method, PREFIX + path, json=body, params=query or None, headers=headers)
        if not answer.is_success:
            raise RefusedError(method, path, answer)
        return answer.json() if answer.content else None

    async def get(self, path: str, **query: Any) -> Any:
        return await self.send("GET", path, None, **query)

    async def post(self, path: str, body: Any = None) -> Any:
        return await self.send("POST", path, body)

    # -- troubleshooting ----------------------------------------------------------------------------------------------

    async def prompt(self, prompt_id: str) -> Prompt:
        found: Prompt = await self.get(f"/prompts/{prompt_id}")
        return found

    async def events(self, session_id: str) -> list[dict[str, Any]]:
        """All events of a session."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            query: dict[str, Any] = {"limit": 200} | ({"cursor": cursor} if cursor else {})
            page = await self.get(f"/sessions/{session_id}/events", **query)
            found += page["items"]
            cursor = page["next"]
            if not cursor or not page["items"]:
                return found

    async def wait(self, prompt: Prompt, condition: Callable[[Prompt], Any], within_s: float) -> Prompt:
        """The first view of the prompt for which the condition holds; the last one where it never does.

        A control plane that is away for a while is waited for.
        """
        deadline = time.monotonic() + within_s
        while True:
            try:
                seen = await self.prompt(prompt["id"])
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            else:
                if condition(seen) or time.monotonic() > deadline:
                    return seen
            await asyncio.sleep(LOOK_EVERY_S)

    async def act(self, prompt: Prompt, action: str, *, step: int = 1, **fields: Any) -> Any:
        """An action of somebody who has read the prompt to its last event. Raises `RefusedError`."""
        while True:
            seen = (await self.prompt(prompt["id"]))["sequence"]
            body = {"action": action, "reason": "conformance", "seen": seen, **fields}
            try:
                return await self.post(f"/tool-calls/{prompt['tool_calls'][step - 1]['id']}/actions", body)
            except RefusedError as refused:
                if refused.code != "action.stale":
                    raise
