"""The service managers: init scripts and supervisor for real, systemd, launchd and Windows by what they print."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caisey.tools.builtin import service
from caisey.tools.builtin.commands import Said
from caisey.tools.builtin.report import Order, Report, ToolError
from caisey.tools.builtin.services import ServiceManager, State, managers
from caisey.tools.builtin.services.initd import InitScripts
from caisey.tools.builtin.services.launchd import parse_disabled, parse_print
from caisey.tools.builtin.services.supervisor import Supervisor, parse_status, running_supervisors
from caisey.tools.builtin.services.systemd import parse_show
from caisey.tools.builtin.services.windows import NAME_VARIABLE, WindowsServices, parse_service
from caisey.tools.checking import result_shape
from caisey.tools.outcome import ToolOutcome
from tests.tools.carrying_out import code_of, outcome_of, result_of, tool

SUPERVISORD = Path(sys.executable).parent / "supervisord"
WAIT_S = 20.0

SCRIPT = """#!/bin/sh
pid="{directory}/pid"
case "$1" in
  start) [ -e "{directory}/broken" ] && echo "cannot bind" >&2 && exit 1; echo 1 >"$pid" ;;
  stop) rm -f "$pid" ;;
  restart) "$0" stop; "$0" start ;;
  status) [ -e "{directory}/broken" ] && exit 1; [ -e "{directory}/odd" ] && exit 150; [ -e "$pid" ] || exit 3 ;;
  *) exit 2 ;;
esac
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    directory = tmp_path / "init.d"
    directory.mkdir()
    script = directory / "spooler"
    script.write_text(SCRIPT.format(directory=tmp_path))
    script.chmod(0o755)
    (directory / "README").write_text("not a script")
    return directory


def init_scripts(scripts: Path) -> InitScripts:
    return InitScripts(str(scripts), str(scripts.parent / "rc{}.d"))


def called(manager: ServiceManager, monkeypatch: pytest.MonkeyPatch, name: str, action: str) -> Report:
    """The tool with one manager, and its result checked against the schema."""
    monkeypatch.setattr(service, "managers", lambda _platform, _wanted: [manager])
    report = service.run(Order("linux", {"name": name, "action": action}, ""))
    assert result_shape(tool("service"), report.result) is None
    return report


# ---------------------------------------------------------------------------------------------------------------------
# Init scripts
# ---------------------------------------------------------------------------------------------------------------------


def test_an_init_script_is_asked_and_changed(scripts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = init_scripts(scripts)

    def call(action: str) -> tuple[Any, list[Any]]:
        report = called(manager, monkeypatch, "spooler", action)
        assert isinstance(report.result, dict)
        return report.result["state"], report.changes

    started = {"what": "service spooler", "before": "stopped", "after": "running"}
    assert call("status") == ("stopped", [])
    assert call("start") == ("running", [started])
    assert call("start") == ("running", [])
    assert call("restart") == ("running", [{"what": "service spooler", "before": "running", "after": "running"}])
    assert call("stop") == ("stopped", [{"what": "service spooler", "before": "running", "after": "stopped"}])


def test_a_failure_keeps_the_state_it_left(scripts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = init_scripts(scripts)
    called(manager, monkeypatch, "spooler", "start")
    (scripts.parent / "broken").touch()
    with pytest.raises(ToolError) as failure:
        called(manager, monkeypatch, "spooler", "restart")
    assert failure.value.code == "tool.service_failed"
    assert "cannot bind" in failure.value.message
    assert failure.value.changes == [{"what": "service spooler", "before": "failed", "after": "failed"}]
    assert isinstance(failure.value.result, dict)
    assert failure.value.result["state"] == "failed"


def test_an_exit_code_without_a_meaning_is_unknown(scripts: Path) -> None:
    (scripts.parent / "odd").touch()
    state = init_scripts(scripts).state("spooler")
    assert state is not None
    assert state.state == "unknown"


@pytest.mark.parametrize("name", ["README", "nothing", "../init.d/spooler", ".", "..", ".hidden"])
def test_only_an_executable_file_of_the_directory_is_a_service(scripts: Path, name: str) -> None:
    assert init_scripts(scripts).state(name) is None


def test_enabled_by_the_links_of_the_runlevels(scripts: Path) -> None:
    def enabled() -> bool | None:
        state = init_scripts(scripts).state("spooler")
        assert state is not None
        return state.enabled

    assert enabled() is None
    level = scripts.parent / "rc3.d"
    level.mkdir()
    assert enabled() is False
    (level / "K01spooler").touch()
    (level / "S01other").touch()
    assert enabled() is False
    (level / "S02spooler").touch()
    assert enabled() is True


# ---------------------------------------------------------------------------------------------------------------------
# Supervisor
# ---------------------------------------------------------------------------------------------------------------------

CONFIGURATION = """
[supervisord]
logfile={directory}/log
pidfile={directory}/pid
nodaemon=true
user=root
[unix_http_server]
file={directory}/socket
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{directory}/socket
[program:caisey-test-spooler]
command=/bin/sleep 600
autostart=true
startsecs=0
[program:caisey-test-broken]
command=/bin/false
autostart=false
startsecs=1
startretries=0
"""


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    """A `supervisord` of our own, found as the product finds it: by its process."""
    directory = tmp_path_factory.mktemp("supervisor")
    configuration = directory / "supervisord.conf"
    configuration.write_text(CONFIGURATION.format(directory=directory))
    with subprocess.Popen([SUPERVISORD, "-c", configuration], stdout=subprocess.DEVNULL) as daemon:
        try:
            yield _answering(directory)
        finally:
            daemon.terminate()


def _answering(directory: Path) -> Supervisor:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        for found in running_supervisors():
            if str(directory / "supervisord.conf") in found._control:
                state = found.state("caisey-test-spooler")
                if state is not None and state.state == "running":
                    return found
    raise AssertionError("supervisord did not start")


def field(outcome: ToolOutcome, name: str) -> object:
    assert isinstance(outcome.result, dict)
    return outcome.result[name]


def test_supervisor_is_found_and_changes_for_real(supervisor: Supervisor) -> None:
    """The whole way: the plan, the child process, detection, the program, the result and the change."""
    asked = {"name": "caisey-test-spooler", "manager": "supervisor"}
    assert result_of("service", asked | {"action": "status"})["state"] == "running"
    stopped = outcome_of("service", asked | {"action": "stop"})
    assert field(stopped, "state") == "stopped"
    assert [(change.what, change.before, change.after) for change in stopped.changes] == [
        ("service caisey-test-spooler", "running", "stopped")
    ]
    assert field(outcome_of("service", asked | {"action": "start"}), "state") == "running"
    assert [change.after for change in outcome_of("service", asked | {"action": "restart"}).changes] == ["running"]


def test_supervisor_without_being_named_as_the_manager(supervisor: Supervisor) -> None:
    assert result_of("service", {"name": "caisey-test-spooler", "action": "status"})["manager"] == "supervisor"


def test_supervisor_says_what_failed(supervisor: Supervisor) -> None:
    asked = {"name": "caisey-test-broken", "manager": "supervisor"}
    outcome = outcome_of("service", asked | {"action": "start"})
    assert outcome.error is not None
    assert outcome.error.code == "tool.service_failed"
    assert field(outcome, "state") == "failed"
    assert [(change.before, change.after) for change in outcome.changes] == [("stopped", "failed")]
    assert code_of("service", asked | {"action": "enable"}) == "tool.service_failed"


def test_a_service_nobody_knows(supervisor: Supervisor) -> None:
    assert code_of("service", {"name": "no-such-thing", "action": "status"}) == "tool.not_found"
    assert (
        code_of("service", {"name": "caisey-test-spooler", "action": "status", "manager": "launchd"})
        == "tool.unsupported"
    )


@pytest.mark.parametrize(
    ("words", "control"),
    [
        (["/usr/bin/python3", "/x/supervisord", "-n", "-c", "/y/a.conf"], ["-c", "/y/a.conf"]),
        (["/x/supervisord", "--configuration=/y/b.conf"], ["-c", "/y/b.conf"]),
        (["/x/supervisord", "--configuration", "/y/c.conf"], ["-c", "/y/c.conf"]),
        (["/x/supervisord", "-c/y/d.conf"], ["-c", "/y/d.conf"]),
        (["/x/supervisord"], []),
        (["vi", "/etc/notes", "about", "supervisord"], None),
    ],
)
def test_the_configuration_of_a_running_supervisor(tmp_path: Path, words: list[str], control: list[str] | None) -> None:
    (tmp_path / "self").mkdir()
    process = tmp_path / "12"
    process.mkdir()
    (process / "cmdline").write_bytes(b"\0".join(map(os.fsencode, words)) + b"\0")
    found = [supervisor._control[1:] for supervisor in running_supervisors(str(tmp_path))]
    assert found == ([] if control is None else [control])


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("spooler   RUNNING   pid 12, uptime 0:00:01", "running"),
        ("spooler   FATAL     Exited too quickly (process log may have details)", "failed"),
        ("spooler   BACKOFF   can't find command '/x'", "failed"),
        ("spooler   EXITED    Jan 31 12:00 PM", "stopped"),
        ("spooler   STOPPED   Not started", "stopped"),
        ("spooler   UNKNOWN", "unknown"),
        ("group:other   RUNNING   pid 1, uptime 0:00:01", None),
        ("spooler: ERROR (no such process)", None),
        ("unix:///x/socket no such file", None),
        ("", None),
    ],
)
def test_what_supervisor_prints(line: str, state: str | None) -> None:
    read = parse_status("spooler", line)
    assert (None if read is None else read.state) == state


# ---------------------------------------------------------------------------------------------------------------------
# By what they print
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n", ("running", True)),
        ("LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n", ("stopped", False)),
        ("LoadState=loaded\nActiveState=failed\nUnitFileState=static\n", ("failed", None)),
        ("LoadState=masked\nActiveState=inactive\nUnitFileState=masked\n", ("stopped", False)),
        ("LoadState=loaded\nActiveState=wondrous\nUnitFileState=\n", ("unknown", None)),
        ("LoadState=not-found\nActiveState=inactive\nUnitFileState=\n", None),
        ("", None),
    ],
)
def test_what_systemd_prints(text: str, expected: tuple[str, bool | None] | None) -> None:
    state = parse_show(text)
    assert (None if state is None else (state.state, state.enabled)) == expected


LAUNCHD = """system/org.cups.cupsd = {{
\tactive count = 1
\tpath = /System/Library/LaunchDaemons/org.cups.cupsd.plist
\tstate = {state}
\tlast exit code = {code}
\tendpoints = {{
\t\t"socket" = {{
\t\t\tstate = active
\t\t}}
\t}}
}}
"""


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("running", "(never exited)", "running"),
        ("not running", "0", "stopped"),
        ("waiting", "(never exited)", "stopped"),
        ("not running", "78: EX_CONFIG", "failed"),
        ("spawn scheduled", "1", "unknown"),
    ],
)
def test_what_launchd_prints(state: str, code: str, expected: str) -> None:
    assert parse_print(LAUNCHD.format(state=state, code=code)) == expected


def test_what_launchd_disables() -> None:
    text = (
        'disabled services = {\n\t"com.a" => disabled\n\t"com.b" => enabled\n\t"com.c" => true\n\t"com.d" => false\n}\n'
    )
    assert [parse_disabled(f"com.{letter}", text) for letter in "abcde"] == [False, True, False, True, True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"Name":"Spooler","State":"Running","StartMode":"Auto","ExitCode":0}', ("running", True)),
        ('{"Name":"Spooler","State":"Stopped","StartMode":"Manual","ExitCode":0}', ("stopped", False)),
        ('{"Name":"Spooler","State":"Stopped","StartMode":"Disabled","ExitCode":1077}', ("stopped", False)),
        ('{"Name":"Spooler","State":"Stopped","StartMode":"Auto","ExitCode":1067}', ("failed", True)),
        ('{"Name":"Spooler","State":"Odd","StartMode":null,"ExitCode":0}', ("unknown", None)),
        ("\r\n", None),
    ],
)
def test_what_windows_says(text: str, expected: tuple[str, bool | None] | None) -> None:
    state = parse_service(text)
    assert (None if state is None else (state.state, state.enabled)) == expected


def test_a_name_is_never_part_of_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, str]]] = []

    def ask(script: str, variables: dict[str, str]) -> Said:
        asked.append((script, variables))
        return Said(0, b"", b"")

    monkeypatch.setattr("caisey.tools.builtin.services.windows.ask_powershell", ask)
    for action in ("start", "stop", "restart", "enable", "disable"):
        WindowsServices().act("MSSQL$X", action)
    WindowsServices().state("MSSQL$X")
    assert all("MSSQL" not in script for script, _ in asked)
    assert all(variables == {NAME_VARIABLE: "MSSQL$X"} for _, variables in asked)


def test_every_platform_has_a_manager() -> None:
    assert [manager.name for manager in managers("windows")] == ["windows"]
    assert [manager.name for manager in managers("macos")] == ["launchd"]
    assert "initd" in [manager.name for manager in managers("linux")]
    assert [manager.name for manager in managers("linux", "initd")] == ["initd"]


class _Enabling(ServiceManager):
    """A manager whose only state is what was asked last."""

    name = "enabling"
    enabled: bool | None = None

    def state(self, service: str) -> State:
        return State("stopped", self.enabled)

    def act(self, service: str, action: str) -> Said:
        self.enabled = action == "enable"
        return Said(0, b"", b"")


def test_enabling_is_a_change_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = _Enabling()
    what = "service spooler at start of the system"
    assert called(manager, monkeypatch, "spooler", "enable").changes == [
        {"what": what, "before": "unknown", "after": "enabled"}
    ]
    assert called(manager, monkeypatch, "spooler", "enable").changes == []
    assert called(manager, monkeypatch, "spooler", "disable").changes == [
        {"what": what, "before": "enabled", "after": "disabled"}
    ]
