"""One practice runtime: its lives, its connections, and the plays that are on.

Owns the made-up process: it can crash, restart its computer, sleep, freeze and lose its network, and comes back. All on
one event loop. Which play answers which dispatch is decided by `choose`; by default the command's own words do.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from caisey.core.canonical import canonical
from caisey.practice import said
from caisey.practice.identity import VERSION, Home, Identity, PracticeError
from caisey.practice.journal import ClaimError, Journal, Key
from caisey.practice.link import Link
from caisey.practice.work import Work
from caisey.protocol import limits
from caisey.protocol.fields import BridgeKind
from caisey.protocol.frames import Dispatch, Leaving
from caisey.transport.bridge import BridgeClosedError, Connector
from caisey.transport.longpoll import LongPollConnector
from caisey.transport.websocket import WebSocketConnector

logger = logging.getLogger(__name__)

Act = Callable[[Work], Awaitable[None]]
Choose = Callable[[Dispatch], Act]

FINAL_CLOSES: Final = frozenset(
    {limits.CLOSE_IDENTITY, limits.CLOSE_REVOKED, limits.CLOSE_CLONE, limits.CLOSE_REPLACED, limits.CLOSE_PROTOCOL}
)
"""After these the same life does not come again."""


class Runtime:
    """See the module. `run` is its life from the first connection to `stop`.

    `services`: the made-up services and their states, which the tool `service` shows and changes.
    """

    def __init__(self, home: Home, *, choose: Choose | None = None, bridge: BridgeKind = "websocket") -> None:
        identity = home.identity()
        if identity is None or not identity.runtime_id:
            raise PracticeError("state.not_enrolled", f"{home.path} has no runtime yet. Give a token to enroll it.")
        from caisey.practice import plays

        self.home = home
        self.identity: Identity = identity
        self.journal = Journal(home.journal)
        self.choose: Choose = plays.choose if choose is None else choose
        self.version = VERSION
        self.services: dict[str, str] = {}
        self.ignored: set[Key] = set()
        """Attempts about which it says nothing more, whatever is asked."""
        self.uncancellable: set[Key] = set()
        """Attempts whose stop is heard and not obeyed."""
        self.stops_heard: set[Key] = set()
        self.starts: list[tuple[str, int, int]] = []
        """(tool call, number, consent) of every made-up command let go: the truth, whatever the journal says."""
        self.accepting = True
        self.frozen = False
        """The bridge stays open, nothing is heard and nothing is said."""
        self.slept_ms = 0
        self.incarnation = ""
        self.link: Link | None = None
        self.closed: BridgeClosedError | None = None
        """Why the last connection ended."""
        self.final_closes: frozenset[int] = FINAL_CLOSES
        """After these it stays away. Empty: it comes again whatever it is told."""
        self.refused = False
        """Whether the control plane wants no more of it."""
        self._bridge: BridgeKind = bridge
        self._works: dict[Key, tuple[Work, asyncio.Task[None]]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._over = asyncio.Event()

    # -- the whole life -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect and answer until `stop`, or until the control plane wants no more of it (`closed` says why)."""
        self.begin_life()
        self.connect()
        try:
            await self._over.wait()
        finally:
            await self._end_everything()

    def stop(self) -> None:
        self._over.set()

    async def connected(self) -> None:
        """Wait until a welcome was checked."""
        await self._connected.wait()

    async def _end_everything(self) -> None:
        tasks = [task for _, task in self._works.values()] + list(self._background)
        if self._connecting is not None:
            tasks.append(self._connecting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.link is not None:
            await self.link.close()
        self.journal.close()

    def begin_life(self) -> None:
        """A new incarnation with the next start number, which is on disk before it is used (PROTOCOL.md §3)."""
        self.identity.start_number += 1
        self.home.keep(self.identity)
        self.incarnation = f"inc_{secrets.token_hex(12)}"
        for record in self.journal.unsettled():
            if record.alive:
                record.owner = self.owner
                self.journal.write(record)

    @property
    def owner(self) -> dict[str, str]:
        return {"runtime_id": self.identity.runtime_id, "incarnation": self.incarnation}

    @staticmethod
    def digest(dispatch: Dispatch) -> str:
        return hashlib.sha256(canonical(dispatch.arguments)).hexdigest()

    async def as_new(self) -> None:
        """End every play, forget what plays have set, and be there again."""
        tasks = [task for _, task in self._works.values()] + list(self._background)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._works.clear()
        self.frozen, self.accepting = False, True
        self.ignored.clear()
        self.uncancellable.clear()
        self.journal.lose_processes()
        if self._connecting is None or self._connecting.done():
            await self.come_back()

    # -- connections --------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Keep one bridge open from now on."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._keep_connected())

    async def _keep_connected(self) -> None:
        tries = 0
        while True:
            try:
                bridge = await self._connector().connect()
                self.link = Link(self, bridge)
                try:
                    await self.link.run()
                finally:
                    await self.link.hang_up()
            except (BridgeClosedError, TimeoutError) as error:
                self.closed = error if isinstance(error, BridgeClosedError) else BridgeClosedError(None, "too slow")
                tries = 0 if self._connected.is_set() else tries + 1
                self._connected.clear()
                logger.info("disconnected: %s", self.closed)
                if self.closed.code in self.final_closes:
                    self.refused = True
                    self._over.set()
                    return
            most_ms = min(limits.BACKOFF_LAST_MS, limits.BACKOFF_FIRST_MS * 2 ** min(tries, 16))
            if self.closed is not None and self.closed.code == limits.CLOSE_FAULTS:
                await asyncio.sleep(limits.WAIT_AFTER_FAULTS_MS / 1000)
            else:
                await asyncio.sleep(random.uniform(0, most_ms) / 1000)  # noqa: S311

    def _connector(self) -> Connector:
        kind = LongPollConnector if self._bridge == "longpoll" else WebSocketConnector
        return kind(self.identity.url, insecure_http=self.identity.insecure_http)

    def on_welcome(self, link: Link) -> None:
        logger.info("connected as %s", self.incarnation)
        self.link = link
        self._connected.set()

    async def disconnect(self) -> None:
        """The network is gone, without a goodbye, until `connect`."""
        connecting, self._connecting = self._connecting, None
        self._connected.clear()
        if connecting is not None:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)

    async def send(self, what: said.Said) -> None:
        """On the live bridge; without one the frame is lost, as on a broken network."""
        link = self.link
        if link is None or not link.welcomed or self.frozen:
            return
        with contextlib.suppress(BridgeClosedError):
            await link.send(said.encoded(what))

    def starts_of(self, tool_call_id: str) -> int:
        """How often the made-up command of a call was let go."""
        return sum(1 for call, _, _ in self.starts if call == tool_call_id)

    def in_flight(self) -> list[Key]:
        """What it holds: received or started, not ended, owned by this life."""
        return [
            record.key
            for record in self.journal.unsettled()
            if record.owner == self.owner
            and record.key not in self.ignored
            and (record.state == "received" or (record.state == "started" and record.alive))
        ]

    # -- plays --------------------------------------------------------------------------------------------------------

    def play(self, work: Work) -> None:
        """Let the chosen play act."""
        task = asyncio.create_task(self._act(work))
        self._works[work.key] = (work, task)

    async def _act(self, work: Work) -> None:
        try:
            await self.choose(work.dispatch)(work)
        except ClaimError as error:
            logger.info("not let go: %s", error)
        finally:
            if self._works.get(work.key, (None,))[0] is work and (work.record is None or not work.record.alive):
                del self._works[work.key]

    def work_of(self, key: Key) -> Work | None:
        found = self._works.get(key)
        return None if found is None else found[0]

    def end_play(self, key: Key) -> Work | None:
        """Take an attempt out of the hands of its play."""
        found = self._works.pop(key, None)
        if found is None:
            return None
        if found[1] is not asyncio.current_task():
            found[1].cancel()
        return found[0]

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Go on with something after the play that asked for it has ended."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # -- what can befall it -------------------------------------------------------------------------------------------

    async def crash(self, *, back_after_s: float | None = None, outlive: bool = False, reboot: bool = False) -> None:
        """The process dies. What was let go dies with it, unless it is to `outlive` it. Later it comes back."""
        await self.disconnect()
        for key, (work, _) in list(self._works.items()):
            if not (outlive and work.record is not None and work.record.alive):
                self.end_play(key)
        if not outlive:
            self.journal.lose_processes()
        if back_after_s is not None:
            self.soon(self._come_back(back_after_s, reboot))

    async def _come_back(self, after_s: float, reboot: bool) -> None:
        await asyncio.sleep(after_s)
        await self.come_back(reboot=reboot)

    async def come_back(self, *, reboot: bool = False) -> None:
        """The next life. With `reboot` the computer shows a new boot id."""
        if reboot:
            self.identity.boot_id = f"boot_{secrets.token_hex(8)}"
        self.begin_life()
        self.connect()

    async def lose_network(self, seconds: float) -> None:
        """The process and what it started go on; nobody hears of it for so long."""
        await self.disconnect()
        await asyncio.sleep(seconds)
        self.connect()

    async def sleep(self, seconds: float) -> None:
        """The computer says that it goes to sleep, sleeps, and wakes."""
        await self.send(Leaving(reason="sleep"))
        await self.disconnect()
        await asyncio.sleep(seconds)
        self.slept_ms += round(seconds * 1000)
        self.connect()

    async def freeze(self, seconds: float) -> None:
        """Nothing is heard and nothing said, and the socket stays open: it hangs."""
        self.frozen = True
        try:
            await asyncio.sleep(seconds)
        finally:
            self.frozen = False
