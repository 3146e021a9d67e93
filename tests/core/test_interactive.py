"""Hints about commands that wait for somebody at a keyboard: what is named, and what is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caisey.core.interactive import LONGEST, waits_for


@pytest.mark.parametrize(
    ("tool", "command", "word"),
    [
        ("shell", "vi /etc/hosts", "vi"),
        ("shell", "cd /tmp && sudo -E nano x", "nano"),
        ("shell", "top", "top"),
        ("shell", "LANG=C /usr/bin/less /var/log/syslog", "less"),
        ("shell", "python3", "python3"),
        ("shell", "read -p 'Sure? ' x", "read -p"),
        ("shell", "apt-get install cups", "apt-get install"),
        ("shell", "if true; then passwd bert; fi", "passwd"),
        ("powershell", "$x = Read-Host 'Name'", "Read-Host"),
        ("powershell", "pause", "pause"),
        ("powershell", "cmd", "cmd"),
        ("osascript", 'display dialog "Hello"', "display dialog"),
    ],
)
def test_what_waits_is_named(tool: str, command: str, word: str) -> None:
    assert waits_for(tool, command) == word


@pytest.mark.parametrize(
    ("tool", "command"),
    [
        ("shell", "uptime"),
        ("shell", "top -bn1"),
        ("shell", "echo vi"),
        ("shell", "grep -r less /etc"),
        ("shell", "python3 -c 'print(1)'"),
        ("shell", "cat dump.sql | mysql"),
        ("shell", "apt-get -y install cups"),
        ("shell", "apt-get install --yes cups"),
        ("shell", "passwd -l bert"),
        ("powershell", "Get-Service | Sort-Object Name"),
        ("powershell", "cmd /c ver"),
        ("osascript", "vi"),
        ("service", "vi"),
    ],
)
def test_what_does_not_wait_is_left_alone(tool: str, command: str) -> None:
    assert waits_for(tool, command) is None


def test_in_windows_a_shell_is_cmd() -> None:
    assert waits_for("shell", "pause", windows=True) == "pause"
    assert waits_for("shell", "pause") is None
    assert waits_for("shell", "set /p NAME=", windows=True) == "set /p"


@given(st.sampled_from(["shell", "powershell", "osascript"]), st.text(max_size=400))
def test_no_text_is_too_odd(tool: str, command: str) -> None:
    found = waits_for(tool, command)
    assert found is None or found.casefold() in " ".join(command.split()).casefold().replace(".exe", "")


@pytest.mark.parametrize(
    "piece", ["sudo " * 5_000, "a=b " * 5_000, "(" * LONGEST, "apt install x " * 2_000, "if " * 9_000]
)
def test_a_long_text_is_looked_at_in_bounded_time(piece: str) -> None:
    waits_for("shell", piece)
