"""The spooler of the demonstration: a real service of one computer, which writes down each start and each stop.

Owns how it is installed: as an init script that only this computer sees, or, where the machine permits no view of the
file system of its own, under a `supervisord` of ours.
"""

from __future__ import annotations

import sys
from pathlib import Path

from caisey.cli import machine
from caisey.cli.demo.computer import BootingComputer, Computer
from caisey.cli.demo.household import Household

NAME = "spooler"

# What the Linux Standard Base asks of an init script.
_SCRIPT = """\
#!/bin/sh
cd '{home}' || exit 5
alive() {{ [ -s pid ] && kill -0 "$(cat pid)" 2>/dev/null; }}
case "$1" in
  start) alive && exit 0
         setsid sleep 120 </dev/null >/dev/null 2>&1 & echo $! > pid; echo start >> done ;;
  stop)  alive && kill "$(cat pid)"; rm -f pid; echo stop >> done ;;
  status) alive && exit 0; exit 3 ;;
  *) exit 2 ;;
esac
"""
_PROGRAM = """\
cd '{home}' || exit 5
trap 'echo stop >> done; exit 0' TERM
echo start >> done
sleep 120 & wait
"""
_CONFIGURATION = """\
[supervisord]
logfile = {home}/log
pidfile = {home}/supervisord.pid
[unix_http_server]
file = {home}/socket
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl = unix://{home}/socket
[program:{name}]
command = /bin/sh {home}/program
autostart = false
autorestart = false
startsecs = 0
stopasgroup = true
"""


def supervisord() -> Path | None:
    """The supervisor that is installed beside this program; None where there is none."""
    beside = Path(sys.executable).parent / "supervisord"
    return beside if beside.exists() else None


def install(household: Household, computer: Computer) -> Path:
    """Make it known on that computer, stopped; returns its directory: `queue/`, and `done` with a line for each act."""
    home = household.path / NAME
    (home / "queue").mkdir(parents=True)
    for job in (17, 18):
        (home / "queue" / f"job-{job}").touch()
    if isinstance(computer, BootingComputer):
        script = computer.scripts / NAME
        script.write_text(_SCRIPT.format(home=home))
        script.chmod(0o700)
        return home
    program, configuration = home / "program", home / "supervisord.conf"
    program.write_text(_PROGRAM.format(home=home))
    configuration.write_text(_CONFIGURATION.format(home=home, name=NAME))
    words = [str(supervisord()), "-n", "-c", str(configuration)]
    household.start("supervisor", words, "supervisor.log", home=home)
    machine.wait_until((home / "socket").exists, "The start of supervisor")
    return home
