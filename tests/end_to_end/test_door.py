"""No file descriptor left for callers: the control plane waits without spinning, and lets in whoever waited."""

from __future__ import annotations

import contextlib
import resource
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.server import Server, until

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(sys.platform != "linux", reason="the limits of another process are set on Linux"),
]
CALLERS = 100
MOST_CPU = 0.5  # of one core; a loop that asks for callers that it cannot have takes all of it, an idle one a hundredth


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("door") / "data").start()
    try:
        yield made
    finally:
        made.kill()


def open_files(pid: int) -> set[int]:
    return {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}


@contextlib.contextmanager
def at_most(pid: int, most: int) -> Iterator[None]:
    former, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (former, hard))


@contextlib.contextmanager
def callers(server: Server, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as lines:
        made = [lines.enter_context(socket.create_connection(("127.0.0.1", server.port), 30)) for _ in range(count)]
        for line in made:
            line.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield made


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def share_of_a_core(pid: int, seconds: float) -> float:
    """Measured over so long: what it takes is what is asked about, so nothing else ends the wait."""
    used, began = cpu_s(pid), time.monotonic()
    until(lambda: time.monotonic() - began >= seconds, within=60, what="the time is over")
    return (cpu_s(pid) - used) / (time.monotonic() - began)


@pytest.mark.parametrize("left", ["not even what is open", "none", "two"])
def test_nothing_spins_and_who_waited_is_let_in(server: Server, left: str) -> None:
    taken = open_files(server.pid)
    most = {"not even what is open": 0, "none": max(taken) + 1, "two": max(taken) + 3}[left]
    with contextlib.ExitStack() as waiting:
        with at_most(server.pid, most):
            lines = waiting.enter_context(callers(server, CALLERS))
            assert share_of_a_core(server.pid, 1.0) < MOST_CPU
            until(lambda: "door.waits" in server.log_tail(), within=30, what="the log says why nobody is let in")
        answered = sum(b" 200 OK" in _answer(line) for line in lines)
    # At most one at each try was told to go, so that none of the program's own is taken.
    assert answered >= CALLERS / 2
    until(server.ready, within=30, what="it goes on as before")


def test_callers_never_get_the_last_ones(server: Server) -> None:
    until(lambda: max(open_files(server.pid)) < 64, within=30, what="who called before is gone")
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as inside:
        assert inside.get("/readyz").status_code == 200
        with at_most(server.pid, 80), callers(server, CALLERS):
            until(lambda: len(open_files(server.pid)) >= 60, within=30, what="callers took what they may")
            assert share_of_a_core(server.pid, 1.5) < MOST_CPU
            assert len(open_files(server.pid)) <= 70, "an eighth of a small limit stays the program's own"
            assert inside.get("/readyz").status_code == 200


def _answer(line: socket.socket) -> bytes:
    """What a caller is told; nothing if it was told to go."""
    with contextlib.suppress(ConnectionError):
        return line.recv(4096)
    return b""
