"""The control plane in the foreground: the HTTP server around it, its signals, and how it ends.

Owns how the server is set up. What is served is `control_plane`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Final

import structlog
import uvicorn

from caisey.api.sliced_socket import SlicedWebSocket
from caisey.protocol import limits
from caisey.settings import ServerSettings
from caisey.wiring.caller import Caller
from caisey.wiring.control_plane import ControlPlane, build_control_plane
from caisey.wiring.door import Door

logger = structlog.get_logger(__name__)

KEEP_ALIVE_S: Final = 75
BACKLOG: Final = 4096
YOUNG_OBJECTS: Final = 10_000
"""Allocations between two looks for garbage cycles; there are few here, since sessions are trees of frozen values."""


def _leave_to_the_end() -> None:
    """What is there once the process serves stays for its life: the collector need not walk it again and again.

    With values that are frozen, and so left alone by it (`gc=False`), a fifth of the CPU of a prompt came back, and the
    pauses of a tenth of a second are gone (docs/performance.md).
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


class _Server(uvicorn.Server):
    """Ends in the order that nobody loses by: streams first, then requests, then the parts."""

    def __init__(self, config: uvicorn.Config, plane: ControlPlane) -> None:
        super().__init__(config)
        self._plane = plane
        self._doors: list[Door] = []

    def end(self) -> None:
        """As SIGTERM does; from any thread."""
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Also ends where a loop of the control plane ended."""
        return await super().on_tick(counter) or self._plane.failed.is_set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, with doors of our own: see `door`."""
        await super().startup(sockets=[])
        for listening in sockets or ():
            door = Door(listening, self._protocol, self.config.ssl)
            door.open()
            self._doors.append(door)

    def _protocol(self) -> asyncio.Protocol:
        return Caller(self.config, self.server_state, self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Streams would keep their connections for ever."""
        for door in self._doors:
            door.close()
        self._plane.drain()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the server, and with it the program, as something that went well."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


Started = Callable[[int, Callable[[], None]], None]
"""Told once requests are served: the port, and how to end it from another thread."""
Greet = Callable[[str], None]
"""Told where the first account is made, where nobody has one yet."""


def serve(settings: ServerSettings, started: Started | None = None, greet: Greet | None = None) -> int:
    """Run the control plane until SIGINT or SIGTERM; the exit code. Raises `StorageError`, `OSError` at its start."""
    plane = build_control_plane(settings)
    config = uvicorn_config(plane, settings)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        return runner.run(_serve(plane, settings, config, started, greet))


def uvicorn_config(plane: ControlPlane, settings: ServerSettings) -> uvicorn.Config:
    """How the HTTP server is set up (DESIGN: deflate off, messages of 4 MiB, heartbeats are the protocol's own)."""
    return uvicorn.Config(
        plane,
        loop="uvloop",
        http="httptools",
        ws=SlicedWebSocket,
        ws_max_size=limits.MESSAGE_BYTES,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.shutdown_grace_s),
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        backlog=BACKLOG,
    )


async def _serve(
    plane: ControlPlane,
    settings: ServerSettings,
    config: uvicorn.Config,
    started: Started | None,
    greet: Greet | None,
) -> int:
    await plane.start()
    _leave_to_the_end()
    try:
        host, port = settings.address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family, backlog=BACKLOG) as listening:
            taken: int = listening.getsockname()[1]
            logger.info("control_plane.listens", host=host, port=taken)
            server = _Server(config, plane)
            plane.address = plane.address or _address_of(settings, host, taken)
            if greet is not None and (link := await plane.first_link()) is not None:
                greet(link)
            if started is not None:
                started(taken, server.end)
            plane.running.hub.opens()
            await server.serve(sockets=[listening])
    finally:
        await plane.stop()
    return 1 if plane.failed.is_set() else 0


def _address_of(settings: ServerSettings, host: str, port: int) -> str:
    """Where somebody on this machine reaches the console."""
    scheme = "http" if settings.tls_certificate is None else "https"
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # the opposite: what stands for all
    return f"{scheme}://[{name}]:{port}" if ":" in name else f"{scheme}://{name}:{port}"
