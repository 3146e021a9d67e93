"""RECOVERY.md §3 and §9, 4: output bytes are neither lost, doubled nor replaced; gaps are marked. PROTOCOL.md §6."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.end_to_end import views
from tests.end_to_end.client import shell
from tests.end_to_end.fleet import Desk
from tests.foreign.wire import Frame, encode, stream_facts
from tests.foreign.work import Gate, Script, Work, answers, runs_until


def pieces(*parts: tuple[int, bytes], whole: bytes, stream: str = "stdout") -> Script:
    """Sends `output` frames exactly as told; the end says what was really written."""

    async def script(work: Work) -> None:
        await work.start()
        for offset, data in parts:
            await work.send(work.frame("output", stream=stream, offset=offset, data=encode(data)))
        facts = {"stdout": stream_facts(b""), "stderr": stream_facts(b""), stream: stream_facts(whole)}
        await work.finish(streams=facts)

    return script


def shown(desk: Desk, prompt: Any, stream: str = "stdout") -> Any:
    return views.last(prompt)["output"][stream]


def test_bytes_are_kept_exactly(desk: Desk) -> None:
    """API.md: `GET /tool-calls/{id}/output`: "the raw bytes": octet-stream, attachment, nosniff, sandbox."""
    data = bytes(range(256)) * 40
    prompt = desk.api.wait_state(desk.ask(script=answers(data, stderr=b"\xff\xfe")), "ended")
    about = views.call(prompt)["id"]
    assert desk.api.output(about) == data
    assert desk.api.output(about, "stderr") == b"\xff\xfe"
    assert desk.api.output(about, offset=10_000) == data[10_000:]
    answer = desk.api.send("GET", f"/tool-calls/{about}/output", params={"attempt": 1, "stream": "stdout"})
    assert answer.headers["content-type"].startswith("application/octet-stream")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_repeated_and_overlapping_pieces_are_kept_once(desk: Desk) -> None:
    """§9, 4: "No output byte … is lost, doubled or replaced"."""
    parts = ((0, b"hello "), (0, b"hello "), (3, b"lo wor"), (9, b"ld\n"), (6, b"world\n"))
    prompt = desk.ask(script=pieces(*parts, whole=b"hello world\n"))
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert desk.api.output(views.call(prompt)["id"]) == b"hello world\n"
    assert shown(desk, prompt)["bytes"] == 12
    assert not shown(desk, prompt)["gaps"]


def test_pieces_out_of_order_are_put_in_order(desk: Desk) -> None:
    """PROTOCOL §4: "`output` and `gap` go by offset"."""
    prompt = desk.ask(script=pieces((6, b"world\n"), (0, b"hello "), whole=b"hello world\n"))
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert desk.api.output(views.call(prompt)["id"]) == b"hello world\n"


def test_differing_bytes_never_replace_confirmed_ones(desk: Desk) -> None:
    """§3: "confirmed bytes are never replaced, differing ones are kept apart (`output_conflict`)"."""

    async def script(work: Work) -> None:
        await work.start()
        await work.output(b"the truth\n")
        await gate.passed()
        await work.send(work.frame("output", stream="stdout", offset=0, data=encode(b"the trick\n")))
        await work.finish()

    gate = Gate()
    prompt = desk.ask(script=script)
    about = views.call(prompt)["id"]
    desk.runtime.saw(
        "confirm", where=lambda s: s.about(about) and (s.frame.get("offsets") or {}).get("stdout") == 10
    )  # fmt: skip
    gate.open()
    prompt = desk.api.wait_state(prompt, "ended")
    assert desk.api.output(about) == b"the truth\n"
    assert "output_conflict" in views.evidence_types(views.last(prompt))


def test_a_gap_is_marked_with_its_reason(desk: Desk) -> None:
    """§3: "a gap is marked with its reason"."""

    async def script(work: Work) -> None:
        await work.start()
        await work.send(work.frame("output", stream="stdout", offset=0, data=encode(b"head")))
        await work.send(work.frame("gap", stream="stdout", offset=4, length=6, why="spool_full"))
        await work.send(work.frame("output", stream="stdout", offset=10, data=encode(b"tail")))
        await work.finish(streams={"stdout": stream_facts(b"head......tail", truncated=True)})

    prompt = desk.api.wait_verdict(desk.ask(script=script), ("answered", "yes"))
    gaps = shown(desk, prompt)["gaps"]
    assert len(gaps) == 1
    assert "spool_full" in str(gaps)
    assert views.call(prompt)["state"] == "ended"


def test_output_is_confirmed_and_settled(desk: Desk) -> None:
    """PROTOCOL §6: "bytes (and gaps) below `offsets` are durable; `settled` lets the journal drop output"."""
    prompt = desk.ask(script=answers(b"0123456789"))
    about = views.call(prompt)["id"]
    last = desk.runtime.saw("confirm", where=lambda s: s.about(about) and s.frame["settled"] is True)
    assert (last.frame.get("offsets") or {"stdout": 10}).get("stdout", 10) == 10
    desk.api.wait_verdict(prompt, ("answered", "yes"))


def test_nothing_is_confirmed_that_was_not_sent(desk: Desk) -> None:
    """PROTOCOL §6: offsets below the first byte that is missing."""

    async def script(work: Work) -> None:
        await work.start()
        await work.send(work.frame("output", stream="stdout", offset=0, data=encode(b"0123")))
        await work.send(work.frame("output", stream="stdout", offset=8, data=encode(b"89")))
        await gate.passed()
        await work.send(work.frame("output", stream="stdout", offset=4, data=encode(b"4567")))
        await work.finish(streams={"stdout": stream_facts(b"0123456789")})

    gate = Gate()
    prompt = desk.api.wait_state(desk.ask(script=script), "started")
    about = views.call(prompt)["id"]
    desk.runtime.heartbeats_pass(2)
    offsets = [(s.frame.get("offsets") or {}).get("stdout", 0) for s in desk.runtime.recording.select("confirm")]
    assert max(offsets, default=0) <= 4
    gate.open()
    desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert desk.api.output(about) == b"0123456789"


def test_reconnection_goes_on_from_what_is_confirmed(desk: Desk) -> None:
    """PROTOCOL §6: "After a reconnection the runtime sends output again from the last confirmed offset"; the offsets
    are in `welcome.confirm` for what the hello stated."""
    gate = Gate()

    async def script(work: Work) -> None:
        await work.start()
        await work.output(b"before ")
        await gate.passed()
        await work.output(b"after")
        await work.finish()

    prompt = desk.ask(script=script)
    about = views.call(prompt)["id"]
    desk.runtime.saw("confirm", where=lambda s: s.about(about) and bool(s.frame.get("offsets")))
    since = desk.runtime.recording.mark()
    desk.runtime.drop_links()
    welcome = desk.runtime.saw("welcome", since=since).frame
    ours = [entry for entry in welcome["confirm"] if entry["attempt"]["tool_call_id"] == about]
    assert [entry["offsets"]["stdout"] for entry in ours] == [7]
    gate.open()
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert desk.api.output(about) == b"before after"


def test_size_alone_changes_no_verdict(desk: Desk) -> None:
    """§3: "Past `output_limit` head and tail are kept and the cut is marked; size alone changes no verdict"."""
    desk.policy(output_limit_bytes=65536)
    data = hashlib.sha256(b"x").digest() * 8192

    async def script(work: Work) -> None:
        await work.start()
        for offset in range(0, len(data), 32768):
            await work.output(data[offset : offset + 32768])
        await work.finish()

    prompt = desk.api.wait_verdict(desk.ask(script=script), ("answered", "yes"))
    kept = desk.api.output(views.call(prompt)["id"])
    assert kept[:1024] == data[:1024]
    if len(kept) < len(data):
        assert shown(desk, prompt)["truncated"]
        assert kept[-1024:] == data[-1024:]


def test_output_before_the_start_is_kept(desk: Desk) -> None:
    """§9, 10, of frames that overtake each other: nothing is dropped."""

    async def script(work: Work) -> None:
        await work.acknowledge()
        await work.send(work.frame("output", stream="stdout", offset=0, data=encode(b"early\n")))
        await work.start()
        await work.finish(streams={"stdout": stream_facts(b"early\n")})

    prompt = desk.api.wait_verdict(desk.ask(script=script), ("answered", "yes"))
    assert desk.api.output(views.call(prompt)["id"]) == b"early\n"


def test_late_output_after_the_verdict_is_kept(desk: Desk) -> None:
    """§9, 10: "A late result never overwrites a newer one, and is never dropped"."""
    desk.policy(max_automatic=0, automatic_for=[], reconcile_window_s=0.5)
    gate = Gate()
    prompt = desk.ask(shell("long", "mutating"), script=runs_until(gate, stdout=b"early "))
    desk.api.wait_state(prompt, "started")
    desk.runtime.drop_links(stay_away=True)
    desk.api.wait_verdict(prompt, ("runtime_died", "unconfirmed"))
    gate.open()
    desk.runtime.recording.wait("lost", "note", where=lambda s: s.frame.get("type") == "finished")
    desk.runtime.connect()
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert desk.api.output(views.call(prompt)["id"]) == b"early "


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_cutting_and_repeating_gives_the_same_bytes(desk: Desk, data: st.DataObject) -> None:
    """§9, 4, for pieces in any order, repeated and overlapping."""
    whole = data.draw(st.binary(min_size=1, max_size=60).filter(lambda b: b.strip() != b""))
    cuts = sorted({0, len(whole), *data.draw(st.lists(st.integers(0, len(whole)), max_size=5))})
    parts = [(a, whole[a:b]) for a, b in itertools.pairwise(cuts)]
    extra = data.draw(st.lists(st.sampled_from(parts), max_size=4))
    order = data.draw(st.permutations([*parts, *extra]))
    prompt = desk.ask(script=pieces(*order, whole=whole))
    prompt = desk.api.wait_verdict(prompt, ("answered", "yes"))
    assert desk.api.output(views.call(prompt)["id"]) == whole


def test_bad_pieces_are_shape_faults_and_no_output(desk: Desk) -> None:
    """PROTOCOL §8: an unreadable `output` is recorded; it neither stores nor ends anything."""
    bad: list[Frame] = [
        {"offset": -1, "data": encode(b"x")},
        {"offset": 0, "data": "not base64!"},
        {"offset": 2**62, "data": encode(b"x")},
        {"offset": 0, "data": encode(b"x"), "stream": "stdin"},
    ]

    async def script(work: Work) -> None:
        await work.start()
        for fields in bad:
            await work.send(work.frame("output", **{"stream": "stdout", **fields}))
        await work.output(b"good\n")
        await work.finish()

    prompt = desk.api.wait_verdict(desk.ask(script=script), ("answered", "yes"))
    assert desk.api.output(views.call(prompt)["id"]) == b"good\n"
