"""Who connects and does not ask: nobody holds a connection, or fills memory, with a request that never begins."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from caisey.wiring import caller
from tests.api.plane import Plane

PATIENCE_S = 60
ASKS = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, new_plane: Callable[..., Plane]) -> Plane:
    """A control plane that waits half a second for the head of a request."""
    monkeypatch.setattr(caller, "HEAD_WITHIN_S", 0.5)
    return new_plane().start()


def line_to(plane: Plane) -> socket.socket:
    where = urlsplit(plane.url)
    line = socket.create_connection((where.hostname, where.port), PATIENCE_S)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def until_closed(line: socket.socket) -> bytes:
    heard = b""
    try:
        while piece := line.recv(65_536):
            heard += piece
    except ConnectionResetError:  # closed while bytes of ours were still on their way
        pass
    return heard


def answer_of(line: socket.socket) -> bytes:
    """The head and the body of one answer, of a length that the head says."""
    heard = b""
    while b"\r\n\r\n" not in heard:
        piece = line.recv(65_536)
        assert piece, heard
        heard += piece
    head, _, body = heard.partition(b"\r\n\r\n")
    length = next(int(one.split(b":")[1]) for one in head.split(b"\r\n") if one.lower().startswith(b"content-length"))
    while len(body) < length:
        body += line.recv(65_536)
    return head


def test_who_says_nothing_is_let_go(quick: Plane) -> None:
    with line_to(quick) as line:
        assert until_closed(line) == b""


@pytest.mark.parametrize("begun", [b"GET /readyz HTT", b"\r\n", ASKS[:-2]])
def test_a_head_that_does_not_end_is_told(quick: Plane, begun: bytes) -> None:
    with line_to(quick) as line:
        line.sendall(begun)
        assert until_closed(line).startswith(b"HTTP/1.1 408 ")


def test_who_goes_on_byte_by_byte_gains_nothing(quick: Plane) -> None:
    """The deadline is of the head as a whole, also after a first request that was in order."""
    with line_to(quick) as line:
        line.sendall(ASKS)
        assert b" 200 " in answer_of(line)
        over = threading.Event()

        def drip() -> None:
            try:
                while not over.wait(0.05):
                    line.sendall(b"\r\n")
            except OSError:
                pass

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            heard = until_closed(line)
            assert not heard or heard.startswith(b"HTTP/1.1 408 ")
        finally:
            over.set()
            dripping.join()


@pytest.mark.parametrize("grows", [b"X-More: " + b"a" * 1000 + b"\r\n", b"a" * 1000], ids=["headers", "one header"])
def test_a_head_without_end_is_refused(quick: Plane, grows: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "HEAD_WITHIN_S", 30)
    with line_to(quick) as line:
        line.sendall(ASKS[:-2] + b"X-First: ")
        sent = 0
        try:
            while sent < 64 * 1024 * 1024:
                line.sendall(grows)
                sent += len(grows)
        except OSError:
            pass
        assert sent < 16 * 1024 * 1024, "what is in the buffers of both ends, not all of it"
    assert quick.api().get("/me")


def test_requests_that_are_in_order_know_nothing_of_it(quick: Plane) -> None:
    """Several on one line, one behind the other, and with a head that comes in pieces and in time."""
    with line_to(quick) as line:
        for piece in (ASKS[:10], ASKS[10:-1], ASKS[-1:]):
            line.sendall(piece)
        assert b" 200 " in answer_of(line)
        line.sendall(ASKS + ASKS)
        heard = b""
        while heard.count(b"HTTP/1.1 200 ") < 2:
            piece = line.recv(65_536)
            assert piece, heard
            heard += piece
