"""The control plane put together: the only file that names implementations.

Owns the order in which parts are made, started and ended. Nothing is decided here. `ControlPlane` is an ASGI
application with a lifespan; `serve` runs it in the foreground until it is told to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import structlog
import uvicorn

from caisey.api import app as api_app
from caisey.api.front import Front
from caisey.api.metrics import Metrics, Sample
from caisey.api.runtime_poll import POLL_PATH, RuntimePoll
from caisey.api.runtime_socket import CONNECT_PATH, RuntimeSocket
from caisey.api.services import Services
from caisey.api.sliced_socket import SlicedWebSocket
from caisey.control import clock_while_away, joining, key_file, local_admin, secret_box, signed_heads
from caisey.control.access import Access, Role
from caisey.control.browser_sessions import BrowserSessions
from caisey.control.clock import SystemClock
from caisey.control.directory import endpoints, organizations
from caisey.control.directory.answered import AnsweredWrites
from caisey.control.directory.searching import SearchTexts
from caisey.control.directory.store import Directory
from caisey.control.facts_keeper import FactsKeeper
from caisey.control.hub import Hub
from caisey.control.ledger import Ledger
from caisey.control.nudges import Nudges, NudgingLog
from caisey.control.origins import Origins
from caisey.control.passwords import Passwords
from caisey.control.presence import Presence
from caisey.control.sessions import Sessions
from caisey.control.sign_in import SignIn
from caisey.control.sweeper import SteadyClock, Sweeper
from caisey.control.traffic import Parts
from caisey.core.errors import Fault
from caisey.protocol import limits
from caisey.settings import ServerSettings
from caisey.storage.contract import AppendFailed, DataDirectoryInUse, Log, Overloaded
from caisey.storage.data_directory import DataDirectory
from caisey.storage.output import Output
from caisey.storage.sqlite.log import SqliteLog
from caisey.web import app as web_app
from caisey.web.services import ConsoleServices

logger = structlog.get_logger(__name__)

CLEAN_EVERY_S: Final = 60.0
KEEP_ALIVE_S: Final = 75
BACKLOG: Final = 4096
YOUNG_OBJECTS: Final = 10_000
"""Allocations between two looks for garbage cycles; there are few here, since sessions are trees of frozen values."""
OTHER_PROCESS_WITHIN_S: Final = 15.0
"""How long a local command waits for a control plane that starts or ends."""


class Running(NamedTuple):
    """The parts of a control plane that was started."""

    log: Log
    directory: Directory
    access: Access
    hub: Hub
    sessions: Sessions
    services: Services
    sign_in: SignIn
    passwords: Passwords
    front: Front


class ControlPlane:
    """An ASGI application. Made before the loop runs; the parts are made by the lifespan's start."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._held: DataDirectory | None = None
        self._running: Running | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._admin: asyncio.Server | None = None
        self._ready = False
        self.failed = asyncio.Event()
        self.address: str | None = settings.public_url
        """Where people reach the console; without a public URL it is known once the port is taken."""

    @property
    def ready(self) -> bool:
        """Whether requests are served now."""
        return self._ready

    @property
    def running(self) -> Running:
        """The parts. Raises RuntimeError before the start."""
        if self._running is None:
            raise RuntimeError("the control plane was not started")
        return self._running

    # -- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take the data directory, read what there is, let everybody come. Raises `StorageError`, `sqlite3.Error`."""
        self._held = DataDirectory(self._settings.data_dir)
        try:
            await self._make(self._held)
        except BaseException:
            self._held.close()
            raise
        self._ready = True
        logger.info("control_plane.started", data_dir=str(self._settings.data_dir))

    async def _make(self, held: DataDirectory) -> None:
        keyring = key_file.load_or_make(held.path)
        times = SteadyClock(SystemClock())
        nudges = Nudges()
        log = NudgingLog(await SqliteLog.open(held.database), nudges)
        directory = Directory(log, times)
        await directory.refresh()
        await organizations.ensure_default(directory)
        output, ledger = Output(log), Ledger()
        hub = Hub(Parts(log, output, directory, keyring, times, secrets.token_bytes, ledger))
        sessions = Sessions(log, times, hub, secrets.token_bytes)
        hub.connect(sessions)
        await hub.load()
        sweeper = Sweeper(sessions, times, hub.paused)
        await clock_while_away.follow(log, sessions, times.now_ms())
        sweeper.start(times.now_ms())  # the grace after a restart is the view's: each endpoint has its own
        facts = FactsKeeper(sessions, directory)
        signing_key = keyring.trusted_by(keyring.current_public)
        browsers, passwords = BrowserSessions(directory, log, times), Passwords()
        sign_in = SignIn(directory, browsers, passwords, secret_box.load_or_make(held.path), times)
        services = Services(
            clock=times,
            log=log,
            directory=directory,
            access=Access(directory, times),
            browsers=browsers,
            sign_in=sign_in,
            origins=Origins(self._settings.public_url),
            answered=AnsweredWrites(log.query_now, times),
            sessions=sessions,
            live=hub,
            output=output,
            ledger=ledger,
            nudges=nudges,
            presence=Presence(nudges),
            metrics=Metrics(),
            control_plane_key=keyring.current_public,
            sign=signing_key.sign,
            public_keys=keyring.public_keys,
            texts=SearchTexts(directory),
            public_url=self._settings.public_url,
        )
        services.metrics.also(lambda: _figures(log, hub))
        front = self._front(services, hub, times)
        self._running = Running(log, directory, services.access, hub, sessions, services, sign_in, passwords, front)
        self._admin = await local_admin.listen(held.path, directory, lambda: self.address)
        self._keep_running("sweeper", sweeper.run())
        self._keep_running("hub", hub.run())
        self._keep_running("facts", facts.run())
        self._keep_running("heads", signed_heads.sign_each_minute(log, services.sign, times))
        self._keep_running("cleaning", _clean(services))

    def _front(self, services: Services, hub: Hub, times: SteadyClock) -> Front:
        api = api_app.build(
            services,
            ready=lambda: self._ready,
            enrollments_per_minute=self._settings.enrollments_per_minute,
        )
        console = web_app.build(
            ConsoleServices(
                clock=services.clock,
                directory=services.directory,
                browsers=services.browsers,
                origins=services.origins,
                sign_in=services.sign_in,
            ),
            api,
        )
        return Front(
            api,
            console,
            sockets={CONNECT_PATH: RuntimeSocket(hub, secrets.token_bytes)},
            paths={POLL_PATH: RuntimePoll(hub, secrets.token_bytes, times.monotonic_ms)},
        )

    def _keep_running(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """A loop that ends by itself is a defect: the process ends too, so that whoever watches it starts it anew."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        logger.critical("control_plane.loop_ended", loop=task.get_name(), exc_info=task.exception())
        self._ready = False
        self.failed.set()

    async def first_link(self) -> str | None:
        """Where the first account is made; None where somebody has one. A former link is over."""
        directory = self.running.directory
        organization = directory.organization_named(organizations.DEFAULT_NAME)
        if organization is None or not joining.nobody_can_sign_in(directory, organization.organization_id):
            return None
        made = await local_admin.set_up_link(directory, organization.name)
        return f"{(self.address or '').rstrip('/')}{made['path']}"

    def drain(self) -> None:
        """Nothing new is taken from here on; streams end, so that their readers go elsewhere."""
        self._ready = False
        if self._running is not None:
            self._running.access.end_all()

    async def stop(self) -> None:
        """Let everybody go, commit what was taken, give the data directory back."""
        self.drain()
        if self._admin is not None:
            self._admin.close()
            (self._settings.data_dir / local_admin.SOCKET).unlink(missing_ok=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._running is not None:
            self._running.passwords.close()
            self._running.hub.close()
            with contextlib.suppress(Overloaded, AppendFailed):
                await self._running.log.sign_heads(self._running.services.sign, self._running.services.clock.now_ms())
            await self._running.log.close()
        if self._held is not None:
            self._held.close()
        logger.info("control_plane.stopped")

    # -- ASGI -------------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI, with the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self.running.front(scope, receive, send)

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


def build_control_plane(settings: ServerSettings) -> ControlPlane:
    """The application, to be run by an ASGI server with its lifespan."""
    return ControlPlane(settings)


async def _clean(services: Services) -> None:
    """Until cancelled: forget answers older than a day, end removals whose 7 days have passed."""
    while True:
        try:
            forgotten = [services.answered.clean(), services.browsers.clean()]
            await services.log.append([], forgotten).committed
            await endpoints.finish_removals(services.directory, services.clock.now_ms())
        except (Overloaded, AppendFailed, Fault) as error:
            logger.warning("cleaning.failed", error=str(error))
        await asyncio.sleep(CLEAN_EVERY_S)


def _figures(log: Log, hub: Hub) -> list[Sample]:
    health = log.health()
    connected = sum(1 for runtime in hub.fleet.runtimes.values() if runtime.connections)
    return [
        Sample("caisey_log_events_total", "counter", "Events appended by this process.", health.events),
        Sample("caisey_log_commits_total", "counter", "Commits of the log.", health.commits),
        Sample("caisey_log_failures_total", "counter", "Appends that failed.", health.failures),
        Sample("caisey_log_pending", "gauge", "Appends that wait for their commit.", health.pending_units),
        Sample("caisey_log_wal_bytes", "gauge", "Size of the write-ahead log.", health.wal_bytes),
        Sample("caisey_runtimes_connected", "gauge", "Runtimes with an open bridge.", connected),
    ]


# -- on the control plane's own machine ----------------------------------------------------------------------------


def create_organization(data_dir: Path, name: str) -> dict[str, Any]:
    """`{"id", "name"}`. Raises `Fault`, `StorageError`; ValueError for a name that does not fit."""
    return _locally(data_dir, _checked(local_admin.CreateOrganization, name=name))


def list_organizations(data_dir: Path) -> dict[str, Any]:
    """`{"items": [{"id", "name"}]}`. Raises as `create_organization`."""
    return _locally(data_dir, local_admin.ListOrganizations())


def create_token(
    data_dir: Path,
    organization: str,
    role: str | Role,
    *,
    name: str = "",
    client_group_ids: Iterable[str] | None = None,
    expires_in_s: float | None = None,
) -> dict[str, Any]:
    """`{"id", "token", "organization", "organization_id", "role"}`. Raises as `create_organization`."""
    return _locally(
        data_dir,
        _checked(
            local_admin.CreateToken,
            organization=organization,
            role=role,
            name=name,
            client_group_ids=None if client_group_ids is None else tuple(client_group_ids),
            expires_in_s=expires_in_s,
        ),
    )


def create_set_up_link(data_dir: Path, organization: str) -> dict[str, Any]:
    """`{"path", "expires_at_ms", "address"}`, the last null where no control plane runs. As `create_organization`."""
    made = _locally(data_dir, _checked(local_admin.CreateSetUpLink, organization=organization))
    return {"address": None, **made}


def _checked(kind: type[local_admin.Request], **fields: Any) -> local_admin.Request:
    """The request, within its bounds: msgspec checks those when it decodes."""
    document = {"do": kind.__struct_config__.tag, **fields}
    return msgspec.convert(document, local_admin.Request)  # type: ignore[no-any-return]  # a union of structs


def _locally(data_dir: Path, request: local_admin.Request) -> dict[str, Any]:
    return asyncio.run(_through_socket_or_lock(data_dir, request))


async def _through_socket_or_lock(data_dir: Path, request: local_admin.Request) -> dict[str, Any]:
    """Whoever has the data directory does it: the control plane that runs, else this process, for a moment."""
    async with asyncio.timeout(OTHER_PROCESS_WITHIN_S):
        while True:
            with contextlib.suppress(OSError):
                return await local_admin.ask(data_dir, request)
            try:
                held = DataDirectory(data_dir)
            except DataDirectoryInUse:
                await asyncio.sleep(0.05)  # it starts, or ends
                continue
            with held:
                return await _by_this_process(held, request)


async def _by_this_process(held: DataDirectory, request: local_admin.Request) -> dict[str, Any]:
    log = await SqliteLog.open(held.database)
    try:
        directory = Directory(log, SystemClock())
        await directory.refresh()
        await organizations.ensure_default(directory)
        return await local_admin.carry_out(directory, request)
    finally:
        await log.close()


# -- in the foreground ---------------------------------------------------------------------------------------------


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

    def end(self) -> None:
        """As SIGTERM does; from any thread."""
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Also ends where a loop of the control plane ended."""
        return await super().on_tick(counter) or self._plane.failed.is_set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Streams would keep their connections for ever."""
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
