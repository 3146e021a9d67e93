"""Frames become commands and effects become frames: a request from its dispatch to what the journal may forget."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caisey.core.events import EvidenceNoted, OutputConflicted
from caisey.core.states import AttemptState, Effect, Kind, Ran
from tests.control.plane import ORGANIZATION, Plane
from tests.foreign.runtime import Runtime
from tests.foreign.wire import Frame, encode, fresh_id
from tests.foreign.work import Gate, Work, answers, runs_until

KINDS = ["websocket", "longpoll"]


def settled(runtime: Runtime, call: str) -> Frame:
    """The confirmation that lets the journal forget, once it came."""
    return runtime.saw("confirm", where=lambda seen: seen.about(call) and seen.frame["settled"]).frame


def output_of(plane: Plane, call: str, stream: str = "stdout") -> bytes:
    """All stored bytes, which have to lie end to end."""
    whole = b""
    sql = "SELECT offset, data FROM output WHERE tool_call_id = ? AND stream = ? ORDER BY offset"
    for offset, data in plane.rows(sql, call, stream):
        assert offset == len(whole), "a gap or an overlap"
        whole += data
    return whole


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_is_answered_and_settled(plane: Plane, runtime: Runtime, kind: str) -> None:
    runtime.script = answers(b"hello\n")
    runtime.connect(kind)
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    verdict = plane.ended(call).verdict
    assert verdict is not None
    assert verdict.kind is Kind.ANSWERED
    assert settled(runtime, call)["offsets"] == {"stdout": 6}
    assert output_of(plane, call) == b"hello\n"


def test_steps_go_out_one_after_the_other(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    calls = plane.prompt(plane.session(runtime.endpoint_id), Effect.MUTATING, Effect.READ_ONLY, Effect.MUTATING)
    plane.ended(calls[-1])
    sent = [frame["attempt"]["tool_call_id"] for frame in runtime.dispatches()]
    assert sent == calls
    first = runtime.dispatches()[0]
    assert first["effect"] == "mutating"
    assert 0 < first["limits"]["start_within_ms"] <= 900_000
    assert first["session_id"] == plane.read(calls[0]).id


def test_mutating_work_is_remembered_as_a_change_on_the_computer(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id), Effect.MUTATING)
    plane.ended(call)
    changes = plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).changes)
    assert [change.tool_call_id for change in changes] == [call]
    plane.restart()
    assert plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).changes) == changes


@pytest.mark.parametrize("kind", KINDS)
def test_much_output_is_joined_and_complete(plane: Plane, runtime: Runtime, kind: str) -> None:
    chunks = [bytes([number % 251]) * 700 for number in range(600)]

    async def floods(work: Work) -> None:
        await work.start()
        for chunk in chunks:
            await work.output(chunk)
        await work.finish()

    runtime.script = floods
    runtime.connect(kind)
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.ended(call)
    assert output_of(plane, call) == b"".join(chunks)
    assert settled(runtime, call)["offsets"]["stdout"] == 420_000
    assert plane.rows("SELECT count(*) FROM output WHERE tool_call_id = ?", call)[0][0] < 300, "chunks were joined"


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_bytes_in_any_pieces_and_repeats_are_stored_once(data: st.DataObject, one_plane: tuple[Plane, Runtime]) -> None:
    """Invariant 4, over what a bad network does: pieces of any size, again, and out of order."""
    plane, runtime = one_plane
    whole = data.draw(st.binary(min_size=1, max_size=3_000))
    ends = sorted({*data.draw(st.sets(st.integers(1, len(whole)), max_size=8)), len(whole)})
    pieces = list(zip([0, *ends], ends, strict=False))
    again = data.draw(st.lists(st.tuples(st.integers(0, len(whole)), st.integers(0, len(whole))), max_size=4))
    sent = data.draw(st.permutations([*pieces, *((min(a, b), max(a, b)) for a, b in again)]))

    async def script(work: Work) -> None:
        await work.start()
        assert work.record is not None
        for start, end in sent:
            await work.send(work.frame("output", stream="stdout", offset=start, data=encode(whole[start:end])))
        work.record.streams["stdout"] = bytearray(whole)
        await work.finish()

    runtime.script = script
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.ended(call)
    assert settled(runtime, call)["offsets"]["stdout"] == len(whole)
    assert output_of(plane, call) == whole
    assert plane.rows("SELECT count(*) FROM output_conflicts WHERE tool_call_id = ?", call) == [(0,)]


@pytest.fixture(scope="module")
def one_plane(tmp_path_factory: pytest.TempPathFactory, loop: object) -> object:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    plane = Plane(tmp_path_factory.mktemp("plane"), Ed25519PrivateKey.generate())
    runtime = plane.enroll(Runtime(loop, plane.url)).connect()  # type: ignore[arg-type]  # the fixture's loop
    yield plane, runtime
    runtime.die()
    plane.stop()


def test_differing_bytes_are_kept_apart(plane: Plane, runtime: Runtime) -> None:
    async def contradicts(work: Work) -> None:
        await work.start()
        await work.output(b"the first word\n")
        await work.send(work.frame("output", stream="stdout", offset=4, data=encode(b"other word\nmore\n")))
        work.record.streams["stdout"] += b"more\n"  # type: ignore[union-attr]
        await work.finish()

    runtime.script = contradicts
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    attempt = plane.ended(call)
    assert output_of(plane, call) == b"the first word\nmore\n"
    apart = plane.rows("SELECT offset, data FROM output_conflicts WHERE tool_call_id = ?", call)
    assert apart == [(4, b"other")]
    assert any(isinstance(fact.event, OutputConflicted) for fact in attempt.facts)


def test_output_beyond_the_limit_is_marked_and_not_kept(plane: Plane, runtime: Runtime) -> None:
    """A runtime that does not keep to the limit it was given."""
    limit = plane.call(lambda: plane.hub.view_of(runtime.endpoint_id).policy.output_limit_bytes)
    chunk = b"x" * (512 * 1024)

    async def overflows(work: Work) -> None:
        await work.start()
        for _ in range(limit // len(chunk) + 2):
            await work.output(chunk)
        await work.finish()

    runtime.script = overflows
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    stream = plane.ended(call).streams["stdout"]
    assert stream.stored == limit
    assert stream.confirmed == limit + 2 * len(chunk), "it may forget what will never be kept"
    assert {why for _, _, why in stream.gaps} == {"limit"}


def test_a_gap_is_kept_with_its_reason(plane: Plane, runtime: Runtime) -> None:
    async def loses(work: Work) -> None:
        await work.start()
        await work.output(b"head")
        await work.send(work.frame("gap", stream="stdout", offset=4, length=10, why="spool_full"))
        await work.send(work.frame("output", stream="stdout", offset=14, data=encode(b"tail")))
        work.record.streams["stdout"] = bytearray(18)  # type: ignore[union-attr]
        await work.finish()

    runtime.script = loses
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    stream = plane.ended(call).streams["stdout"]
    assert (stream.covered, stream.gaps, stream.confirmed) == (((0, 4), (14, 18)), ((4, 10, "spool_full"),), 18)
    settled(runtime, call)


# -- results ---

SERVICE = {"name": "cups", "state": "running", "enabled": True}


def ask_service(plane: Plane, runtime: Runtime) -> str:
    runtime.connect()
    return plane.prompt(plane.session(runtime.endpoint_id), tool="service")[0]


def test_a_result_that_fits_its_schema(plane: Plane, runtime: Runtime) -> None:
    runtime.script = answers(b"", result=SERVICE)
    attempt = plane.ended(ask_service(plane, runtime))
    assert attempt.verdict is not None
    assert attempt.finished is not None
    assert (attempt.verdict.kind, attempt.finished.result) == (Kind.ANSWERED, SERVICE)


def test_a_result_that_does_not_fit_is_named_and_counted(plane: Plane, runtime: Runtime) -> None:
    runtime.script = answers(b"", result={**SERVICE, "state": 7})
    attempt = plane.ended(ask_service(plane, runtime))
    assert attempt.verdict is not None
    assert attempt.finished is not None
    assert (attempt.verdict.kind, attempt.verdict.ran) == (Kind.MALFORMED_RESULT, Ran.YES)
    assert [fault.pointer for fault in attempt.finished.faults] == ["/state"]
    counted = plane.rows("SELECT side, tool, tool_version, runtime_id, count FROM shapes")
    assert counted == [("result", "service", 1, runtime.runtime_id, 1)]


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (json.dumps(SERVICE).encode(), Kind.ANSWERED),
        (b'{"name":"cups",', Kind.MALFORMED_RESULT),
        (b'{"name":"a","name":"b"}', Kind.MALFORMED_RESULT),
        (b"\xff\xfe", Kind.MALFORMED_RESULT),
        (b"[" * 5_000, Kind.MALFORMED_RESULT),
        (b" " * (600 * 1024), Kind.MALFORMED_RESULT),
    ],
    ids=["fits", "broken", "double key", "no UTF-8", "deep", "long"],
)
def test_a_result_that_came_as_a_stream(plane: Plane, runtime: Runtime, stream: bytes, kind: Kind) -> None:
    async def streams_it(work: Work) -> None:
        await work.start()
        for start in range(0, len(stream), 100_000):
            await work.output(stream[start : start + 100_000], "result")
        await work.finish()

    runtime.script = streams_it
    attempt = plane.ended(ask_service(plane, runtime))
    assert attempt.verdict is not None
    assert attempt.finished is not None
    assert attempt.verdict.kind is kind
    assert attempt.finished.result == (SERVICE if kind is Kind.ANSWERED else None)


def test_a_streamed_result_of_which_a_part_is_missing(plane: Plane, runtime: Runtime) -> None:
    async def loses_some(work: Work) -> None:
        await work.start()
        await work.output(b"0" * 100, "result", say=False)
        await work.output(b"0" * 100, "result")
        await work.finish()

    runtime.script = loses_some
    attempt = plane.ended(ask_service(plane, runtime))
    assert attempt.verdict is not None
    assert attempt.verdict.kind is Kind.MALFORMED_RESULT


@pytest.mark.parametrize("streamed", [False, True])
def test_a_number_that_the_log_cannot_hold_is_kept_as_text(plane: Plane, runtime: Runtime, streamed: bool) -> None:
    """The protocol allows 64 bits, what stands under a digest 53 (RFC 8785)."""
    large = {**SERVICE, "index": 2**60, "ratios": [1e20, 0.5, -(2**63)], "small": 2**53 - 1}
    changes = [{"what": "serial", "before": 2**62, "after": {"is": 2**61}}]

    async def script(work: Work) -> None:
        await work.start()
        if streamed:
            await work.output(json.dumps(large).encode(), "result")
        await work.finish(result=None if streamed else large, changes=changes)

    runtime.script = script
    finished = plane.ended(ask_service(plane, runtime)).finished
    assert finished is not None
    assert not finished.faults
    kept = {"index": str(2**60), "ratios": ["1e+20", 0.5, str(-(2**63))], "small": 2**53 - 1}
    assert finished.result == {**SERVICE, **kept}
    assert finished.changes == ({"what": "serial", "before": str(2**62), "after": {"is": str(2**61)}},)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"type": "acknowledged", "journal_sequence": 2**53}, "/journal_sequence"),
        ({"type": "started", "journal_sequence": 1, "pid": 2**60, "process_key": "x"}, "/pid"),
        ({"type": "progress", "cpu_ms": 2**63 - 1, "bytes": {}}, "/cpu_ms"),
        ({"type": "output", "stream": "stdout", "offset": 2**53 - 2, "data": "AAAA"}, "/offset"),
        ({"type": "output", "stream": "stdout", "offset": 2**60, "data": "AAAA"}, "/offset"),
        ({"type": "gap", "stream": "stdout", "offset": 2**52, "length": 2**53 - 1, "why": "lost"}, "/length"),
    ],
)
def test_a_frame_with_a_number_that_the_log_cannot_hold(
    plane: Plane, runtime: Runtime, fields: Frame, pointer: str
) -> None:
    gate = Gate()
    runtime.script = runs_until(gate, stdout=b"")
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    runtime.say({"attempt": {"tool_call_id": call, "number": 1}, **fields})
    problem = runtime.saw("problem").frame
    assert (problem["code"], [error["pointer"] for error in problem["errors"]]) == ("frame.invalid_shape", [pointer])
    gate.open()
    plane.ended(call)
    assert plane.log.health().failures == 0


# -- cancel and input ---


def test_a_cancel_goes_out_on_every_connection_until_it_is_answered(plane: Plane, runtime: Runtime) -> None:
    runtime.script = runs_until(Gate())
    runtime.manners.cancel = False
    runtime.connect()
    runtime.connect("longpoll")
    (call,) = plane.prompt(plane.session(runtime.endpoint_id), Effect.MUTATING)
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    plane.act(call, "cancel")
    first = runtime.recording.wait("cancel", count=2)
    assert {seen.link for seen in runtime.recording.select("cancel")} == {1, 2}
    assert first.frame["attempt"] == {"tool_call_id": call, "number": 1}
    assert "unless_started" not in first.frame
    runtime.heartbeats_pass(1)  # it has heard both, and kept silent
    runtime.manners.cancel = True
    since = runtime.recording.mark()
    runtime.drop_links()
    runtime.recording.wait("cancel", since=since)
    verdict = plane.ended(call).verdict
    assert verdict is not None
    assert (verdict.kind, verdict.ran) == (Kind.CANCELLED, Ran.PARTLY)


@pytest.mark.parametrize("sensitive", [False, True])
def test_input_is_sent_again_until_it_is_accepted(plane: Plane, runtime: Runtime, sensitive: bool) -> None:
    gate = Gate()
    runtime.script = runs_until(gate)
    runtime.manners.outgoing = lambda frame: () if frame["type"] == "input_accepted" else (frame,)
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    plane.act(call, "input", data="yes\n", sensitive=sensitive)
    first = runtime.saw("input").frame
    assert (first["sequence"], first["data"], first["sensitive"]) == (1, encode(b"yes\n"), sensitive)
    runtime.heartbeats_pass(1)  # its answer was held back
    runtime.manners.outgoing = lambda frame: (frame,)
    since = runtime.recording.mark()
    runtime.drop_links()
    again = runtime.saw("input", since=since).frame
    assert {**again, "signature": ""} == {**first, "signature": ""}
    plane.until(lambda: plane.attempt(call).inputs_accepted == 1)
    gate.open()
    plane.ended(call)
    kept = plane.rows("SELECT payload FROM events WHERE type = 'attempt.input_given'")
    assert ("yes" in kept[0][0]) is not sensitive


# -- what is not theirs ---


def frames_about(call: str, journal_id: str) -> list[Frame]:
    attempt = {"tool_call_id": call, "number": 1}
    execution: Frame = {
        "exit_code": 0,
        "signal": None,
        "ended_by": "itself",
        "tree_ended": True,
        "started_ms": 1,
        "ended_ms": 2,
        "streams": {},
    }
    common: Frame = {"attempt": attempt, "journal_sequence": 1_000}
    return [
        {"type": "acknowledged", **common},
        {"type": "started", **common, "pid": 1, "process_key": "x"},
        {"type": "output", "attempt": attempt, "stream": "stdout", "offset": 0, "data": encode(b"forged")},
        {"type": "gap", "attempt": attempt, "stream": "stdout", "offset": 0, "length": 9, "why": "lost"},
        {"type": "progress", **common, "cpu_ms": 1, "bytes": {}},
        {"type": "input_accepted", "attempt": attempt, "sequence": 1},
        {"type": "finished", **common, "execution": execution},
        {"type": "refused", **common, "code": "no"},
        {"type": "statement", **common, "state": "closed", "why": "reconcile", "journal_id": journal_id},
    ]


def test_frames_about_anothers_attempt_change_nothing_and_disclose_nothing(
    plane: Plane, new_runtime: Callable[..., Runtime]
) -> None:
    mine, stranger = new_runtime(), new_runtime()
    sibling = new_runtime(mine.endpoint_id, machine=mine.machine)  # the same computer, another journal
    gate = Gate()
    mine.script = runs_until(gate, stdout=b"")
    mine.connect()
    (call,) = plane.prompt(plane.session(mine.endpoint_id), Effect.MUTATING)
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    before = plane.attempt(call)
    for other in (stranger, sibling):
        other.connect()
        for place, frame in enumerate(frames_about(call, other.journal.journal_id), 1):
            other.say(frame)
            other.say({**frame, "attempt": {"tool_call_id": fresh_id("tcl"), "number": 1}})
            other.recording.wait("problem", count=2 * place)
        known, unknown = other.recording.select("problem")[::2], other.recording.select("problem")[1::2]
        assert {seen.frame["code"] for seen in known + unknown} == {"frame.not_yours"}
        assert [{**s.frame, "about": 0} for s in known] == [{**s.frame, "about": 0} for s in unknown]
    after = plane.attempt(call)
    assert (after.state, after.streams, after.journal_sequence) == (before.state, {}, before.journal_sequence)
    assert plane.rows("SELECT count(*) FROM output") == [(0,)]
    gate.open()
    plane.ended(call)


def test_a_sibling_with_the_same_journal_may_speak(plane: Plane, new_runtime: Callable[..., Runtime]) -> None:
    mine = new_runtime()
    sibling = new_runtime(mine.endpoint_id, machine=mine.machine, journal=mine.journal)
    mine.script = sibling.script = runs_until(Gate())
    mine.connect()
    sibling.manners.statements = lambda _: []
    sibling.connect()
    (call,) = plane.prompt(plane.session(mine.endpoint_id))
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    speaker = sibling if mine.dispatches() else mine
    doer = mine if mine.dispatches() else sibling
    record = doer.journal.record((call, 1))
    assert record is not None
    speaker.later(_finish(speaker, doer, record))
    verdict = plane.ended(call).verdict
    assert verdict is not None
    assert verdict.kind is Kind.ANSWERED


async def _finish(speaker: Runtime, doer: Runtime, record: object) -> None:
    doer.end_work(record.attempt)  # type: ignore[attr-defined]
    await Work(speaker, doer.dispatches()[0], record).finish()  # type: ignore[arg-type]


def test_a_statement_about_an_unknown_attempt_is_kept_for_a_person(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    unknown = fresh_id("tcl")
    frame = frames_about(unknown, runtime.journal.journal_id)[-1]
    runtime.say(frame)
    runtime.saw("problem")
    runtime.say(frame)
    runtime.recording.wait("problem", count=2)
    sql = "SELECT endpoint_id, tool_call_id, number, runtime_id FROM unattached_statements"
    assert plane.until(lambda: plane.rows(sql)) == [(runtime.endpoint_id, unknown, 1, runtime.runtime_id)]
    waiting = plane.rows("SELECT type, endpoint_id, organization_id FROM attention")
    assert waiting == [("runtime.unknown_attempt", runtime.endpoint_id, ORGANIZATION)]
    assert runtime.recording.select("confirm") == []


# -- what cannot be read ---


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no json", "frame.invalid_json"),
        ('{"type":"leaving","reason":"a","reason":"b"}', "frame.invalid_json"),
        ('{"type":"leaving"}', "frame.invalid_shape"),
        ('{"type":"dance"}', "frame.unexpected"),
        ('{"type":"dispatch"}', "frame.unexpected"),
        (json.dumps({"type": "leaving", "reason": "x" * (1 << 20)}), "frame.too_large"),
        ("[" * 100_000, "frame.invalid_json"),
    ],
    ids=["no json", "double key", "shape", "unknown", "wrong way", "too large", "deep"],
)
def test_an_unreadable_frame_is_kept_counted_and_answered(plane: Plane, runtime: Runtime, text: str, code: str) -> None:
    runtime.connect()
    runtime.say(text)
    problem = runtime.saw("problem").frame
    assert problem["code"] == code
    assert problem["about"] is None
    (kept,) = plane.until(lambda: plane.rows("SELECT runtime_id, code, size, raw FROM unreadable_frames"))
    assert kept[:3] == (runtime.runtime_id, code, len(text))
    assert kept[3] == text.encode()[: 64 * 1024]
    assert plane.rows("SELECT side, count, runtime_id FROM shapes") == [("frame", 1, runtime.runtime_id)]
    runtime.heartbeats_pass(1)
    assert len(runtime.links) == 1


def test_a_problem_is_never_answered_with_a_problem(plane: Plane, runtime: Runtime) -> None:
    runtime.connect()
    runtime.say({"type": "problem", "code": 7})
    runtime.say({"type": "problem", "code": "dispatch.misaddressed", "errors": [], "about": None})
    plane.until(lambda: plane.rows("SELECT 1 FROM unreadable_frames"))
    runtime.heartbeats_pass(1)
    assert runtime.recording.select("problem") == []


def test_an_unreadable_frame_about_an_attempt_makes_its_journal_be_asked(plane: Plane, runtime: Runtime) -> None:
    gate = Gate()
    runtime.script = runs_until(gate)
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    plane.until(lambda: plane.attempt(call).state is AttemptState.STARTED)
    runtime.say({"type": "progress", "attempt": {"tool_call_id": call, "number": 1}, "cpu_ms": "much"})
    asked = runtime.saw("reconcile").frame["attempts"]
    assert asked == [{"tool_call_id": call, "number": 1, "consent": 1}]
    noted = [f.event for f in plane.attempt(call).facts if isinstance(f.event, EvidenceNoted)]
    assert "shape_fault" in [event.fact for event in noted]
    gate.open()
    plane.ended(call)


def test_an_unreadable_end_is_a_malformed_result_with_what_can_be_read(plane: Plane, runtime: Runtime) -> None:
    async def ends_badly(work: Work) -> None:
        await work.start()
        frame = await work.finish(say=False)
        assert work.record is not None
        work.record.receipts["finished"] = {**frame, "changes": "none", "result": {"kept": 1}}
        await work.send(work.record.receipts["finished"])

    runtime.script = ends_badly
    runtime.connect()
    (call,) = plane.prompt(plane.session(runtime.endpoint_id))
    attempt = plane.ended(call)
    assert attempt.verdict is not None
    assert attempt.finished is not None
    assert attempt.verdict.kind is Kind.MALFORMED_RESULT
    assert attempt.verdict.ran is Ran.YES
    assert attempt.finished.execution is not None
    assert attempt.finished.execution["exit_code"] == 0
    assert attempt.finished.result == {"kept": 1}
    assert b'"changes":"none"' in plane.rows("SELECT raw FROM unreadable_frames WHERE tool_call_id = ?", call)[0][0]
    settled(runtime, call)


def test_too_many_faults_end_the_connection_and_the_next_has_to_wait(plane: Plane, runtime: Runtime) -> None:
    runtime.manners.reconnect = False
    runtime.connect()
    for number in range(21):
        runtime.say(f"broken {number}")
    assert runtime.recording.wait("closed", "note").frame["code"] == 4400
    since = runtime.recording.mark()
    runtime.connect(wait=False)
    assert runtime.recording.wait("reject", since=since).frame["code"] == "runtime.too_many_faults"
    assert runtime.recording.wait("closed", "note", since=since).frame["code"] == 4400


@pytest.mark.parametrize(
    ("raw", "close"), [(b" " * (4 * 1024 * 1024 + 1), 1009), (b'{"type":"\xff"}', 1007)], ids=["too long", "no UTF-8"]
)
def test_messages_that_the_transport_refuses_are_recorded_without_bytes(
    plane: Plane, runtime: Runtime, raw: bytes, close: int
) -> None:
    runtime.manners.reconnect = False
    runtime.connect()
    runtime.say(raw)
    assert runtime.recording.wait("closed", "note").frame["code"] == close
    kept = plane.until(lambda: plane.rows("SELECT size, raw FROM unreadable_frames"))
    assert kept == [(0, b"")]


# -- one of many ---


def test_a_flooding_runtime_does_not_hold_up_another(plane: Plane, new_runtime: Callable[..., Runtime]) -> None:
    """RECOVERY.md §9, 7: while one runtime sends as fast as it can, the other's requests are answered."""
    loud, quiet = new_runtime(), new_runtime()
    stop = asyncio.Event()
    digest = hashlib.sha256()

    async def floods(work: Work) -> None:
        await work.start()
        chunk = b"y" * 60_000
        for _ in range(400):
            digest.update(chunk)
            await work.output(chunk)
            if stop.is_set():
                break
        await work.finish()

    loud.script = floods
    loud.connect()
    quiet.connect()
    (flood,) = plane.prompt(plane.session(loud.endpoint_id))
    session = plane.session(quiet.endpoint_id)
    plane.until(lambda: "stdout" in plane.attempt(flood).streams)
    for _ in range(5):
        (call,) = plane.prompt(session)
        plane.ended(call)
    assert plane.attempt(flood).open or len(output_of(plane, flood)) > 0
    loud.later(_set(stop))
    plane.ended(flood)
    stored = output_of(plane, flood)
    assert len(stored) <= 8 * 1024 * 1024


async def _set(event: asyncio.Event) -> None:
    event.set()
