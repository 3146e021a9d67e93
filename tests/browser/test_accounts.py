"""Whom a command runs as: chosen in the composer, said in the transcript, refused in words if nobody is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.api.plane import Api, Plane
from tests.end_to_end.server import command, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="takes root and setpriv")


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    """Who is signed in on the computer, as systemd keeps it."""
    (tmp_path / "sessions").mkdir()
    return tmp_path / "sessions"


@pytest.fixture
def computer(plane: Plane, api: Api, tmp_path: Path, sessions: Path) -> Iterator[str]:
    """The product's own runtime as a process, on an endpoint of its own."""
    token = api.post("/enrollment-tokens", {"scope": "organization"})["token"]
    where = ["--state-dir", str(tmp_path / "state")]
    words = [*command(), "runtime", "enroll", "--url", plane.url, "--token", "-", *where]
    before = {one["id"] for one in api.get("/endpoints", limit=200)["items"]}
    subprocess.run(words, input=token + "\n", text=True, check=True, capture_output=True, timeout=60)
    [endpoint] = {one["id"] for one in api.get("/endpoints", limit=200)["items"]} - before
    with (tmp_path / "log").open("ab") as log:
        program = [sys.executable, "-m", "tests.runtime.signed_in", str(sessions), "run", *where]
        process = subprocess.Popen(program, stdout=log, stderr=log)
    try:
        until(lambda: api.get(f"/endpoints/{endpoint}")["health"] == "healthy", within=60, what="the agent is there")
        yield str(endpoint)
    finally:
        process.terminate()
        process.wait(30)


def test_a_command_as_whoever_is_signed_in(page: Page, api: Api, computer: str, sessions: Path) -> None:
    name = f"ACCT-{time.monotonic_ns() % 10**6}"
    assert api.send("PATCH", f"/endpoints/{computer}", {"name": name}).is_success
    session = api.session(computer, title="The printer of one user")
    page.goto(f"/sessions/{session}")
    expect(page.locator("html")).to_have_class("scripted")
    whom = page.get_by_label("Whom it runs as")
    expect(whom.locator("option")).to_have_text(["as root", "as whoever is signed in"])
    line = page.get_by_label("Command", exact=True)

    def ask(command: str) -> None:
        page.get_by_label("Reads only").check()
        line.fill(command)
        line.press("Enter")
        expect(line).to_have_value("")

    whom.select_option("user")
    ask("id -un")
    transcript = page.locator("#transcript")
    expect(transcript).to_contain_text("The agent did not take it", timeout=60_000)
    expect(page.locator("body")).to_contain_text("Nobody is signed in there now")

    (sessions / "1").write_text("USER=nobody\nCLASS=user\nACTIVE=1\nSEAT=seat0\n")
    expect(whom).to_have_value("user")
    ask("echo I am $(id -un)")
    expect(transcript).to_contain_text("I am nobody", timeout=60_000)

    whom.select_option("")
    ask("echo I am $(id -un)")
    expect(transcript).to_contain_text("I am root", timeout=60_000)
