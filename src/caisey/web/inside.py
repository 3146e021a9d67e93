"""The JSON API, in process, as the person who asks.

Owns the one way by which a page reads and writes: the API's own ASGI application is called with the person's cookie,
their CSRF token and the origin of their request, so that access, validation, idempotency and words are the API's own.
There is no side door: what the API refuses, a page cannot do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

PREFIX: Final = "/api/v1"
ANSWER_BYTES: Final = 64 * 1024 * 1024
"""A page that wants more of a stream reads it in ranges."""

Application = Callable[[Any, Any, Any], Awaitable[None]]
Header = tuple[bytes, bytes]


class ApiFault(Exception):
    """The API said no. `problem` is its RFC 9457 document."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('code')}")
        self.status = status
        self.problem = problem

    @property
    def code(self) -> str:
        """The stable dotted code."""
        return str(self.problem.get("code", ""))

    @property
    def sentence(self) -> str:
        """What to tell the person: the detail where there is one, else the title."""
        return str(self.problem.get("detail") or self.problem.get("title") or "")

    @property
    def hint(self) -> str:
        """What to do about it."""
        return str(self.problem.get("hint") or "")


class Inside:
    """See the module. One for each request; `headers` are the person's own."""

    def __init__(self, api: Application, *, headers: tuple[Header, ...], csrf: str, scope: Mapping[str, Any]) -> None:
        self._api = api
        self._headers = headers
        self._csrf = csrf
        self._scope = scope

    async def get(self, path: str, /, **query: Any) -> Any:
        """A document. `path` is below `/api/v1`; a query value of None is left out. Raises `ApiFault`."""
        return _document(await self._ask("GET", path, query))

    async def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """A write; with `key` the same press twice is one request. Raises `ApiFault`."""
        return _document(await self._ask("POST", path, {}, body, key))

    async def put(self, path: str, body: Any = None, *, key: str | None = None, **query: Any) -> Any:
        """Replaces. Raises `ApiFault`."""
        return _document(await self._ask("PUT", path, query, body, key))

    async def patch(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Changes. Raises `ApiFault`."""
        return _document(await self._ask("PATCH", path, {}, body, key))

    async def delete(self, path: str, *, key: str | None = None) -> Any:
        """Ends. Raises `ApiFault`."""
        return _document(await self._ask("DELETE", path, {}, None, key))

    async def raw(self, path: str, /, **query: Any) -> tuple[bytes, Mapping[str, str]]:
        """The bytes as they are, and the headers. Raises `ApiFault`."""
        body, headers = await self._ask("GET", path, query)
        return body, headers

    async def _ask(
        self, method: str, path: str, query: Mapping[str, Any], body: Any = None, key: str | None = None
    ) -> tuple[bytes, Mapping[str, str]]:
        headers = list(self._headers)
        data = b""
        if body is not None:
            data = msgspec.json.encode(body)
            headers += [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
        if method != "GET":
            headers.append((b"x-csrf-token", self._csrf.encode()))
        if key is not None:
            headers.append((b"idempotency-key", key.encode("ascii", "replace")))
        scope = {
            **self._scope,
            "type": "http",
            "method": method,
            "path": PREFIX + path,
            "raw_path": (PREFIX + path).encode(),
            "query_string": _query(query),
            "headers": headers,
            "state": {},
        }
        status, answered, sent = await _call(self._api, scope, data)
        if status >= 400:
            raise ApiFault(status, _problem(sent, status))
        return sent, answered


async def _call(api: Application, scope: dict[str, Any], body: bytes) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of one call of the application."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]
    status = 500
    headers: dict[str, str] = {}
    parts: list[bytes] = []
    size = 0

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        await asyncio.Event().wait()  # the caller does not go away; it is cancelled
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, size
        if message["type"] == "http.response.start":
            status = message["status"]
            headers.update(
                (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in message["headers"]
            )
        elif message["type"] == "http.response.body":
            part = message.get("body", b"")
            size += len(part)
            if size > ANSWER_BYTES:
                raise ApiFault(413, {"code": "request.too_large", "title": "Too much to show on one page", "hint": ""})
            parts.append(part)

    await api(scope, receive, send)
    return status, headers, b"".join(parts)


def _query(query: Mapping[str, Any]) -> bytes:
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        values = value if isinstance(value, list | tuple) else [value]
        pairs += [(name.rstrip("_"), _text(one)) for one in values if one is not None]
    return urlencode(pairs).encode()


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _document(answer: tuple[bytes, Mapping[str, str]]) -> Any:
    body, _ = answer
    return msgspec.json.decode(body) if body else None


def _problem(body: bytes, status: int) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        found = None
    return found if isinstance(found, dict) else {"code": "server.internal", "title": f"HTTP {status}", "hint": ""}
