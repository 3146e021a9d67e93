"""The parts of a control plane, made, started and ended in the order that nobody loses by.

Owns `ControlPlane`, an ASGI application with a lifespan. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Coroutine
from typing import Any, Final, NamedTuple

import structlog

from caisey.api import app as api_app
from caisey.api.front import Front
from caisey.api.metrics import Metrics, Sample
from caisey.api.runtime_poll import POLL_PATH, RuntimePoll
from caisey.api.runtime_socket import CONNECT_PATH, RuntimeSocket
from caisey.api.services import Services
from caisey.control import clock_while_away, joining, key_file, local_admin, secret_box, signed_heads
from caisey.control.access import Access
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
from caisey.settings import ServerSettings
from caisey.storage.contract import AppendFailed, Log, Overloaded
from caisey.storage.data_directory import DataDirectory
from caisey.storage.output import Output
from caisey.storage.sqlite.log import SqliteLog
from caisey.web import app as web_app
from caisey.web.services import ConsoleServices

logger = structlog.get_logger(__name__)

CLEAN_EVERY_S: Final = 60.0


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
