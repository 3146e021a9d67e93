"""The computers of the demonstration: each a real `caisey runtime run` with a key, a journal and a name of its own.

Owns what can happen to one: it is killed, frozen, loses power, restarts, is set back to a copy of its record. What the
control plane makes of that it never says.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caisey.cli import machine
from caisey.cli.demo.household import Household, Process, children, environment, is_over
from caisey.cli.spans import to_ms

if TYPE_CHECKING:
    from caisey.cli.client import Api

Document = dict[str, Any]

BOOT_ID = "/proc/sys/kernel/random/boot_id"
INIT_SCRIPTS = "/etc/init.d"
# A view of the file system of its own, in which two places of the system show files of ours.
_BESIDE = (
    f'mount --bind "$1" {BOOT_ID} && {{ [ -z "$2" ] || mount --bind "$2" {INIT_SCRIPTS}; }} && shift 2 && exec "$@"'
)


class Computer:
    """One enrolled runtime. `start` it before anything is asked of it."""

    def __init__(self, household: Household, api: Api, url: str, name: str) -> None:
        self.name = name
        self.endpoint_id = ""
        self.state_dir = household.path / name
        self._household = household
        self._api = api
        self._url = url
        self._process: Process | None = None

    def enroll(self) -> None:
        """As on any computer, by the command line; the token by stdin, so that it stands in no list of processes."""
        token = self._token()
        words = ["-m", "caisey.cli.main", "runtime", "enroll", "--url", self._url, "--token", "-"]
        said = self._household.run([*words, "--state-dir", str(self.state_dir), "--json"], stdin=f"{token}\n")
        self.endpoint_id = str(json.loads(said)["endpoint_id"])
        self._api.patch(f"/endpoints/{self.endpoint_id}", {"name": self.name})

    # -- its life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the agent and wait until the control plane would send it work."""
        before = self._incarnations()
        process = self._process = self._begin()

        def answers() -> bool:
            if not process.runs:
                raise process.ended()
            endpoint = self.shown()
            return self._incarnations(endpoint) != before and bool((endpoint.get("sendable") or {}).get("value"))

        machine.wait_until(answers, f"The first contact with {self.name}")

    def shown(self) -> Document:
        """The computer as the API shows it."""
        endpoint: Document = self._api.get(f"/endpoints/{self.endpoint_id}")
        return endpoint

    def wait_for(self, condition: Callable[[Document], Any], what: str) -> None:
        """Until the API shows the computer so."""
        machine.wait_until(lambda: condition(self.shown()), what)

    def make_ready(self) -> None:
        """Whatever an earlier scene left: it runs and answers."""
        if self._process is not None and self._process.runs:
            self.thaw()
            self.wait_for(lambda e: (e.get("sendable") or {}).get("value"), f"An answer of {self.name}")
        else:
            self.start()

    @property
    def pid(self) -> int:
        """The agent's process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9 of the agent alone: what it started goes on."""
        assert self._process is not None
        self._process.kill()

    def lose_power(self) -> None:
        """The agent and everything it started end at once."""
        self.kill()
        self._household.sweep(self.state_dir)

    def freeze(self) -> None:
        """SIGSTOP: its connection stays open, and it says nothing."""
        assert self._process is not None
        self._process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send(signal.SIGCONT)

    def block_starts(self) -> list[int]:
        """Freeze the process that starts commands, and take those away that wait for one: work is received, not begun.

        The agent itself goes on, and has seen that they are gone; `lose_power` ends the frozen one as well. Returns
        which one that is.
        """
        starters = children(self.pid)
        waiting = []
        for starter in starters:
            os.kill(starter, signal.SIGSTOP)
            waiting += children(starter)
        for one in waiting:
            os.kill(one, signal.SIGKILL)
        machine.wait_until(lambda: all(map(is_over, waiting)), "The end of what waited for a command")
        known = self._api.now_ms()
        self.wait_for(lambda shown: _proved_ms(shown) > known, f"A sign of life of {self.name}")
        return starters

    def proved_ms(self) -> int:
        """When it last proved that it answers."""
        return _proved_ms(self.shown())

    # -- its own record -----------------------------------------------------------------------------------------------

    def copy_record(self) -> Path:
        """A copy of the journal, as a backup makes it; output that waits to be sent is left out. No agent may run."""
        copy = self._household.path / f"{self.name}.backup"
        shutil.copytree(self.state_dir / "journal", copy, ignore=shutil.ignore_patterns("spool", "live"))
        return copy

    def set_back(self, copy: Path) -> None:
        """The journal becomes the copy again. The agent must not run."""
        shutil.rmtree(self.state_dir / "journal")
        copy.rename(self.state_dir / "journal")

    def _begin(self, **environment: str) -> Process:
        words = ["-m", "caisey.cli.main", *self._command(), "--state-dir", str(self.state_dir)]
        name = f"agent of {self.name}"
        log = f"{self.name}.log"
        return self._household.start(name, words, log, home=self.state_dir, prefix=self._prefix(), extra=environment)

    def _command(self) -> list[str]:
        return ["runtime", "run", "--bridge", "websocket"]  # a busy machine would now and then fall back to long polls

    def _prefix(self) -> list[str]:
        return []

    def _token(self) -> str:
        """For one use, in a client group of its own: computers of one client say something about each other."""
        group = self._api.post("/client-groups", {"name": f"Client of {self.name}"})
        body = {"scope": "client_group", "client_group_id": group["id"], "uses": 1, "expires_in_s": 600}
        return str(self._api.post("/enrollment-tokens", body)["token"])

    def _incarnations(self, endpoint: Document | None = None) -> list[Any]:
        return [runtime.get("incarnation") for runtime in (endpoint or self.shown()).get("runtimes") or []]


def _proved_ms(endpoint: Document) -> int:
    return to_ms((endpoint.get("sendable") or {}).get("proved_at")) or 0


class BootingComputer(Computer):
    """A computer with a boot id of its own, and init scripts of its own: it can be restarted without the machine.

    It runs in its own view of the file system, where another file lies over the kernel's boot id.
    """

    def __init__(self, household: Household, api: Api, url: str, name: str) -> None:
        super().__init__(household, api, url, name)
        self.scripts = household.path / f"{name}.init.d"
        self.scripts.mkdir(mode=0o700)
        self._boot_id = household.path / f"{name}.boot_id"
        self.restart_computer()

    def restart_computer(self) -> None:
        """From the next start on, the computer was restarted. What ran there has to be ended before."""
        self._boot_id.write_text(f"{uuid.uuid4()}\n")

    def _prefix(self) -> list[str]:
        scripts = str(self.scripts) if Path(INIT_SCRIPTS).is_dir() else ""
        return [*own_view(), "sh", "-c", _BESIDE, "caisey-demo", str(self._boot_id), scripts]


class PracticeComputer(Computer):
    """A practice runtime, for what an honest one cannot do on demand. It executes nothing, and is marked as such."""

    def enroll(self) -> None:
        """It enrolls itself at its first start; the token by the environment, good for one use."""
        process = self._process = self._begin(CAISEY_ENROLLMENT_TOKEN=self._token())

        def answers() -> bool:
            if not process.runs:
                raise process.ended()
            alike = self._api.items("/endpoints", q=self.name)
            found = next((item for item in alike if item["name"] == self.name and item["sendable"]["value"]), None)
            self.endpoint_id = found["id"] if found else ""
            return found is not None

        machine.wait_until(answers, f"The first contact with {self.name}")

    def _command(self) -> list[str]:
        return ["practice", "--url", self._url, "--hostname", self.name]


def own_view() -> list[str]:
    """The words that give a program its own view of the file system; without root by a user namespace."""
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]


def why_no_own_view(directory: Path) -> str | None:
    """Why this machine does not permit that; None where it does."""
    if shutil.which("unshare") is None:
        return "`unshare` is not installed"
    probe = directory / "probe.boot_id"
    probe.write_text("probe\n")
    words = [*own_view(), "sh", "-c", _BESIDE, "caisey-demo", str(probe), "", "cat", BOOT_ID]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False, env=environment())  # noqa: S603  # words of our own
    if done.returncode == 0 and done.stdout == "probe\n":
        return None
    return (done.stderr.strip().splitlines() or ["a file cannot be laid over the boot id"])[-1]
