"""The door: from a knock to a welcomed connection, or a reasoned no (PROTOCOL.md §3).

Owns the handshake of the control plane's side with everything that it needs to know: who holds the key, whether two do,
whether the journal went back in time, whether two computers pass for one. Nothing of a connection is processed before
its welcome, and there is no welcome before what it says is committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

import structlog

from caisey.control.arrivals import Arrival, Arrivals, Refusal, refused
from caisey.control.clock import Times
from caisey.control.connections import Bridge, Connection, Fleet, LiveRuntime
from caisey.control.directory import runtimes
from caisey.control.directory.records import Runtime
from caisey.control.directory.store import Directory
from caisey.control.journals import Journals
from caisey.control.keyring import Keyring
from caisey.control.lives import Claim, Standing, judge
from caisey.control.misreadings import Misreadings
from caisey.control.outbound import Outbound
from caisey.control.submissions import TRY_AGAIN_LATER
from caisey.core.errors import Fault
from caisey.protocol import frames as f
from caisey.protocol import limits
from caisey.protocol.codec import decode_from_runtime, encode
from caisey.protocol.handshake import ControlPlaneHandshake, RejectCode, Rejection, rejection
from caisey.storage.contract import AppendFailed, Overloaded

logger = structlog.get_logger(__name__)


class Opening:
    """One unfinished handshake. `end` has to be called, however it ends."""

    def __init__(self, reception: Reception, address: str, moment: int, handshake: ControlPlaneHandshake) -> None:
        self._reception = reception
        self._ended = False
        self.address = address
        self.moment = moment  # of the challenge, as journals count it
        self.handshake = handshake
        self.challenge = b""

    async def answer(self, data: bytes | str, bridge: Bridge, secret: str) -> Connection | Refusal:
        """Take the hello. A connection comes back welcomed, with everything that its hello said already taken."""
        return await self._reception.answer(self, data, bridge, secret)

    def end(self) -> None:
        """The handshake is over, well or not."""
        if not self._ended:
            self._ended = True
            self._reception.ended(self)


class Reception:
    """See the module."""

    def __init__(
        self,
        *,
        arrivals: Arrivals,
        fleet: Fleet,
        directory: Directory,
        journals: Journals,
        keyring: Keyring,
        outbound: Outbound,
        misreadings: Misreadings,
        times: Times,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._arrivals = arrivals
        self._fleet = fleet
        self._directory = directory
        self._journals = journals
        self._keyring = keyring
        self._outbound = outbound
        self._misreadings = misreadings
        self._times = times
        self._random = random_bytes
        self._unfinished: dict[str, int] = {}  # by address
        self._judging: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # -- knocking ----------------------------------------------------------------------------------------------------

    def knock(self, address: str) -> Opening | None:
        """Begin a handshake; None where that address has too many unfinished ones."""
        unfinished = self._unfinished.get(address, 0)
        if unfinished >= limits.UNFINISHED_HANDSHAKES_PER_ADDRESS:
            return None
        self._unfinished[address] = unfinished + 1
        handshake = ControlPlaneHandshake(nonce=self._random(limits.NONCE_BYTES), own_keys=self._keyring.public_keys)
        opening = Opening(self, address, self._journals.challenge_sent(), handshake)
        opening.challenge = encode(handshake.challenge(server_time_ms=self._times.now_ms()))
        return opening

    def ended(self, opening: Opening) -> None:
        """Called by the opening itself."""
        self._journals.challenge_over(opening.moment)
        left = self._unfinished[opening.address] - 1
        if left:
            self._unfinished[opening.address] = left
        else:
            del self._unfinished[opening.address]

    # -- the hello ---------------------------------------------------------------------------------------------------

    async def answer(self, opening: Opening, data: bytes | str, bridge: Bridge, secret: str) -> Connection | Refusal:
        """See `Opening.answer`."""
        hello = opening.handshake.receive_hello(decode_from_runtime(data))
        if isinstance(hello, f.Hello):
            record = self._directory.runtimes.get(hello.runtime_id)
            key = record.public_key if record is not None else None
            locked_out = record is not None and record.revoked_at_ms is not None and record.compromised
            hello = opening.handshake.prove(public_key=key, revoked=locked_out)
        if isinstance(hello, Rejection):
            return refused(hello)
        if self._misreadings.banned(hello.runtime_id):
            hint = "Wait a minute. Too many of its frames could not be read; update the runtime."
            reject = f.Reject(code="runtime.too_many_faults", hint=hint)
            return Refusal(encode(reject), limits.CLOSE_FAULTS, reject.code)
        try:
            async with self._one_at_a_time(hello.runtime_id):
                return await self._judge(opening, hello, bridge, secret)
        except (Fault, Overloaded, AppendFailed):  # what has to be written down first could not be
            overloaded = Fault("server.overloaded")
            return Refusal(
                encode(f.Reject(code=overloaded.code, hint=overloaded.hint)), TRY_AGAIN_LATER, overloaded.code
            )

    @asynccontextmanager
    async def _one_at_a_time(self, runtime_id: str) -> AsyncIterator[None]:
        """Two hellos with one key are judged one after the other."""
        lock = self._judging.get(runtime_id)
        if lock is None:
            lock = self._judging[runtime_id] = asyncio.Lock()
        async with lock:
            yield

    async def _judge(self, opening: Opening, hello: f.Hello, bridge: Bridge, secret: str) -> Connection | Refusal:
        record = self._directory.runtimes[hello.runtime_id]
        if record.suspected_since_ms is not None:
            return refused(rejection(RejectCode.CLONE_SUSPECTED))
        claim = Claim(hello.incarnation, hello.start_number, hello.boot_id, hello.machine_fingerprint)
        standing = judge(self._fleet.lives.get(hello.runtime_id), claim, record.machine_fingerprint)
        former = self._fleet.runtimes.get(hello.runtime_id)
        if standing is Standing.SET_BACK_OR_CLONE and former is not None and await self._answers(former):
            standing = Standing.CLONE
        if standing is Standing.CLONE:
            return await self._two_hold_the_key(record)
        await self._on_a_computer_of_its_own(record, hello)
        arrival = Arrival(
            handshake=opening.handshake,
            moment=opening.moment,
            claim=claim,
            set_back=standing is Standing.SET_BACK_OR_CLONE,
            bridge=bridge,
            secret=secret,
        )
        return await self._arrivals.welcome(arrival)

    async def _answers(self, runtime: LiveRuntime) -> bool:
        """Whether one of its bridges answers a ping in time."""
        open_connections = [connection for connection in runtime.connections.values() if not connection.closed]
        if not open_connections:
            return False
        answers: list[asyncio.Future[None]] = []
        for connection in open_connections:
            answers.append(asyncio.get_running_loop().create_future())
            self._outbound.ping(connection, nonce=False, asked=False, answered=answers[-1])
        waiting = set(answers)
        try:
            async with asyncio.timeout(limits.FORMER_INCARNATION_PING_MS / 1000):
                while waiting:
                    done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    if any(not answer.cancelled() for answer in done):
                        return True
        except TimeoutError:
            return False
        return False

    async def _two_hold_the_key(self, record: Runtime) -> Refusal:
        """Both are closed, nothing is dispatched to either, and a person decides.

        Written down first: without the one that is there the other would pass for it the next time.
        """
        logger.warning("runtime.clone_suspected", runtime_id=record.runtime_id, endpoint_id=record.endpoint_id)
        await runtimes.suspect(self._directory, record.runtime_id)
        self._arrivals.send_away(record.runtime_id, limits.CLOSE_CLONE, RejectCode.CLONE_SUSPECTED.value)
        return refused(rejection(RejectCode.CLONE_SUSPECTED))

    async def _on_a_computer_of_its_own(self, record: Runtime, hello: f.Hello) -> None:
        """Another runtime of the endpoint answers under another boot id: these are two computers (PROTOCOL.md §2)."""
        endpoint = self._fleet.endpoints.get(record.endpoint_id)
        if endpoint is None:
            return
        for other in list(endpoint.connected()):
            if other.runtime_id == record.runtime_id or other.boot_id == hello.boot_id:
                continue
            if await self._answers(other):
                await runtimes.split(self._directory, record.runtime_id)
                return
