"""The least HTTP that a load generator needs: one keep-alive connection, and one SSE stream.

A client library costs more than the server that is measured; this one only knows what the API of this project sends.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any


class Connection:
    """One keep-alive HTTP/1.1 connection; one request at a time."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._host, self._port = host, port
        self._head = f"Host: {host}:{port}\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\n"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._turn = asyncio.Lock()

    async def request(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """(status, decoded body)."""
        async with self._turn:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 26)
            data = b"" if body is None else json.dumps(body).encode()
            more = "".join(f"{k}: {v}\r\n" for k, v in (headers or {}).items())
            kind = "Content-Type: application/json\r\n" if body is not None else ""
            head = f"{method} {path} HTTP/1.1\r\n{self._head}{kind}{more}Content-Length: {len(data)}\r\n\r\n"
            self._writer.write(head.encode() + data)
            assert self._reader is not None
            return await self._answer(self._reader)

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, Any]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        status = int(head[0].split(" ")[1])
        fields = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
        if fields.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(await reader.readline(), 16):
                parts.append(await reader.readexactly(size))
                await reader.readexactly(2)
            await reader.readexactly(2)
            body = b"".join(parts)
        else:
            body = await reader.readexactly(int(fields.get("content-length", "0")))
        return status, json.loads(body) if body and "json" in fields.get("content-type", "") else body

    async def stream(self, path: str) -> AsyncIterator[tuple[str, Any]]:
        """(event, data) of an SSE stream, until the other side ends it."""
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=1 << 26)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())
            status = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
            assert status == b"200", status
            event, data = "", ""
            async for line in reader:
                if line.startswith(b"event:"):
                    event = line[6:].strip().decode()
                elif line.startswith(b"data:"):
                    data = line[5:].strip().decode()
                elif line in (b"\n", b"\r\n") and data:
                    yield event, json.loads(data)
                    event, data = "", ""
        finally:
            writer.close()
