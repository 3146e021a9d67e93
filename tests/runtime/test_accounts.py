"""Whom a command runs as where its call names an account: real processes where this machine has what it takes."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import pytest

from caisey.runtime import accounts
from caisey.runtime.accounts import Account, Accounts, environment
from caisey.runtime.journal import Refusal
from caisey.tools.builtin.linux.logins import Login
from caisey.tools.definition import PlatformName
from tests.runtime.conftest import awaited
from tests.runtime.endpoint import endpoint
from tests.runtime.plane import control_plane

ME = pwd.getpwuid(os.geteuid()).pw_name
ROOT = os.geteuid() == 0
can_switch = pytest.mark.skipif(not ROOT or shutil.which("setpriv") is None, reason="takes root and setpriv")
SOMEBODY = "nobody"


def named(run_as: str, *there: Login, platform: PlatformName = "linux") -> Account | str:
    """The account, or the words of the refusal."""
    found = Accounts(platform, lambda: there).named(run_as)
    if isinstance(found, Refusal):
        assert found.code == "runtime.cannot_start"
        return found.hint
    return found


def account(run_as: str, *there: Login, platform: PlatformName = "linux") -> Account:
    found = named(run_as, *there, platform=platform)
    assert isinstance(found, Account), found
    return found


def test_nobody_is_signed_in() -> None:
    assert named("user") == "Nobody is signed in there now."


def test_whoever_is_at_the_screen_is_meant() -> None:
    others = (Login("somebody-else"), Login("and-another"))
    assert account("user", *others, Login(ME, in_front=True)).name == ME
    assert account("user", Login(ME, in_front=True), *others).name == ME
    assert account("user", Login(ME), Login(ME, in_front=True), Login(ME)).name == ME


def test_nobody_is_guessed_among_several() -> None:
    names = [Login(name) for name in ("dora", "anna", "bob", "carl")]
    assert named("user", *names) == "Several people are signed in: anna, bob, carl and 1 more."
    seats = [Login("anna", in_front=True), Login("bob", in_front=True)]
    assert named("user", *seats) == "Several people are signed in: anna, bob."


def test_who_is_signed_in_and_has_no_account() -> None:
    assert named("user", Login("nobody-of-this-name")) == "nobody-of-this-name is signed in, but has no account here."


def test_the_agents_own_account_needs_no_switch() -> None:
    found = account("user", Login(ME))
    assert (found.name, found.before, dict(found.env)) == (ME, (), {})


@pytest.mark.skipif(not ROOT, reason="takes root")
def test_root_is_the_system() -> None:
    assert account("system") == Account("root", pwd.getpwuid(0).pw_dir)


def test_an_agent_without_rights_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    uid = pwd.getpwnam(SOMEBODY).pw_uid
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert named("system") == f"The agent runs as {SOMEBODY}, not as root."
    assert named("user", Login("root")) == f"The agent runs as {SOMEBODY}: not as somebody else."


@can_switch
def test_the_words_before_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = pwd.getpwnam(SOMEBODY)
    ids = (f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}")
    assert account("user", Login(SOMEBODY)).before[1:] == (*ids, "--init-groups", "--inh-caps=-all", "--")
    uid = str(entry.pw_uid)
    mac = account("user", Login(SOMEBODY, in_front=True), platform="macos").before
    assert mac[:4] == ("/bin/launchctl", "asuser", uid, "/usr/bin/sudo")
    assert mac[-3:] == ("-u", f"#{uid}", "--")
    monkeypatch.setattr(accounts, "TOOLS_PATH", "/nowhere")
    assert named("user", Login(SOMEBODY)) == "setpriv is missing there (util-linux)."


def test_the_variables_of_another_account() -> None:
    base = {"PATH": "/bin", "HOME": "/root", "TMPDIR": "/root/tmp", "LANG": "C", "A": "1"}
    other = Account("anna", "/home/anna", ("setpriv", "--"), {"HOME": "/home/anna", "USER": "anna"})
    assert environment(base, other, {"A": "2", "HOME": "/else"}) == {
        "PATH": "/bin", "HOME": "/else", "LANG": "C", "USER": "anna", "A": "2",
    }  # fmt: skip
    assert environment(base, Account("root", "/root"), {}) == base


def signs_in(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        (folder / str(number)).write_text(f"UID=1\nUSER={name}\nCLASS=user\nACTIVE=1\nSEAT=seat0\n")


@can_switch
@awaited
async def test_a_command_of_whoever_is_signed_in(tmp_path: Path) -> None:
    sessions = tmp_path / "sessions"
    signs_in(sessions, SOMEBODY)
    entry = pwd.getpwnam(SOMEBODY)
    home = entry.pw_dir if os.access(entry.pw_dir, os.X_OK) else "/"  # it may have none
    async with control_plane() as plane, endpoint(plane, tmp_path / "state") as made:
        await made.start(module=("tests.runtime.signed_in", str(sessions), "run"))
        link = await plane.link()
        assert {tool.version for tool in link.hello.tools if tool.name == "shell"} == {1, 2}

        said = 'id -un; id -G; echo "$HOME $USER $X"; cat; grep CapEff /proc/self/status; touch /root/mine; exit 3'
        arguments = {"command": said, "run_as": "user", "env": {"X": "given"}, "stdin": "typed\n"}
        await link.dispatch("tcl_1", tool_version=2, arguments=arguments)
        started = await link.started("tcl_1")
        assert (started.user, started.cwd) == (SOMEBODY, home)
        finished = await link.finished("tcl_1")
        assert finished.execution.exit_code == 3
        lines = link.text("tcl_1").decode().splitlines()
        assert lines == [
            SOMEBODY, str(entry.pw_gid), f"{entry.pw_dir} {SOMEBODY} given", "typed", "CapEff:\t0000000000000000",
        ]  # fmt: skip
        assert b"denied" in link.text("tcl_1", "stderr")

        await link.dispatch("tcl_2", tool_version=2, arguments={"command": "sleep 600", "run_as": "user", "cwd": "/"})
        await link.started("tcl_2")
        await link.cancel("tcl_2")
        ended = (await link.finished("tcl_2")).execution
        assert (ended.ended_by, ended.tree_ended) == ("cancel", True), "it is ended like any other"

        await link.dispatch("tcl_3", tool_version=2, arguments={"command": "id -un; pwd", "run_as": "system"})
        assert (await link.started("tcl_3")).user == "root"
        await link.finished("tcl_3")
        assert link.text("tcl_3").decode().split() == ["root", pwd.getpwuid(0).pw_dir]

        (sessions / "0").unlink()
        await link.dispatch("tcl_4", tool_version=2, arguments={"command": "id", "run_as": "user"})
        refused = await link.refused("tcl_4")
        assert (refused.code, refused.hint) == ("runtime.cannot_start", "Nobody is signed in there now.")
