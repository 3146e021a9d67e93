"""The control plane that is played: one enrollment, one WebSocket entrance, and a memory of every frame.

Owns the keys, the server and what a check may do to the handshake. It judges nothing; the checks do.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.conformance.runtimes.link import WITHIN_S, Link
from caisey.protocol import limits
from caisey.protocol.bodies import BodyFault
from caisey.protocol.codec import Received, decode_from_runtime, encode
from caisey.protocol.enrollment import (
    TOKEN_SECRET_BYTES,
    EnrollmentAnswer,
    EnrollmentRequest,
    make_token,
    read_request,
)
from caisey.protocol.fields import Mode
from caisey.protocol.frames import Challenge, Confirm, Hello, ShapeFault, Welcome
from caisey.protocol.signatures import sign, verify

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Edit = Callable[[Welcome], Welcome]

ENROLL: Final = "/runtime/v1/enroll"
CONNECT: Final = "/runtime/v1/connect"
INTERVAL_MS: Final = 1_000


@dataclass
class Manners:
    """What the handshake of the next connections does. `edit` changes the welcome after it was signed."""

    welcome_after_s: float = 0.0
    edit: Edit | None = None
    sign_with: Ed25519PrivateKey | None = None
    mode: Mode = "work"
    interval_ms: int = INTERVAL_MS
    chunk_bytes: int = limits.OUTPUT_CHUNK_BYTES
    confirm: tuple[Confirm, ...] = ()
    answer_heartbeats: bool = True


@dataclass
class Enrolled:
    """Who came with the token."""

    runtime_id: str
    request: EnrollmentRequest


@dataclass
class Handshake:
    """One hello, and what was wrong with it. `early`: frames that came before the welcome was there."""

    hello: Hello | None
    faults: list[str] = field(default_factory=list)
    early: int = 0
    at: float = field(default_factory=time.monotonic)


class _Server(uvicorn.Server):
    """It takes no signals: Ctrl-C is for the command that it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Plane:
    """See the module. Everything happens on one event loop."""

    def __init__(self, within_s: float = WITHIN_S) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.manners = Manners()
        self.enrolled: Enrolled | None = None
        self.enrollment_faults: tuple[ShapeFault, ...] = ()
        self.enrollments = 0
        self.handshakes: list[Handshake] = []
        self.links: list[Link] = []
        self.news = asyncio.Condition()
        self.url = ""
        self.within_s = within_s
        self._token = make_token(secrets.token_bytes(TOKEN_SECRET_BYTES), self.public_key)
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes_raw()

    @property
    def token(self) -> str:
        """The enrollment token that is good here."""
        return self._token

    def strange_token(self) -> str:
        """A token of another control plane: spelled right, and it names another key than ours."""
        stranger = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        return make_token(secrets.token_bytes(TOKEN_SECRET_BYTES), stranger)

    # -- the server ---------------------------------------------------------------------------------------------------

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises `OSError`."""
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError:
            listening.close()
            raise
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            log_config=None, access_log=False, lifespan="off", ws="websockets-sansio",
            ws_per_message_deflate=False, ws_max_size=limits.MESSAGE_BYTES, ws_ping_interval=None,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{listening.getsockname()[1]}"

    async def stop(self) -> None:
        for link in self.links:
            await link.drop()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            if scope["path"] == CONNECT:
                await self._websocket(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 4404})

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    # -- enrollment ---------------------------------------------------------------------------------------------------

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            part = await receive()
            if part["type"] != "http.request":
                return
            body += part.get("body", b"")
            if not part.get("more_body") or len(body) > limits.ENROLLMENT_BYTES:
                break
        enrolling = scope["path"] == ENROLL and scope["method"] == "POST"
        status, answer = self._enroll(body) if enrolling else (404, {"code": "resource.not_found"})
        document = msgspec.json.encode(answer)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(document)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": document})
        await self._tell()

    def _enroll(self, body: bytes) -> tuple[int, Any]:
        self.enrollments += 1
        request = read_request(body)
        if isinstance(request, BodyFault):
            self.enrollment_faults = request.errors
            return 422, {"code": "enrollment.invalid_shape"}
        ours = secrets.compare_digest(request.token.encode(), self._token.encode())
        if ours:
            if self.enrolled is None:
                self.enrolled = Enrolled(f"rtm_{secrets.token_hex(8)}", request)
            elif self.enrolled.request.public_key != request.public_key:
                return 401, {"code": "enrollment.token_used_up", "hint": "Each run enrolls one runtime."}
        # A strange token is let in as well: that its key is not ours is for the runtime to see.
        runtime_id = self.enrolled.runtime_id if ours and self.enrolled else "rtm_of_a_stranger"
        return 201, EnrollmentAnswer(
            runtime_id=runtime_id, endpoint_id="ept_conformance", organization="conformance", client_group=None,
            control_plane_key=self.public_key,
        )  # fmt: skip

    # -- connections --------------------------------------------------------------------------------------------------

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        asked = limits.WEBSOCKET_SUBPROTOCOL in scope["subprotocols"]
        await send({"type": "websocket.accept", "subprotocol": limits.WEBSOCKET_SUBPROTOCOL if asked else None})
        link = Link(receive, send, self.within_s)
        manners = self.manners
        nonce = secrets.token_bytes(limits.NONCE_BYTES)
        await link.send(
            Challenge(nonce=nonce, server_time_ms=time.time_ns() // 1_000_000, protocols=limits.SUPPORTED_PROTOCOLS)
        )
        first = await link.receive()
        if first is None:
            return
        handshake = self._judged(first, nonce)
        if not asked:
            handshake.faults.append(f"the subprotocol {limits.WEBSOCKET_SUBPROTOCOL} was not asked for")
        self.handshakes.append(handshake)
        if handshake.hello is None:
            await self._tell()
            await link.drop(limits.CLOSE_IDENTITY)
            return
        listening = asyncio.create_task(link.listen(answer_heartbeats=manners.answer_heartbeats))
        if manners.welcome_after_s:
            await asyncio.wait({listening}, timeout=manners.welcome_after_s)
            handshake.early = len(link.heard)
        link.welcome(handshake.hello, self._welcome(handshake.hello, manners), self.key)
        await link.send_bytes(encode(link.welcomed))
        self.links.append(link)
        await self._tell()
        await listening
        await self._tell()

    def _welcome(self, hello: Hello, manners: Manners) -> Welcome:
        welcome = Welcome(
            connection=secrets.token_urlsafe(16),
            mode=manners.mode,
            heartbeat_interval_ms=manners.interval_ms,
            output_chunk_bytes=manners.chunk_bytes,
            confirm=manners.confirm,
            nonce=hello.nonce,
            runtime_id=hello.runtime_id,
            incarnation=hello.incarnation,
        )
        signed = sign(welcome, manners.sign_with or self.key)
        return manners.edit(signed) if manners.edit else signed

    def _judged(self, first: bytes, nonce: bytes) -> Handshake:
        """What is wrong with the first frame of a connection."""
        received = decode_from_runtime(first)
        if not isinstance(received, Received):
            faults = [f"{e.pointer or '/'}: expected {e.expected}, found {e.found}" for e in received.errors]
            return Handshake(None, [f"the first frame cannot be read: {received.code}", *faults])
        hello = received.frame
        if not isinstance(hello, Hello):
            return Handshake(None, [f"the first frame is {type(hello).__name__.lower()}, not hello"])
        found = Handshake(hello)
        known = self.enrolled
        checks = (
            (hello.protocol in limits.SUPPORTED_PROTOCOLS, "it speaks another protocol than the challenge offers"),
            (hello.challenge == nonce, "it does not echo the nonce of the challenge"),
            (hello.control_plane_key == self.public_key, "it names another control plane key"),
            (known is not None and hello.runtime_id == known.runtime_id, "it names another runtime_id"),
            (
                known is not None and hello.journal_id == known.request.journal_id,
                "its journal_id is not the enrolled one",
            ),
            (
                known is not None and verify(received.document, "hello", known.request.public_key),
                "its signature does not fit the enrolled key",
            ),
            (
                known is not None and hello.machine_fingerprint == known.request.endpoint.machine_fingerprint,
                "its machine_fingerprint is not the enrolled one",
            ),
            (hello.start_number >= 1, "its start_number is below 1"),
            (hello.bridge == "websocket", "it names another bridge than the one it uses"),
        )
        found.faults += [words for holds, words in checks if not holds]
        return found
