"""Foreign runtimes, enrolled through the front door, and a desk: one endpoint, one session, one technician."""

from __future__ import annotations

import itertools
import re
from typing import Any

from tests.end_to_end.client import Api, shell
from tests.end_to_end.server import until
from tests.end_to_end.views import Prompt
from tests.foreign.journal import Journal
from tests.foreign.loop import LoopThread
from tests.foreign.manners import Machine
from tests.foreign.runtime import Runtime
from tests.foreign.wire import Frame, canonical_digest
from tests.foreign.work import Script, answers

POLICY: dict[str, Any] = {
    "heartbeat_interval_s": 0.5,
    "missed_to_unhealthy": 2,
    "ack_window_s": 1.0,
    "reconcile_window_s": 2.0,
    "hold_expiry_s": 60,
    "max_automatic": 2,
}
"""Windows so short that a whole life of a stall fits into a test."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_addresses = itertools.count(1)


def next_address() -> str:
    """A loopback address of its own: enrollments and handshakes are limited per address (PROTOCOL.md §9)."""
    number = next(_addresses)
    return f"127.1.{number // 250 % 250}.{number % 250 + 1}"


def tools_of(api: Api) -> list[Frame]:
    """What a runtime says it has: every tool, with the digest that the control plane shows, else one of our own."""
    found = []
    for tool in api.get("/tools", limit=200)["items"]:
        digest = tool.get("digest")
        known = digest if isinstance(digest, str) and _SHA256.fullmatch(digest) else canonical_digest(tool)
        found.append({"name": tool["name"], "version": tool["version"], "digest": known})
    return found


class Fleet:
    """Makes runtimes, and ends them all. What the control plane did against the page is in each one's `faults`."""

    def __init__(self, loop: LoopThread, api: Api) -> None:
        self._loop = loop
        self._api = api
        self.runtimes: list[Runtime] = []

    def token(self, scope: str = "organization", **more: Any) -> str:
        body = {"scope": scope, "uses": 1, "expires_in_s": 600, **more}
        return str(self._api.post("/enrollment-tokens", body)["token"])

    def runtime(
        self,
        script: Script | None = None,
        *,
        journal: Journal | None = None,
        machine: Machine | None = None,
        token: str | None = None,
        enroll: bool = True,
        connect: str | None = "websocket",
    ) -> Runtime:
        """A runtime, by default of an endpoint of its own, enrolled and connected."""
        runtime = Runtime(
            self._loop, self._api.root, journal=journal, machine=machine, address=next_address(),
            tools=tools_of(self._api),
        )  # fmt: skip
        runtime.script = script or answers()
        self.runtimes.append(runtime)
        if enroll:
            runtime.enroll(token or self.token())
            if connect:
                runtime.connect(connect)
        return runtime

    def sibling(
        self, first: Runtime, script: Script | None = None, *, shared_journal: bool, connect: bool = True
    ) -> Runtime:
        """A second runtime of the same endpoint: by the same journal, or by a token for that endpoint."""
        second = self.runtime(
            script,
            journal=first.journal if shared_journal else None,
            machine=first.machine,
            token=self.token("endpoint", endpoint_id=first.endpoint_id),
            connect="websocket" if connect else None,
        )
        assert second.endpoint_id == first.endpoint_id, "the sibling became another endpoint"
        return second

    def close(self) -> None:
        for runtime in self.runtimes:
            runtime.die()

    def faults(self) -> list[str]:
        return [fault for runtime in self.runtimes for fault in runtime.recording.faults]


class Desk:
    """What most tests need: a technician at one session on one fresh endpoint with one runtime."""

    def __init__(self, api: Api, fleet: Fleet, runtime: Runtime) -> None:
        self.api = api
        self.fleet = fleet
        self.runtime = runtime
        self.endpoint_id = runtime.endpoint_id
        self.session_id = api.open_session(runtime.endpoint_id)

    def ask(self, *tool_calls: dict[str, Any], script: Script | None = None) -> Prompt:
        if script is not None:
            self.runtime.script = script
        return self.api.ask(self.session_id, *(tool_calls or (shell(),)))

    def policy(self, **fields: Any) -> None:
        """Sets fields of the endpoint's own policy."""
        self.api.put(f"/endpoints/{self.endpoint_id}/policy", fields)

    def answered(self, *tool_calls: dict[str, Any]) -> Prompt:
        """Asks, and waits until the first step is answered."""
        return self.api.wait_verdict(self.ask(*tool_calls), ("answered", "yes"))

    def no_new_work(self, because: str) -> None:
        """Waits until the control plane sends nothing there for this reason: what a runtime did and a request after it
        come by two lines into one server, and the later one may be read first."""
        until(
            lambda: self.api.get(f"/endpoints/{self.endpoint_id}")["sendable"]["reason"] == because,
            within=20,
            what=f"no new work goes there: {because}",
        )

    def goes_away(self) -> None:
        """The only runtime's connection breaks, it stays away, and the control plane has seen it."""
        self.runtime.drop_links(stay_away=True)
        self.no_new_work("offline")

    def nothing_more_happens(self, prompt: Prompt, heartbeats: int = 3) -> Prompt:
        """Heartbeats go by, both sides live; the prompt's attempts are the same as before."""
        before = [len(call["attempts"]) for call in self.api.prompt(prompt["id"])["tool_calls"]]
        self.runtime.heartbeats_pass(heartbeats)
        after = self.api.prompt(prompt["id"])
        assert [len(call["attempts"]) for call in after["tool_calls"]] == before
        return after
