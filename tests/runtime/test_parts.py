"""The small parts by themselves: what a stream keeps, when a heart beats, how long to wait, what a service says."""

from __future__ import annotations

import asyncio
import hashlib
import os
import plistlib
import shlex
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caisey.protocol.frames import Heartbeat, Load, Reference
from caisey.runtime.connecting import Backoff, BridgeChoice
from caisey.runtime.facts import machine_fingerprint
from caisey.runtime.platforms import this_platform
from caisey.runtime.pulse import Pulse
from caisey.runtime.service import command, launchd_plist, systemd_unit, windows_task
from caisey.runtime.shim.marks import reserve_end, write_end
from caisey.runtime.shim.sink import Sink
from caisey.runtime.spool import Budget, Chunk, Hole, Layout, Spool, layouts_of
from caisey.transport.addresses import InsecureAddressError, checked_url, websocket_url
from caisey.transport.bridge import BridgeClosedError
from caisey.transport.websocket import WebSocketConnector
from tests.runtime.conftest import awaited

# -- streams ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    pieces=st.lists(st.binary(max_size=400), max_size=12),
    limit=st.integers(min_value=0, max_value=1200),
    size=st.integers(min_value=1, max_value=300),
)
def test_what_is_kept_and_what_is_missing_make_the_whole(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], limit: int, size: int
) -> None:
    root = tmp_path_factory.mktemp("spool")
    spool, folder = Spool(root), root / "one"
    folder.mkdir()
    sink = Sink(str(folder), "stdout", limit, "limit")
    for piece in pieces:
        sink.take(piece)
    sink.close()
    whole = b"".join(pieces)
    summary = sink.summary()
    assert summary["bytes"] == len(whole)
    assert summary["sha256"] == hashlib.sha256(whole).hexdigest()
    assert summary["blank"] == (not whole.strip())
    assert summary["truncated"] == (len(whole) > limit)
    reserve_end(str(folder))
    write_end(str(folder), {"execution": {"streams": {"stdout": summary}}, "spool": {"stdout": sink.layout()}})
    end = spool.end_record("one")
    assert end is not None
    layout = layouts_of(end.layout)["stdout"]
    offset, kept = 0, 0
    while (part := spool.next_part("one", "stdout", layout, offset, size)) is not None:
        assert part.offset == offset
        if isinstance(part, Chunk):
            assert whole[offset : offset + len(part.data)] == part.data
            assert 0 < len(part.data) <= size
            offset, kept = offset + len(part.data), kept + len(part.data)
        else:
            assert (part.why, part.length > 0) == ("limit", True)
            offset += part.length
    assert offset == len(whole)
    assert kept == min(limit, len(whole))


def test_a_full_disk_is_a_hole_and_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "stdout").symlink_to("/dev/full")
    sink = Sink(str(tmp_path), "stdout", 1000, "limit")
    sink.take(b"x" * 100)
    sink.take(b"y" * 100)
    assert sink.summary()["bytes"] == 200
    assert sink.layout() == {"head": 0, "tail": 0, "ring": 0, "base": 0, "why": "spool_full"}


def test_bytes_that_were_lost_after_the_end_are_a_hole(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    sink = Sink(str(tmp_path / "one"), "stdout", 1000, "limit")
    sink.take(b"x" * 100)
    sink.close()
    (tmp_path / "one" / "stdout").write_bytes(b"x" * 40)
    layout = msgspec.convert({"bytes": 100, **sink.layout()}, Layout)
    spool = Spool(tmp_path)
    assert spool.next_part("one", "stdout", layout, 0, 1000) == Chunk(0, b"x" * 40)
    assert spool.next_part("one", "stdout", layout, 40, 1000) == Hole(40, 60, "lost")


def test_the_spool_is_bounded() -> None:
    budget = Budget(total=300)
    assert budget.hold("a", 50) == (50, "limit")
    assert budget.hold("b", 100) == (50, "spool_full")
    assert budget.hold("c", 100) == (0, "spool_full")
    budget.shrink("a", 30)
    assert budget.hold("d", 100) == (40, "spool_full")
    for name in "abcd":
        budget.release(name)
    assert budget.hold("e", 100) == (100, "limit")


# -- heartbeats -------------------------------------------------------------------------------------------------------


class LoopClock:
    """The event loop's time; asleep for as long as it is told."""

    def __init__(self) -> None:
        self.slept_ms = 0

    def wall_ms(self) -> int:
        return 1_000_000

    def monotonic_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000) + 1

    def boottime_ms(self) -> int:
        return self.monotonic_ms() + self.slept_ms


class Chance:
    def __init__(self, share: float) -> None:
        self.share = share

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.share

    def token(self, size: int) -> bytes:
        return b"t" * size


class Calm:
    def in_flight(self) -> tuple[Reference, ...]:
        return ()

    def accepting(self) -> bool:
        return True

    def journal_sequence(self) -> int:
        return 7

    def load(self) -> Load:
        return Load()


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Time passes as fast as there is nothing to do."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def in_simulated_time(story: Any) -> None:
    loop = SimulatedLoop()
    try:
        loop.run_until_complete(story())
    finally:
        loop.close()


@pytest.mark.parametrize(("share", "factor"), [(0.0, 0.9), (0.5, 1.0), (1.0, 1.1)])
def test_beats_come_at_the_interval_with_its_jitter(share: float, factor: float) -> None:
    async def story() -> None:
        beats: list[tuple[float, Heartbeat]] = []
        clock = LoopClock()

        def post(beat: Heartbeat) -> None:
            beats.append((asyncio.get_running_loop().time(), beat))
            pulse.acknowledged(beat.sequence)

        pulse = Pulse(clock=clock, chance=Chance(share), condition=Calm(), interval_ms=10_000, post=post)
        task = asyncio.create_task(pulse.run())
        await asyncio.sleep(35)
        clock.slept_ms = 5_000
        await asyncio.sleep(10)
        task.cancel()
        gaps = [later - earlier for (earlier, _), (later, _) in pairwise(beats)]
        assert gaps == pytest.approx([10 * factor] * len(gaps), abs=0.01)
        assert [beat.sequence for _, beat in beats] == list(range(1, len(beats) + 1))
        assert sum(beat.slept_ms for _, beat in beats) == 5_000

    in_simulated_time(story)


def test_a_shorter_cadence_counts_from_the_last_beat() -> None:
    async def story() -> None:
        at: list[float] = []

        def post(beat: Heartbeat) -> None:
            at.append(asyncio.get_running_loop().time())
            pulse.acknowledged(beat.sequence)

        pulse = Pulse(clock=LoopClock(), chance=Chance(0.5), condition=Calm(), interval_ms=60_000, post=post)
        task = asyncio.create_task(pulse.run())
        await asyncio.sleep(10)
        pulse.cadence(2_000)
        await asyncio.sleep(4.5)
        task.cancel()
        assert at == pytest.approx([0, 10, 12, 14], abs=0.01)

    in_simulated_time(story)


def test_two_missing_answers_end_it() -> None:
    async def story() -> None:
        pulse = Pulse(clock=LoopClock(), chance=Chance(0.5), condition=Calm(), interval_ms=1_000, post=lambda _: None)
        with pytest.raises(BridgeClosedError):
            await pulse.run()
        assert asyncio.get_running_loop().time() == pytest.approx(2, abs=0.01)

    in_simulated_time(story)


# -- connecting -------------------------------------------------------------------------------------------------------


def test_the_wait_doubles_to_thirty_seconds_with_full_jitter() -> None:
    assert [Backoff(Chance(1.0)).next_s() for _ in range(3)] == [0.5] * 3
    most = Backoff(Chance(1.0))
    assert [most.next_s() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert Backoff(Chance(0.0)).next_s() == 0
    most.reset()
    assert most.next_s() == 0.5
    assert most.next_s(BridgeClosedError(4400, "too many faults")) == 60


def test_the_other_bridge_is_tried_and_the_first_preferred() -> None:
    first, second = object(), object()
    choice = BridgeChoice([first, second])  # type: ignore[list-item]
    tried = []
    for _ in range(5):
        tried.append(choice.next())
        choice.failed()
    assert tried == [first, first, second, second, first]
    choice.worked()
    assert choice.next() is first


@pytest.mark.parametrize(
    ("answer", "nobody_there"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"", False),
        (None, True),
    ],
    ids=["a proxy finds nobody", "a proxy forbids it", "no upgrade", "hung up", "nothing listens"],
)
def test_a_control_plane_that_is_away_says_nothing_against_the_bridge(answer: bytes | None, nobody_there: bool) -> None:
    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer or b"")
        writer.close()
        await writer.wait_closed()

    async def story() -> BridgeClosedError:
        server = await asyncio.start_server(hear, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        if answer is None:
            server.close()
            await server.wait_closed()
        try:
            with pytest.raises(BridgeClosedError) as closed:
                await WebSocketConnector(f"http://127.0.0.1:{port}").connect()
        finally:
            server.close()
        return closed.value

    assert asyncio.run(story()).nobody_there is nobody_there


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://caisey.example", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://localhost", True),
        ("http://192.0.2.7", False),
        ("http://localhost.example", False),
        ("ws://127.0.0.1", False),
        ("https://user@caisey.example", False),
        ("https://caisey.example/?token=1", False),
        ("https://", False),
    ],
)
def test_which_addresses_may_be_spoken_to(url: str, fine: bool) -> None:
    if fine:
        assert checked_url(url).hostname
    else:
        with pytest.raises(InsecureAddressError):
            checked_url(url)


def test_a_person_may_allow_plain_http() -> None:
    assert websocket_url("http://192.0.2.7/base", "/connect", insecure_http=True) == "ws://192.0.2.7/base/connect"


# -- the computer -----------------------------------------------------------------------------------------------------


def test_the_fingerprint_is_stable_and_tells_nothing() -> None:
    first, second = machine_fingerprint(this_platform()), machine_fingerprint(this_platform())
    assert first == second
    assert all(fact not in first for fact in this_platform().machine_identity())


def test_a_process_is_known_by_its_start() -> None:
    platform = this_platform()
    key = platform.process_key(os.getpid())
    assert key is not None
    assert key.startswith(platform.boot_id() + ":")
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert platform.process_key(child) is None, "a zombie is dead"
    assert platform.process_key(child, zombie=True) is not None
    os.waitpid(child, 0)
    assert platform.process_key(child, zombie=True) is None


# -- services ---------------------------------------------------------------------------------------------------------

ODD = Path('/var/lib/cai sey/100%/$HOME/a"b')


def test_the_systemd_unit_leaves_commands_alone() -> None:
    lines = systemd_unit(command(ODD, "auto", "/opt/caisey/bin/python")).splitlines()
    assert {"KillMode=process", "Delegate=yes", "Restart=always", "SendSIGKILL=no"} <= set(lines)
    (start,) = [line.partition("=")[2] for line in lines if line.startswith("ExecStart=")]
    read = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(start)]
    assert read == [
        "/opt/caisey/bin/python",
        "-m",
        "caisey.runtime",
        "run",
        "--state-dir",
        str(ODD),
        "--bridge",
        "auto",
    ]


def test_the_launchd_plist_leaves_commands_alone() -> None:
    read = plistlib.loads(launchd_plist(command(ODD, "auto")))
    assert read["AbandonProcessGroup"] is True
    assert read["KeepAlive"] is True
    assert str(ODD) in read["ProgramArguments"]


def test_the_windows_task_runs_for_ever() -> None:
    task = ET.fromstring(windows_task(command(ODD, "auto")).partition("?>")[2])  # noqa: S314  (our own text)
    space = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    assert task.findtext("t:Settings/t:ExecutionTimeLimit", namespaces=space) == "PT0S"
    assert "--state-dir" in (task.findtext("t:Actions/t:Exec/t:Arguments", namespaces=space) or "")


@awaited
async def test_the_bridge_says_why_it_cannot_be_had() -> None:
    with pytest.raises(BridgeClosedError) as closed:
        await WebSocketConnector("http://127.0.0.1:9").connect()
    assert closed.value.code is None
