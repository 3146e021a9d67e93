"""A runtime written from PROTOCOL.md and RECOVERY.md alone, that behaves as a test says.

`Runtime` is one enrolled key on one computer. Its public verbs are for the test's thread; everything else happens on
one event loop. The journal is an object of its own and outlives each simulated life of the runtime.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any

from tests.foreign.bridges import Bridge, BridgeClosedError, LongPollBridge, WebSocketBridge
from tests.foreign.checks import address_fault, signature_fault
from tests.foreign.hearing import Hearing
from tests.foreign.journal import ClaimFailedError, Journal
from tests.foreign.link import Link
from tests.foreign.loop import LoopThread
from tests.foreign.manners import Machine, Manners
from tests.foreign.recording import Recording, Seen
from tests.foreign.wire import Attempt, Frame, Keys, encode, fresh_id, named, now_ms, pin_of
from tests.foreign.work import Script, Work, answers

VERSION = "0.1.0"
FINAL_CLOSES = frozenset({4401, 4403, 4409, 4410, 4426})
"""After these the same incarnation does not come again."""


class Runtime:
    def __init__(
        self, loop: LoopThread, url: str, *, journal: Journal | None = None, machine: Machine | None = None,
        address: str = "127.0.0.1", keys: Keys | None = None, tools: list[Frame] | None = None,
    ) -> None:  # fmt: skip
        self._loop = loop
        self.url = url
        self.address = address
        self.journal = journal or Journal()
        self.machine = machine or Machine()
        self.keys = keys or Keys()
        self.manners = Manners()
        self.recording = Recording()
        self.script: Script = answers()
        self.tools = tools or []
        self.runtime_id = ""
        self.endpoint_id = ""
        self.trusted: list[str] = []
        self.start_number = 1
        self.incarnation = fresh_id("inc")
        self.links: list[Link] = []
        self.works: dict[Attempt, tuple[Work, asyncio.Task[None]]] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._hearing = Hearing(self)
        self._opened = 0

    # -- for the test's thread -------------------------------------------------------------------------------

    def enrollment(self, token: str, **changes: Any) -> Frame:
        """The body of `POST /runtime/v1/enroll`."""
        endpoint = {
            "hostname": self.machine.hostname,
            "os": "linux",
            "os_version": "Debian 12",
            "arch": "x86_64",
            "machine_fingerprint": self.machine.machine_fingerprint,
            "boot_id": self.machine.boot_id,
        }
        body = {
            "token": token,
            "public_key": self.keys.public,
            "runtime_version": VERSION,
            "journal_id": self.journal.journal_id,
            "endpoint": endpoint,
        }
        return {**body, **changes}

    def post_enrollment(self, body: Any) -> tuple[int, Any]:
        """Posts it as it is; the status and the decoded answer."""
        host, port = self.url.removeprefix("http://").split(":")
        line = http.client.HTTPConnection(host, int(port), timeout=20, source_address=(self.address, 0))
        try:
            text = body if isinstance(body, str | bytes) else json.dumps(body)
            line.request("POST", "/runtime/v1/enroll", text, {"Content-Type": "application/json"})
            response = line.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            line.close()

    def enroll(self, token: str) -> Frame:
        """Enrolls, and refuses a control plane whose key is not the one that the token names."""
        status, answer = self.post_enrollment(self.enrollment(token))
        assert status == 201, (status, answer)
        assert token.rpartition(".")[2].rstrip("=") == pin_of(answer["control_plane_key"]), "not the key of the token"
        self.runtime_id, self.endpoint_id = answer["runtime_id"], answer["endpoint_id"]
        self.trusted = [answer["control_plane_key"]]
        return dict(answer)

    def connect(self, kind: str = "websocket", *, wait: bool = True, timeout: float = 30.0) -> Runtime:
        """Keeps one bridge of this kind open; waits for its welcome unless told not to."""
        since = self.recording.mark()
        self._loop.run(self._connect(kind))
        if wait:
            self.recording.wait("welcome", since=since, timeout=timeout)
        return self

    def die(self, *, outlive: bool = False) -> None:
        """The process is gone, and with it its commands, unless they `outlive` it."""
        self._loop.run(self.die_now(outlive=outlive))

    def is_dead(self, *, since: int = 0) -> None:
        """Waits until a script has let this process die."""
        self.recording.wait("died", "note", since=since)

    def restart(
        self, *, kind: str = "websocket", outlive: bool = False, reboot: bool = False, wait: bool = True
    ) -> None:
        """Dies where it still lives, and begins its next life: a new incarnation, the next start number."""
        self.die(outlive=outlive)
        if reboot:
            self.machine.reboot()
        self.begin_life()
        self.connect(kind, wait=wait)

    def begin_life(self, *, start_number: int | None = None) -> None:
        self.start_number = self.start_number + 1 if start_number is None else start_number
        self.incarnation = fresh_id("inc")
        for record in self.journal.unsettled():
            if record.alive and record.owner["runtime_id"] == self.runtime_id:
                record.owner = self.owner

    def drop_links(self, *, stay_away: bool = False) -> None:
        """The network breaks; the process lives on, and connects again unless it is to stay away."""
        self._loop.run(self._drop_links(stay_away))

    def say(self, payload: Frame | str | bytes) -> None:
        self._loop.run(self.send(payload))

    def state(self, tool_call_id: str, number: int = 1, consent: int = 1) -> None:
        """The journal's word about one attempt, unasked."""
        self._loop.run(self._hearing.state((tool_call_id, number), consent))

    def later(self, work: Any) -> Any:
        """Runs a coroutine of the test on the runtime's loop."""
        return self._loop.run(work)

    def clone(self) -> Runtime:
        """Another process with the same key, the same number of starts and a copy of the journal."""
        twin = Runtime(
            self._loop, self.url, journal=self.journal.snapshot(), machine=self.machine, address=self.address,
            keys=self.keys, tools=self.tools,
        )  # fmt: skip
        twin.runtime_id, twin.endpoint_id, twin.trusted = self.runtime_id, self.endpoint_id, list(self.trusted)
        twin.start_number = self.start_number
        return twin

    def saw(self, kind: str, **how: Any) -> Seen:
        """Waits for a frame of the control plane."""
        return self.recording.wait(kind, **how)

    def dispatches(self, tool_call_id: str | None = None) -> list[Frame]:
        return [
            seen.frame
            for seen in self.recording.select("dispatch")
            if tool_call_id is None or seen.about(tool_call_id)
        ]  # fmt: skip

    def heartbeats_pass(self, count: int = 2) -> None:
        """Waits until the control plane has answered that many more heartbeats: time went by for both."""
        self.recording.wait("heartbeat_ack", since=self.recording.mark(), count=count, timeout=60)

    # -- on the loop -----------------------------------------------------------------------------------------

    @property
    def owner(self) -> Frame:
        return {"runtime_id": self.runtime_id, "incarnation": self.incarnation}

    def hello(self, kind: str, challenge: str, own_nonce: str) -> Frame:
        statements = [self.journal.statement(r) for r in self.journal.unsettled()]
        frame: Frame = {
            "type": "hello",
            "protocol": 1,
            "challenge": challenge,
            "nonce": own_nonce,
            "control_plane_key": self.trusted[0],
            "runtime_id": self.runtime_id,
            "incarnation": self.incarnation,
            "start_number": self.start_number,
            "boot_id": self.machine.boot_id,
            "journal_id": self.journal.journal_id,
            "journal_sequence": self.journal.sequence,
            "machine_fingerprint": self.machine.machine_fingerprint,
            "runtime_version": VERSION,
            "bridge": kind,
            "time_ms": now_ms(),
            "tools": self.tools,
            "statements": self.manners.statements(statements)[:500],
            "more": False,
        }
        return self.manners.sign(self.keys.sign(self.manners.hello(frame)))

    def check_trust(self, frame: Frame) -> str | None:
        """The code of the `problem` that such a frame deserves; every one is a fault of the control plane."""
        fault = signature_fault(frame, self.trusted)
        if fault is not None:
            self.recording.fault(fault)
            return "dispatch.signature"
        fault = address_fault(frame, self.runtime_id, self.incarnation)
        if fault is not None:
            self.recording.fault(fault)
            return "dispatch.misaddressed"
        return None

    async def welcomed(self, link: Link) -> None:
        assert link.welcome is not None
        for entry in link.welcome["confirm"]:
            self._hearing.take_confirmation(entry)
        if not self.manners.repeat:
            return
        for record in self.journal.unsettled():
            for stream, data in record.streams.items():
                offset = record.confirmed.get(stream, 0)
                if offset < len(data):
                    await self.send(
                        {
                            "type": "output",
                            "attempt": named(record.attempt),
                            "stream": stream,
                            "offset": offset,
                            "data": encode(bytes(data[offset:])),
                        }
                    )
            last = record.receipts.get("finished") or record.receipts.get("refused")
            if last is not None:
                await self.send(last)

    async def hear(self, link: Link, frame: Frame) -> None:
        await self._hearing.hear(link, frame)

    async def send(self, payload: Frame | str | bytes) -> None:
        """On the newest live bridge; without one the frame is lost, as on a broken network."""
        live = [link for link in self.links if link.live]
        if not live:
            frame = payload if isinstance(payload, dict) else {}
            self.recording.add("note", "lost", {**frame, "type": str(frame.get("type"))})
            return
        try:
            await live[-1].send(payload)
        except BridgeClosedError:
            self.recording.add("note", "lost", payload if isinstance(payload, dict) else {})

    def in_flight(self) -> list[Attempt]:
        return [
            r.attempt
            for r in self.journal.unsettled()
            if r.owner == self.owner and (r.state == "received" or (r.state == "started" and r.alive))
        ]

    def work(self, work: Work) -> None:
        async def go() -> None:
            try:
                await self.script(work)
            except ClaimFailedError as error:
                self.recording.add("note", "claim_failed", {"attempt": named(work.attempt), "why": str(error)})

        self.works[work.attempt] = (work, asyncio.create_task(go()))
        self.works[work.attempt][1].add_done_callback(self._script_ended)

    def _script_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.recording.fault(f"the test's script failed: {task.exception()!r}")

    def end_work(self, attempt: Attempt) -> None:
        found = self.works.pop(attempt, None)
        if found:
            found[1].cancel()

    async def die_now(self, *, outlive: bool = False) -> None:
        """The process ends. Commands that were let go may outlive it; what was only received is in nobody's hands."""
        await self._drop_links(stay_away=True)
        self.journal.live.discard(self.incarnation)
        for attempt, (work, task) in list(self.works.items()):
            if outlive and work.record is not None and work.record.alive:
                continue
            del self.works[attempt]
            if task is not asyncio.current_task():
                task.cancel()
        if not outlive:
            self.journal.lose_processes(self.runtime_id)
        self.recording.add("note", "died", {})

    async def crash_now(self, *, outlive: bool = False) -> None:
        """For scripts: dies, and comes back at once as the next incarnation."""
        await self.die_now(outlive=outlive)
        self.begin_life()
        await self._connect("websocket")

    async def break_now(self) -> None:
        """For scripts: the network breaks, the process lives on and connects again."""
        await self._drop_links(stay_away=False)

    async def _drop_links(self, stay_away: bool) -> None:
        if stay_away:
            for keeper in self._keepers.values():
                keeper.cancel()
            self._keepers.clear()
        for link in self.links:
            link.welcome = None
            link.bridge.abort()
        self.links = []

    async def _connect(self, kind: str) -> None:
        self.journal.live.add(self.incarnation)
        former = self._keepers.pop(kind, None)
        if former:
            former.cancel()
        self._keepers[kind] = asyncio.create_task(self._keep(kind))

    async def _keep(self, kind: str) -> None:
        """One bridge after the other, until the control plane says that there shall be none."""
        while True:
            self._opened += 1
            link = Link(self, self._bridge(kind), self._opened)
            self.links.append(link)
            closed = await link.run()
            if link in self.links:
                self.links.remove(link)
            if not self.manners.reconnect or closed.code in FINAL_CLOSES:
                return
            await asyncio.sleep(self.manners.back_off_s)

    def _bridge(self, kind: str) -> Bridge:
        if kind == "longpoll":
            return LongPollBridge(self.url, self.address)
        return WebSocketBridge(self.url, self.address)
