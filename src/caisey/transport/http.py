"""Blocking HTTP with the standard library alone, for a thread: an endpoint has no other client.

Owns one keep-alive connection to one control plane. Never follows a redirect: the token and the connection secret go
where the person said and nowhere else.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    status: int
    body: bytes


class HttpConnection:
    """Posts JSON to one URL. Used by one thread at a time; `abort` may come from another."""

    def __init__(self, url: str, *, timeout_s: float, body_limit: int) -> None:
        parts = urlsplit(url)
        self._path = parts.path
        self._limit = body_limit
        self._aborted = False
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout_s, context=context)
        else:
            self._connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s)

    def post(self, body: bytes) -> Answer:
        """Send and read one answer. Raises `OSError` or `http.client.HTTPException`."""
        if self._aborted:
            raise ConnectionAbortedError("hung up")
        try:
            self._connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            data = response.read(self._limit + 1)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if len(data) > self._limit:
            self._connection.close()
            raise http.client.HTTPException("the answer is too long")
        return Answer(response.status, data)

    def abort(self) -> None:
        """Hang up for good, also under a thread that waits for an answer: it gets an `OSError`."""
        self._aborted = True
        line = self._connection.sock
        if line is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it, by the thread that used it."""
        self._aborted = True
        self._connection.close()
