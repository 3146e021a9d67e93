"""The program as a whole: its table of commands, its start, its completions, its reference page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from caisey.cli import reference
from caisey.cli.program import COMMANDS, app
from tests.cli import program
from tests.cli.conftest import Cli
from tests.cli.stub_server import Stub, problem

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def commands() -> dict[str, Any]:
    root: Any = typer.main.get_command(app)
    return dict(root.commands)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    command = commands()[name]
    first = (command.help or "").split("\n\n")[0]
    assert COMMANDS[name].summary == " ".join(first.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_file_of_its_own(name: str) -> None:
    module = sys.modules[f"caisey.cli.{COMMANDS[name].module}"] if commands()[name] else None
    assert module is not None
    assert COMMANDS[name].module == name.replace("-", "_")


def test_the_reference_page_is_that_of_the_commands() -> None:
    assert PAGE.read_text("utf-8") == reference.page(), "write it anew: python -m caisey.cli.reference"


def test_help_imports_neither_commands_nor_a_client(tmp_path: Path) -> None:
    imported = _imports(["--help"], tmp_path)
    assert not imported & {"httpx", "rich", "pydantic", "msgspec", "litestar", "caisey.cli.prompt", "caisey.cli.up"}


def test_a_command_starts_without_what_it_does_not_need(tmp_path: Path) -> None:
    for name in ("prompt", "act", "story", "endpoints", "sessions"):
        imported = _imports([name, "--help"], tmp_path)
        assert not imported & {"httpx", "pydantic", "msgspec", "litestar", "caisey.cli.up", "caisey.wiring"}, name
    imported = _imports(["endpoints", "list"], tmp_path)
    assert not imported & {"pydantic", "msgspec", "litestar", "caisey.wiring"}


def test_the_runtime_runs_without_the_command_line(tmp_path: Path) -> None:
    imported = _imports(["runtime", "run", "--state-dir", str(tmp_path / "none")], tmp_path)
    assert not imported & {"typer", "rich", "httpx", "litestar", "uvicorn"}


def test_an_endpoint_without_the_command_line_has_the_runtime(tmp_path: Path) -> None:
    script = (
        "import sys, importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'typer' else real(name, package)\n"
        "sys.modules['typer'] = None\n"
        "from caisey.cli.main import main\n"
        "main()\n"
    )

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path)

    done = run("runtime", "enroll", "--url", "http://127.0.0.1:9", "--token", "x", "--state-dir", str(tmp_path / "s"))
    assert done.returncode == 1
    assert "enrollment.token_unreadable" in done.stderr
    done = run("prompt", "x")
    assert done.returncode == 1
    assert "pip install 'caisey[server]'" in done.stderr


def _imports(words: list[str], home: Path) -> set[str]:
    script = (
        "import sys\n"
        "from caisey.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write('\\n@@' + ' '.join(sys.modules))\n"
    )
    env = program.environment(home)
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=True)
    return set(done.stderr.rpartition("@@")[2].split())


def test_a_typo_gets_a_suggestion(caisey: Cli) -> None:
    done = caisey("promt")
    assert done.code == 2
    assert "Did you mean 'prompt'?" in done.err


def test_the_version(caisey: Cli) -> None:
    assert caisey("--version").out.startswith("caisey 0.")


def test_completion_of_commands_and_computers(stub: Stub, env: dict[str, str]) -> None:
    stub.endpoint("ACCT-08")
    stub.endpoint("ACCT $(rm -rf)")

    def complete(line: str) -> list[str]:
        words = {"_CAISEY_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        return program.run([], {**env, **words}).out.split()

    assert complete("caisey aw") == ["awareness"]
    assert complete("caisey prompt ACCT") == ["ACCT-07", "ACCT-08"]
    stub.fail("GET", "/endpoints", times=9, answer=problem(500, "server.internal", "A defect"))
    assert complete("caisey prompt ACCT") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_completion_script(caisey: Cli, shell: str) -> None:
    done = caisey("completion", shell)
    assert done.code == 0
    assert "_CAISEY_COMPLETE" in done.out
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.out.encode(), check=True, timeout=10)


def test_completion_for_an_unknown_shell(caisey: Cli) -> None:
    assert caisey("completion", "csh").code == 2


def test_an_answer_that_is_no_api(stub: Stub, caisey: Cli) -> None:
    stub.texts["/tools"] = ("text/html", b"<html>")
    done = caisey("tools")
    assert done.code == 1
    assert "not with JSON" in done.err


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem(503, "server.overloaded", "Caisey is at its limit"), 1),
        (problem(403, "access.role_too_low", "Your role does not allow this"), 32),
        (problem(404, "resource.not_found", "Not found"), 1),
        ((502, {"hello": "from a proxy"}), 31),
    ],
)
def test_faults_and_their_codes(stub: Stub, caisey: Cli, answer: Any, code: int) -> None:
    stub.fail("GET", "/tools", answer=answer)
    assert caisey("tools").code == code


def test_a_closed_pipe_is_no_crash(stub: Stub, env: dict[str, str]) -> None:
    for number in range(300):
        stub.endpoint(f"PC-{number:04d}")
    command = " ".join([*program.COMMAND, "endpoints"])
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -n 1"], env=env, capture_output=True, text=True, timeout=30, check=True
    )
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("COMPUTER")


def test_a_terminal_that_cannot_show_a_character(stub: Stub, env: dict[str, str]) -> None:
    stub.endpoint("B\u00fcro")
    done = program.run(["endpoints"], {**env, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert done.code == 0, done
    assert "B\\xfcro" in done.out


def test_the_demonstration_says_what_it_plays(caisey: Cli) -> None:
    """Played it is in tests/end_to_end/test_demo.py."""
    assert caisey("demo", "--help").code == 0
    assert caisey("demo", "--list").out.startswith("empty-read")
    done = caisey("demo", "--only", "nonsense")
    assert done.code == 2
    assert "There is no stall 'nonsense'" in done.err
    assert "spooler" in done.err
    assert caisey("demo", "--pause").code == 2
