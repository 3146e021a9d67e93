"""Enrollment against a real HTTP server: what is asked, what is kept, what is refused."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.protocol.enrollment import EnrollmentAnswer, EnrollmentRequest, make_token, read_request
from caisey.runtime.__main__ import main
from caisey.runtime.assembly import status
from caisey.runtime.enroll import EnrollmentError, enroll
from caisey.runtime.state import StateDirectory, StateError

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32).public_key().public_bytes_raw()
TOKEN = make_token(b"s" * 24, KEY)


@contextmanager
def enrolling(code: int = 201, body: Any = None, key: bytes = KEY) -> Iterator[tuple[str, list[EnrollmentRequest]]]:
    asked: list[EnrollmentRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/runtime/v1/enroll"
            read = read_request(self.rfile.read(int(self.headers["Content-Length"])))
            assert isinstance(read, EnrollmentRequest), read
            asked.append(read)
            answer = EnrollmentAnswer(
                runtime_id="rtm_1", endpoint_id="ept_1", organization="org_1", client_group=None, control_plane_key=key
            )
            data = msgspec.json.encode(body if body is not None else answer)
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name of the base class)
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_who_we_are_is_kept_privately(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state"
    with enrolling() as (url, asked):
        enrolled = enroll(url, TOKEN, state)
    assert enrolled.runtime_id == "rtm_1"
    assert enrolled.control_plane_keys == (KEY,)
    (request,) = asked
    directory = StateDirectory(state)
    assert request.public_key == directory.private_key().public_key().public_bytes_raw()
    assert request.endpoint.os == "linux"
    assert len(request.endpoint.machine_fingerprint) == 64
    for path in (state, *state.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    told = status(state)
    assert told["journal_id"] == request.journal_id
    assert told["running"] is False


def test_another_control_plane_than_the_tokens_is_refused(tmp_path: Path) -> None:
    with enrolling(key=b"o" * 32) as (url, _), pytest.raises(EnrollmentError) as refused:
        enroll(url, TOKEN, tmp_path / "state")
    assert refused.value.code == "enrollment.wrong_control_plane"
    assert StateDirectory(tmp_path / "state").enrolled() is None


def test_the_same_key_is_offered_again(tmp_path: Path) -> None:
    problem = {"code": "enrollment.token_expired", "hint": "Make a new one."}
    with enrolling(401, problem) as (url, asked), pytest.raises(EnrollmentError) as refused:
        enroll(url, TOKEN, tmp_path / "state")
    assert (refused.value.code, refused.value.hint) == ("enrollment.token_expired", "Make a new one.")
    with enrolling() as (url, again):
        enroll(url, TOKEN, tmp_path / "state")
    assert again[0].public_key == asked[0].public_key
    assert again[0].journal_id == asked[0].journal_id
    with enrolling() as (url, _), pytest.raises(EnrollmentError) as refused:
        enroll(url, TOKEN, tmp_path / "state")
    assert refused.value.code == "enrollment.already_enrolled"


@pytest.mark.parametrize(
    ("url", "token", "code"),
    [
        ("http://192.0.2.1", TOKEN, "enrollment.address"),
        ("ftp://127.0.0.1", TOKEN, "enrollment.address"),
        ("http://127.0.0.1:9", "cse_short", "enrollment.token_unreadable"),
        ("http://127.0.0.1:9", TOKEN, "enrollment.unreachable"),
    ],
)
def test_what_cannot_be_done(tmp_path: Path, url: str, token: str, code: str) -> None:
    with pytest.raises(EnrollmentError) as refused:
        enroll(url, token, tmp_path / "state")
    assert refused.value.code == code


def test_the_command_reads_the_token_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAISEY_ENROLLMENT_TOKEN", TOKEN)
    with enrolling() as (url, _):
        assert main(["enroll", "--url", url, "--state-dir", str(tmp_path / "state")]) == 0
    assert capsys.readouterr().out == "rtm_1\n"


@pytest.mark.parametrize("name", ["", "key", "runtime.json"])
def test_others_may_not_read_it(tmp_path: Path, name: str) -> None:
    state = tmp_path / "state"
    with enrolling() as (url, _):
        enroll(url, TOKEN, state)
    path = state / name
    path.chmod(path.stat().st_mode | 0o040)
    with pytest.raises(StateError) as refused:
        StateDirectory(state).check()
    assert refused.value.code == "state.not_private"
    assert main(["run", "--state-dir", str(state)]) == 1


def test_start_numbers_rise_and_outlive_the_process(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.make()
    assert [state.next_start_number() for _ in range(3)] == [1, 2, 3]
    assert StateDirectory(tmp_path / "state").next_start_number() == 4
