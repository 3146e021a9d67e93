"""Whom a command runs as where its call names an account (`run_as`): the system, or the person who is signed in.

Owns the choice of the person and what stands before the command so that it runs as them. Nothing is guessed: where
nobody is signed in, or several people are and none is at the screen, it says so and the command does not run.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from caisey.runtime.journal import Refusal
from caisey.tools.builtin.linux.logins import Login, logins
from caisey.tools.definition import PlatformName

SYSTEM: Final = "system"
TOOLS_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
CONSOLE_WITHIN_S: Final = 5
NAMES_SHOWN: Final = 3
OF_THE_AGENT: Final = frozenset({"TMPDIR", "TEMP", "TMP"})
"""Variables of the agent that mean nothing to another account, or that it may not use."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom it runs as. `before`: the words that its command is run through; none where it is the agent's own."""

    name: str
    home: str
    before: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def _no(why: str) -> Refusal:
    return Refusal("runtime.cannot_start", why)


class Accounts:
    """The accounts of this computer. `signed_in`: every sign-in there is now."""

    def __init__(self, platform: PlatformName, signed_in: Callable[[], Sequence[Login]] | None = None) -> None:
        self._platform = platform
        self._signed_in = signed_in or (logins if platform == "linux" else _at_the_mac)

    def named(self, run_as: str) -> Account | Refusal:
        """The account for a `run_as`, or why there is none. Reads what the operating system says now."""
        if run_as == SYSTEM:
            return self._system()
        there = {login.name: login for login in sorted(self._signed_in(), key=lambda login: login.in_front)}
        if not there:
            return _no("Nobody is signed in there now.")
        in_front = [login for login in there.values() if login.in_front]
        if len(there) > 1 and len(in_front) != 1:
            return _no(f"Several people are signed in: {_some(sorted(there))}.")
        return self._person(in_front[0] if in_front else next(iter(there.values())))

    def _system(self) -> Account | Refusal:
        own = pwd.getpwuid(os.geteuid())
        if own.pw_uid != 0:
            return _no(f"The agent runs as {own.pw_name}, not as root.")
        return Account(own.pw_name, own.pw_dir)

    def _person(self, login: Login) -> Account | Refusal:
        try:
            entry = pwd.getpwnam(login.name)
        except KeyError:
            return _no(f"{login.name} is signed in, but has no account here.")
        own = os.geteuid()
        if entry.pw_uid == own:
            return Account(entry.pw_name, entry.pw_dir)
        if own != 0:
            return _no(f"The agent runs as {pwd.getpwuid(own).pw_name}: not as somebody else.")
        before = self._switch(entry)
        if before is None:
            return _no("setpriv is missing there (util-linux).")
        env = {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name, "SHELL": entry.pw_shell}
        return Account(entry.pw_name, entry.pw_dir, before, env | _desktop(entry.pw_uid, login.display))

    def _switch(self, entry: pwd.struct_passwd) -> tuple[str, ...] | None:
        """Both replace themselves by the command: the process that is watched is the command's own."""
        if self._platform == "macos":
            user = str(entry.pw_uid)
            return ("/bin/launchctl", "asuser", user, "/usr/bin/sudo", "-n", "-H", "-E", "-u", f"#{user}", "--")
        program = shutil.which("setpriv", path=TOOLS_PATH)
        if program is None:
            return None
        return (program, f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups", "--inh-caps=-all", "--")


def environment(base: Mapping[str, str], account: Account, given: Mapping[str, str]) -> dict[str, str]:
    """The variables of a command: the account's on top of `base`, and on top of all what the call itself sets."""
    if not account.before:
        return dict(base)
    kept = {name: value for name, value in base.items() if name not in OF_THE_AGENT}
    return {**kept, **account.env, **given}


def _desktop(uid: int, display: str) -> dict[str, str]:
    """Where the programs of that person's session are found, so that a command can talk to them."""
    found = {"DISPLAY": display} if display else {}
    folder = Path("/run/user", str(uid))
    try:
        theirs = folder.stat().st_uid == uid
    except OSError:
        return found
    if theirs:
        found["XDG_RUNTIME_DIR"] = str(folder)
        if (folder / "bus").exists():
            found["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={folder}/bus"
    return found


def _at_the_mac() -> list[Login]:
    """Who owns the screen of a Mac. At the login window that is root: nobody."""
    try:
        said = subprocess.run(
            ["/usr/bin/stat", "-f", "%Su", "/dev/console"],
            capture_output=True, text=True, timeout=CONSOLE_WITHIN_S, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    name = said.stdout.strip()
    return [] if name in ("", "root") else [Login(name, in_front=True)]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
