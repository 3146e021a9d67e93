"""`python -m caisey.runtime`: the runtime's own commands, for an endpoint without the command line's dependencies.

Owns the arguments and the exit codes: 0 done, 1 a fault, 2 usage. The token is read from a file descriptor or the
environment where possible, so that it does not stand in a list of processes.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys

STDIN = "-"


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if sys.platform == "win32" and given.act is not _install:
        sys.stderr.write("platform.unsupported: the runtime does not run on Windows yet; see docs/limits.md\n")
        return 1
    from caisey.runtime.state import StateError

    try:
        return int(given.act(given))
    except StateError as error:
        sys.stderr.write(f"{error.code}: {error.hint}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m caisey.runtime", description="The runtime of one endpoint.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run in the foreground")
    run.set_defaults(act=_run)
    enroll = commands.add_parser("enroll", help="enroll this computer with a token")
    enroll.add_argument("--url", required=True)
    enroll.add_argument("--token", metavar="T|-", help="the token, or - to read it from standard input")
    enroll.add_argument("--insecure-http", action="store_true", help="allow plain http to another computer")
    enroll.set_defaults(act=_enroll)
    status = commands.add_parser("status", help="what is known of the runtime")
    status.set_defaults(act=_status)
    install = commands.add_parser("install", help="install as a service of the system")
    install.set_defaults(act=_install)
    for command in (run, enroll, status, install):
        command.add_argument("--state-dir", required=True)
    for command in (run, enroll):
        command.add_argument("--journal-dir")
    for command in (run, install):
        command.add_argument("--bridge", choices=("auto", "websocket", "longpoll"), default="auto")
    return parser


def _run(given: argparse.Namespace) -> int:
    from caisey.runtime.assembly import run

    return run(given.state_dir, given.journal_dir, given.bridge)


def _enroll(given: argparse.Namespace) -> int:
    from caisey.runtime.enroll import EnrollmentError, enroll

    token = (
        sys.stdin.readline() if given.token == STDIN else given.token or os.environ.get("CAISEY_ENROLLMENT_TOKEN", "")
    )
    try:
        enrolled = enroll(given.url, token.strip(), given.state_dir, given.journal_dir, given.insecure_http)
    except EnrollmentError as error:
        sys.stderr.write(f"{error.code}: {error.hint}\n")
        return 1
    sys.stdout.write(f"{enrolled.runtime_id}\n")
    return 0


def _status(given: argparse.Namespace) -> int:
    from caisey.runtime.assembly import status

    sys.stdout.write(json.dumps(status(given.state_dir), indent=2) + "\n")
    return 0


def _install(given: argparse.Namespace) -> int:
    from caisey.runtime.service import install

    sys.stdout.write(f"{install(given.state_dir, given.bridge)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
