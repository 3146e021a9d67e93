"""Answers that are no JSON document: raw bytes of a command, JSON lines, event streams.

Owns how long answers are written: in pieces, no faster than they are taken, ended when the reader goes or loses the
right to read. What a command wrote never becomes part of a page: it is an attachment, of no type that a browser runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec

from caisey.api.services import Output

PIECE_BYTES: Final = 256 * 1024

_UNTRUSTED: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
}


async def begin(send: Any, media_type: str, headers: Mapping[str, str], status: int = 200) -> None:
    """The head of an answer."""
    listed = [(b"content-type", media_type.encode()), *((k.encode(), v.encode("latin-1")) for k, v in headers.items())]
    await send({"type": "http.response.start", "status": status, "headers": listed})


async def piece(send: Any, body: bytes, *, more: bool = True) -> None:
    """A part of the body."""
    await send({"type": "http.response.body", "body": body, "more_body": more})


class RawBytes:
    """Bytes `start` to `end` of a stream, which are stored without a gap."""

    def __init__(self, output: Output, key: tuple[str, int, str], start: int, end: int, *, name: str) -> None:
        self._output = output
        self._key = key
        self._start = start
        self._end = end
        self._name = name

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        await begin(send, "application/octet-stream", attachment(self._name, self._end - self._start))
        at = self._start
        while at < self._end:
            data = await self._output.read(self._key, at, min(at + PIECE_BYTES, self._end))
            if not data:
                # Ending here tells the reader, by the length announced, that something is missing.
                return
            at += len(data)
            await piece(send, data)
        await piece(send, b"", more=False)


class Bytes:
    """Bytes that are at hand."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._name = name

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        await begin(send, "application/octet-stream", attachment(self._name, len(self._data)))
        await piece(send, self._data, more=False)


def attachment(name: str, length: int) -> dict[str, str]:
    """Headers of bytes that nobody should run."""
    return {
        **_UNTRUSTED,
        "content-length": str(length),
        "content-disposition": f'attachment; filename="{name}"',
    }


class Lines:
    """JSON lines, one document each, as they come."""

    def __init__(self, documents: AsyncIterator[Any], name: str) -> None:
        self._documents = documents
        self._name = name

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        headers = {**_UNTRUSTED, "content-disposition": f'attachment; filename="{self._name}"'}
        await begin(send, "application/jsonl; charset=utf-8", headers)
        encode_into = msgspec.json.Encoder().encode_into
        waiting = bytearray()
        async for document in self._documents:
            encode_into(document, waiting, -1)
            waiting += b"\n"
            if len(waiting) >= PIECE_BYTES:
                await piece(send, bytes(waiting))
                waiting.clear()
        await piece(send, bytes(waiting), more=False)


class Page:
    """A document that people read, with everything in it escaped; nothing in it runs or is fetched."""

    def __init__(self, text: str, media_type: str, name: str, *, inline: bool) -> None:
        self._body = text.encode()
        self._media_type = media_type
        self._disposition = "inline" if inline else f'attachment; filename="{name}"'

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        headers = {
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            "referrer-policy": "no-referrer",
            "content-length": str(len(self._body)),
            "content-disposition": self._disposition,
        }
        await begin(send, f"{self._media_type}; charset=utf-8", headers)
        await piece(send, self._body, more=False)


async def gone(receive: Any) -> None:
    """Returns once the reader has gone."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return


async def first_of(*works: Any, within_s: float | None = None) -> None:
    """Run these side by side until one ends, then end the others. Raises what the first one raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
