"""`caisey up`: a control plane and a runtime on this machine, ready to be asked.

Owns the order (control plane, token, enrollment, runtime, proof), the watch over both, and the way back. Run again it
finds what is there: nothing is made twice, and a second one beside a running one only says where it is.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from caisey.cli import machine, profiles
from caisey.cli.command import LocalCommand, Run, begin, single
from caisey.cli.faults import CliFault, Problem, UsageFault
from caisey.cli.home import Home
from caisey.cli.local import administer, default_directory

app = single()

DEFAULT_LISTEN = "127.0.0.1:8700"
PROFILE = "local"
ENDED_WITHIN_S = 60.0
MINUTE_S = 60.0
AGAIN_IN_A_MINUTE = 3

Document = dict[str, Any]


@app.command("up", cls=LocalCommand)
def up(
    ctx: typer.Context,
    *,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help="Everything of both. [default: the user's own]")
    ] = None,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help=f"[default: {DEFAULT_LISTEN}, or a free port]")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Go on in the background.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the one in the background.")] = False,
) -> None:
    """Start a control plane and a runtime on this machine.

    It prints one command that works. The API token goes to a file of its own (0600) and into the CLI's profile `local`,
    so that the other commands just work. Ctrl-C ends both.
    """
    run = begin(ctx)
    home = Home((data_dir or default_directory(os.environ)).absolute())
    if stop:
        _stop(run, home)
        return
    home.make()
    with home.held() as is_ours:
        if not is_ours:
            _show(run, home.wait_for_the_other())
        elif not detach:
            _foreground(run, home, listen)
            return
    if is_ours:
        _background(run, home, listen)


# -- how it runs ------------------------------------------------------------------------------------------------------


def _foreground(run: Run, home: Home, listen: str | None) -> None:
    """Start both, say that they are there, watch them until Ctrl-C or SIGTERM, end them in order."""
    wanted = threading.Event()
    former = {number: signal.signal(number, lambda *_: wanted.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    children: list[machine.Child] = []
    try:
        home.say(ready=False, pid=os.getpid())
        for _ in _started(run, home, listen, children):
            if wanted.is_set():
                return
        _show(run, home.say(ready=True))
        run.terminal.say("Ctrl-C ends both.")
        _watch(run, children, wanted)
    finally:
        home.say(ready=False, pid=None)
        if children:
            run.terminal.say("Ending the runtime, then the control plane.", "wait")
        for child in reversed(children):
            child.stop()
        for number, handler in former.items():
            signal.signal(number, handler)


def _watch(run: Run, children: list[machine.Child], wanted: threading.Event) -> None:
    """Until an end is wanted. A runtime that ended is started again, as a service manager would; nothing else is."""
    again: list[float] = []
    while not wanted.wait(0.2):
        control_plane, runtime = children
        if control_plane.exit_code is not None:
            raise control_plane.ended()
        if runtime.exit_code is not None:
            again = [moment for moment in again if time.monotonic() - moment < MINUTE_S] + [time.monotonic()]
            if len(again) > AGAIN_IN_A_MINUTE:
                raise runtime.ended()
            run.terminal.say(f"The runtime ended by itself (exit code {runtime.exit_code}). Starting it again.", "ask")
            children[1] = runtime.again()


def _started(run: Run, home: Home, listen: str | None, children: list[machine.Child]) -> Iterator[None]:
    """Step by step, so that Ctrl-C is heard between two of them."""
    from caisey.cli.client import Api

    chosen = _choose(home, listen)
    url = f"http://{chosen}"
    run.terminal.say(f"Starting the control plane at {url}.", "wait")
    children.append(
        machine.Child("control plane", machine.serve_words(home.control_plane, chosen), home.path / "control-plane.log")
    )
    yield
    machine.wait_until(lambda: machine.is_ready(url), "The start of the control plane", *children)
    yield
    target = profiles.Target(url, _token(home, url))
    _remember(home, url)
    with Api(target) as api:
        endpoint_id = _enrolled(home, api, url)
        home.say(listen=chosen, url=url, endpoint_id=endpoint_id, token_file=str(home.token))
        run.terminal.say("Starting the runtime.", "wait")
        children.append(machine.Child("runtime", machine.runtime_words(home.runtime), home.path / "runtime.log"))
        yield

        def ready() -> Document | None:
            endpoint: Document = api.get(f"/endpoints/{endpoint_id}")
            return endpoint if (endpoint.get("sendable") or {}).get("value") else None

        endpoint = machine.wait_until(ready, "The first contact with the runtime", *children)
        home.say(computer=_unique_name(api, endpoint), set_up_url=_set_up_url(home, api, url))
    yield


def _background(run: Run, home: Home, listen: str | None) -> None:
    """The same in a process of its own; back when it is ready."""
    words = ["up", "--data-dir", str(home.path), *(["--listen", listen] if listen else [])]
    log = home.path / "up.log"
    home.say(ready=False)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603  # words of our own
            [sys.executable, "-m", "caisey.cli.main", *words],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)

    def ready_or_ended() -> Document | str | None:
        known = home.known()
        if known.get("ready") and known.get("pid") == process.pid:
            return known
        return "ended" if process.poll() is not None else None

    found = machine.wait_until(ready_or_ended, "The start", within_s=2 * machine.START_WITHIN_S)
    if isinstance(found, str):
        raise CliFault("It ended while it started", hint=log.read_text("utf-8", "replace").strip(), code="up.ended")
    _show(run, found)
    again = f"{machine.own_name()} up --stop --data-dir {shlex.quote(str(home.path))}"
    run.terminal.say(f"It goes on in the background. End it: {again}")


def _stop(run: Run, home: Home) -> None:
    """End the one that runs, and wait until both of its children are gone."""
    if not home.path.is_dir():
        run.terminal.say(f"Nothing runs on {home.path}.", "plain")
        return
    pid = home.known().get("pid")
    with home.held() as is_ours:
        if is_ours or not isinstance(pid, int):
            run.terminal.say(f"Nothing runs on {home.path}.", "plain")
            return
    # The lock is held, so the process that wrote its number there lives.
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + ENDED_WITHIN_S
    while time.monotonic() < deadline:
        with home.held() as is_ours:
            if is_ours:
                run.terminal.say("Ended.", "done")
                return
        time.sleep(machine.LOOK_EVERY_S)
    raise CliFault(f"Process {pid} did not end within {ENDED_WITHIN_S:.0f} s", code="up.too_slow")


def _show(run: Run, known: Document) -> None:
    """Where it is, and one command that works."""
    following = f"{machine.own_name()} prompt {known.get('computer')} -- uptime"
    if run.json:
        names = ("url", "token_file", "endpoint_id", "computer", "set_up_url")
        run.terminal.json({**{name: known.get(name) for name in names}, "profile": PROFILE, "next": following})
        return
    run.terminal.say(f"Caisey answers at {known.get('url')}", "done")
    run.terminal.say(f"  API token: {known.get('token_file')} (profile {PROFILE})")
    if known.get("set_up_url"):
        run.terminal.say("  Open the console and make your account (this link works once, within 24 h):")
        run.terminal.print(f"  {known['set_up_url']}")
    run.terminal.say("  Next, in another terminal:")
    run.terminal.print(f"  {following}")


# -- its parts --------------------------------------------------------------------------------------------------------


def _choose(home: Home, listen: str | None) -> str:
    """The address: that of the last time, since the runtime was enrolled there; else what is asked for, or is free."""
    former = home.known().get("listen")
    if former and listen and listen != former:
        raise UsageFault(
            f"{home.path} was set up for {former}, and its runtime knows no other address",
            hint="Leave --listen out, or use another --data-dir.",
        )
    chosen = str(former or listen or DEFAULT_LISTEN)
    host, _, port = chosen.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageFault(f"{chosen!r} is no HOST:PORT")
    free = _free_port(host, int(port))
    if free is None and (former or listen):
        raise CliFault(
            f"{chosen} is in use, or not this machine's", hint="Who uses it? ss -ltnp", code="up.port_in_use"
        )
    return f"{host}:{free if free is not None else _free_port(host, 0)}"


def _free_port(host: str, port: int) -> int | None:
    """The port if it is free, for 0 any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError:
            return None
        return int(probe.getsockname()[1])


def _token(home: Home, url: str) -> str:
    """The token of the last time while it is good, else a new one."""
    from caisey import wiring
    from caisey.cli.client import Api

    if home.token.exists():
        kept = profiles.read_secret(home.token)
        try:
            with Api(profiles.Target(url, kept)) as api:
                api.get("/endpoints", limit=1)
        except Problem as problem:
            if problem.status != 401:
                raise
        else:
            return kept
    made = administer(home.control_plane, wiring.create_token, "default", "owner", name="caisey up")
    profiles.write_private(home.token, f"{made['token']}\n")
    return str(made["token"])


def _remember(home: Home, url: str) -> None:
    """The profile that makes the other commands work; it is the default unless there is one that is not ours."""
    path = profiles.config_path(os.environ)
    profiles.store(path, PROFILE, profiles.Profile(url, home.token), make_default=False)


def _enrolled(home: Home, api: Any, url: str) -> str:
    """The endpoint of this machine's runtime, enrolled now if it was not."""
    from caisey.runtime.assembly import status
    from caisey.runtime.enroll import EnrollmentError, enroll
    from caisey.runtime.state import StateError

    try:
        known = status(home.runtime) if home.runtime.exists() else {"enrolled": False}
        if known["enrolled"]:
            _check_enrolled(home, api, url, known)
            return str(known["endpoint_id"])
        made = api.post("/enrollment-tokens", {"scope": "organization", "uses": 1, "expires_in_s": 600})
        return enroll(url, made["token"], home.runtime).endpoint_id
    except StateError as error:
        raise CliFault(f"{home.runtime} cannot be used", hint=error.hint, code=error.code) from error
    except EnrollmentError as error:
        raise CliFault("The runtime was not enrolled", hint=error.hint, code=error.code) from error


def _check_enrolled(home: Home, api: Any, url: str, known: Document) -> None:
    """That the runtime there is this control plane's."""
    hint = f"Move {home.runtime} away; a new runtime is enrolled then."
    if known["url"].rstrip("/") != url:
        raise CliFault(
            f"The runtime in {home.runtime} was enrolled at {known['url']}", hint=hint, code="up.other_runtime"
        )
    try:
        api.get(f"/endpoints/{known['endpoint_id']}")
    except Problem as problem:
        if problem.status != 404:
            raise
        raise CliFault("This control plane does not know the runtime", hint=hint, code="up.other_runtime") from problem


def _set_up_url(home: Home, api: Any, url: str) -> str | None:
    """Where the first account is made; None once somebody has one."""
    from caisey import wiring

    if any(member.get("can_sign_in") for member in api.items("/members")):
        return None
    made = administer(home.control_plane, wiring.create_set_up_link, "default")
    return f"{url}{made['path']}"


def _unique_name(api: Any, endpoint: Document) -> str:
    """How `caisey prompt` names this machine without doubt: by name where it is the only one, else by id."""
    name = str(endpoint.get("name") or "")
    alike = [
        item for item in api.items("/endpoints", q=name) if str(item.get("name", "")).casefold() == name.casefold()
    ]
    plain = name and all(character.isalnum() or character in "-_." for character in name)
    return name if plain and len(alike) == 1 else str(endpoint["id"])
