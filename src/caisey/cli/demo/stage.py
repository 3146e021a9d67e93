"""Where the demonstration plays: a real control plane, technicians with tokens of their own, and the computers.

Owns their order and the short windows. It speaks to the control plane as anybody does, by the command line and the API.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from caisey.cli import machine
from caisey.cli.client import Api
from caisey.cli.demo.computer import BootingComputer, Computer, PracticeComputer, why_no_own_view
from caisey.cli.demo.household import Household, Process
from caisey.cli.profiles import Target

Document = dict[str, Any]

POLICY: Document = {
    "heartbeat_interval_s": 1,
    "missed_to_unhealthy": 2,
    "ack_window_s": 2,
    "reconcile_window_s": 60,
    "stall_after_s": 1.5,
    "hold_expiry_s": 600,
    "max_automatic": 2,
}
"""Windows so short that nobody waits for them; what is concluded when one has passed is the same as with long ones."""

HOST = "127.0.0.1"
TECHNICIANS = ("Robin", "Kim")
BOOTING = "PRINT-01"
PRACTICE = "PRACTICE"
_KINDS: dict[str, type[Computer]] = {BOOTING: BootingComputer, PRACTICE: PracticeComputer}


class Stage:
    """One control plane with everything around it, for the time of a `with`."""

    def __init__(self, household: Household) -> None:
        self.household = household
        self.data_dir = household.path / "control-plane"
        with contextlib.closing(socket.socket()) as probe:  # a port that is free now; runtimes keep the address
            probe.bind((HOST, 0))
            self.url = f"http://{HOST}:{probe.getsockname()[1]}"
        self.people: dict[str, Api] = {}
        self.owner_token = ""
        self._computers: dict[str, Computer] = {}
        self._doubtful: set[str] = set()
        self._control_plane: Process | None = None

    @contextmanager
    def open(self) -> Iterator[Stage]:
        """Start it, with an owner and technicians; its connections are closed afterwards."""
        try:
            self.start_control_plane()
            words = ["tokens", "create", "--data-dir", str(self.data_dir), "--organization", "default"]
            said = self.household.run(["-m", "caisey.cli.main", *words, "--role", "owner", "--json"])
            self.owner_token = str(json.loads(said)["token"])
            owner = self.people["owner"] = Api(Target(self.url, self.owner_token))
            owner.put("/policy", POLICY)
            for name in TECHNICIANS:
                made = owner.post("/tokens", {"role": "technician", "name": name})
                self.people[name] = Api(Target(self.url, made["token"]))
            yield self
        finally:
            for api in self.people.values():
                api.close()

    # -- the control plane --------------------------------------------------------------------------------------------

    def start_control_plane(self) -> None:
        """`caisey serve`, until it answers."""
        words = machine.serve_words(self.data_dir, self.url.removeprefix("http://"))
        self._control_plane = process = self.household.start("control plane", words, "control-plane.log")

        def ready() -> bool:
            if not process.runs:
                raise process.ended()
            return machine.is_ready(self.url)

        machine.wait_until(ready, "The start of the control plane")

    def kill_control_plane(self) -> int:
        """kill -9; returns the number it had."""
        assert self._control_plane is not None
        self._control_plane.kill()
        return self._control_plane.pid

    def set_up_link(self) -> str:
        """Where an account for the console is made, once."""
        words = ["members", "set-up-link", "--data-dir", str(self.data_dir), "--json"]
        made = json.loads(self.household.run(["-m", "caisey.cli.main", *words]))
        return f"{self.url}{made['path']}"

    @cached_property
    def why_no_view(self) -> str | None:
        """Why a computer cannot have a boot id of its own on this machine; None where it can."""
        return why_no_own_view(self.household.path)

    # -- computers and people -----------------------------------------------------------------------------------------

    def computer(self, name: str) -> Computer:
        """The computer of that name: enrolled when it is first asked for, and ready whatever happened before."""
        found = self._computers.get(name)
        if found is None:
            kind = _KINDS.get(name, Computer)
            if kind is BootingComputer and self.why_no_view is not None:
                kind = Computer
            found = self._computers[name] = kind(self.household, self.people["owner"], self.url, name)
            found.enroll()
        if name in self._doubtful:
            self._doubtful.remove(name)
            found.lose_power()
        found.make_ready()
        return found

    def doubt(self, name: str) -> None:
        """A scene on this computer broke: it is started anew before the next one."""
        self._doubtful.add(name)

    @contextmanager
    def windows(self, computer: Computer, **fields: Any) -> Iterator[None]:
        """Other fields of the policy for one computer, for a while."""
        path = f"/endpoints/{computer.endpoint_id}/policy"
        self.people["owner"].put(path, fields)
        try:
            yield
        finally:
            self.people["owner"].put(path, {})
