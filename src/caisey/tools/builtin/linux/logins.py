"""Who is signed in on a Linux computer: by the sessions of systemd where there are any, else by the list of logins."""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

SESSIONS = "/run/systemd/sessions"
LOGINS = "/run/utmp"
# utmp(5) on Linux: type, pid, line, id, user, host, exit, session, time, address, unused.
_LOGIN = struct.Struct("<hi32s4s32s256shhiii4i20s")
_USER_PROCESS = 7
_MOST_LOGINS = 10_000


class Login(NamedTuple):
    """One sign-in. `in_front`: at a screen of this computer, and the one that is shown there now."""

    name: str
    in_front: bool = False
    display: str = ""


def logins() -> list[Login]:
    """Every sign-in of a person. Services and login screens are none."""
    return _sessions(SESSIONS) or _listed(LOGINS)


def _sessions(directory: str) -> list[Login]:
    found = []
    try:
        names = sorted(name for name in os.listdir(directory) if not name.endswith(".ref"))
    except FileNotFoundError:
        return []
    for name in names:
        try:
            with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as file:
                fields = dict(line.strip().partition("=")[::2] for line in file if "=" in line)
        except OSError:
            continue  # a session may end while it is looked at
        if fields.get("CLASS", "user") == "user" and fields.get("USER"):
            in_front = fields.get("ACTIVE") == "1" and bool(fields.get("SEAT"))
            found.append(Login(fields["USER"], in_front, fields.get("DISPLAY", "")))
    return found


def _listed(path: str) -> list[Login]:
    try:
        with open(path, "rb") as file:
            data = file.read(_LOGIN.size * _MOST_LOGINS)
    except FileNotFoundError:
        return []
    whole = len(data) - len(data) % _LOGIN.size
    return [
        Login(fields[4].rstrip(b"\0").decode("utf-8", "replace"))
        for fields in _LOGIN.iter_unpack(data[:whole])
        if fields[0] == _USER_PROCESS
    ]
