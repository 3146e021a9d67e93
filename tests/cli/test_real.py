"""The command line against the real control plane and a real runtime of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from caisey.cli import machine, profiles
from tests.cli import program

pytestmark = pytest.mark.end_to_end

WITHIN_S = 40.0
_PAUSE = threading.Event()


def until(condition: Callable[[], Any], what: str) -> Any:
    """The condition's first true value."""
    deadline = time.monotonic() + WITHIN_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {WITHIN_S} s: {what}"
        _PAUSE.wait(0.05)
    return found


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Real:
    """A control plane that runs, and a machine that is enrolled."""

    data_dir: Path
    state_dir: Path
    url: str
    env: dict[str, str]
    runtime: subprocess.Popen[bytes] | None = None

    def cli(self, *words: str, stdin: str = "") -> program.Done:
        return program.run(list(words), self.env, stdin=stdin)

    def json(self, *words: str) -> Any:
        done = self.cli(*words, "--json")
        assert done.code == 0, done
        return json.loads(done.out)

    def start_runtime(self) -> None:
        with (self.state_dir.parent / "runtime.log").open("ab") as log:
            self.runtime = subprocess.Popen(
                [*program.COMMAND, "runtime", "run", "--state-dir", str(self.state_dir)],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        until(self.is_ready, "the runtime is ready")

    def is_ready(self) -> bool:
        return any(item["sendable"]["value"] for item in self.json("endpoints")["items"])

    def stop_runtime(self, how: signal.Signals) -> None:
        process, self.runtime = self.runtime, None
        if process is not None:
            process.send_signal(how)
            process.wait(WITHIN_S)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """`serve`, `tokens create`, `runtime enroll`, `runtime run`: as a person does it."""
    home = tmp_path_factory.mktemp("real")
    url = f"http://127.0.0.1:{free_port()}"
    env = program.environment(home)
    found = Real(home / "data", home / "state", url, env)
    with (home / "serve.log").open("ab") as log:
        serve = subprocess.Popen(
            [*program.COMMAND, "serve", "--data-dir", str(found.data_dir), "--listen", url.removeprefix("http://")],
            env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        until(lambda: machine.is_ready(url), "the control plane is ready")
        where = ("--data-dir", str(found.data_dir), "--organization", "default")
        token = found.json("tokens", "create", *where, "--role", "owner")["token"]
        env |= {"CAISEY_URL": url, "CAISEY_TOKEN": token}
        enrollment = found.json("endpoints", "add")["token"]
        done = found.cli(
            "runtime", "enroll", "--url", url, "--token", "-", "--state-dir", str(found.state_dir), stdin=enrollment
        )
        assert done.code == 0, done
        assert done.out.startswith("rtm_")
        found.start_runtime()
        yield found
    finally:
        found.stop_runtime(signal.SIGTERM)
        serve.send_signal(signal.SIGTERM)
        code = serve.wait(WITHIN_S)
    assert code == 0, (home / "serve.log").read_text()


@pytest.fixture
def computer(real: Real) -> str:
    """The name of this machine there."""
    return str(real.json("endpoints")["items"][0]["name"])


def test_a_command_and_its_answer(real: Real, computer: str) -> None:
    done = real.cli("prompt", computer, "--", "printf", "%s|", "a b", "$HOME", "it's")
    assert (done.code, done.out) == (0, "a b|$HOME|it's|"), done
    assert "✓ Done" in done.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--", "echo out; echo err >&2; exit 3"], 15),
        (["--reads-only", "--", "true"], 10),
        (["--may-change", "--", "true"], 0),
        (["--limit", "1s", "--", "sleep 60"], 16),
        (["--tool", "system_info"], 0),
        (["--tool", "service", "--arg", "name:=5"], 11),
        (["--tool", "no_such_tool"], 11),
        (["--text", "why is it slow?"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_the_exit_code_says_how_it_went(real: Real, computer: str, words: list[str], code: int) -> None:
    done = real.cli("prompt", computer, *words)
    assert done.code == code, done


def test_much_output_comes_whole_and_exact(real: Real, computer: str) -> None:
    command = [*program.COMMAND, "prompt", computer, "--raw", "--", "seq 1 200000"]
    done = subprocess.run(command, env=real.env, capture_output=True, timeout=WITHIN_S, check=True)
    assert done.stdout == b"".join(b"%d\n" % number for number in range(1, 200_001))


def test_stop_look_start_with_a_death_in_the_middle(real: Real, computer: str, tmp_path: Path) -> None:
    """RECOVERY.md §7: the runtime and what it ran die in step 2; step 3 alone is sent by somebody who has read it."""
    first, pid_file, third = tmp_path / "first", tmp_path / "pid", tmp_path / "third"
    steps = [f"echo x >> {first}", f"echo $$ > {pid_file}; exec sleep 300", f"echo x >> {third}"]
    words = ["prompt", computer, "--may-change", *(word for step in steps for word in ("--step", step))]
    with program.with_pipes(words, real.env) as watching:
        pid = int(until(lambda: pid_file.exists() and pid_file.read_text().strip(), "step 2 runs"))
        shim = int(re.findall(r"PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0])
        real.stop_runtime(signal.SIGKILL)
        os.kill(shim, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        real.start_runtime()
        done = watching.end()
    assert done.code == 14, done
    assert "Started, no end recorded" in done.err
    [prompt_id] = set(re.findall(r"caisey act (pmt_\w+) resume", done.err))
    story = real.cli("story", prompt_id)
    assert "the process is gone" in story.out, story
    awareness = real.json("awareness", prompt_id)
    assert [step["ran"] for step in awareness["steps"]] == ["yes", "unconfirmed", "no"]
    assert [call["position"] for call in awareness["will_send"]] == [3]
    done = real.cli("act", prompt_id, "resume", "--yes", "--reason", "step 1 is done")
    assert done.code == 0, done
    assert "What already ran" in done.err
    assert (first.read_text(), third.read_text()) == ("x\n", "x\n")
    assert pid_file.read_text().strip() == str(pid)


def test_ctrl_c_leaves_and_cancel_stops(real: Real, computer: str) -> None:
    with program.on_terminal(["prompt", computer, "--", "echo begun; sleep 300"], real.env) as terminal:
        terminal.read_until("begun\r\n")
        terminal.type("\x03")
        assert terminal.end() == 130
    [prompt_id] = set(re.findall(r"caisey act (pmt_\w+) cancel", terminal.seen))
    assert real.json("story", prompt_id)["state"] == "running"
    done = real.cli("act", prompt_id, "cancel")
    assert done.code == 0, done
    assert real.json("story", prompt_id)["state"] == "ended"


def test_a_question_is_answered(real: Real, computer: str) -> None:
    with program.with_pipes(["prompt", computer, "--", "read answer; echo got $answer"], real.env) as process:
        prompt_id = until(lambda: _running(real), "the command runs")
        assert real.cli("act", prompt_id, "input", "--data", "forty two").code == 0
        done = process.end()
    assert (done.code, done.out) == (0, "got forty two\n"), done


def _running(real: Real) -> str | None:
    for session in real.json("sessions", "list", "--most", "3")["items"]:
        for prompt in real.json("sessions", "show", session["id"])["prompts"]:
            states = [
                attempt["state"]
                for call in real.json("story", prompt["id"])["tool_calls"]
                for attempt in call["attempts"]
            ]
            if "started" in states:
                return str(prompt["id"])
    return None


def test_every_list_and_report_answers(real: Real) -> None:
    for words in (
        ["endpoints"], ["sessions"], ["attention"], ["tools"], ["tokens"], ["members"], ["groups"], ["recovery"],
        ["shapes"], ["policy", "show"], ["audit"],
    ):  # fmt: skip
        done = real.cli(*words)
        assert done.code == 0, done


def test_the_audit_log_verifies_offline_and_a_change_is_found(real: Real, tmp_path: Path) -> None:
    export = tmp_path / "audit.jsonl"
    assert real.cli("audit", "export", "-o", str(export)).code == 0
    key = real.cli("audit", "key", "--data-dir", str(real.data_dir)).out.strip()
    done = real.cli("audit", "verify", str(export), "--key", key)
    assert done.code == 0, done
    assert "It holds" in done.err
    assert json.loads(real.cli("audit", "verify", str(export), "--json").out)["signatures_checked"] is False
    lines = export.read_bytes().splitlines(keepends=True)
    event = json.loads(lines[2])
    event["type"] = "nothing.happened"
    changed = tmp_path / "changed.jsonl"
    changed.write_bytes(b"".join([*lines[:2], json.dumps(event).encode() + b"\n", *lines[3:]]))
    done = real.cli("audit", "verify", str(changed), "--key", key)
    assert done.code == 1, done
    assert "It does not hold at event 3" in done.err
    shortened = tmp_path / "shortened.jsonl"
    shortened.write_bytes(b"".join(lines[:-1]))
    assert real.cli("audit", "verify", str(shortened), "--key", key).code == 1
    other = "A" * 43 + "="
    assert real.cli("audit", "verify", str(export), "--key", other).code == 1
    assert real.cli("audit", "verify", str(tmp_path / "none")).code == 2
    assert real.cli("audit", "export", "-o", str(export)).code == 2


def test_local_administration_beside_the_running_server(real: Real) -> None:
    where = ("--data-dir", str(real.data_dir))
    made = real.json("organizations", "create", "Second", *where)
    assert made["id"].startswith("org_")
    assert {item["name"] for item in real.json("organizations", "list", *where)["items"]} == {"default", "Second"}
    assert real.cli("organizations", "create", "Second", *where).code == 1
    assert real.cli("tokens", "create", *where, "--organization", "nobody", "--role", "owner").code == 1
    token = real.json("tokens", "create", *where, "--organization", "Second", "--role", "viewer")["token"]
    done = program.run(["endpoints", "--json"], {**real.env, "CAISEY_TOKEN": token})
    assert json.loads(done.out) == {"items": []}


def test_where_the_first_account_is_made(real: Real) -> None:
    said = (real.data_dir.parent / "serve.log").read_text()
    first = re.search(r"Make the first one here \(once, within 24 h\):\n  (http\S+)", said)
    assert first is not None, said
    assert first[1].startswith(f"{real.url}/set-up/")
    where = ("--data-dir", str(real.data_dir))
    done = real.cli("members", "set-up-link", *where)
    assert done.out.startswith(f"{real.url}/set-up/")
    assert _status(first[1]) == 404, "a newer link ends the former one"
    assert _status(done.out.strip()) == 200
    made = real.json("members", "set-up-link", *where)
    assert set(made) == {"address", "path", "expires_at_ms"}
    assert real.cli("members", "set-up-link", *where, "--organization", "nobody").code == 1


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=WITHIN_S) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_local_administration_without_a_server(tmp_path: Path) -> None:
    env = program.environment(tmp_path)
    where = ["--data-dir", str(tmp_path / "data"), "--json"]
    done = program.run(["organizations", "create", "Acme", *where], env)
    assert json.loads(done.out)["name"] == "Acme"
    done = program.run(["tokens", "create", "--organization", "Acme", "--role", "owner", *where], env)
    assert json.loads(done.out)["token"].startswith("cst_")
    done = program.run(["members", "set-up-link", "--organization", "Acme", *where[:2]], env)
    assert re.fullmatch(r"/set-up/[\w-]{43}\n", done.out)
    assert "Put the console's address before it" in done.err
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_serve_says_why_it_does_not_start(real: Real, tmp_path: Path) -> None:
    listen = real.url.removeprefix("http://")
    done = real.cli("serve", "--data-dir", str(tmp_path / "new"), "--listen", listen)
    assert done.code == 1
    assert f"It cannot listen at {listen}" in done.err
    done = real.cli("serve", "--data-dir", str(real.data_dir), "--listen", f"127.0.0.1:{free_port()}")
    assert done.code == 1
    assert "is in use by process" in done.err
    assert real.cli("serve").code == 2
    assert real.cli("serve", "--data-dir", str(tmp_path / "new"), "--listen", "nowhere").code == 2


def test_the_runtime_says_what_it_is(real: Real, tmp_path: Path) -> None:
    status = real.json("runtime", "status", "--state-dir", str(real.state_dir))
    assert status["enrolled"]
    assert status["running"]
    assert "runtime id" in real.cli("runtime", "status", "--state-dir", str(real.state_dir)).out
    words = ["runtime", "enroll", "--url", real.url, "--state-dir", str(tmp_path / "state")]
    assert real.cli(*words).code == 2
    done = real.cli(*words, "--token", "cse_nonsense.AAAAAAAAAAAAAAAAAAAAAA")
    assert done.code == 1, done
    gone = f"http://127.0.0.1:{free_port()}"
    words = ["runtime", "enroll", "--url", gone, "--state-dir", str(tmp_path / "s2"), "--token", "-"]
    token = real.json("endpoints", "add")["token"]
    assert real.cli(*words, stdin=token).code == 31


def test_the_doctor_finds_nothing_wrong(real: Real) -> None:
    words = ["doctor", "--data-dir", str(real.data_dir), "--state-dir", str(real.state_dir)]
    found = real.json(*words)
    states = {check["name"]: check["state"] for check in found["checks"]}
    assert found["ok"]
    assert states.keys() >= {
        "clock",
        "open files",
        "data directory",
        "lock",
        "disk",
        "fsync",
        "runtime",
        "control plane",
    }
    assert "a control plane runs on it" in real.cli(*words).out


def test_the_doctor_finds_what_is_wrong(real: Real, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    listen = real.url.removeprefix("http://")
    done = real.cli(
        "doctor", "--data-dir", str(data), "--state-dir", str(tmp_path / "none"), "--listen", listen, "--json"
    )
    assert done.code == 1, done
    wrong = {check["name"]: check["do"] for check in json.loads(done.out)["checks"] if check["state"] == "wrong"}
    assert wrong["data directory"] == f"chmod 700 {data}"
    assert wrong.keys() == {"data directory", "runtime", "port"}
    env = {**real.env, "CAISEY_URL": f"http://127.0.0.1:{free_port()}"}
    done = program.run(["doctor"], env)
    assert done.code == 1
    assert "✗ control plane: Caisey at" in done.out


# -- up ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def up_home(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A directory for `caisey up`, ended whatever happens."""
    env = program.environment(tmp_path)
    path = tmp_path / "up"
    yield path, env
    program.run(["up", "--stop", "--data-dir", str(path)], env)


def test_up_works_at_once_and_ctrl_c_ends_both(up_home: tuple[Path, dict[str, str]]) -> None:
    path, env = up_home
    words = ["up", "--data-dir", str(path), "--listen", f"127.0.0.1:{free_port()}"]
    with program.on_terminal(words, env) as terminal:
        terminal.read_until("Caisey answers at ")
        terminal.read_until("Next, in another terminal:")
        said = terminal.read_until("Ctrl-C ends both.")
        [following] = re.findall(r"(\S.* prompt .* -- uptime)", said)
        done = subprocess.run(shlex.split(following), env=env, capture_output=True, text=True, timeout=60, check=True)
        assert "load average" in done.stdout, "it works as it is printed, also where `caisey` is not on the PATH"
        for private in (path, path / "token", path / "up.json", path / "control-plane.log"):
            assert stat.S_IMODE(private.stat().st_mode) & 0o077 == 0
        again = program.run([*words[:3], "--json"], env)
        assert json.loads(again.out)["next"] == following
        terminal.type("\x03")
        assert terminal.end() == 0, terminal.seen
    assert _free(path)
    assert program.run(["endpoints"], env).code == 31


def test_up_again_finds_what_is_there(up_home: tuple[Path, dict[str, str]]) -> None:
    path, env = up_home
    words = ["up", "--detach", "--json", "--data-dir", str(path)]
    first = json.loads(program.run([*words, "--listen", f"127.0.0.1:{free_port()}"], env).out)
    token = (path / "token").read_text()
    assert program.run(["up", "--stop", "--data-dir", str(path)], env).code == 0
    assert _free(path)
    second = json.loads(program.run(words, env).out)
    links = first.pop("set_up_url"), second.pop("set_up_url")
    assert links[0] != links[1], "nobody has an account yet: each start gives a fresh link, and ends the former one"
    assert second == first
    assert (path / "token").read_text() == token
    assert len(json.loads(program.run(["endpoints", "--json"], env).out)["items"]) == 1
    assert len(json.loads(program.run(["tokens", "--json"], env).out)["items"]) == 1
    other = program.run([*words, "--listen", "127.0.0.1:1"], env)
    assert other.code == 0, "one that runs is only pointed at"
    assert profiles.read(Path(env["HOME"]) / ".config/caisey/cli.toml").default == "local"


def test_up_starts_a_dead_runtime_again_and_gives_up_on_a_dead_control_plane(
    up_home: tuple[Path, dict[str, str]],
) -> None:
    path, env = up_home
    words = ["up", "--data-dir", str(path), "--listen", f"127.0.0.1:{free_port()}"]
    with program.with_pipes(words, env) as process:
        until(
            lambda: (path / "up.json").exists() and json.loads((path / "up.json").read_text()).get("ready"), "it is up"
        )
        [runtime] = _children(process.process.pid, "caisey.runtime")
        os.kill(runtime, signal.SIGKILL)
        [another] = until(
            lambda: [pid for pid in _children(process.process.pid, "caisey.runtime") if pid != runtime], "again"
        )
        [control_plane] = _children(process.process.pid, "serve")
        os.kill(control_plane, signal.SIGKILL)
        done = process.end()
    assert done.code == 1, done
    assert "The runtime ended by itself (exit code -9). Starting it again." in done.err
    assert "The control plane ended by itself with exit code -9" in done.err
    assert _free(path)
    assert not Path(f"/proc/{another}").exists()


def test_up_takes_its_children_along_when_it_is_killed(up_home: tuple[Path, dict[str, str]]) -> None:
    path, env = up_home
    words = ["up", "--data-dir", str(path), "--listen", f"127.0.0.1:{free_port()}"]
    with program.with_pipes(words, env) as process:
        until(
            lambda: (path / "up.json").exists() and json.loads((path / "up.json").read_text()).get("ready"), "it is up"
        )
        process.process.kill()
        process.end()
    until(lambda: _free(path), "both children are gone")


def test_up_on_a_port_in_use(up_home: tuple[Path, dict[str, str]]) -> None:
    path, env = up_home
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = program.run(["up", "--data-dir", str(path), "--listen", listen], env)
    assert done.code == 1
    assert f"{listen} is in use" in done.err


def test_up_in_a_directory_that_others_may_use(up_home: tuple[Path, dict[str, str]]) -> None:
    path, env = up_home
    path.mkdir(mode=0o755)
    done = program.run(["up", "--data-dir", str(path)], env)
    assert done.code == 1
    assert f"chmod 700 {path}" in done.err
    path.chmod(0o700)


def _free(path: Path) -> bool:
    """Whether neither part holds its directory any more."""
    import fcntl

    for lock in (path / "control-plane" / "lock", path / "runtime" / "lock"):
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return True


def _children(parent: int, words: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            is_child = entry.name.isdecimal() and f"PPid:\t{parent}\n" in (entry / "status").read_text()
            if is_child and words in (entry / "cmdline").read_text():
                found.append(int(entry.name))
    return found
