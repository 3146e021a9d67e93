"""The product's own runtime as a user starts it (API.md, last section), with real processes that really run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end import views
from tests.end_to_end.client import Api, shell
from tests.end_to_end.server import Server, command, until

Make = Callable[..., "Agent"]


class Agent:
    """One `caisey runtime` with a state directory of its own."""

    def __init__(self, api: Api, place: Path, journal_dir: Path | None = None) -> None:
        self._api = api
        self.state_dir = place
        self._journal = [] if journal_dir is None else ["--journal-dir", str(journal_dir)]
        self._process: subprocess.Popen[bytes] | None = None

    def enroll(self, token: str) -> Agent:
        """The token by stdin, so that it stands in no process list."""
        done = subprocess.run(
            [*command(), "runtime", "enroll", "--url", self._api.root, "--token", "-", *self._where()],
            input=token + "\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        assert token not in done.stdout + done.stderr
        return self

    def run(self, *program: str) -> Agent:
        """`program`: another one than the product's own, which is that with something of the machine replaced."""
        words = [*(program or (*command(), "runtime")), "run", "--state-dir", str(self.state_dir)]
        with (self.state_dir.parent / f"{self.state_dir.name}.log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        return self

    def _where(self) -> list[str]:
        return ["--state-dir", str(self.state_dir), *self._journal]

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(20)


@pytest.fixture
def agent(api: Api, tmp_path: Path) -> Iterator[Make]:
    made: list[Agent] = []

    def make(name: str = "state", **more: Path) -> Agent:
        made.append(Agent(api, tmp_path / name, **more))
        return made[-1]

    yield make
    for one in made:
        one.kill(signal.SIGTERM)


def token(api: Api, **more: str) -> str:
    return str(api.post("/enrollment-tokens", {"scope": "organization", **more})["token"])


def endpoints(api: Api) -> set[str]:
    return {e["id"] for e in api.get("/endpoints", limit=200)["items"]}


def enrolled(api: Api, make: Make, *program: str, **more: Path) -> tuple[Agent, str]:
    """A running runtime and its new endpoint. Runtimes of one test machine share a fingerprint: they are told apart."""
    before = endpoints(api)
    one = make(**more).enroll(token(api)).run(*program)
    new = endpoints(api) - before
    assert len(new) == 1
    endpoint_id = new.pop()
    until(
        lambda: api.get(f"/endpoints/{endpoint_id}")["health"] == "healthy", within=20, what="the real runtime is there"
    )
    return one, endpoint_id


def test_a_real_command(api: Api, agent: Make) -> None:
    """API.md, last section: `caisey runtime enroll`, `caisey runtime run` "make one runtime"."""
    _, endpoint_id = enrolled(api, agent)
    session = api.open_session(endpoint_id)
    prompt = api.wait_verdict(api.ask(session, shell("echo out; echo err >&2")), ("answered", "yes"))
    assert api.output(views.call(prompt)["id"]) == b"out\n"
    assert api.output(views.call(prompt)["id"], "stderr") == b"err\n"
    for line, wanted in (("true", ("empty", "yes")), ("exit 3", ("command_failed", "yes"))):
        api.wait_verdict(api.ask(session, shell(line)), wanted)
    late = api.ask(session, shell("sleep 30", limits={"time_ms": 500}))
    api.wait_verdict(late, ("timed_out", "partly"))


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="takes root and setpriv")
def test_a_command_as_whoever_is_signed_in(api: Api, agent: Make, tmp_path: Path) -> None:
    """The printer is the user's, not the system's. Where nobody is there, that is said."""
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    _, endpoint_id = enrolled(api, agent, sys.executable, "-m", "tests.runtime.signed_in", str(sessions))
    session = api.open_session(endpoint_id)
    asked = {"tool": "shell", "arguments": {"command": "id -un", "run_as": "user", "cwd": "/"}, "effect": "read_only"}
    facts = api.get(f"/endpoints/{endpoint_id}")["facts"]
    assert (facts["runs_as"]["value"], facts["runs_as_others"]["value"]) == ("root", True)

    prompt = api.wait_verdict(api.ask(session, asked), ("refused", "no"))
    verdict = views.attempts(prompt)[-1]["verdict"]
    assert verdict["code"] == "runtime.cannot_start"
    assert "Nobody is signed in there now" in json.dumps(verdict), verdict
    assert views.call(prompt)["tool_version"] == 2

    (sessions / "1").write_text("USER=nobody\nCLASS=user\nACTIVE=1\nSEAT=seat0\n")
    prompt = api.wait_verdict(api.ask(session, asked), ("answered", "yes"))
    assert api.output(views.call(prompt)["id"]) == b"nobody\n"
    own = api.wait_verdict(api.ask(session, shell("id -un")), ("answered", "yes"))
    assert api.output(views.call(own)["id"]) == b"root\n"
    assert views.call(own)["tool_version"] == 1


def test_a_cancelled_tree_is_gone(api: Api, agent: Make, tmp_path: Path) -> None:
    """PROTOCOL §4 `cancel`: "ends the process tree"."""
    _, endpoint_id = enrolled(api, agent)
    session = api.open_session(endpoint_id)
    pid_file = tmp_path / "pid"
    prompt = api.ask(session, shell(f"sleep 300 & echo $! > {pid_file}; wait"))
    api.wait_state(prompt, "started")
    until(
        lambda: pid_file.exists() and pid_file.read_text().strip(), within=10, what="the command wrote its child's pid"
    )
    api.act(prompt, "cancel")
    api.wait_verdict(prompt, ("cancelled", "partly"))
    child = int(pid_file.read_text())
    until(lambda: not alive(child), within=10, what="the child is gone")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_outlives_kill_9_of_its_runtime(api: Api, agent: Make, tmp_path: Path) -> None:
    """RECOVERY §5: "A command outlives … a crash of the runtime; the returning runtime adopts it"; one start."""
    one, endpoint_id = enrolled(api, agent)
    session = api.open_session(endpoint_id)
    go, ran = tmp_path / "go", tmp_path / "ran"
    script = f"echo once >> {ran}; while [ ! -e {go} ]; do sleep 0.05; done; echo done"
    prompt = api.ask(session, shell(script, "mutating"))
    api.wait_state(prompt, "started")
    until(ran.exists, within=10, what="it runs")
    one.kill()
    one.run()
    api.wait_state(prompt, "started", within=30)
    go.touch()
    prompt = api.wait_verdict(prompt, ("answered", "yes"), within=30)
    assert ran.read_text() == "once\n"
    assert api.output(views.call(prompt)["id"]) == b"done\n"
    assert len(views.attempts(prompt)) == 1


def test_an_end_while_nobody_looked_is_told_later(api: Api, agent: Make, tmp_path: Path) -> None:
    """RECOVERY §5: the end record is written by the shim; `finished` is repeated until it is settled."""
    one, endpoint_id = enrolled(api, agent)
    api.put(f"/endpoints/{endpoint_id}/policy", {"reconcile_window_s": 30.0})
    session = api.open_session(endpoint_id)
    go, done = tmp_path / "go", tmp_path / "done"
    prompt = api.ask(session, shell(f"while [ ! -e {go} ]; do sleep 0.05; done; echo bye; touch {done}", "mutating"))
    api.wait_state(prompt, "started")
    one.kill()
    go.touch()
    until(done.exists, within=10, what="the command ended by itself")
    one.run()
    prompt = api.wait_verdict(prompt, ("answered", "yes"), within=30)
    assert api.output(views.call(prompt)["id"]) == b"bye\n"


def test_the_control_plane_dies_under_a_real_command(api: Api, agent: Make, server: Server, tmp_path: Path) -> None:
    """RECOVERY §9, 2 and 3, with both ends real."""
    _, endpoint_id = enrolled(api, agent)
    session = api.open_session(endpoint_id)
    go, ran = tmp_path / "go", tmp_path / "ran"
    prompt = api.ask(
        session, shell(f"echo once >> {ran}; while [ ! -e {go} ]; do sleep 0.05; done; echo done", "mutating")
    )
    api.wait_state(prompt, "started")
    server.kill()
    server.start()
    go.touch()
    prompt = api.wait_verdict(prompt, ("answered", "yes"), within=60)
    assert ran.read_text() == "once\n"


def test_a_runtime_comes_back_by_the_bridge_that_it_prefers(api: Api, agent: Make, server: Server) -> None:
    """A control plane that is away for a while is no network that breaks WebSockets."""
    one, endpoint_id = enrolled(api, agent)
    log = one.state_dir.parent / f"{one.state_dir.name}.log"
    tried = log.read_text().count("bridge closed")
    server.kill()
    until(lambda: log.read_text().count("bridge closed") >= tried + 3, within=30, what="it tried several times")
    server.start()

    def bridges() -> list[str]:
        endpoint = api.get(f"/endpoints/{endpoint_id}")
        return list(endpoint["runtimes"][0]["bridges"]) if endpoint["sendable"]["value"] else []

    assert until(bridges, within=60, what="it is back") == ["websocket"]


def test_directories_are_private(api: Api, agent: Make) -> None:
    """API.md: "Directories 0700, files 0600, or it refuses to start"."""
    one, _ = enrolled(api, agent)
    for path in [one.state_dir, *one.state_dir.rglob("*")]:
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
            assert mode & 0o077 == 0, path
    one.kill(signal.SIGTERM)
    one.state_dir.chmod(0o755)
    refused = subprocess.run(
        [*command(), "runtime", "run", "--state-dir", str(one.state_dir)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr


def test_two_runtimes_may_share_a_journal(api: Api, agent: Make, tmp_path: Path) -> None:
    """API.md: "`--journal-dir` where given, which two runtimes of one endpoint may share"."""
    shared = tmp_path / "journal"
    first, endpoint_id = enrolled(api, agent, journal_dir=shared)
    second = agent("second", journal_dir=shared).enroll(token(api)).run()
    until(
        lambda: len(api.get(f"/endpoints/{endpoint_id}")["runtimes"]) == 2,
        within=20,
        what="the second runtime joins the endpoint by its journal",
    )
    session = api.open_session(endpoint_id)
    first.kill()
    prompt = api.ask(session, shell("echo by the second", "mutating"))
    api.wait_verdict(prompt, ("answered", "yes"), within=30)
    assert second.state_dir.exists()


def test_what_a_command_gets_is_only_what_it_was_sent(api: Api, agent: Make) -> None:
    """DESIGN: "Secrets … are never logged": none of the runtime's is in a command's environment."""
    _, endpoint_id = enrolled(api, agent)
    session = api.open_session(endpoint_id)
    prompt = api.wait_verdict(api.ask(session, shell("env")), ("answered", "yes"))
    environment = api.output(views.call(prompt)["id"]).decode()
    assert "cse_" not in environment
    assert "CAISEY_ENROLLMENT_TOKEN" not in environment
