"""The least control plane that a foreign runtime can be tried against: it enrolls, welcomes, and says what it is told.

It has no sessions and no memory; it exists so that the runtime itself is known to work before it judges a product.
"""

from __future__ import annotations

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.foreign.loop import LoopThread
from tests.foreign.wire import SUBPROTOCOL, Frame, Keys, fresh_id, nonce, now_ms, parse, pin_of, signature_holds


class Stub:
    """Frames heard are in `heard`; `push` signs and addresses where the page asks for it."""

    def __init__(self) -> None:
        self.keys = Keys()
        self.token = f"cse_secret.{pin_of(self.keys.public)}"
        self.heard: queue.Queue[Frame] = queue.Queue()
        self.hello: Frame = {}
        self.runtime_key = ""

    def enrolled(self, body: Frame) -> Frame:
        self.runtime_key = body["public_key"]
        return {
            "runtime_id": fresh_id("rtm"),
            "endpoint_id": fresh_id("ept"),
            "organization": "default",
            "client_group": None,
            "control_plane_key": self.keys.public,
        }

    def challenge(self) -> Frame:
        return {"type": "challenge", "nonce": nonce(), "server_time_ms": now_ms(), "protocols": [1]}

    def welcome(self, hello: Frame) -> Frame:
        assert signature_holds(hello, self.runtime_key)
        self.hello = hello
        return self.address(
            {
                "type": "welcome",
                "connection": fresh_id("con"),
                "mode": "work",
                "heartbeat_interval_ms": 200,
                "output_chunk_bytes": 65536,
                "confirm": [],
                "nonce": hello["nonce"],
            }
        )

    def address(self, frame: Frame) -> Frame:
        here = {"runtime_id": self.hello["runtime_id"], "incarnation": self.hello["incarnation"]}
        return self.keys.sign({**frame, **here})

    def dispatch(self, number: int = 1, consent: int = 1, tool_call_id: str = "tcl_1", **changes: Any) -> Frame:
        return self.address(
            {
                "type": "dispatch",
                "journal_id": self.hello["journal_id"],
                "attempt": {"tool_call_id": tool_call_id, "number": number},
                "consent": consent,
                "session_id": "ses_1",
                "tool": "shell",
                "tool_version": 1,
                "arguments": {"command": "true"},
                "effect": "mutating",
                "limits": {"time_ms": None, "output_bytes": 8388608, "start_within_ms": 900000},
                "issued_at_ms": now_ms(),
                **changes,
            }
        )

    def next(self, kind: str, timeout: float = 20.0) -> Frame:
        """The next frame of this kind; others before it are let go."""
        while True:
            frame = self.heard.get(timeout=timeout)
            if frame["type"] == kind:
                return frame


class WebSocketStub(Stub):
    def __init__(self, loop: LoopThread) -> None:
        super().__init__()
        self._loop = loop
        self._socket: ServerConnection | None = None
        self._server: Server = loop.run(self._serve())
        self.url = f"http://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"

    async def _serve(self) -> Server:
        return await serve(self._connected, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)], compression=None)

    async def _connected(self, socket: ServerConnection) -> None:
        try:
            await socket.send(json.dumps(self.challenge()))
            welcome = self.welcome(parse(await socket.recv()))
            await socket.send(json.dumps(welcome))
            self._socket = socket
            async for message in socket:
                self.heard.put(parse(message))
        except ConnectionClosed:
            return

    def push(self, frame: Frame) -> None:
        assert self._socket is not None
        self._loop.run(self._socket.send(json.dumps(frame)))

    def close(self) -> None:
        self._server.close()
        self._loop.run(self._server.wait_closed())


class PollStub(Stub):
    """Long polling and enrollment, one runtime at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._connection = fresh_id("con")
        self._outbox: queue.Queue[Frame] = queue.Queue()
        self._last: tuple[int, bytes] = (0, b"")
        self._waiting = threading.Lock()
        stub = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                enrolling = self.path == "/runtime/v1/enroll"
                answer = json.dumps(stub.enrolled(body)).encode() if enrolling else stub.poll(body)
                self.send_response(201 if enrolling else 200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
                """Says nothing."""

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A runtime that died in the middle of a poll is no fault."""

        self._http = Quiet(("127.0.0.1", 0), Door)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def poll(self, body: Frame) -> bytes:
        if body["sequence"] == self._last[0]:
            return self._last[1]
        for frame in body["frames"]:
            if frame["type"] == "hello":
                self._outbox.put(self.welcome(frame))
            self.heard.put(frame)
        if body["connection"] is None:
            self._outbox.put(self.challenge())
        with self._waiting:
            frames = self._drain(0.3)
        answer = {"connection": self._connection, "sequence": body["sequence"], "received": body["sequence"]}
        self._last = (body["sequence"], json.dumps({**answer, "frames": frames}).encode())
        return self._last[1]

    def _drain(self, patience: float) -> list[Frame]:
        frames: list[Frame] = []
        while True:
            try:
                frames.append(self._outbox.get_nowait() if frames else self._outbox.get(timeout=patience))
            except queue.Empty:
                return frames

    def push(self, frame: Frame) -> None:
        self._outbox.put(frame)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)
