"""`caisey conformance runtime`: our own runtime passes, planted flaws are found by the checks that are for them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from caisey.conformance.runtimes.checks import CHECKS
from caisey.conformance.runtimes.run import selected
from caisey.conformance.runtimes.subject import words_of_command
from tests.conformance_command.bad_runtime import FLAWS
from tests.end_to_end.server import command

ROOT = Path(__file__).resolve().parents[2]
BAD = Path(__file__).with_name("bad_runtime.py")
FIT = ("enroll", "--url", "{url}", "--token", "{token}", "--state-dir", "{state_dir}")
RUN = ("run", "--state-dir", "{state_dir}", "--bridge", "websocket")


def checked(*program: str, within: str, only: tuple[str, ...] = ()) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Exit code, results by the name of their check, and stderr."""
    words = [*command(), "conformance", "runtime", "--json", "--within", within]
    words += [word for text in only for word in ("--only", text)]
    words += ["--enroll", shlex.join([*program, *FIT]), "--launch", shlex.join([*program, *RUN])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280, check=False, cwd=ROOT)
    found = json.loads(done.stdout)
    return done.returncode, {each["check"]: each for each in found.get("checks", ())}, done.stderr


@pytest.mark.end_to_end
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_our_own_runtime_passes() -> None:
    code, results, said = checked(sys.executable, "-m", "caisey.runtime", within="40")
    wrong = {name: (r["expected"], r["found"]) for name, r in results.items() if r["outcome"] != "passed"}
    assert (code, wrong) == (0, {}), said
    assert results.keys() == {check.name for check in CHECKS}


@pytest.mark.end_to_end
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_planted_flaws_are_found_by_their_checks() -> None:
    wanted = {name for names in FLAWS.values() for name in names}
    sound = {"gives its receipts in order", "runs nothing for a consent that is used up"}
    code, results, said = checked(sys.executable, str(BAD), within="4", only=(*wanted, *sound))
    assert code == 1, said
    assert results.keys() == wanted | sound
    assert {name for name, result in results.items() if result["outcome"] == "failed"} == wanted
    assert all(results[name]["expected"] and results[name]["found"] for name in wanted)


@pytest.mark.end_to_end
def test_by_hand_what_needs_its_death_is_not_tried(tmp_path: Path) -> None:
    only = ("--only", "answers a ping", "--only", "says goodbye", "--only", "enrolls with the token")
    words = [*command(), "conformance", "runtime", "--json", *only]
    runtime = [sys.executable, "-m", "caisey.runtime"]
    state = ["--state-dir", str(tmp_path / "state")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as checking:
        assert checking.stderr is not None
        url = checking.stderr.readline().split()[-1]
        token = checking.stderr.readline().split()[-1]
        subprocess.run([*runtime, "enroll", "--url", url, "--token", token, *state], check=True, timeout=60, cwd=ROOT)
        with subprocess.Popen([*runtime, "run", *state], stderr=subprocess.DEVNULL, cwd=ROOT) as running:
            try:
                said, _ = checking.communicate(timeout=60)
            finally:
                running.terminate()
                running.wait(20)
    found = {each["check"]: each["outcome"] for each in json.loads(said)["checks"]}
    assert found == {"enrolls with the token": "passed", "answers a ping": "passed", "says goodbye": "not tried"}
    assert checking.returncode == 0


def test_a_runtime_that_does_not_come_is_told_with_its_log() -> None:
    words = [*command(), "conformance", "runtime", "--enroll", f"{sys.executable} -c 'raise SystemExit(\"no way\")'"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "The runtime did not connect" in done.stderr
    assert "no way" in done.stderr


def test_a_command_is_words_and_never_a_shell() -> None:
    places = {"url": "http://127.0.0.1:1", "token": "a b; $(c)", "state_dir": "/x y"}
    words = words_of_command("run --url {url} '--token={token}' {state_dir}; echo", places)
    assert words == ["run", "--url", "http://127.0.0.1:1", "--token=a b; $(c)", "/x y;", "echo"]


def test_every_check_has_a_name_of_its_own() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    assert {check.name for check in selected(["the fence"])} < set(names)
    assert selected(["no such check"]) == []
