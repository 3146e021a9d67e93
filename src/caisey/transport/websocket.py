"""The client end of `GET /runtime/v1/connect` (PROTOCOL.md §1).

Owns the WebSocket: its subprotocol, its limits, and which URLs may be spoken to without TLS. Knows no frame.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from caisey.protocol import limits
from caisey.protocol.fields import BridgeKind
from caisey.transport.addresses import websocket_url
from caisey.transport.bridge import BridgeClosedError

CONNECT_PATH: Final = "/runtime/v1/connect"
CLOSE_S: Final = 2.0
_AWAY: Final = frozenset({502, 503, 504})
_NO_WAY: Final = frozenset({errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})


class WebSocketBridge:
    """One open WebSocket."""

    kind: BridgeKind = "websocket"

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, data: bytes) -> None:
        try:
            await self._connection.send(data, text=True)
        except ConnectionClosed as closed:
            raise _over(closed) from closed

    async def receive(self) -> bytes | str:
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise _over(closed) from closed

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._connection.close(code, reason)

    def abort(self) -> None:
        """Hang up without a goodbye, as a process that dies does."""
        self._connection.transport.abort()


class WebSocketConnector:
    """Opens WebSockets to one control plane."""

    kind: BridgeKind = "websocket"

    def __init__(self, url: str, *, insecure_http: bool = False) -> None:
        self._url = websocket_url(url, CONNECT_PATH, insecure_http=insecure_http)

    async def connect(self) -> WebSocketBridge:
        try:
            connection = await connect(
                self._url,
                subprotocols=[Subprotocol(limits.WEBSOCKET_SUBPROTOCOL)],
                compression=None,
                max_size=limits.MESSAGE_BYTES,
                max_queue=16,
                open_timeout=limits.HANDSHAKE_MS / 1000,
                close_timeout=CLOSE_S,
                ping_interval=None,
                user_agent_header=None,
            )
        except (OSError, TimeoutError, asyncio.IncompleteReadError, InvalidHandshake, InvalidURI) as error:
            said = f"{type(error).__name__}: {error}"
            raise BridgeClosedError(None, said, nobody_there=_is_nobody_there(error)) from error
        return WebSocketBridge(connection)


def _is_nobody_there(error: Exception) -> bool:
    """Nothing listens there, no way leads there, or what stands before the control plane does not find it."""
    if isinstance(error, InvalidStatus):
        return error.response.status_code in _AWAY
    if isinstance(error, socket.gaierror):
        return True
    # An OSError without a number stands for several: of each of the addresses that a name has.
    return isinstance(error, OSError) and (error.errno in _NO_WAY or (type(error) is OSError and error.errno is None))


def _over(closed: ConnectionClosed) -> BridgeClosedError:
    said = closed.rcvd
    return BridgeClosedError(None, str(closed)) if said is None else BridgeClosedError(said.code, said.reason)
