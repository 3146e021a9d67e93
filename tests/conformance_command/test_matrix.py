"""The failure matrix, played: as specified against this control plane, and a wrong cell is named with exit code 1."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from caisey.cli.program import app
from caisey.conformance import bench, page, report, stalls
from caisey.conformance.stalls import STALLS
from tests.conformance_command.bad_control_plane import DEFECTS
from tests.end_to_end.client import Api
from tests.end_to_end.server import Server, command, until

pytestmark = pytest.mark.end_to_end

BAD = Path(__file__).with_name("bad_control_plane.py")
SLACK = "15"
"""Other tests run beside this one on the same two cores."""


class Program(Server):
    """A control plane that another program serves."""

    def __init__(self, data_dir: Path, program: list[str]) -> None:
        super().__init__(data_dir)
        self._program = program

    def __enter__(self) -> Program:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._program, "serve", "--data-dir", str(self.data_dir), "--listen", f"127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        until(self.ready, within=60, what="/readyz answers 200")
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_every_cell_is_as_specified(tmp_path: Path) -> None:
    html, markdown = tmp_path / "matrix.html", tmp_path / "matrix.md"
    words = ["conformance", "--local", "--json", "--slack", SLACK, "--html", str(html), "--markdown", str(markdown)]
    done = subprocess.run([*command(), *words], capture_output=True, text=True, timeout=280, check=False)
    found = json.loads(done.stdout)
    wrong = [(cell["stall"], cell["effect"], cell["differences"]) for cell in found["cells"] if cell["differences"]]
    assert (done.returncode, wrong, found["left"]) == (0, [], []), done.stderr
    played = {(cell["stall"], cell["effect"]) for cell in found["cells"]}
    assert played == {(stall.name, effect) for stall in STALLS for effect in stall.cells}
    assert "All" in html.read_text("utf-8")
    expected = page.without_seconds(page.page(report.specified(STALLS)))
    assert page.without_seconds(markdown.read_text("utf-8")) == expected


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("plane") / "data").start()
    yield server
    server.kill()


@pytest.fixture
def target(server: Server, tmp_path: Path) -> list[str]:
    """The options that name the control plane and an admin's token."""
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(server.token("admin"))
    return ["--url", server.url, "--token-file", str(file), "--slack", SLACK]


def test_a_cell_that_is_not_as_specified_is_named_and_ends_with_1(
    target: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = next(stall for stall in STALLS if stall.name == "an exit code")
    planted: dict[str, Any] = {
        **right.cells,
        "mutating": replace(right.cells["mutating"], verdicts=(("answered", "yes"),), starts=2),
    }
    wrong = replace(right, cells=planted)
    monkeypatch.setattr(stalls, "STALLS", (wrong,))
    monkeypatch.setattr(bench, "WITHIN_S", 4.0)
    done = CliRunner().invoke(app, ["conformance", *target])
    assert done.exit_code == 1, done.output
    assert "an exit code · mutating: detected as: expected answered, found command_failed" in done.stderr
    assert "an exit code · mutating: started: expected twice, found once" in done.stderr
    assert "an exit code · read_only" not in done.stderr
    assert "1 of 3 cells are not as specified." in done.stderr
    assert "✗" in done.stdout


def test_defects_of_a_control_plane_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Program(tmp_path / "data", [sys.executable, str(BAD)]) as bad:
        file = tmp_path / "token"
        file.touch(mode=0o600)
        file.write_text(bad.token("admin"))
        monkeypatch.setattr(bench, "WITHIN_S", 6.0)
        only = [word for cell, _ in DEFECTS.values() for word in ("--only", cell.replace(" · ", " "))]
        sound = ["--only", "an exit code mutating"]
        words = ["--url", bad.url, "--token-file", str(file), "--slack", SLACK, "--json", *only, *sound]
        done = CliRunner().invoke(app, ["conformance", *words])
    found = json.loads(done.stdout)
    assert (done.exit_code, found["cells_played"]) == (1, len(DEFECTS) + 1), done.output
    wrong = {
        (f"{cell['stall']} · {cell['effect']}", difference["column"])
        for cell in found["cells"]
        for difference in cell["differences"]
    }
    assert wrong >= set(DEFECTS.values())
    assert {cell for cell, _ in wrong} == {cell for cell, _ in DEFECTS.values()}


def test_what_the_test_made_is_taken_away_again_unless_it_is_kept(target: list[str], server: Server) -> None:
    api = Api(server.url, server.token())
    try:
        only = ["conformance", *target, "--json", "--only", "refused: tool.unknown mutating"]
        kept = CliRunner().invoke(app, [*only, "--keep"])
        assert (kept.exit_code, json.loads(kept.stdout)["cells_played"]) == (0, 1), kept.output
        group = api.get("/client-groups")["items"][0]
        assert group["name"] == "Conformance test"
        mine = [e for e in api.get("/endpoints", tag="conformance")["items"] if e["health"] != "removing"]
        assert [endpoint["tags"] for endpoint in mine] == [["conformance", "practice"]]
        found = api.get("/endpoints", client_group=group["id"], tag="conformance")["items"]
        assert mine[0]["id"] in [endpoint["id"] for endpoint in found]
        api.send("DELETE", f"/endpoints/{mine[0]['id']}")

        gone = CliRunner().invoke(app, only)
        assert gone.exit_code == 0, gone.output
        left = [e for e in api.get("/endpoints", tag="conformance")["items"] if e["health"] != "removing"]
        assert left == []
        open_ones = [s for s in api.get("/sessions", state="open")["items"] if s["endpoint_id"] != mine[0]["id"]]
        assert open_ones == []
        assert len(api.get("/client-groups")["items"]) == 1, "the group is used again"
    finally:
        api.close()


def test_a_token_that_may_not_is_told_so(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(server.token("viewer"))
    done = CliRunner().invoke(app, ["conformance", "--url", server.url, "--token-file", str(file)])
    assert done.exit_code == 1
    assert "admin" in done.stderr
