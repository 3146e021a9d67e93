"""The HTTP API as the command line sees it: JSON in and out, pages, bytes, event streams.

Owns requests and what their failures mean (`Unreachable`, `Problem`). Every write carries an Idempotency-Key, so that
one whose answer was lost may be sent again. Never logs or shows the token, and never follows a redirect with it.
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from caisey import __version__
from caisey.cli.faults import CliFault, Problem, Unreachable
from caisey.cli.profiles import Target, is_loopback
from caisey.cli.sse import ServerEvent, SseParser

PREFIX = "/api/v1"
PAGE = 200
TRIES = 3
"""How often a write is sent when its answer is lost; the Idempotency-Key makes it one write."""
CONNECT_S = 10.0
READ_S = 40.0
STREAM_SILENCE_S = 60.0
_GATEWAY = frozenset({502, 504})


class Api:
    """One control plane, with one token. Close it, or use it in `with`."""

    def __init__(self, target: Target, *, timeout_s: float | None = None) -> None:
        self.url = target.url
        self._skew_ms = 0
        self._http = httpx.Client(
            base_url=target.url,
            headers={"Authorization": f"Bearer {target.token}", "User-Agent": f"caisey/{__version__}"},
            timeout=httpx.Timeout(timeout_s or READ_S, connect=timeout_s or CONNECT_S),
            follow_redirects=False,
            trust_env=not is_loopback(target.url),  # a proxy of the environment is no way to this machine itself
        )

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def now_ms(self) -> int:
        """The time by the control plane's clock, so that "40 s ago" is right where the two clocks differ."""
        return int(datetime.now(UTC).timestamp() * 1000) + self._skew_ms

    @property
    def skew_s(self) -> float:
        """How far the control plane's clock is ahead of ours, by its last answer; within 2 s it counts as none."""
        return self._skew_ms / 1000

    def get(self, path: str, **query: Any) -> Any:
        """One JSON answer. Query values that are None are left out."""
        return self._json(self._send("GET", path, query=query))

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Write once. `key`: the caller's own Idempotency-Key."""
        return self._write("POST", path, body, key)

    def put(self, path: str, body: Any) -> Any:
        """Write once."""
        return self._write("PUT", path, body, None)

    def patch(self, path: str, body: Any) -> Any:
        """Write once."""
        return self._write("PATCH", path, body, None)

    def delete(self, path: str) -> Any:
        """Write once."""
        return self._write("DELETE", path, None, None)

    def items(self, path: str, *, most: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page, at most `most`."""
        cursor: str | None = None
        left = most
        while left is None or left > 0:
            limit = PAGE if left is None else min(left, PAGE)
            page = self.get(path, cursor=cursor, limit=limit, **query)
            yield from page["items"][:left]
            left = None if left is None else left - len(page["items"])
            cursor = page.get("next")
            if not cursor:
                return

    def text(self, path: str, **query: Any) -> Iterator[bytes]:
        """The bytes of an answer that is not JSON, as they come."""
        with self._stream("GET", path, query=query) as response:
            yield from response.iter_bytes()

    def events(
        self, path: str, last_id: str = "", *, opened: Callable[[], None] | None = None
    ) -> Iterator[ServerEvent]:
        """The events after `last_id`, until the stream ends or breaks (Unreachable). The caller connects again.

        `opened` is called once the stream is there: what happens from then on is heard.
        """
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        with self._stream("GET", path, headers=headers, silence_s=STREAM_SILENCE_S) as response:
            if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise CliFault(f"{self.url} answered without an event stream", hint="Is this a Caisey control plane?")
            if opened is not None:
                opened()
            parser = SseParser(last_id)
            for data in response.iter_raw():
                yield from parser.feed(data)

    def _write(self, method: str, path: str, body: Any, key: str | None) -> Any:
        headers = {"Idempotency-Key": key or new_key()}
        for left in reversed(range(TRIES)):
            try:
                return self._json(self._send(method, path, body=body, headers=headers))
            except LostAnswer:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        with self._faults():
            response = self._http.request(method, PREFIX + path, params=_given(query), json=body, headers=headers)
        self._note(response)
        if response.is_error or response.is_redirect:
            raise self._problem(response)
        return response

    @contextmanager
    def _stream(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        silence_s: float = READ_S,
    ) -> Iterator[httpx.Response]:
        timeout = httpx.Timeout(silence_s, connect=CONNECT_S)
        with (
            self._faults(),
            self._http.stream(
                method, PREFIX + path, params=_given(query), headers=headers, timeout=timeout
            ) as response,
        ):
            self._note(response)
            if response.is_error or response.is_redirect:
                response.read()
                raise self._problem(response)
            yield response

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn what the network does into what a person can act on."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(self.url, _why(error)) from error
        except httpx.TransportError as error:
            raise LostAnswer(self.url, _why(error)) from error

    def _note(self, response: httpx.Response) -> None:
        """Keep how far the control plane's clock is from ours; `Date` has whole seconds, so less counts as none."""
        try:
            theirs = parsedate_to_datetime(response.headers.get("Date", ""))
        except ValueError:
            return
        skew_ms = int((theirs - datetime.now(UTC)).total_seconds() * 1000)
        self._skew_ms = skew_ms if abs(skew_ms) > 2000 else 0

    def _problem(self, response: httpx.Response) -> CliFault:
        body = None
        if "json" in response.headers.get("Content-Type", ""):
            try:
                body = response.json()
            except ValueError:
                body = None
        if isinstance(body, dict) and ("code" in body or "title" in body):
            return Problem(response.status_code, body)
        if response.status_code in _GATEWAY or response.status_code == 503:
            return Unreachable(self.url, f"what stands before it answered {response.status_code}")
        if response.is_redirect:
            there = response.headers.get("Location", "")
            return CliFault(f"{self.url} points to {there}", hint="Use the address it names, if you trust it.")
        return CliFault(f"{self.url} answered {response.status_code}, not as Caisey does", hint="Check the address.")

    def _json(self, response: httpx.Response) -> Any:
        if response.status_code == 204 or not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise CliFault(f"{self.url} answered, but not with JSON", hint="Check the address.") from error


class LostAnswer(Unreachable):
    """It was sent, perhaps; the answer did not come. Whether it was taken is not known."""


def new_key() -> str:
    """A fresh Idempotency-Key."""
    return secrets.token_hex(16)


def _given(query: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _why(error: httpx.TransportError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate does not fit ({cause.verify_message})"
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens there"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__
