"""`caisey demo` as a visitor starts it: every row with real processes, the exit code, and nothing that is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from caisey.cli.demo import expected, show, stage
from caisey.cli.demo.computer import why_no_own_view
from caisey.cli.terminal import Terminal
from tests.end_to_end.server import command, until

MOST_S = 100.0
NEEDS_A_VIEW = ("reboot",)


def demo(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, with a directory for its temporary ones."""
    place.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(place)}
    return subprocess.run(
        [*command(), "demo", *words], capture_output=True, text=True, timeout=290, check=False, env=environment
    )


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_every_row_is_as_specified(tmp_path: Path) -> None:
    """Issue and RECOVERY.md §2, §4: each stall, with its words, evidence, seconds until known and recovery."""
    why = why_no_own_view(tmp_path)
    done = demo(tmp_path / "demo", "--json")
    document = json.loads(done.stdout)
    rows = {row["name"]: row for row in document["rows"]}
    assert rows.keys() == expected.BY_NAME.keys() == show.SCENES.keys()
    for name, row in rows.items():
        if why is not None and name in NEEDS_A_VIEW:
            assert why in row["left_out"]
            continue
        assert row["as_specified"], (name, row["differences"])
        assert row["shown"]["label"]
    assert done.returncode == (0 if why is None else 1), done.stderr
    assert document["as_specified"] is (why is None)
    assert document["seconds"] < MOST_S
    assert list((tmp_path / "demo").iterdir()) == []
    assert processes_below(tmp_path) == []


def test_the_lines_are_plain_where_no_terminal_reads(tmp_path: Path) -> None:
    """80 columns, no control characters, a table, and the same verdict in words."""
    done = demo(tmp_path / "demo", "--only", "empty-read")
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.isprintable() for line in lines)
    assert any(line.startswith("✓ empty-read") for line in lines)
    assert "Ran. It ran without an error (exit code 0) and printed nothing." in done.stdout
    assert "How we know" in done.stdout


def test_a_row_that_is_not_as_specified_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = expected.BY_NAME["command-failed"]._replace(ran="no", tries=1)
    monkeypatch.setattr(show, "EXPECTATIONS", (wrong,))
    assert show.run(Terminal(json_output=True)) == 1
    [row] = json.loads(capsys.readouterr().out)["rows"]
    assert row["differences"] == ["ran: expected no, found yes", "tries: expected 1, found 2"]


def test_what_cannot_be_played_here_is_not_passed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container that permits no mounts: no reboot, and the spooler under a supervisor."""
    monkeypatch.setattr(stage, "why_no_own_view", lambda _: "not here")
    assert show.run(Terminal(), only=["reboot", "spooler"]) == 1
    said = capsys.readouterr().out
    assert "Left out here: it needs a view of the file system of its own (not here)." in said
    assert "the exit code is 1" in said
    assert "✓ spooler" in said


def test_ctrl_c_takes_everything_away(tmp_path: Path) -> None:
    """In the middle, with a control plane and an agent that is frozen."""
    place = tmp_path / "demo"
    place.mkdir()
    process = subprocess.Popen(
        [*command(), "demo", "--only", "held-and-released", "--only", "orphaned"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "TMPDIR": str(place)},
    )  # fmt: skip
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            if "kill -STOP" in line:
                break
        assert until(lambda: len(processes_below(place)) >= 2, within=20, what="its processes are seen")
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130, rest
    assert "Nothing of it is left" in rest
    assert list(place.iterdir()) == []
    assert processes_below(tmp_path) == []


def processes_below(directory: Path) -> list[Any]:
    """Every live process that works there."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(directory):
                found.append(entry.name)
        except OSError:
            continue
    return found
