"""A practice computer at a real control plane: how it is marked, what it answers, and that it comes back."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from caisey.practice.background import Background
from caisey.practice.identity import Home, PracticeError, enroll
from tests.end_to_end.client import Api, shell
from tests.end_to_end.server import Server, command, until

pytestmark = pytest.mark.end_to_end

SHORT = {"heartbeat_interval_s": 0.5, "ack_window_s": 1.0, "reconcile_window_s": 2.0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("plane") / "data").start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[Api]:
    api = Api(server.url, server.token())
    api.put("/policy", SHORT)
    yield api
    api.close()


def token(api: Api) -> str:
    return str(api.post("/enrollment-tokens", {"scope": "organization"})["token"])


def test_it_is_marked_it_answers_in_form_and_it_stalls_when_asked(api: Api, server: Server, tmp_path: Path) -> None:
    home = Home(tmp_path / "state")
    identity = enroll(home, server.url, token(api))
    with pytest.raises(PracticeError, match="already_enrolled"):
        enroll(home, server.url, token(api))
    with Background(home) as practice:
        shown = api.get(f"/endpoints/{identity.endpoint_id}")
        assert (shown["name"], shown["tags"]) == ("practice", ["practice"])
        assert shown["facts"]["practice"]["value"] is True
        session = api.open_session(identity.endpoint_id)

        plain = api.wait_verdict(api.ask(session, shell("rm -rf /", None)), ("answered", "yes"))
        assert b"Nothing was executed." in api.output(plain["tool_calls"][0]["id"])

        stop = {"tool": "service", "arguments": {"name": "spooler", "action": "stop"}}
        stopped = api.wait_verdict(api.ask(session, stop), ("answered", "yes"))
        assert stopped["tool_calls"][0]["attempts"][0]["changes"][0]["after"] == "stopped"

        failed = api.ask(session, shell("practice: fail 7"))
        failed = api.wait_verdict(failed, ("command_failed", "yes"))
        assert failed["tool_calls"][0]["attempts"][0]["execution"]["exit_code"] == 7

        dead = api.ask(session, shell("practice: die after start 0", "mutating"))
        api.wait_verdict(dead, ("runtime_died", "unconfirmed"))
        assert practice.runtime.identity.start_number == 2

        asked = api.ask(session, shell("practice: waits for input"))
        api.wait_state(asked, "started")
        api.act(asked, "input", data="yes\n")
        asked = api.wait_verdict(asked, ("answered", "yes"))
        assert b"It was told: yes" in api.output(asked["tool_calls"][0]["id"])

        once = api.ask(session, shell("practice: no reply once"))
        once = api.wait_verdict(once, ("answered", "yes"))
        kinds = [attempt["verdict"]["kind"] for attempt in once["tool_calls"][0]["attempts"]]
        assert kinds == ["orphaned", "answered"]


def test_the_command_line_enrolls_runs_and_ends(api: Api, server: Server, tmp_path: Path) -> None:
    words = [*command(), "practice", "--state-dir", str(tmp_path / "state")]
    refused = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert "not enrolled yet" in refused.stderr
    enrolling = [*words, "--url", server.url, "--token", "-", "--hostname", "practice-2"]
    with subprocess.Popen(enrolling, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(token(api) + "\n")
        process.stdin.close()
        try:
            until(
                lambda: [e for e in api.get("/endpoints", q="practice-2")["items"] if e["health"] == "healthy"],
                within=30,
                what="it is there",
            )
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
