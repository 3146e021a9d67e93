"""No file descriptor left for callers: the control plane waits without spinning, and lets in whoever waited."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import resource
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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


class Encrypted(Server):
    """With a certificate of its own making."""

    def __init__(self, directory: Path) -> None:
        certificate, key = directory / "cert.pem", directory / "key.pem"
        _certify(certificate, key)
        named = {"CAISEY_TLS_CERTIFICATE": str(certificate), "CAISEY_TLS_KEY": str(key)}
        super().__init__(directory / "data", named)
        self.url = f"https://127.0.0.1:{self.port}"
        self.trust = ssl.create_default_context(cafile=str(certificate))

    def ready(self) -> bool:
        assert self.running, self.log_tail()
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10, trust_env=False, verify=self.trust).status_code == 200
        except httpx.TransportError:
            return False


def test_who_speaks_no_tls_harms_nobody(tmp_path: Path) -> None:
    server = Encrypted(tmp_path).start()
    try:
        with callers(server, 5) as plain:  # these speak plain HTTP
            assert all(b"200 OK" not in _answer(line) for line in plain)
        with contextlib.ExitStack() as lines:
            for _ in range(20):  # and these say nothing, and are on the threshold when everything ends
                lines.enter_context(socket.create_connection(("127.0.0.1", server.port), 30))
            assert server.ready()
            assert server.stop() == 0
        assert "Traceback" not in server.log_tail()
    finally:
        server.kill()


def _certify(certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
